import math

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from sot.api import build_model
from sot.config import load_config
from sot.modeling import SiamFC
from sot.modeling.meta_arch.siamfc import balanced_logistic_loss

CONFIG = "SiamFC/siamfc_alex.yaml"
COMPACT = ["MODEL.BACKBONE.NAME", "build_compact_backbone"]


class FirstChannel(Backbone):
    """Features are the first channel of the crop."""

    def output_shape(self):
        return {"f": ShapeSpec(channels=1, stride=8)}

    def forward(self, x):
        return {"f": x[:, :1]}


def simple(**kwargs):
    parts = {"backbone": FirstChannel(), "neck": None, "in_feature": "f", "stride": 8}
    return SiamFC(**parts, pixel_mean=[0.0] * 3, pixel_std=[1.0] * 3, **kwargs)


def build(*opts):
    return build_model(load_config(CONFIG, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", *opts]))


def truth(x, y, negative=False):
    instances = Instances((255, 255))
    instances.gt_boxes = Boxes(torch.tensor([[x - 30.0, y - 20.0, x + 30.0, y + 20.0]]))
    instances.gt_negative = torch.tensor([negative])
    return instances


def positives(*args, **kwargs):
    """(row, column) of the positive positions of a 17 x 17 map of a crop of 255."""
    (labels,) = simple().label_positions((17, 17), 255, [truth(*args, **kwargs)])
    return labels.nonzero().tolist()


def test_response_is_the_scaled_correlation_plus_bias():
    model = simple(out_scale=0.5)
    torch.nn.init.constant_(model.bias, 0.25)
    search = torch.arange(9.0).view(1, 1, 3, 3).expand(1, 3, 3, 3)
    kernels = model.template(torch.tensor([[1.0, 0.0], [0.0, 2.0]]).expand(1, 3, 2, 2))
    # correlations 0 + 2 * 4, 1 + 2 * 5, 3 + 2 * 7, 4 + 2 * 8
    assert model.detect(kernels, search).tolist() == [[[4.25, 5.75], [8.75, 10.25]]]


def test_a_centred_target_has_13_positives():
    # |u - c| <= 2 steps of 8 px
    assert positives(127.5, 127.5) == [
        [6, 8],
        *([7, j] for j in (7, 8, 9)),
        *([8, j] for j in (6, 7, 8, 9, 10)),
        *([9, j] for j in (7, 8, 9)),
        [10, 8],
    ]


def test_off_centre_targets():
    # the last position of the first row, at (63.5 + 16 * 8, 63.5)
    assert positives(191.5, 63.5) == [[0, 14], [0, 15], [0, 16], [1, 15], [1, 16], [2, 16]]
    # half way between two columns: |dx| is 4 or 12 px, so |dy| at most 8 px
    between = [[i, j] for i in (7, 8, 9) for j in (7, 8, 9, 10)]
    assert positives(131.5, 127.5) == between
    # further than 16 px from the grid
    assert positives(40.0, 127.5) == []


def test_a_negative_pair_is_all_background():
    assert positives(127.5, 127.5, negative=True) == []


def test_radius_is_in_pixels():
    (labels,) = simple(pos_radius=7.9).label_positions((17, 17), 255, [truth(127.5, 127.5)])
    assert labels.nonzero().tolist() == [[8, 8]]


def test_loss_by_hand():
    logits = torch.tensor([[[math.log(3), 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, math.log(3)]]])
    positive = torch.zeros(2, 2, 2, dtype=torch.bool)
    positive[0, 0, 0] = True
    # map 1: one positive log(4/3), three negatives log 2 each;
    # map 2: no positive, negatives 3 * log 2 and log 4
    first = 0.5 * math.log(4 / 3) + 0.5 * math.log(2)
    second = 0.5 * (3 * math.log(2) + math.log(4)) / 4
    loss = balanced_logistic_loss(logits, positive)
    assert loss.item() == pytest.approx((first + second) / 2)


def test_positives_and_negatives_count_half_each_whatever_their_number():
    positive = torch.zeros(1, 17, 17, dtype=torch.bool)
    for n in (1, 13):
        positive.view(-1)[:n] = True
        logits = torch.where(positive, 2.0, 0.0)
        expected = 0.5 * math.log(1 + math.exp(-2)) + 0.5 * math.log(2)
        assert balanced_logistic_loss(logits, positive).item() == pytest.approx(expected)


def test_the_papers_network():
    model = build()
    # convolutions 96*3*121, 256*48*25, 384*256*9, 384*192*9, 256*192*9; their biases; batch norm
    convolutions = 34848 + 307200 + 884736 + 663552 + 442368
    assert sum(p.numel() for p in model.parameters()) == convolutions + 3 * 1376 + 1
    with torch.no_grad():
        kernels = model.template(torch.zeros(2, 3, 127, 127))
        response = model.detect(kernels, torch.zeros(2, 3, 255, 255))
    assert kernels[0].shape == (2, 256, 6, 6) and response.shape == (2, 17, 17)
    assert model.stride == 8


def test_other_backbones_and_the_neck():
    model = build(
        *COMPACT, "MODEL.SIAMESE.TEMPLATE_FEATURE_SIZE", 4, "MODEL.SIAMESE.ADJUST_CHANNELS", [32]
    )
    with torch.no_grad():
        kernels = model.template(torch.zeros(1, 3, 127, 127))
        response = model.detect(kernels, torch.zeros(1, 3, 255, 255))
    assert kernels[0].shape == (1, 32, 4, 4) and response.shape == (1, 19, 19)


def test_two_features_are_refused():
    resnet = ["MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64]
    with pytest.raises(ValueError, match="one feature.*'res2', 'res3'.*OUT_FEATURES"):
        build(
            *("MODEL.BACKBONE.NAME", "build_resnet_backbone", *resnet),
            *("MODEL.RESNETS.OUT_FEATURES", ["res2", "res3"]),
        )


def pairs():
    """One search crop with two objects; each pair asks for one of them."""
    generator = torch.Generator().manual_seed(0)
    objects = [torch.randint(0, 256, (3, 8, 8), generator=generator) for _ in range(2)]
    objects = [o.repeat_interleave(6, 1).repeat_interleave(6, 2) for o in objects]  # 48 x 48
    centers = [(79.5, 127.5), (159.5, 143.5)]
    search = torch.full((3, 255, 255), 120)
    batch = []
    for o, (x, y) in zip(objects, centers):
        left, top = int(x) - 24, int(y) - 24
        search[:, top : top + 48, left : left + 48] = o
    for o, (x, y) in zip(objects, centers):
        template = torch.full((3, 127, 127), 120)
        template[:, 39:87, 39:87] = o
        batch.append(
            {"template": template.byte(), "search": search.byte(), "instances": truth(x, y)}
        )
    return batch


def test_overfits_two_pairs():
    small = ["MODEL.COMPACT.CHANNELS", [8, 16, 24, 32]]
    scaled = ["MODEL.PIXEL_MEAN", [120.0] * 3, "MODEL.PIXEL_STD", [60.0] * 3]
    model, batch = build(*COMPACT, *small, *scaled).train(), pairs()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with EventStorage():
        for _ in range(40):
            (loss,) = model(batch).values()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert loss.item() < 0.1
    # without the batch's own statistics: the response peaks where each template's object is
    responses = [r["response"] for r in model.eval()(batch)]
    peaks = [divmod(int(r.argmax()), 17) for r in responses]
    for (row, column), (x, y) in zip(peaks, [(79.5, 127.5), (159.5, 143.5)]):
        assert math.hypot(63.5 + 8 * column - x, 63.5 + 8 * row - y) <= 16


def test_gradients_reach_every_parameter():
    model = build().train()
    with EventStorage() as storage:
        losses = model(pairs())
        assert storage.latest()["siamfc/num_pos_positions"][0] == 13
    sum(losses.values()).backward()
    assert list(losses) == ["loss_response"]
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
