import pytest
import torch
from torch import nn

from sot.api import build_model
from sot.config import load_config
from sot.modeling import DepthwiseRPNHead
from sot.modeling.fuse import fuse_for_inference

LEVELS = ["MODEL.SIAMESE.ADJUST_CHANNELS", "[32]"]
R18 = ["MODEL.RESNETS.STEM_OUT_CHANNELS", 16, "MODEL.RESNETS.RES2_OUT_CHANNELS", 16, *LEVELS]
R50 = [
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", 16, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64),
    *("MODEL.RESNETS.WIDTH_PER_GROUP", 16, *LEVELS),
]
ALEX = ["MODEL.ALEXNET.CHANNELS", "[16, 32, 48, 48, 32]"]
LITE = [
    *("MODEL.BACKBONE.NAME", "build_efficientnet_lite_backbone"),
    *("MODEL.MOBILENET.OUT_FEATURES", "['layer4']", "MODEL.RPN.IN_FEATURES", "['layer4']"),
]
FAMILIES = {
    "siamfc": ("SiamFC/siamfc_alex.yaml", ALEX),
    "up-channel": ("SiamRPN/siamrpn_alex.yaml", ALEX),
    "depthwise": ("SiamRPN/siamrpn_alex_dw.yaml", ALEX),
    "group norm": ("SiamRPN/siamrpn_compact.yaml", ["MODEL.SIAMESE.HEAD_CHANNELS", 32]),
    "compact": ("SiamRPN/siamrpn_compact.yaml", ["MODEL.COMPACT.CHANNELS", "[8, 16, 16, 24]"]),
    "lite": ("SiamRPN/siamrpn_compact.yaml", LITE),
    "resnet18": ("SiamRPN++/siamrpn_r18_l234_dw.yaml", R18),
    "frozen": ("SiamRPN++/siamrpn_r50_l234_dw.yaml", [*R50, "MODEL.RESNETS.NORM", "FrozenBN"]),
    "up-channel levels": ("SiamRPN++/siamrpn_r50_l234_up.yaml", R50),
    "mobilenet": (
        "SiamRPN++/siamrpn_mobilev2_l234_dw.yaml",
        ["MODEL.MOBILENET.WIDTH", 0.35, *LEVELS],
    ),
    "ciresnet": ("SiamDW/siamfc_ciresnet16.yaml", []),
    "ciresinception": ("SiamDW/siamfc_ciresinception22.yaml", []),
    "ciresnext": ("SiamDW/siamfc_ciresnext22.yaml", []),
}


def build(name, opts):
    """A network whose norms have the statistics of its own activations, in double precision:
    differences of more than its rounding are mistakes."""
    opts = [*opts, "MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""]
    model = build_model(load_config(name, opts)).double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            module.momentum = 1.0
    with torch.no_grad():
        outputs(model.train())
    return model.eval()


CROPS = torch.randint(0, 256, (2, 3, 159, 159), dtype=torch.uint8)


@torch.no_grad()
def outputs(model):
    kernels = model.template(CROPS[..., 16:-16, 16:-16])
    if hasattr(model, "search"):
        (logits,), (deltas,) = model.search(kernels, CROPS)
        return [logits, deltas]
    return [*kernels, *model.features(CROPS, is_template=False).values()]


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_are_those_of_the_network(family):
    name, opts = FAMILIES[family]
    if family == "group norm":
        opts = [*opts, "MODEL.SIAMESE.NORM", "GN", "MODEL.COMPACT.CHANNELS", "[32, 32, 32, 32]"]
    model = build(name, opts)
    fused = fuse_for_inference(model)
    norms = [m for m in fused.modules() if isinstance(m, nn.BatchNorm2d)]
    # what is left is the norm after the addition in the units of CIResNeXt
    assert len(norms) == (7 if family == "ciresnext" else 0)
    joined = not any(isinstance(m, DepthwiseRPNHead) for m in fused.modules())
    assert joined == (family != "group norm")
    for a, b in zip(outputs(model), outputs(fused)):
        assert a.shape == b.shape
        assert (a - b).abs().max() < 1e-10 * a.abs().max()


def test_pointwise_convolutions_are_products_of_matrices():
    model = build(*FAMILIES["mobilenet"])
    pointwise = [m for m in model.modules() if getattr(m, "kernel_size", None) == (1, 1)]
    fused = fuse_for_inference(model)
    left = [m for m in fused.modules() if getattr(m, "kernel_size", None) == (1, 1)]
    # those of the joined heads, which are in groups
    assert len(pointwise) > 30 and [m.groups for m in left] == [2, 2, 2]


def test_network_is_left_alone():
    model = build(*FAMILIES["depthwise"]).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fused = fuse_for_inference(model)
    assert model.training and not fused.training
    assert all(p.requires_grad for p in model.parameters())
    assert not any(p.requires_grad for p in fused.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    shared = {p.data_ptr() for p in model.parameters()} & {p.data_ptr() for p in fused.parameters()}
    assert not shared
    again = fuse_for_inference(fused)  # as when a tracker's network is given to a tracker
    for a, b in zip(outputs(fused), outputs(again)):
        assert torch.equal(a, b)
