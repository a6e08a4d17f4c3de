import codecs
import pickle

import pytest
import torch
import torchvision
from detectron2.config import get_cfg
from detectron2.modeling import build_backbone
from torch import nn

from sot.checkpoint import SOTCheckpointer
from sot.checkpoint.array_pickle import load_pickle
from sot.checkpoint.pretrained import convert_pretrained, find_network
from sot.config import add_sot_config

RAW = ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
OTHER = ([100.0, 110.0, 120.0], [50.0, 60.0, 70.0])


def build(name, **keys):
    cfg = get_cfg()
    add_sot_config(cfg)
    cfg.MODEL.BACKBONE.NAME = f"build_{name}_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4", "res5"]
    for key, value in keys.items():
        cfg.merge_from_list([f"MODEL.{key.replace('__', '.')}", value])
    return build_backbone(cfg)


def resnet(depth, **keys):
    """R-18 and R-34 as they are; R-50 with an eighth of the bottleneck channels."""
    keys = {"RESNETS__RES2_OUT_CHANNELS": 64 if depth < 50 else 256, **keys}
    return build("atrous_resnet", RESNETS__DEPTH=depth, RESNETS__WIDTH_PER_GROUP=8, **keys)


def torchvision_resnet(depth):
    block, blocks, width = {
        18: (torchvision.models.resnet.BasicBlock, [2, 2, 2, 2], 64),
        34: (torchvision.models.resnet.BasicBlock, [3, 4, 6, 3], 64),
        50: (torchvision.models.resnet.Bottleneck, [3, 4, 6, 3], 8),
    }[depth]
    return with_random_norms(torchvision.models.ResNet(block, blocks, width_per_group=width))


def with_random_norms(net):
    with torch.no_grad():
        for norm in net.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.weight.uniform_(0.5, 1.0)
                norm.bias.uniform_(-0.2, 0.2)
                norm.running_mean.uniform_(-0.2, 0.2)
                norm.running_var.uniform_(0.5, 1.5)
    return net.eval()


def converted(weights, backbone, config_pixels=RAW, fed=None):
    """The backbone with the converted weights, and the conversion."""
    conversion = convert_pretrained(weights, backbone, *config_pixels, fed)
    backbone.load_state_dict(
        {name[len("backbone.") :]: value for name, value in conversion.weights.items()}
    )
    return backbone.eval(), conversion


def images(side=127):
    """BGR pixels, as our networks take them and as torchvision's classifiers do."""
    bgr = torch.randint(0, 256, (1, 3, side, side)).float()
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    return bgr, (bgr.flip(1) / 255 - mean) / std


def prepared(bgr, pixels):
    mean, std = torch.tensor(pixels)[:, :, None, None]
    return (bgr - mean) / std


def assert_equal(ours, theirs):
    assert ours.shape == theirs.shape and theirs.abs().max() > 0.1
    assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()


class Crop(nn.Module):
    """Without the border: what an unpadded 3x3 looks at in its centre."""

    def forward(self, x):
        return x[..., 1:-1, 1:-1]


