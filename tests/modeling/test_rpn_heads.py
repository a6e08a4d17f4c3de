import pytest
import torch
from detectron2.layers import ShapeSpec
from torch import nn

from sot.config import load_config
from sot.modeling import DepthwiseRPNHead, MultiLevelRPNHead, UpChannelRPNHead
from sot.modeling.backbone import AdjustNeck

SHAPE = ShapeSpec(channels=8, stride=8)


def cfg(*opts):
    return load_config("Base-SiamRPN.yaml", opts)


@torch.no_grad()
def run(head, sizes, crops=2):
    """Kernels and outputs for random features of the given (template, search) sides."""
    z = [torch.randn(crops, 8, side, side) for side, _ in sizes]
    x = [torch.randn(crops, 8, side, side) for _, side in sizes]
    kernels = head.template(z)
    return kernels, head(kernels, x)


class TestUpChannel:
    def test_shapes_of_the_paper(self):
        """SiamRPN, Sec. 3.2: 4x4 filters, 20x20 search branches, 17x17 for crops of 127 and 255.
        The paper's 2k filters for the scores are k here."""
        head = UpChannelRPNHead(in_channels=8, channels=8, num_anchors=5)
        kernels, ((logits,), (deltas,)) = run(head, [(6, 22)])
        assert [k.shape for k in kernels] == [(2, 5 * 8, 4, 4), (2, 20 * 8, 4, 4)]
        assert head.cls.conv_search(torch.zeros(1, 8, 22, 22)).shape == (1, 8, 20, 20)
        assert logits.shape == (2, 5, 17, 17) and deltas.shape == (2, 20, 17, 17)

    def test_only_the_deltas_are_adjusted(self):
        head = UpChannelRPNHead(in_channels=8, channels=8, num_anchors=5)
        assert not list(head.cls.adjust.parameters())
        assert head.loc.adjust.weight.shape == (20, 20, 1, 1)

    def test_pairs_of_kernels_under_a_softmax_fold_into_one(self):
        """Two channels and a softmax, as in the paper, against our one and a sigmoid."""
        head = UpChannelRPNHead(in_channels=8, channels=8, num_anchors=3).double()
        pairs = nn.Conv2d(8, 2 * 3 * 8, 3).double()  # negatives of all anchors, then positives
        with torch.no_grad():
            for ours, theirs in zip(head.cls.conv_kernel.parameters(), pairs.parameters()):
                negative, positive = theirs.chunk(2)
                # times the root of 8 * 4 * 4 products, by which our correlation is divided
                ours.copy_((positive - negative) * 128**0.5)
            z, x = torch.randn(2, 8, 6, 6).double(), torch.randn(2, 8, 22, 22).double()
            (logits,), _ = head(head.template([z]), [x])
            kernel, search = pairs(z).view(2, 2, 3, 8, 4, 4), head.cls.conv_search(x)
            windows = search.unfold(2, 4, 1).unfold(3, 4, 1)  # (N, C, H, W, 4, 4)
            scores = torch.einsum("nchwij,npacij->npahw", windows, kernel).softmax(dim=1)
        torch.testing.assert_close(logits.sigmoid(), scores[:, 1], atol=1e-10, rtol=0)

    def test_outputs_start_at_about_one_whatever_the_width(self):
        head = UpChannelRPNHead(in_channels=64, channels=64, num_anchors=5)
        z, x = torch.randn(2, 64, 6, 6), torch.randn(2, 64, 22, 22)
        with torch.no_grad():
            (logits,), (deltas,) = head(head.template([z]), [x])
        assert 0.1 < logits.std() < 1 and 0.1 < deltas.std() < 1


