"""The ResNets and MobileNetV2 against the networks published with PySOT, stated here in plain
torch.nn.functional from a description of their windows."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from detectron2.config import get_cfg
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_backbone
from torch import nn

from sot.config import add_sot_config

RESNET, MOBILENET = "build_atrous_resnet_backbone", "build_mobilenet_backbone"

# (stride, padding, dilation) of the first 3x3 of a stage, of its other 3x3, of its shortcut
RESNET_WINDOWS = {
    "res2": ((1, 1, 1), (1, 1, 1), (1, 0, 1)),
    "res3": ((2, 0, 1), (1, 1, 1), (2, 0, 1)),
    "res4": ((1, 1, 1), (1, 2, 2), (1, 1, 1)),
    "res5": ((1, 2, 2), (1, 4, 4), (1, 2, 2)),
}
RESNET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
# blocks; (stride, padding, dilation) of the first depthwise convolution of a layer, of its others
MOBILENET_WINDOWS = {
    "layer1": (1, (1, 1, 1), None),
    "layer2": (2, (2, 0, 1), (1, 1, 1)),
    "layer3": (3, (2, 0, 1), (1, 1, 1)),
    "layer4": (4, (1, 1, 1), (1, 2, 2)),
    "layer5": (3, (1, 2, 2), (1, 2, 2)),
    "layer6": (3, (1, 2, 2), (1, 4, 4)),
    "layer7": (1, (1, 4, 4), None),
}


def build(name, *opts):
    cfg = get_cfg()
    add_sot_config(cfg)
    cfg.MODEL.BACKBONE.NAME = name
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4", "res5"]
    cfg.merge_from_list([f"MODEL.{x}" if i % 2 == 0 else x for i, x in enumerate(opts)])
    return build_backbone(cfg)


def resnet(depth, *opts):
    """An eighth as wide as the real one."""
    channels = 32 if depth == 50 else 8
    return build(
        RESNET,
        *("RESNETS.DEPTH", depth, "RESNETS.RES2_OUT_CHANNELS", channels),
        *("RESNETS.STEM_OUT_CHANNELS", 8, "RESNETS.WIDTH_PER_GROUP", 8, *opts),
    )


def mobilenet(*opts):
    return build(MOBILENET, "MOBILENET.WIDTH", 0.5, *opts)


def with_random_norms(net):
    """Evaluation mode, with norms as training leaves them: near the statistics of their inputs."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.5, 0.5)
            norm.momentum = 1.0
        net.train()(torch.randn(2, 3, 95, 95))
        for norm in norms:
            norm.running_mean += 0.2 * norm.running_var.sqrt() * torch.randn(norm.num_features)
            norm.running_var *= 0.7 + 0.6 * torch.rand(norm.num_features)
    return net.eval()


class Weights:
    """The state_dict of a backbone, applied convolution by convolution."""

    def __init__(self, net):
        self.weights = net.state_dict()

    def __contains__(self, conv):
        return f"{conv}.weight" in self.weights

    def __call__(self, x, conv, window=(1, 0, 1), groups=1):
        stride, padding, dilation = window
        w = self.weights
        x = F.conv2d(x, w[f"{conv}.weight"], None, stride, padding, dilation, groups)
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(w[f"{conv}.norm.{name}"] for name in names))


def reference_resnet(conv, x, depth):
    x = F.relu(conv(x, "stem.conv1", (2, 0, 1)))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    outputs = {}
    for (stage, (first, other, shortcut)), blocks in zip(
        RESNET_WINDOWS.items(), RESNET_BLOCKS[depth]
    ):
        for i in range(blocks):
            name, entry = f"{stage}.{i}", other if i else first
            if depth == 50:
                out = F.relu(conv(x, f"{name}.conv1"))
                out = F.relu(conv(out, f"{name}.conv2", entry))
                out = conv(out, f"{name}.conv3")
            else:
                out = F.relu(conv(x, f"{name}.conv1", entry))
                out = conv(out, f"{name}.conv2", other)
            if f"{name}.shortcut" in conv:
                x = conv(x, f"{name}.shortcut", shortcut)
            x = F.relu(out + x)
        outputs[stage] = x
    return outputs


def reference_mobilenet(conv, x):
    x = F.relu6(conv(x, "layer0", (2, 0, 1)))
    outputs = {}
    for layer, (blocks, first, other) in MOBILENET_WINDOWS.items():
        for i in range(blocks):
            out = F.relu6(conv(x, f"{layer}.{i}.expand"))
            window = other if i else first
            out = F.relu6(conv(out, f"{layer}.{i}.depthwise", window, groups=out.shape[1]))
            out = conv(out, f"{layer}.{i}.project")
            x = out + x if i else out
        outputs[layer] = x
    return outputs


class TestEqualToPySOT:
    def check(self, net, reference):
        x = torch.randn(1, 3, 127, 127)
        with torch.no_grad():
            features, expected = net(x), reference(Weights(net), x)
        assert features.keys() == net.output_shape().keys()
        for name, feature in features.items():
            assert expected[name].std() > 0.1  # not equal because all is zero
            torch.testing.assert_close(feature, expected[name], atol=1e-4, rtol=0)

    @pytest.mark.parametrize("depth", [18, 34, 50])
    def test_resnet(self, depth):
        net = with_random_norms(resnet(depth))
        self.check(net, lambda conv, x: reference_resnet(conv, x, depth))

    def test_mobilenet(self):
        self.check(with_random_norms(mobilenet()), reference_mobilenet)


