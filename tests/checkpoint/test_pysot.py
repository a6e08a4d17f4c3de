import copy

import pytest
import torch
from detectron2.modeling import build_model
from pysot_reference import FeaturesBackbone, LayersBackbone, random_crops, random_pysot_net
from torch import nn

from sot.checkpoint import SOTCheckpointer, convert_pysot, read_checkpoint
from sot.config import load_config

CONFIG = "SiamRPN/siamrpn_alex_dw.yaml"


@pytest.fixture(scope="module")
def reference():
    return random_pysot_net()


@pytest.fixture(scope="module")
def weights(reference):
    return reference.state_dict()


def alexnet_siamrpn():
    return build_model(load_config(CONFIG, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])).eval()


def save(content, folder, name="pysot.pth"):
    path = str(folder / name)
    torch.save(content, path)
    return path


class TestOutputs:
    """The converted network against the network that the weights belong to."""

    @pytest.mark.parametrize("backbone", [FeaturesBackbone, LayersBackbone])
    def test_equal_pysots(self, backbone, tmp_path):
        reference = random_pysot_net(backbone)
        model = alexnet_siamrpn()
        SOTCheckpointer(model).load(save({"state_dict": reference.state_dict()}, tmp_path))
        generator = torch.Generator().manual_seed(1)
        template = random_crops(2, 127, generator)
        for side, size in ((255, 17), (287, 21)):
            search = random_crops(2, side, generator)
            with torch.no_grad():
                cls, loc = reference(template, search)
                (logits,), (deltas,) = model.search(model.template(template), search)
            assert logits.shape == (2, 5, size, size) and deltas.shape == (2, 20, size, size)
            assert cls.std() > 0.1 and loc.std() > 0.1  # not equal because all is zero
            negative, positive = cls[:, :5], cls[:, 5:]
            torch.testing.assert_close(logits, positive - negative, atol=1e-4, rtol=0)
            probability = torch.stack([negative, positive]).softmax(dim=0)[1]
            # the slope of the sigmoid is at most 1/4
            torch.testing.assert_close(logits.sigmoid(), probability, atol=1e-4 / 4, rtol=0)
            for anchor in range(5):
                for k in range(4):  # dx, dy, dw, dh
                    torch.testing.assert_close(
                        deltas[:, anchor * 4 + k], loc[:, k * 5 + anchor], atol=1e-4, rtol=0
                    )

    def test_nothing_but_rounding_differs(self, reference):
        """In float64 only the folded weights, stored in float32, leave a difference."""
        model = alexnet_siamrpn()
        model.load_state_dict(convert_pysot(reference.state_dict()))
        model, reference = model.double(), copy.deepcopy(reference).double()
        generator = torch.Generator().manual_seed(2)
        template, search = (random_crops(1, side, generator).double() for side in (127, 191))
        head = model.proposal_generator.rpn_head
        with torch.no_grad():
            cls, loc = reference(template, search)
            kernels = head.template([model.backbone(template)["conv5"]])
            (logits,), (deltas,) = head(kernels, [model.backbone(search)["conv5"]])
        torch.testing.assert_close(logits, cls[:, 5:] - cls[:, :5], atol=5e-6, rtol=0)
        deltas = deltas.unflatten(1, (5, 4)).transpose(1, 2).flatten(1, 2)  # A*4 -> 4*A
        torch.testing.assert_close(deltas, loc, atol=1e-9, rtol=0)


