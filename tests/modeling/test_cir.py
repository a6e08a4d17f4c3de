import pytest
import torch
import torch.nn.functional as F
from detectron2.config import get_cfg
from detectron2.layers import FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling import build_resnet_backbone
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from tool_modules import load_tool

from sot.api import build_model
from sot.config import list_configs, load_config
from sot.modeling.backbone.cir import (
    CIR_NETWORKS,
    CIInceptionUnit,
    CIRStem,
    CIRUnit,
    make_cir_network,
)

CONFIGS = [c for c in list_configs() if c.startswith("SiamDW/")]
QUICK = "SiamDW/siamfc_ciresnet22.yaml"


@pytest.fixture(scope="module")
def receptive_fields():
    return load_tool("analyze_model").receptive_fields


def slow_but(config):
    return [] if config == QUICK else [pytest.mark.slow]


def size(net, crop):
    """Of the features; on the device "meta" there are shapes without values."""
    return net.to("meta")(torch.zeros(1, 3, crop, crop, device="meta"))["res3"].shape[-1]


def count(net):
    return sum(p.numel() for p in net.parameters())


# Table 3 of the paper: millions of parameters, receptive field, output feature size, stride.
TABLE = {
    "CIResNet-16": ("1.304", "77", 7, 8),
    "CIResNet-19": ("1.374", "85", 6, 8),
    "CIResNet-22": ("1.445", "93", 5, 8),
    "CIResInception-22": ("1.695", "13~93", 5, 8),
    "CIResNeXt-22": ("1.417", "93", 5, 8),
    "CIResNet-43": ("1.010", "105", 6, 4),
}

# Those of the 22-layer networks are the public code's; the others follow from its units. Two are
# not what the table says:
# * CIResNet-19 is CIResNet-22 less one unit of 70,400: 1,374,528. Rounded like the others that is
#   1.375; the table has it cut off.
# * CIResNet-43 has no public code. 1 + 3 * 14 layers, the receptive field, the output size and
#   the stride leave 4 units at stride 2 and 10 at stride 4: 7 + 4 * 4 + 2 + 10 * 8 = 105; and
#   60 - 4 * 2 = 52, 52 / 2 - 10 * 2 = 6. All of 64-64-256 channels (the paper has 256 come out)
#   they have 999,744 parameters, 1 % less than the table's 1.010 million. None of the changes that
#   suggest themselves gives that: a projection in the shortcut of res3 makes 1,065,792, twice
#   the channels in the stem 1,029,760, narrower units in res2 make less.
PARAMETERS = {
    "CIResNet-16": 1304128,
    "CIResNet-19": 1374528,
    "CIResNet-22": 1444928,
    "CIResNet-22W": 2458048,
    "CIResInception-22": 1694656,
    "CIResNeXt-22": 1416576,
    "CIResNet-43": 999744,
}
NOT_AS_IN_THE_TABLE = {"CIResNet-19": "1.375", "CIResNet-43": "1.000"}


@pytest.mark.parametrize("name", TABLE)
def test_table_of_the_paper(name, receptive_fields):
    net = make_cir_network(name)
    millions, field, output_size, stride = TABLE[name]
    assert f"{count(net) / 1e6:.3f}" == NOT_AS_IN_THE_TABLE.get(name, millions)
    assert size(net, 127) == output_size
    assert net.output_shape()["res3"].stride == stride
    span = receptive_fields(net, 127)["res3"]
    narrow, wide = span.least, span.width
    assert (f"{wide}" if narrow == wide else f"{narrow}~{wide}") == field
    assert span.stride == stride


@pytest.mark.parametrize("name", PARAMETERS)
def test_number_of_parameters(name):
    assert count(make_cir_network(name)) == PARAMETERS[name]


