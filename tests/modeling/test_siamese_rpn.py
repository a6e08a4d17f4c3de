import math

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from sot.config import load_config
from sot.modeling import CenteredAnchorGenerator, DepthwiseRPNHead, SiameseRPN


def make(loss_type="smooth_l1", batch_size=64):
    return SiameseRPN(
        in_features=["f"],
        head=DepthwiseRPNHead(in_channels=4, channels=4, num_anchors=2),
        anchor_generator=CenteredAnchorGenerator(
            sizes=[[64]], aspect_ratios=[[0.5, 1.0]], strides=[8]
        ),
        anchor_matcher=Matcher([0.3, 0.6], [0, -1, 1], allow_low_quality_matches=False),
        box2box_transform=Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0)),
        batch_size_per_image=batch_size,
        positive_fraction=0.25,
        pre_nms_topk=(1, 1),
        post_nms_topk=(1, 1),
        box_reg_loss_type=loss_type,
    )


def truth(box, negative=False):
    instances = Instances((255, 255))
    instances.gt_boxes = Boxes(torch.tensor([box]))
    instances.gt_negative = torch.tensor([negative])
    return instances


def features(n=1, side=22):
    return {"f": torch.randn(n, 4, side, side)}


CENTRE = [95.5, 95.5, 159.5, 159.5]  # 64 x 64 around the middle of a crop of 255


def test_forward_shapes_and_template_reuse():
    rpn = make().eval()
    kernels = rpn.template(features(2, 6))
    assert [k.shape for k in kernels] == [(2, 4, 4, 4)] * 2
    x = features(2)
    boxes, logits, losses = rpn(kernels, x, 255)
    assert boxes.shape == (2, 17 * 17 * 2, 4) and logits.shape == (2, 17 * 17 * 2)
    assert losses == {}
    one = rpn([k[1:] for k in kernels], {"f": x["f"][1:]}, 255)
    assert torch.allclose(one[0][0], boxes[1], atol=1e-4)


def test_zero_deltas_are_the_anchors():
    rpn = make().eval()
    torch.nn.init.zeros_(rpn.rpn_head.loc.head[1].weight)
    torch.nn.init.zeros_(rpn.rpn_head.loc.head[1].bias)
    boxes, _, _ = rpn(rpn.template(features(1, 6)), features(), 255)
    middle = boxes[0].view(17, 17, 2, 4)[8, 8]
    assert middle[1].tolist() == CENTRE
    # ratio 0.5 = h / w: 64 * sqrt(2) wide
    assert (middle[0, 2] - middle[0, 0]).item() == pytest.approx(64 * math.sqrt(2), rel=1e-5)


def test_boxes_are_those_of_the_transform():
    rpn = make().eval()
    rpn.box2box_transform = Box2BoxTransform(weights=(10.0, 5.0, 2.0, 1.0))
    rpn.delta_weights.copy_(torch.tensor([10.0, 5.0, 2.0, 1.0]))
    anchors = rpn.anchor_generator([torch.zeros(1, 2, 3, 3)], 255)
    deltas = 8 * torch.randn(2, 18, 4)  # sizes beyond the clamp, too
    boxes = rpn._decode(anchors, [deltas])
    for boxes_i, deltas_i in zip(boxes, deltas):
        expected = rpn.box2box_transform.apply_deltas(deltas_i, anchors[0].tensor)
        assert torch.allclose(boxes_i, expected, rtol=1e-5, atol=1e-3)


def test_anchors_of_inference_serve_training():
    rpn = make()
    kernels = [k.detach() for k in rpn.template(features(1, 6))]
    with torch.inference_mode():
        first = rpn.eval()(kernels, features(side=8), 255)[0]
        assert rpn(kernels, features(side=7), 255)[0].shape != first.shape
    with EventStorage():
        losses = rpn.train()(kernels, features(side=8), 255, [truth(CENTRE)])[2]
    sum(losses.values()).backward()
    assert rpn.rpn_head.loc.head[1].weight.grad is not None