class TestTorchvisionResNet:
    @pytest.mark.parametrize("depth, pixels", [(18, RAW), (34, OTHER), (50, OTHER)])
    def test_features_are_torchvisions_with_our_padding(self, depth, pixels):
        net = torchvision_resnet(depth)
        ours, conversion = converted(net.state_dict(), resnet(depth), pixels)
        # where ours differ: no padding of the strided convolutions
        first = net.layer2[0]
        (first.conv2 if depth == 50 else first.conv1).padding = (0, 0)
        first.downsample.insert(0, Crop())
        net.conv1.padding = (0, 0)
        bgr, x = images()
        with torch.no_grad():
            features = ours(prepared(bgr, pixels))
            x = net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(x)))))
            # ours have dilations for the strides of layers 3 and 4, and so all positions
            for name, layer, step in (("res3", 2, 1), ("res4", 3, 2), ("res5", 4, 4)):
                x = getattr(net, f"layer{layer}")(x)
                assert_equal(features[name][..., ::step, ::step], x)
        assert not conversion.kept
        assert conversion.unused == ["fc.weight", "fc.bias"]

    def test_first_convolution_as_in_the_padded_network(self):
        net = torchvision_resnet(18)
        ours, _ = converted(net.state_dict(), resnet(18))
        bgr, x = images()
        with torch.no_grad():
            # theirs are centred at 1, 3, 5 ... (the first two see padding), ours at 3, 5, 7 ...
            theirs = net.bn1(net.conv1(x[..., 1:, 1:]))
            assert_equal(ours.stem.conv1(bgr)[..., 1:, 1:], theirs[..., 2:62, 2:62])

    def test_shortcut_is_the_centre(self):
        weights = torchvision_resnet(18).state_dict()
        ours, conversion = converted(weights, resnet(18))
        kernel = ours.res4[0].shortcut.weight.detach().clone()
        assert torch.equal(kernel[..., 1, 1], weights["layer3.0.downsample.0.weight"][..., 0, 0])
        kernel[..., 1, 1] = 0
        assert not kernel.any()
        assert (
            "res4.0.shortcut <- layer3.0.downsample.0.weight; 1x1 in the centre of 3x3"
            in conversion.report().split("\n")
        )

    def test_frozen_stages(self):
        weights = torchvision_resnet(18).state_dict()
        ours, conversion = converted(weights, resnet(18, BACKBONE__FREEZE_AT=2))
        assert not conversion.kept
        norm = ours.res2[0].conv1.norm
        assert type(norm).__name__ == "FrozenBatchNorm2d"
        assert torch.equal(norm.running_var, weights["layer1.0.bn1.running_var"])

    def test_of_another_depth_what_does_not_fit_is_listed(self):
        weights = torchvision_resnet(18).state_dict()
        backbone = resnet(34)
        before = {name: value.clone() for name, value in backbone.state_dict().items()}
        _, conversion = converted(weights, backbone)
        assert conversion.kept["res2.2.conv1"] == "not in the file"
        for name in ("weight", "norm.bias", "norm.running_var"):
            key = f"res2.2.conv1.{name}"
            assert torch.equal(conversion.weights[f"backbone.{key}"], before[key])
        # R-34 has (3 - 2) + (4 - 2) + (6 - 2) + (3 - 2) blocks of two convolutions more
        assert len(conversion.kept) == 16
        assert conversion.report().endswith(
            "torchvision's ResNet: 20 of 36 convolutions loaded, each with its norm; "
            "2 tensors of the file not used"
        )


class TestOthersOfTorchvision:
    def test_mobilenet(self):
        net = with_random_norms(torchvision.models.mobilenet_v2(weights=None))
        ours, conversion = converted(net.state_dict(), build("mobilenet", MOBILENET__WIDTH=1.0))
        net.features[0][0].padding = (0, 0)
        for strided in (2, 4):
            net.features[strided].conv[1][0].padding = (0, 0)
        bgr, x = images()
        with torch.no_grad():
            features = ours(bgr)
            for name, start, end, step in (
                ("layer3", 0, 7, 1),
                ("layer5", 7, 14, 2),
                ("layer7", 14, 18, 4),
            ):
                x = net.features[start:end](x)
                assert_equal(features[name][..., ::step, ::step], x)
        assert not conversion.kept
        assert conversion.loaded["layer1.0.expand"].startswith("the identity;")
        modules = {name.rpartition(".")[0] for name in conversion.unused}
        assert modules == {"features.18.0", "features.18.1", "classifier.1"}

    def test_alexnet(self):
        net = torchvision.models.alexnet(weights=None).eval()
        backbone = build("alexnet", ALEXNET__CHANNELS=[64, 192, 384, 256, 256])
        ours, conversion = converted(net.state_dict(), backbone, OTHER)
        for module in net.features:
            if isinstance(module, nn.Conv2d):
                module.padding = (0, 0)
        net.features[0].stride = (2, 2)
        bgr, x = images()
        with torch.no_grad():
            assert_equal(ours(prepared(bgr, OTHER))["conv5"], net.features[:11](x))
        assert len(conversion.loaded) == 5
        assert conversion.loaded["conv2"] == "features.3.weight; no norm in the file: an identity's"

    def test_alexnet_of_our_width_lists_the_shapes(self):
        weights = torchvision.models.alexnet(weights=None).state_dict()
        with pytest.raises(ValueError, match="nothing in it fits this backbone") as error:
            convert_pretrained(weights, build("alexnet"), *RAW)
        assert (
            "conv1 keeps its initial values: features.0.weight is (64, 3, 11, 11) in the file, "
            "(96, 3, 11, 11) here" in str(error.value).split("\n")
        )

    def test_vgg_is_not_taken_for_alexnet(self):
        names = [f"features.{k}.weight" for k in (0, 3, 6, 8, 11, 13, 16, 18)]  # VGG-11's
        assert find_network(names) is None