class TestConvert:
    def test_fold_and_order_by_hand(self, weights):
        weights = dict(weights)
        # two anchors: negatives 1, 2, positives 10, 20; loc rows numbered in PySOT's order
        weights["rpn_head.cls.head.3.bias"] = torch.tensor([1.0, 2.0, 10.0, 20.0])
        weights["rpn_head.loc.head.3.bias"] = torch.arange(8.0)
        head = "proposal_generator.rpn_head"
        ours = convert_pysot(weights)
        assert ours[f"{head}.cls.head.1.bias"].tolist() == [9, 18]
        assert ours[f"{head}.loc.head.1.bias"].tolist() == [0, 2, 4, 6, 1, 3, 5, 7]

    def test_half_precision_is_folded_in_float32(self, weights):
        weights = dict(weights)
        # 2049 is no half-precision number: the difference would be rounded to 2048
        weights["rpn_head.cls.head.3.bias"] = torch.tensor([-1.0, 2048.0]).half()
        ours = convert_pysot(weights)["proposal_generator.rpn_head.cls.head.1.bias"]
        assert ours.tolist() == [2049.0]

    @pytest.mark.parametrize(
        "theirs, ours",
        [
            ("backbone.features.0.bias", "backbone.conv1.bias"),
            ("backbone.features.9.running_var", "backbone.conv3.norm.running_var"),
            ("backbone.features.15.num_batches_tracked", "backbone.conv5.norm.num_batches_tracked"),
            (
                "rpn_head.loc.conv_kernel.1.weight",
                "proposal_generator.rpn_head.loc.conv_kernel.norm.weight",
            ),
            ("rpn_head.cls.head.1.bias", "proposal_generator.rpn_head.cls.head.0.norm.bias"),
        ],
    )
    def test_names(self, theirs, ours, weights):
        assert convert_pysot(weights)[ours] is weights[theirs]

    def test_every_tensor_has_a_name_of_its_own(self, weights):
        assert len(weights) == len(convert_pysot(weights)) == 75

    def test_unknown_names_are_named(self, weights):
        weights = {**weights, "mask_head.0.weight": torch.zeros(1)}
        message = r"not supported: 1 of its 76 .*\(mask_head\.0\.weight\); supported are AlexNet"
        with pytest.raises(ValueError, match=message):
            convert_pysot(weights)

    def test_impossible_last_layer_is_named(self, weights):
        weights = {**weights, "rpn_head.loc.head.3.weight": torch.zeros(10, 256, 1, 1)}
        with pytest.raises(
            ValueError, match=r"loc\.head\.3\.weight .*\(10, 256, 1, 1\).* 4 \* anchors"
        ):
            convert_pysot(weights)


class TestFiles:
    """What a PySOT file may look like, and what is refused."""

    @pytest.mark.parametrize("prefix", ["", "module."])
    @pytest.mark.parametrize("bare", [False, True])
    def test_wrapping(self, prefix, bare, weights, tmp_path):
        content = {prefix + name: value for name, value in weights.items()}
        if not bare:
            content = {"epoch": 20, "state_dict": content, "optimizer": {"state": {}}}
        checkpoint = read_checkpoint(save(content, tmp_path))
        assert list(checkpoint) == ["model"]  # PySOT's optimizer state is not for our parameters
        assert torch.equal(
            checkpoint["model"]["backbone.conv1.bias"], weights["backbone.features.0.bias"]
        )

    def test_loads_without_step_counters(self, weights, tmp_path):
        old = {k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")}
        model = alexnet_siamrpn()
        SOTCheckpointer(model).load(save(old, tmp_path))
        assert torch.equal(model.backbone.conv5.weight, weights["backbone.features.14.weight"])

    def test_loads_half_precision(self, weights, tmp_path):
        half = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
        model = alexnet_siamrpn()
        SOTCheckpointer(model).load(save(half, tmp_path))
        assert model.backbone.conv1.bias.dtype == torch.float32
        assert torch.equal(model.backbone.conv1.bias, half["backbone.features.0.bias"].float())

    def test_another_shape_is_named_with_both(self, weights, tmp_path):
        path = save({**weights, "backbone.features.4.bias": torch.zeros(128)}, tmp_path)
        message = (
            r"pysot\.pth does not fit the SiamRPN.*conv2\.bias is \(128,\) in the file and \(256,\)"
        )
        with pytest.raises(ValueError, match=message):
            SOTCheckpointer(alexnet_siamrpn()).load(path)

    def test_unknown_name_names_the_file(self, weights, tmp_path):
        path = save({**weights, "neck.weight": torch.zeros(1)}, tmp_path)
        with pytest.raises(ValueError, match=r"pysot\.pth: .*neck\.weight"):
            SOTCheckpointer(nn.Linear(1, 1)).load(path)