@pytest.mark.parametrize("pool", [2, 3])
@pytest.mark.parametrize(
    "name, channels",
    [
        ("CIResNet-22", 512),
        ("CIResNet-22W", 512),
        ("CIResInception-22", 640),
        ("CIResNeXt-22", 512),
    ],
)
def test_feature_sizes_of_22_layers(name, channels, pool):
    net = make_cir_network(name, stem_pool=pool)
    assert [size(net, crop) for crop in (127, 255, 271)] == [5, 21, 23]
    assert net.output_shape()["res3"].channels == channels


@pytest.mark.parametrize(
    "name, field", [("CIResInception-22", (15, 95)), ("CIResNeXt-22", (95, 95))]
)
def test_receptive_field_with_the_stem_of_the_public_code(name, field, receptive_fields):
    span = receptive_fields(make_cir_network(name, stem_pool=3), 127)["res3"]
    assert (span.least, span.width) == field


@pytest.mark.parametrize("crop", [127, 255])
@pytest.mark.parametrize("pool", [2, 3])
@pytest.mark.parametrize("name", CIR_NETWORKS)
def test_features_lie_in_the_middle_of_the_crop(name, pool, crop, receptive_fields):
    net = make_cir_network(name, stem_pool=pool)
    span = receptive_fields(net, crop)["res3"]
    last = span.stride * (size(net, crop) - 1)
    # pixels left out on the left and on the right; 2x2 pooling of an odd size leaves one row out
    left, right = span.start, crop - 1 - (span.end + last)
    assert left >= 0 and 0 <= right - left <= 8


def test_a_unit_is_a_padded_one_with_the_border_cropped():
    args = {"bottleneck_channels": 4, "norm": "BN"}
    for unit in (
        CIRUnit(8, 8, **args),
        CIRUnit(6, 8, **args, widening=2, relu=False),
        CIRUnit(6, 8, **args, num_groups=2, norm_after=True),
        CIInceptionUnit(6, 20, **args),
    ):
        for bn in (m for m in unit.modules() if isinstance(m, torch.nn.BatchNorm2d)):
            torch.nn.init.uniform_(bn.bias)
        x, relu = torch.randn(2, unit.in_channels, 9, 9), F.relu if unit.relu else lambda y: y
        with torch.no_grad():
            out = unit.eval()(x)
            unit.conv2.padding = (1, 1)
            padded = unit.conv3(unit.conv2(unit.conv1(x)))
            if isinstance(unit, CIInceptionUnit):
                padded = torch.cat([padded, unit.branch1x1(x)], dim=1)
            else:
                padded = padded + (x if unit.shortcut is None else unit.shortcut(x))
                padded = padded if unit.norm is None else unit.norm(padded)
        assert out.shape == (2, unit.out_channels, 7, 7)
        assert torch.allclose(out, relu(padded)[..., 1:-1, 1:-1], atol=1e-5)


def test_a_downsampling_unit_pools_what_the_unit_gives():
    unit = CIRUnit(4, 8, bottleneck_channels=2, stride=2, norm="BN").eval()
    x = torch.randn(1, 4, 12, 12)
    with torch.no_grad():
        pooled = unit(x)
        unit.stride = 1
        whole = unit(x)
    assert whole.shape[-1] == 10 and pooled.shape[-1] == 5
    assert torch.equal(pooled, whole.view(1, 8, 5, 2, 5, 2).amax(dim=(3, 5)))


@pytest.mark.parametrize("crop", [127, 128])
def test_the_stem_is_a_padded_one_with_two_pixels_cropped(crop):
    stem = CIRStem(4, norm="BN").eval()
    x = torch.randn(1, 3, crop, crop)
    with torch.no_grad():
        out = stem(x)
        stem.conv1.padding = (3, 3)
        padded = F.max_pool2d(stem.conv1(x)[..., 2:-2, 2:-2], 2)
    assert out.shape == (1, 4, 30, 30)
    assert torch.allclose(out, padded, atol=1e-5)


@pytest.mark.parametrize("name", CIR_NETWORKS)
def test_moving_the_crop_moves_the_features(name):
    net, image = make_cir_network(name).eval(), torch.rand(1, 3, 135, 135)
    with torch.no_grad():
        a, b = (net(x)["res3"] for x in (image[..., :127, :127], image[..., 8:, 8:]))
    step = 8 // net.output_shape()["res3"].stride
    assert torch.allclose(a[..., step:, step:], b[..., :-step, :-step], atol=1e-4)
    assert (a < 0).any()  # the correlation needs both signs


