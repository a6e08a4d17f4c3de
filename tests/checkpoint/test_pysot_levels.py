import pytest
import torch
from detectron2.modeling import build_model
from pysot_reference import random_crops, randomize
from pysot_reference_deep import MobileNetV2, PySOTLevelsNet, ResNet50

from sot.checkpoint import SOTCheckpointer, convert_pysot
from sot.config import load_config

HEAD = "proposal_generator.rpn_head"


def network(config, *opts):
    cfg = load_config(f"SiamRPN++/{config}.yaml", ["MODEL.DEVICE", "cpu", *opts])
    return build_model(cfg).eval()


@pytest.mark.parametrize(
    "config, backbone, channels, weighted, num_tensors",
    [
        ("siamrpn_r50_l234_dw", ResNet50, (256, 256, 256), True, 458),
        pytest.param(
            *("siamrpn_r50_l234_dw_lt", ResNet50, (128, 256, 512), True, 458),
            marks=pytest.mark.slow,
        ),
        ("siamrpn_mobilev2_l234_dw", MobileNetV2, (256, 256, 256), False, 450),
    ],
)
def test_outputs_equal_pysots(config, backbone, channels, weighted, num_tensors, tmp_path):
    reference = randomize(PySOTLevelsNet(backbone, channels, weighted), noise=0.3)
    assert len(reference.state_dict()) == num_tensors  # as in the published files
    path = str(tmp_path / "pysot.pth")
    torch.save({"state_dict": reference.state_dict()}, path)
    model = network(config)
    SOTCheckpointer(model).load(path)
    generator = torch.Generator().manual_seed(1)
    template, search = (random_crops(1, side, generator) for side in (127, 255))
    with torch.no_grad():
        cls, loc = reference(template, search)
        (logits,), (deltas,) = model.search(model.template(template), search)
    assert logits.shape == (1, 5, 25, 25) and deltas.shape == (1, 20, 25, 25)
    assert cls.std() > 0.1 and loc.std() > 0.1  # not equal because all is zero
    torch.testing.assert_close(logits, cls[:, 5:] - cls[:, :5], atol=1e-3, rtol=0)
    deltas = deltas.unflatten(1, (5, 4)).transpose(1, 2).flatten(1, 2)  # A*4 -> 4*A
    torch.testing.assert_close(deltas, loc, atol=1e-3, rtol=0)


@pytest.fixture(scope="module")
def weights():
    """Of the ResNet-50, by whether the levels are weighted."""
    return {
        weighted: PySOTLevelsNet(ResNet50, weighted=weighted).state_dict()
        for weighted in (True, False)
    }


def test_widths_of_the_long_term_network_fit(weights, tmp_path):
    long_term = PySOTLevelsNet(ResNet50, (128, 256, 512)).state_dict()
    path = str(tmp_path / "pysot.pth")
    torch.save(long_term, path)
    model = network("siamrpn_r50_l234_dw_lt")
    SOTCheckpointer(model).load(path)
    kernel = model.proposal_generator.rpn_head.heads[2].loc.conv_kernel
    assert kernel.weight.shape == (512, 512, 3, 3)
    assert torch.equal(kernel.weight, long_term["rpn_head.rpn4.loc.conv_kernel.0.weight"])
    torch.save(weights[True], path)
    with pytest.raises(
        ValueError, match=r"adjust\.res3\.weight is \(256, 512, 1, 1\) .*\(128, 512"
    ):
        SOTCheckpointer(model).load(path)


class TestNames:
    @pytest.mark.parametrize(
        "theirs, ours",
        [
            ("backbone.bn1.weight", "backbone.stem.conv1.norm.weight"),
            ("backbone.layer1.2.conv3.weight", "backbone.res2.2.conv3.weight"),
            ("backbone.layer4.0.downsample.1.bias", "backbone.res5.0.shortcut.norm.bias"),
            ("neck.downsample3.downsample.0.weight", "neck.adjust.res4.weight"),
            ("rpn_head.loc_weight", f"{HEAD}.loc_weight"),
            ("rpn_head.rpn4.loc.head.0.weight", f"{HEAD}.heads.2.loc.head.0.weight"),
        ],
    )
    def test_resnet(self, theirs, ours, weights):
        assert convert_pysot(weights[True])[ours] is weights[True][theirs]

    @pytest.mark.parametrize(
        "theirs, ours",
        [
            ("backbone.layer0.1.weight", "backbone.layer0.norm.weight"),
            ("backbone.layer1.0.conv.0.weight", "backbone.layer1.0.expand.weight"),
            ("backbone.layer4.3.conv.4.bias", "backbone.layer4.3.depthwise.norm.bias"),
            ("backbone.layer7.0.conv.6.weight", "backbone.layer7.0.project.weight"),
            ("neck.downsample4.downsample.1.bias", "neck.adjust.layer7.norm.bias"),
        ],
    )
    def test_mobilenet(self, theirs, ours):
        weights = PySOTLevelsNet(MobileNetV2, weighted=False).state_dict()
        assert convert_pysot(weights)[ours] is weights[theirs]

    def test_last_layers_of_each_level_are_folded_and_reordered(self, weights):
        weights = dict(weights[True])
        for i in (2, 3, 4):  # two anchors
            weights[f"rpn_head.rpn{i}.cls.head.3.bias"] = torch.tensor([1.0, 2.0, 10.0, 20.0 + i])
            weights[f"rpn_head.rpn{i}.loc.head.3.bias"] = torch.arange(8.0)
        ours = convert_pysot(weights)
        for i in (2, 3, 4):
            head = f"{HEAD}.heads.{i - 2}"
            assert ours[f"{head}.cls.head.1.bias"].tolist() == [9, 18 + i]
            assert ours[f"{head}.loc.head.1.bias"].tolist() == [0, 2, 4, 6, 1, 3, 5, 7]

    def test_plain_mean_of_resnet_levels(self, weights):
        """PySOT's siamrpn_r50_l234_dwxcorr_otb."""
        model = network("siamrpn_r50_l234_dw", "MODEL.SIAMESE.LEVEL_WEIGHTED", "False")
        model.load_state_dict(convert_pysot(weights[False]))