@pytest.mark.parametrize(
    "net, channels",
    [
        (partial(resnet, 50), {"res3": 64, "res4": 128, "res5": 256}),
        (partial(resnet, 18), {"res3": 16, "res4": 32, "res5": 64}),
        (mobilenet, {"layer3": 16, "layer5": 48, "layer7": 160}),
    ],
)
@pytest.mark.parametrize("crop, size", [(127, 15), (255, 31)])
def test_feature_sizes(net, channels, crop, size):
    net = net().eval()
    with torch.no_grad():
        features = net(torch.zeros(1, 3, crop, crop))
    assert {k: tuple(v.shape) for k, v in features.items()} == {
        name: (1, c, size, size) for name, c in channels.items()
    }
    assert {k: (v.channels, v.stride) for k, v in net.output_shape().items()} == {
        name: (c, 8) for name, c in channels.items()
    }


@pytest.mark.parametrize(
    "name, count",  # as in PySOT's siamrpn_r50_l234_dwxcorr and siamrpn_mobilev2_l234_dwxcorr
    [(RESNET, 45_528_128), (MOBILENET, 3_485_204)],
)
def test_number_of_parameters(name, count):
    assert sum(p.numel() for p in build(name).parameters()) == count


class TestParameters:
    NETS = {"r50": partial(resnet, 50), "r18": partial(resnet, 18), "mobilenet": mobilenet}

    def gradients(self, net):
        features = net.train()(torch.randn(2, 3, 63, 63))
        sum(x.square().mean() for x in features.values()).backward()
        return {k: p.grad is not None and bool(p.grad.any()) for k, p in net.named_parameters()}

    @pytest.mark.parametrize("name", NETS)
    def test_gradients_reach_all_by_default(self, name):
        reached = self.gradients(self.NETS[name]())
        assert all(reached.values()), reached

    @pytest.mark.parametrize("name", NETS)
    def test_frozen_stages_get_none_and_their_norms_stay(self, name):
        net = self.NETS[name]("BACKBONE.FREEZE_AT", 2)
        frozen = ("stem.", "res2.", "layer0.", "layer1.")
        for key, reached in self.gradients(net).items():
            assert reached != key.startswith(frozen), key
        for key, module in net.named_modules():
            if key.endswith("norm"):
                assert isinstance(module, FrozenBatchNorm2d) == key.startswith(frozen), key

    def test_only_pointwise_convolutions_learn(self):
        net = mobilenet("MOBILENET.POINTWISE_ONLY", True, "BACKBONE.FREEZE_AT", 2)
        for key, reached in self.gradients(net).items():
            pointwise = "expand" in key or "project" in key
            assert reached == (pointwise and not key.startswith("layer1.")), key
        assert TestConfig().norms(net) == {"FrozenBatchNorm2d"}

    def test_layers_behind_the_last_feature_are_not_built(self):
        net = resnet(50, "RESNETS.OUT_FEATURES", ["res3"])
        assert {k.split(".")[0] for k in net.state_dict()} == {"stem", "res2", "res3"}
        net = build(MOBILENET, "MOBILENET.OUT_FEATURES", ["layer3", "layer1"])
        assert {k.split(".")[0] for k in net.state_dict()} == {f"layer{i}" for i in range(4)}
        assert {k: v.stride for k, v in net.output_shape().items()} == {"layer3": 8, "layer1": 2}

    def test_initial_spread(self):
        """Kaiming's: sqrt(2 / fan)."""
        net = build(RESNET, "RESNETS.OUT_FEATURES", ["res3"])
        assert net.stem.conv1.weight.std().item() == pytest.approx(math.sqrt(2 / (49 * 64)), 0.05)
        shortcut = net.res3[0].shortcut.weight
        assert shortcut.shape == (512, 256, 3, 3)
        assert shortcut.std().item() == pytest.approx(math.sqrt(2 / (9 * 512)), 0.01)
        depthwise = build(MOBILENET).layer7[0].depthwise.weight
        assert depthwise.shape == (1344, 1, 3, 3)
        assert depthwise.std().item() == pytest.approx(math.sqrt(2 / 9), 0.05)


class TestConfig:
    def norms(self, net):
        return {type(m).__name__ for k, m in net.named_modules() if k.endswith("norm")}

    def test_one_norm_for_all_unless_the_resnet_has_its_own(self):
        assert self.norms(resnet(18, "SIAMESE.NORM", "SyncBN")) == {"SyncBatchNorm"}
        assert self.norms(resnet(18, "RESNETS.NORM", "FrozenBN")) == {"FrozenBatchNorm2d"}

    @pytest.mark.parametrize(
        "opts, message",
        [
            (("RESNETS.DEPTH", 101), r"DEPTH must be one of 18, 34, 50, not 101"),
            (("RESNETS.DEPTH", 18), r"RES2_OUT_CHANNELS must be 64 .* for DEPTH 18, not 256"),
            (("RESNETS.STRIDE_IN_1X1", True), r"STRIDE_IN_1X1"),
            (("RESNETS.OUT_FEATURES", ["layer3"]), r"OUT_FEATURES .* not \['layer3'\]"),
            (("RESNETS.OUT_FEATURES", []), r"OUT_FEATURES .* not \[\]"),
        ],
    )
    def test_resnet_refuses(self, opts, message):
        with pytest.raises(ValueError, match=rf"MODEL\.RESNETS\.{message}"):
            build(RESNET, *opts)

    @pytest.mark.parametrize("features", [[], ["layer8"]])
    def test_mobilenet_refuses(self, features):
        with pytest.raises(ValueError, match=r"MODEL\.MOBILENET\.OUT_FEATURES .*layer7, not "):
            build(MOBILENET, "MOBILENET.OUT_FEATURES", features)
