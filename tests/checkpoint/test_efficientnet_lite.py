"""EfficientNet-Lite0 against its definition in plain torch, with the names and the padding of the
files that it is loaded from."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from detectron2.config import get_cfg
from detectron2.modeling import build_backbone

from sot.checkpoint.pretrained import convert_pretrained, find_network
from sot.config import add_sot_config
from sot.modeling.fuse import FrozenLayers

# channels, expansion, blocks, kernel, stride of stages 1 to 5
STAGES = [(16, 1, 1, 3, 1), (24, 6, 2, 3, 2), (40, 6, 2, 5, 2), (80, 6, 3, 3, 2), (112, 6, 3, 5, 1)]


def conv(name, in_channels, out_channels, kernel, groups=1):
    """State of a convolution and its norm, random."""
    width = in_channels // groups
    return {
        f"{name[0]}.weight": torch.randn(out_channels, width, kernel, kernel)
        * (2 / (width * kernel**2)) ** 0.5,
        f"{name[1]}.weight": torch.rand(out_channels) / 2 + 0.5,
        f"{name[1]}.bias": torch.randn(out_channels) / 5,
        f"{name[1]}.running_mean": torch.randn(out_channels) / 5,
        # an eps of 1e-3 changes the features by more than the tolerance below
        f"{name[1]}.running_var": torch.rand(out_channels) / 2 + 0.5,
        f"{name[1]}.num_batches_tracked": torch.tensor(7),
    }


def random_file(stages=STAGES):
    torch.manual_seed(0)
    state = conv(("_conv_stem", "_bn0"), 3, 32, 3)
    channels, k = 32, 0
    for out_channels, expansion, blocks, kernel, _ in stages:
        for _ in range(blocks):
            hidden, block = channels * expansion, f"_blocks.{k}"
            if expansion > 1:
                state.update(conv((f"{block}._expand_conv", f"{block}._bn0"), channels, hidden, 1))
            names = f"{block}._depthwise_conv", f"{block}._bn1"
            state.update(conv(names, hidden, hidden, kernel, groups=hidden))
            state.update(conv((f"{block}._project_conv", f"{block}._bn2"), hidden, out_channels, 1))
            channels, k = out_channels, k + 1
    state["_fc.weight"] = torch.zeros(10, channels)
    return state


def reference(state, bgr, num_stages=4):
    """Features of (N, 3, H, W) pixels, H and W multiples of 16."""

    def layer(x, name, norm, kernel=1, stride=1, groups=1):
        pad = kernel - stride if stride > 1 else kernel - 1  # in all; less of it in front
        x = F.pad(x, [pad // 2, pad - pad // 2] * 2)
        x = F.conv2d(x, state[f"{name}.weight"], stride=stride, groups=groups)
        stats = [state[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *stats, eps=1e-3)

    x = F.relu6(layer((bgr.flip(1) - 127) / 128, "_conv_stem", "_bn0", 3, 2))
    k = 0
    for _, expansion, blocks, kernel, stride in STAGES[:num_stages]:
        for i in range(blocks):
            b, y = f"_blocks.{k}", x
            if expansion > 1:
                y = F.relu6(layer(y, f"{b}._expand_conv", f"{b}._bn0"))
            s, g = (1 if i else stride), y.shape[1]
            y = F.relu6(layer(y, f"{b}._depthwise_conv", f"{b}._bn1", kernel, s, g))
            y = layer(y, f"{b}._project_conv", f"{b}._bn2")
            x = x + y if i and s == 1 else y
            k += 1
    return x


def build(*opts):
    cfg = get_cfg()
    add_sot_config(cfg)
    cfg.MODEL.BACKBONE.NAME = "build_efficientnet_lite_backbone"
    cfg.merge_from_list(["MODEL.MOBILENET.OUT_FEATURES", ["layer4"], *opts])
    return build_backbone(cfg)


def load(net, mean=(127.0,) * 3, std=(128.0,) * 3):
    conversion = convert_pretrained(random_file(), net, mean, std)
    net.load_state_dict({k[len("backbone.") :]: v for k, v in conversion.weights.items()})
    return net.eval(), conversion


def test_known_by_its_names():
    assert find_network(random_file()) == "EfficientNet-Lite0"


def test_everything_loads():
    _, conversion = load(build())
    assert not conversion.kept and len(conversion.loaded) == 24
    assert set(conversion.unused) == {"_fc.weight"} | {
        k for k in random_file() if k.startswith(("_blocks.8", "_blocks.9", "_blocks.10"))
    } - {f"_blocks.{k}._bn{j}.num_batches_tracked" for k in (8, 9, 10) for j in range(3)}


@pytest.mark.parametrize(
    "pixels", [((127.0,) * 3, (128.0,) * 3), ((100.0, 110.0, 120.0), (50.0,) * 3)]
)
def test_same_features_where_no_border_is_seen(pixels):
    side, reach = 448, 5  # positions of stride 16 next to the border differ
    bgr = torch.randint(0, 256, (1, 3, side, side)).float()
    expected = reference(random_file(), bgr)
    net, _ = load(build(), *pixels)
    mean, std = (torch.tensor(v)[:, None, None] for v in pixels)
    # one less: our padding is for odd sizes
    ours = net(((bgr - mean) / std)[..., : side - 1, : side - 1])["layer4"]
    assert ours.shape == (1, 80, 27, 27)
    inner = slice(reach, 27 - reach)
    difference = (ours - expected[..., :27, :27])[..., inner, inner].abs().max()
    assert difference < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("side, size", [(111, 6), (127, 7), (223, 13), (255, 15)])
def test_sizes_and_strides(side, size):
    net = build("MODEL.MOBILENET.OUT_FEATURES", ["layer3", "layer4", "layer5"]).eval()
    features = net(torch.zeros(1, 3, side, side))
    assert [f.shape[1] for f in features.values()] == [40, 80, 112]
    assert features["layer4"].shape[-1] == features["layer5"].shape[-1] == size
    assert [net.output_shape()[k].stride for k in features] == [8, 16, 16]


class TestFrozenLayers:
    def test_chunks_change_nothing(self):
        net, _ = load(build("MODEL.BACKBONE.FREEZE_AT", 4))
        x = torch.randn(FrozenLayers.CHUNK + 2, 3, 63, 63)
        for module in net.train().layer4.modules():
            module.training = False  # its norms' statistics would be those of the batch
        together = net(x)["layer4"]
        one_by_one = torch.cat([net(part)["layer4"] for part in x.split(1)])
        torch.testing.assert_close(together, one_by_one, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_training_folds_the_norms_of_the_weights_there_are(self, dtype):
        """Single precision is compiled, double is not."""
        net, _ = load(build("MODEL.BACKBONE.FREEZE_AT", 5))
        net, x = net.to(dtype), torch.randn(3, 3, 63, 63, dtype=dtype)
        for _ in range(2):
            expected = net.eval()(x)["layer4"]
            in_training = net.train()(x)["layer4"]
            torch.testing.assert_close(in_training, expected, rtol=1e-4, atol=1e-4)
            state = {k: v * 0.5 if k == "layer0.weight" else v for k, v in net.state_dict().items()}
            net.load_state_dict(state)

    def test_copies_and_pickles_leave_the_compiled_copy_out(self):
        net, x = build("MODEL.BACKBONE.FREEZE_AT", 5).train(), torch.randn(2, 3, 63, 63)
        expected = net(x)["layer4"]
        for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            assert torch.equal(again(x)["layer4"], expected)

    def test_only_the_others_learn(self):
        net = build("MODEL.BACKBONE.FREEZE_AT", 4).train()
        net(torch.randn(2, 3, 63, 63))["layer4"].sum().backward()
        learns = {name.split(".")[0] for name, p in net.named_parameters() if p.grad is not None}
        assert learns == {"layer4"}
        assert {n.split(".")[0] for n, p in net.named_parameters() if p.requires_grad} == {"layer4"}

    def test_statistics_stand_still(self):
        net = build("MODEL.BACKBONE.FREEZE_AT", 4).train()
        before = {k: v.clone() for k, v in net.state_dict().items()}
        net(torch.randn(2, 3, 63, 63))
        changed = {k.split(".")[0] for k, v in net.state_dict().items() if (v != before[k]).any()}
        assert changed == {"layer4"}

    def test_features_of_frozen_layers(self):
        outs = ["MODEL.MOBILENET.OUT_FEATURES", ["layer2", "layer4"]]
        frozen, _ = load(build("MODEL.BACKBONE.FREEZE_AT", 5, *outs))
        none, _ = load(build(*outs))
        x = torch.randn(5, 3, 63, 63)
        in_training = frozen.train()(x)
        assert set(in_training) == {"layer2", "layer4"}
        for name, feature in none(x).items():
            torch.testing.assert_close(in_training[name], feature, rtol=1e-4, atol=1e-4)
            assert not in_training[name].requires_grad


def test_refuses_unknown_layers():
    with pytest.raises(ValueError, match="layer8"):
        build("MODEL.MOBILENET.OUT_FEATURES", ["layer8"])