class TestDetectron2:
    def weights(self):
        """A ResNet-18 under detectron2's names, with 1x1 shortcuts."""
        source = convert_pretrained(torchvision_resnet(18).state_dict(), resnet(18), *RAW, "raw")
        weights = {name[len("backbone.") :]: value for name, value in source.weights.items()}
        for name, value in weights.items():
            if name.endswith("shortcut.weight"):
                weights[name] = value[..., 1:2, 1:2].clone()
        return weights

    @pytest.mark.parametrize("prefix", ["", "backbone.", "backbone.bottom_up."])
    def test_names_and_pixels(self, prefix):
        weights = self.weights()
        file = {prefix + name: value for name, value in weights.items()}
        file["roi_heads.box_predictor.cls_score.weight"] = torch.zeros(2, 2)
        ours, conversion = converted(file, resnet(18))
        assert not conversion.kept
        assert conversion.unused == ["roi_heads.box_predictor.cls_score.weight"]
        assert torch.equal(ours.res5[1].conv2.weight, weights["res5.1.conv2.weight"])
        # fed BGR minus the mean, as it is detectron2's default: only the mean is folded
        first = weights["stem.conv1.weight"]
        assert torch.equal(ours.stem.conv1.weight, first)
        offset = first.sum((2, 3)) @ torch.tensor([103.53, 116.28, 123.675])
        torch.testing.assert_close(
            ours.stem.conv1.norm.running_mean,
            weights["stem.conv1.norm.running_mean"] + offset,
            rtol=1e-5,
            atol=1e-4,
        )

    def test_what_it_was_fed_can_be_said(self):
        weights = self.weights()
        ours, _ = converted(weights, resnet(18), fed="torchvision")
        ratio = ours.stem.conv1.weight / weights["stem.conv1.weight"].flip(1)
        # BGR now, over 255 * 0.225, 255 * 0.224, 255 * 0.229
        expected = 1 / torch.tensor([57.375, 57.12, 58.395])
        torch.testing.assert_close(ratio, expected[:, None, None].expand_as(ratio))

    def test_caffe2_names_and_folded_norms(self):
        weights = self.weights()
        file = {"fc1000_w": torch.zeros(2, 512), "conv1_w": weights["stem.conv1.weight"]}
        file["res_conv1_bn_s"] = weights["stem.conv1.norm.weight"]
        file["res_conv1_bn_b"] = weights["stem.conv1.norm.bias"]
        file["res2_0_branch2a_w"] = weights["res2.0.conv1.weight"]
        file["res2_0_branch2a_bn_s"] = weights["res2.0.conv1.norm.weight"]
        file["res2_0_branch2a_bn_b"] = weights["res2.0.conv1.norm.bias"]
        ours, conversion = converted(file, resnet(18))
        assert set(conversion.loaded) == {"stem.conv1", "res2.0.conv1"}
        assert conversion.unused == ["fc1000_w"]
        assert conversion.loaded["res2.0.conv1"] == (
            "res2_0_branch2a_w; no statistics in the file: an identity's"
        )
        x = torch.randn(1, 64, 5, 5)
        scale, bias = (file[f"res2_0_branch2a_bn_{k}"].detach()[:, None, None] for k in ("s", "b"))
        with torch.no_grad():
            torch.testing.assert_close(ours.res2[0].conv1.norm(x), x * scale + bias)