def test_resnet50_has_weights_of_the_names_and_shapes_of_ciresnet_22():
    cfg = get_cfg()
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res3"]
    cfg.MODEL.RESNETS.NORM = "BN"
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    resnet50 = build_resnet_backbone(cfg, ShapeSpec(channels=3)).state_dict()
    ours = make_cir_network("CIResNet-22").state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in resnet50.items()}


def test_frozen_stages_keep_their_weights():
    net = make_cir_network("CIResNet-16", freeze_at=2)
    trained = {n.split(".")[0] for n, p in net.named_parameters() if p.requires_grad}
    assert trained == {"res3"}
    assert isinstance(net.res2[0].conv1.norm, FrozenBatchNorm2d)


def test_unknown_settings_are_named():
    with pytest.raises(ValueError, match="MODEL.CIR.NAME must be one of CIResNet-16.*not 'R-50'"):
        make_cir_network("R-50")
    with pytest.raises(ValueError, match="MODEL.CIR.STEM_POOL.* not 4"):
        make_cir_network("CIResNet-22", stem_pool=4)
    with pytest.raises(ValueError, match=r"MODEL.CIR.NUM_UNITS .*, not \[3\]"):
        make_cir_network("CIResNet-22", num_units=[3])
    with pytest.raises(ValueError, match=r"MODEL.CIR.STRIDES .*, not \(1, 4\)"):
        make_cir_network("CIResNet-22", strides=(1, 4))


def test_padded_units_keep_the_size():
    net = make_cir_network("CIResNet-22", num_units=(1, 2), strides=(2, 2), padded=True)
    assert net.output_shape()["res3"].stride == 16
    assert [size(net, crop) for crop in (128, 256)] == [8, 16]


def two_pairs():
    """Targets of different texture, 64 px wide, at different places of crops of 159."""
    batch = []
    for x, y in ((71.5, 87.5), (87.5, 71.5)):
        target = torch.randint(0, 256, (1, 3, 8, 8)).float()
        target = F.interpolate(target, size=(64, 64))[0]
        template, search = torch.full((3, 127, 127), 120.0), torch.full((3, 159, 159), 120.0)
        template[:, 31:95, 31:95] = target
        search[:, int(y) - 31 : int(y) + 33, int(x) - 31 : int(x) + 33] = target
        instances = Instances((159, 159))
        instances.gt_boxes = Boxes(torch.tensor([[x - 32, y - 32, x + 32, y + 32]]))
        instances.gt_negative = torch.tensor([False])
        batch.append({"template": template, "search": search, "instances": instances})
    return batch


# Up-channel correlation sums thousands of products: its outputs move fast, so smaller steps.
@pytest.mark.parametrize(
    "config, lr, steps",
    [
        pytest.param(c, *((0.002, 20) if "siamfc" in c else (3e-5, 40)), marks=slow_but(c))
        for c in CONFIGS
    ],
)
def test_overfits_two_pairs(config, lr, steps, monkeypatch):
    for spec in CIR_NETWORKS.values():  # a quarter as wide, all but the stem
        for key in ("bottleneck_channels", "out_channels"):
            monkeypatch.setitem(spec, key, tuple(c // 4 for c in spec[key]))
    cfg = load_config(config, ["MODEL.DEVICE", "cpu", "MODEL.SIAMESE.HEAD_CHANNELS", 32])
    model, batch = build_model(cfg).train(), two_pairs()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    totals = []
    with EventStorage():
        for _ in range(steps):
            losses = model(batch)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            if not totals:
                assert [n for n, p in model.named_parameters() if p.grad is None] == []
            optimizer.step()
            totals.append(sum(losses.values()).item())
    assert min(totals[-3:]) < 0.5 * totals[0], totals