class TestMultiLevel:
    def heads(self):
        return [DepthwiseRPNHead(in_channels=8, channels=8, num_anchors=5) for _ in range(3)]

    def test_weighted_mean_by_hand(self):
        head = MultiLevelRPNHead(heads=self.heads()).eval()
        assert run(head, [(7, 31)] * 3)[1][0][0].shape == (2, 5, 25, 25)
        for i, level in enumerate(head.heads):
            for branch in (level.cls, level.loc):  # constant outputs 1, 10, 100
                nn.init.zeros_(branch.head[1].weight)
                nn.init.constant_(branch.head[1].bias, 10.0**i)
        _, ((logits,), (deltas,)) = run(head, [(7, 31)] * 3)
        assert logits.allclose(torch.tensor(37.0)) and deltas.allclose(torch.tensor(37.0))
        with torch.no_grad():
            head.cls_weight.copy_(torch.tensor([1.0, 1.0, 2.0]).log())
            head.loc_weight.copy_(torch.tensor([0.0, 0.0, -1e4]))
        _, ((logits,), (deltas,)) = run(head, [(7, 31)] * 3)
        assert logits.allclose(torch.tensor(0.25 * 1 + 0.25 * 10 + 0.5 * 100))
        assert deltas.allclose(torch.tensor(5.5))

    def test_plain_mean_has_no_weights(self):
        head = MultiLevelRPNHead(heads=self.heads(), weighted=False).eval()
        assert not any(name.endswith("s_weight") for name, _ in head.named_parameters())
        for i, level in enumerate(head.heads):
            nn.init.zeros_(level.cls.head[1].weight)
            nn.init.constant_(level.cls.head[1].bias, 10.0**i)
        _, ((logits,), _) = run(head, [(7, 31)] * 3)
        assert logits.allclose(torch.tensor(37.0))

    def test_kernels_are_batch_first_and_reach_their_level(self):
        head = MultiLevelRPNHead(heads=self.heads()).eval()
        z, x = ([torch.randn(2, 8, side, side) for _ in range(3)] for side in (7, 15))
        with torch.no_grad():
            kernels = head.template(z)
            assert [k.shape for k in kernels] == [(2, 8, 5, 5)] * 6
            (both,), _ = head(kernels, x)
            (second,), _ = head([k[1:] for k in kernels], [f[1:] for f in x])
            parts = [h(h.template([a]), [b])[0][0] for h, a, b in zip(head.heads, z, x)]
        assert torch.allclose(both[1:], second, atol=1e-4)
        assert torch.allclose(both, sum(parts) / 3, atol=1e-4)

    @pytest.mark.parametrize("name", ["DepthwiseRPNHead", "UpChannelRPNHead"])
    def test_head_of_a_level_by_config_with_the_widths_of_the_levels(self, name):
        shapes = [ShapeSpec(channels=c, stride=8) for c in (4, 8, 16)]
        head = MultiLevelRPNHead(cfg("MODEL.SIAMESE.LEVEL_HEAD", name), shapes)
        assert [type(h).__name__ for h in head.heads] == [name] * 3
        assert [h.loc.conv_search.out_channels for h in head.heads] == [4, 8, 16]
        head = MultiLevelRPNHead(
            cfg("MODEL.SIAMESE.HEAD_CHANNELS", "6", "MODEL.SIAMESE.LEVEL_WEIGHTED", "False"), shapes
        )
        assert [h.loc.conv_search.out_channels for h in head.heads] == [6] * 3
        assert head.cls_weight is None

    def test_one_level_or_other_strides_are_refused(self):
        with pytest.raises(ValueError, match=r"two levels or more.* names 1; .*HEAD_NAME"):
            MultiLevelRPNHead(cfg(), [SHAPE])
        with pytest.raises(ValueError, match=r"strides .*\[8, 16\]"):
            MultiLevelRPNHead(cfg(), [SHAPE, ShapeSpec(channels=8, stride=16)])


@pytest.mark.parametrize("head", [DepthwiseRPNHead, UpChannelRPNHead])
def test_single_level_heads_refuse_several(head):
    with pytest.raises(ValueError, match=rf"{head.__name__} takes one .* names 2.*MultiLevel"):
        head(cfg(), [SHAPE, SHAPE])


@pytest.mark.parametrize("channels, widths", [([6], (6, 6)), ([4, 16], (4, 16)), ([], (8, 8))])
def test_neck_channels_for_all_or_for_each_level(channels, widths):
    neck = AdjustNeck({"a": SHAPE, "b": SHAPE}, channels, 7, "BN")
    assert tuple(s.channels for s in neck.output_shape().values()) == widths
    assert all(s.stride == 8 for s in neck.output_shape().values())
    features = {name: torch.zeros(2, 8, 15, 15) for name in "ab"}
    out = neck(features, is_template=True)
    assert [out[name].shape for name in "ab"] == [(2, w, 7, 7) for w in widths]


def test_neck_with_too_few_channels_is_refused():
    shapes = {name: SHAPE for name in ("res3", "res4", "res5")}
    with pytest.raises(ValueError, match=r"ADJUST_CHANNELS .*res3, res4, res5; it is \[8, 9\]"):
        AdjustNeck(shapes, [8, 9], 7, "BN")