class TestRefused:
    def test_unknown_network(self):
        with pytest.raises(
            ValueError, match=r"not known \(with a\.weight\); known are torchvision's"
        ):
            convert_pretrained({"a.weight": torch.zeros(1)}, resnet(18), *RAW)

    def test_norms_that_are_no_batch_norms(self):
        weights = torchvision_resnet(18).state_dict()
        with pytest.raises(ValueError, match=r"^bn1\.weight .* batch norm.*SIAMESE\.NORM"):
            convert_pretrained(weights, resnet(18, SIAMESE__NORM="GN"), *RAW)

    def test_3x3_shortcuts_are_neithers(self):
        weights = resnet(18).state_dict()
        with pytest.raises(ValueError, match=r"3x3 shortcuts.*torchvision, .*detectron2, raw\)$"):
            convert_pretrained(weights, resnet(18), *RAW)
        _, conversion = converted(weights, resnet(18), fed="raw")
        assert torch.equal(
            conversion.weights["backbone.res3.0.shortcut.weight"], weights["res3.0.shortcut.weight"]
        )


def test_backbone_is_not_changed_and_the_checkpointer_takes_the_result(tmp_path):
    class Tracker(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.head = resnet(18), nn.Linear(2, 2)

    model = Tracker()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    conversion = convert_pretrained(torchvision_resnet(18).state_dict(), model.backbone, *RAW)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    path = str(tmp_path / "backbone.pth")
    torch.save({"model": conversion.weights}, path)
    SOTCheckpointer(model, allow_backbone_only=True).load(path)
    after = model.state_dict()
    assert torch.equal(after["head.weight"], before["head.weight"])
    for name, value in conversion.weights.items():
        assert torch.equal(after[name], value)


class TestPickle:
    def save(self, content, folder, protocol=2):
        path = folder / "model.pkl"
        path.write_bytes(pickle.dumps(content, protocol))
        return str(path)

    @pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
    @pytest.mark.parametrize("key", ["model", "blobs", None])
    def test_layouts(self, key, protocol, tmp_path):
        arrays = {"a": torch.arange(6.0).view(2, 3).numpy(), "a_momentum": torch.ones(1).numpy()}
        content = arrays if key is None else {key: arrays, "__author__": "me"}
        loaded = load_pickle(self.save(content, tmp_path, protocol))
        assert loaded["model"].keys() == {"a"}
        assert loaded["model"]["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert loaded.get("__author__") == (None if key is None else "me")

    def test_of_python_2(self, tmp_path):
        path = tmp_path / "model.pkl"
        # {"a": numpy.arange(2, dtype="f4")} as Python 2 and numpy 1 wrote it: bytes for text
        path.write_bytes(
            b"(dp0\nS'a'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n"
            b"(I0\ntp4\nS'b'\np5\ntp6\nRp7\n(I1\n(I2\ntp8\ncnumpy\ndtype\np9\n(S'f4'\np10\n"
            b"I0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\n"
            b"S'\\x00\\x00\\x00\\x00\\x00\\x00\\x80?'\np15\ntp16\nbs."
        )
        assert load_pickle(str(path))["model"]["a"].tolist() == [0, 1]

    @pytest.mark.parametrize(
        "content", [codecs.lookup("utf-8"), {"model": {"a": nn.Linear(1, 1)}}, [1, 2], {"model": 3}]
    )
    def test_anything_else_is_refused(self, content, tmp_path):
        with pytest.raises(ValueError, match="^not a readable pickle of a dictionary of arrays"):
            load_pickle(self.save(content, tmp_path))

    def test_damaged_and_missing(self, tmp_path):
        path = tmp_path / "model.pkl"
        path.write_bytes(pickle.dumps({"a": torch.ones(9).numpy()})[:-9])
        with pytest.raises(ValueError, match="not a readable pickle"):
            load_pickle(str(path))
        with pytest.raises(FileNotFoundError, match="none.pkl"):
            load_pickle(str(tmp_path / "none.pkl"))