def test_labels_at_most_16_of_64_and_by_overlap():
    rpn = make()
    anchors = rpn.anchor_generator([torch.zeros(1, 2, 17, 17)], 255)
    labels, boxes = rpn.label_and_sample_anchors(anchors, [truth(CENTRE)])
    assert labels[0].shape == (578,) and boxes[0].shape == (578, 4)
    pos = (labels[0] == 1).sum().item()
    assert 0 < pos <= 16
    assert (labels[0] == 0).sum().item() == 64 - pos
    # no low-quality match: a box far from any anchor in shape has no positive at all
    labels, _ = rpn.label_and_sample_anchors(anchors, [truth([0.0, 120.0, 255.0, 130.0])])
    assert (labels[0] == 1).sum() == 0


def test_negative_pair_labels_the_distractor_background():
    rpn = make()
    anchors = rpn.anchor_generator([torch.zeros(1, 2, 17, 17)], 255)
    (labels,), _ = rpn.label_and_sample_anchors(anchors, [truth(CENTRE, negative=True)])
    assert (labels == 1).sum() == 0 and (labels == 0).sum() == 64
    on_box = Boxes.cat(anchors).tensor[labels == 0]
    inside = ((on_box - torch.tensor(CENTRE)).abs().max(dim=1).values <= 16).sum()
    assert inside >= 4  # some of the sample lies on the distractor


def test_losses_by_hand():
    rpn = make()
    anchors = [Boxes(torch.tensor([[0.0, 0, 10, 10], [0, 0, 20, 20], [50, 50, 60, 60]]))]
    labels = [torch.tensor([1, 0, -1]), torch.tensor([1, 1, 0])]
    gt = [torch.tensor([[5.0, 0, 15, 10]] * 3), anchors[0].tensor]
    logits = [torch.zeros(2, 3)]
    deltas = [torch.zeros(2, 3, 4)]
    with EventStorage() as storage:
        losses = rpn.losses(anchors, logits, labels, deltas, gt)
        assert storage.latest()["rpn/num_pos_anchors"][0] == 1.5
    # all logits 0: each half is log 2 whatever the counts
    assert losses["loss_rpn_cls"].item() == pytest.approx(math.log(2))
    # image 1: one positive, target dx = 0.5; image 2: perfect; mean over two images
    assert losses["loss_rpn_loc"].item() == pytest.approx(0.25)


def test_losses_without_positives_are_finite():
    rpn = make()
    anchors = [Boxes(torch.tensor([[0.0, 0, 10, 10]]))]
    deltas = torch.zeros(1, 1, 4, requires_grad=True)
    with EventStorage():
        losses = rpn.losses(
            anchors, [torch.zeros(1, 1)], [torch.tensor([0])], [deltas], [torch.zeros(1, 4)]
        )
    assert losses["loss_rpn_cls"].item() == pytest.approx(math.log(2) / 2)
    assert losses["loss_rpn_loc"].item() == 0
    sum(losses.values()).backward()


def test_giou_loss_by_hand():
    rpn = make("giou")
    anchors = [Boxes(torch.tensor([[0.0, 0, 10, 10]]))]
    gt = [torch.tensor([[0.0, 0, 10, 20]])]
    with EventStorage():
        losses = rpn.losses(
            anchors, [torch.zeros(1, 1)], [torch.tensor([1])], [torch.zeros(1, 1, 4)], gt
        )
    # IoU 100 / 200, the hull is the truth itself: GIoU = 0.5
    assert losses["loss_rpn_loc"].item() == pytest.approx(0.5, abs=1e-5)


def test_unknown_loss_type():
    with pytest.raises(ValueError, match="l7"):
        make("l7")


def test_several_levels_have_the_anchors_of_one_response():
    shapes = {name: ShapeSpec(channels=4, stride=8) for name in ("a", "b", "c")}
    opts = ("MODEL.RPN.HEAD_NAME", "MultiLevelRPNHead", "MODEL.RPN.IN_FEATURES", "['a', 'c']")
    rpn = SiameseRPN(load_config("Base-SiamRPN.yaml", opts), shapes).eval()
    assert rpn.anchor_generator.num_anchors == [5]
    z, x = ({name: torch.randn(2, 4, side, side) for name in shapes} for side in (7, 31))
    boxes, logits, _ = rpn(rpn.template(z), x, 255)
    assert boxes.shape == (2, 25 * 25 * 5, 4) and logits.shape == (2, 25 * 25 * 5)
    # "b" is not among MODEL.RPN.IN_FEATURES
    again, _, _ = rpn(rpn.template(z), {**x, "b": None}, 255)
    assert torch.equal(again, boxes)
