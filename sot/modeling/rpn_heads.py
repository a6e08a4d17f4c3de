"""Siamese RPN heads: they compute the logits and deltas of anchors from a template and a search
region.

A head has two halves. ``template`` turns template features into kernels, once per target;
``forward`` correlates them with search features, once per frame (SiamRPN, Sec. 3.3: one-shot
detection with the template branch pruned).
"""

from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.layers import Conv2d, ShapeSpec
from detectron2.modeling.anchor_generator import build_anchor_generator
from detectron2.modeling.proposal_generator import RPN_HEAD_REGISTRY
from torch import nn

from .fuse import join_convolutions
from .layers import conv_norm
from .xcorr import xcorr, xcorr_depthwise


class _DepthwiseBranch(nn.Module):
    """Depthwise correlation and 1x1 prediction for one output (SiamRPN++, Sec. 3.4)."""

    def __init__(self, in_channels: int, channels: int, out_channels: int, norm: str):
        super().__init__()
        self.conv_kernel = conv_norm(in_channels, channels, 3, norm, F.relu)
        self.conv_search = conv_norm(in_channels, channels, 3, norm, F.relu)
        self.head = nn.Sequential(
            conv_norm(channels, channels, 1, norm, F.relu), Conv2d(channels, out_channels, 1)
        )

    def forward(self, kernel: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.head(xcorr_depthwise(kernel, self.conv_search(x)))


class _UpChannelBranch(nn.Module):
    """One output by up-channel correlation: the template features become one kernel over all
    channels for each output channel (SiamRPN, Sec. 3.2)."""

    def __init__(self, in_channels: int, channels: int, out_channels: int, adjust: bool):
        super().__init__()
        self.conv_kernel = Conv2d(in_channels, channels * out_channels, 3)
        self.conv_search = Conv2d(in_channels, channels, 3)
        self.adjust = Conv2d(out_channels, out_channels, 1) if adjust else nn.Identity()

    def forward(self, kernel: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_search(x)
        # A correlation sums thousands of products, and no norm follows it. Divided by the square
        # root of their number, its values start at about 1, which suits the learning rates of the
        # paper. The function is that of the paper: the factor could be part of ``conv_kernel``.
        num_products = x.shape[1] * kernel.shape[2] * kernel.shape[3]
        return self.adjust(xcorr(kernel, x / num_products**0.5))


class _SingleLevelRPNHead(nn.Module):
    """Base of the heads on one feature level: a branch for the logits and one for the deltas."""

    def __init__(self, cls: nn.Module, loc: nn.Module):
        super().__init__()
        self.cls = cls
        self.loc = loc

    @classmethod
    def from_config(cls, cfg, input_shape: List[ShapeSpec]):
        if len(input_shape) != 1:
            raise ValueError(
                f"{cls.__name__} takes one feature level, MODEL.RPN.IN_FEATURES names "
                f"{len(input_shape)}; for several use MultiLevelRPNHead"
            )
        in_channels = input_shape[0].channels
        return {
            "in_channels": in_channels,
            "channels": cfg.MODEL.SIAMESE.HEAD_CHANNELS or in_channels,
            "num_anchors": build_anchor_generator(cfg, input_shape).num_anchors[0],
        }

    def template(self, features: List[torch.Tensor]) -> List[torch.Tensor]:
        """Kernels of the targets from template features [(N, C, Hz, Wz)]: one tensor (N, K, Hz - 2,
        Wz - 2) for the logits and one for the deltas. Each class says what its K is."""
        (z,) = features
        return [self.cls.conv_kernel(z), self.loc.conv_kernel(z)]

    def forward(
        self, kernels: List[torch.Tensor], features: List[torch.Tensor]
    ) -> Tuple[List[torch.Tensor], List[torch.Tensor]]:
        """Logits [(N, A, H, W)] and deltas [(N, A*4, H, W)] from the output of :meth:`template` and
        search features [(N, C, Hx, Wx)]. H = Hx - Hz + 1. The four deltas of an anchor are next to
        each other."""
        (x,) = features
        return [self.cls(kernels[0], x)], [self.loc(kernels[1], x)]


@RPN_HEAD_REGISTRY.register()
class DepthwiseRPNHead(_SingleLevelRPNHead):
    """Head of SiamRPN++ on one feature level: one depthwise correlation of ``channels`` channels
    for the logits and one for the deltas. Its kernels have K = ``channels``. ``norm`` is a name of
    detectron2.layers.get_norm."""

    @configurable
    def __init__(self, *, in_channels: int, channels: int, num_anchors: int, norm: str = "BN"):
        super().__init__(
            _DepthwiseBranch(in_channels, channels, num_anchors, norm),
            _DepthwiseBranch(in_channels, channels, num_anchors * 4, norm),
        )

    @classmethod
    def from_config(cls, cfg, input_shape: List[ShapeSpec]):
        return {**super().from_config(cfg, input_shape), "norm": cfg.MODEL.SIAMESE.NORM}

    def fused(self) -> nn.Module:
        """The module that :func:`fuse_for_inference` uses instead, once it has folded the norms."""
        return self if self.cls.conv_search.norm is not None else _JoinedDepthwiseHead(self)


class _JoinedDepthwiseHead(nn.Module):
    """A DepthwiseRPNHead without norms whose two branches run as one branch with the channels of
    both. On small maps the number of operations decides the time, not their size."""

    def __init__(self, head: DepthwiseRPNHead):
        super().__init__()
        branches = (head.cls, head.loc)
        self.conv_kernel = join_convolutions([b.conv_kernel for b in branches])
        self.conv_search = join_convolutions([b.conv_search for b in branches])
        layers = zip(*(b.head for b in branches))
        self.head = nn.Sequential(*[join_convolutions(convs, apart=True) for convs in layers])
        self.num_outputs = [b.head[-1].out_channels for b in branches]

    def template(self, features: List[torch.Tensor]) -> List[torch.Tensor]:
        """The same as in DepthwiseRPNHead, with the kernels of both branches in one tensor."""
        (z,) = features
        return [self.conv_kernel(z)]

    def forward(
        self, kernels: List[torch.Tensor], features: List[torch.Tensor]
    ) -> Tuple[List[torch.Tensor], List[torch.Tensor]]:
        """The same as in DepthwiseRPNHead."""
        (kernel,), (x,) = kernels, features
        out = self.head(xcorr_depthwise(kernel, self.conv_search(x)))
        logits, deltas = out.split(self.num_outputs, dim=1)
        return [logits], [deltas]


@RPN_HEAD_REGISTRY.register()
class UpChannelRPNHead(_SingleLevelRPNHead):
    """Head of SiamRPN: an up-channel correlation for the logits, and one for the deltas that a 1x1
    convolution follows.

    Its kernels have K = A * ``channels`` and K = A * 4 * ``channels``. The paper has two kernels
    for the score of an anchor, whose outputs go through a softmax. softmax((neg, pos))[1] is
    sigmoid(pos - neg), and a correlation is linear in its kernel. So one kernel for each anchor,
    the difference of the two, gives exactly the same scores."""

    @configurable
    def __init__(self, *, in_channels: int, channels: int, num_anchors: int):
        super().__init__(
            _UpChannelBranch(in_channels, channels, num_anchors, adjust=False),
            _UpChannelBranch(in_channels, channels, num_anchors * 4, adjust=True),
        )


@RPN_HEAD_REGISTRY.register()
class MultiLevelRPNHead(nn.Module):
    """Head of SiamRPN++ on several feature levels of one size (Sec. 3.3). Each level has a head,
    and the output is the mean over the heads. With ``weighted`` the weights of the mean are
    learned, separately for logits and deltas, and go through a softmax."""

    @configurable
    def __init__(self, *, heads: Sequence[nn.Module], weighted: bool = True):
        super().__init__()
        if len(heads) < 2:
            raise ValueError(
                f"MultiLevelRPNHead takes two levels or more, MODEL.RPN.IN_FEATURES names "
                f"{len(heads)}; for one, set MODEL.RPN.HEAD_NAME to the head of that level"
            )
        self.heads = nn.ModuleList(heads)
        self.cls_weight = nn.Parameter(torch.zeros(len(heads))) if weighted else None
        self.loc_weight = nn.Parameter(torch.zeros(len(heads))) if weighted else None

    @classmethod
    def from_config(cls, cfg, input_shape: List[ShapeSpec]):
        strides = [shape.stride for shape in input_shape]
        if len(set(strides)) > 1:
            raise ValueError(
                f"MultiLevelRPNHead adds up responses of one size, but the strides of "
                f"MODEL.RPN.IN_FEATURES are {strides}"
            )
        head = RPN_HEAD_REGISTRY.get(cfg.MODEL.SIAMESE.LEVEL_HEAD)
        return {
            "heads": [head(cfg, [shape]) for shape in input_shape],
            "weighted": cfg.MODEL.SIAMESE.LEVEL_WEIGHTED,
        }

    def template(self, features: List[torch.Tensor]) -> List[torch.Tensor]:
        """Kernels of the targets from template features, one (N, C, Hz, Wz) for each level. The
        kernels of the levels follow one another."""
        return [k for head, z in zip(self.heads, features) for k in head.template([z])]

    def forward(
        self, kernels: List[torch.Tensor], features: List[torch.Tensor]
    ) -> Tuple[List[torch.Tensor], List[torch.Tensor]]:
        """Logits and deltas as a head on one level gives them, from the output of :meth:`template`
        and search features, one (N, C, Hx, Wx) for each level."""
        per_head = len(kernels) // len(self.heads)
        logits, deltas = [], []
        for i, (head, x) in enumerate(zip(self.heads, features)):
            (cls,), (loc,) = head(kernels[i * per_head : (i + 1) * per_head], [x])
            logits.append(cls)
            deltas.append(loc)
        return [_mean(logits, self.cls_weight)], [_mean(deltas, self.loc_weight)]


def _mean(outputs: List[torch.Tensor], weight) -> torch.Tensor:
    """Mean of tensors of one shape, weighted by the softmax of ``weight`` if there is one."""
    if weight is None:
        return sum(outputs) / len(outputs)
    return sum(w * x for w, x in zip(weight.softmax(dim=0), outputs))
