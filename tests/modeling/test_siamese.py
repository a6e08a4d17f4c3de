import pytest
import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from sot.api import build_model
from sot.config import load_config

PIXELS = ["MODEL.PIXEL_MEAN", "[10.0, 20.0, 30.0]", "MODEL.PIXEL_STD", "[1.0, 2.0, 4.0]"]


def build(*opts):
    opts = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", *PIXELS, *opts]
    return build_model(load_config("SiamRPN/siamrpn_compact.yaml", opts))


def test_pixels_by_hand():
    crops = torch.tensor([11, 24, 22], dtype=torch.uint8).view(1, 3, 1, 1).repeat(2, 1, 2, 4)
    crops[0, :, 1, 2] = torch.tensor([10, 20, 50])
    out = build()._normalize(crops)
    assert out.dtype == torch.float32 and out.shape == crops.shape
    assert out[1, :, 0, 0].tolist() == [1, 2, -2]
    assert out[0, :, 1, 2].tolist() == [0, 0, 5]
    assert (out == torch.tensor([1.0, 2, -2])[:, None, None]).sum() == out.numel() - 3


LITE = [
    *("MODEL.BACKBONE.NAME", "build_efficientnet_lite_backbone"),
    *("MODEL.MOBILENET.OUT_FEATURES", "['layer3']", "MODEL.RPN.IN_FEATURES", "['layer3']"),
]


@pytest.mark.parametrize(
    "opts, weights, plain",
    [
        ([], torch.contiguous_format, True),
        ([], torch.channels_last, False),
        (LITE, torch.contiguous_format, False),
    ],
)
def test_only_dense_networks_train_on_contiguous_crops(opts, weights, plain):
    model = build(*opts).to(memory_format=weights)
    crops = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    assert model._normalize(crops).is_contiguous(memory_format=torch.channels_last)
    assert model.train()._normalize(crops).is_contiguous() == plain


def test_memory_format_does_not_change_the_losses():
    # in double precision, as a few steps at a high learning rate enlarge rounding a lot
    model = build("MODEL.COMPACT.CHANNELS", "[8, 8, 16, 16]").train().double()
    template, search = (torch.randint(0, 256, (2, 3, s, s), dtype=torch.uint8) for s in (127, 159))
    truth = Instances((159, 159))
    truth.gt_boxes, truth.gt_negative = Boxes([[48, 48, 112, 112]]), torch.tensor([False])
    pairs = [{"template": t, "search": s, "instances": truth} for t, s in zip(template, search)]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    histories = []
    for dense in (True, False):
        model.load_state_dict(weights)
        model.dense, history = dense, []
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        with EventStorage():
            for i in range(3):
                torch.manual_seed(i)  # which anchors are sampled
                losses = model(pairs)
                optimizer.zero_grad()
                sum(losses.values()).backward()
                optimizer.step()
                history += [v.item() for v in losses.values()]
        histories.append(history)
    assert histories[0] == pytest.approx(histories[1], rel=1e-5)
    assert len(set(histories[0])) == 6
