"""Siamese RPN heads: anchors' logits and deltas from a template and a search region.

A head has two halves. ``template`` turns template features into kernels, once per target;
``forward`` correlates them with search features, once per frame (SiamRPN, Sec. 3.3: one-shot
detection with the template branch pruned).
"""

from typing import List, Tuple

import torch
from detectron2.config import configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling.anchor_generator import build_anchor_generator
from detectron2.modeling.proposal_generator import RPN_HEAD_REGISTRY
from torch import nn

from .xcorr import xcorr_depthwise

__all__ = ["DepthwiseRPNHead"]


def _conv_norm_relu(in_channels, out_channels, kernel_size, norm):
    return Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        bias=False,
        norm=get_norm(norm, out_channels),
        activation=nn.functional.relu,
    )


class _DepthwiseBranch(nn.Module):
    """Depthwise correlation and 1x1 prediction for one output (SiamRPN++, Sec. 3.4)."""

    def __init__(self, in_channels: int, channels: int, out_channels: int, norm: str):
        super().__init__()
        self.conv_kernel = _conv_norm_relu(in_channels, channels, 3, norm)
        self.conv_search = _conv_norm_relu(in_channels, channels, 3, norm)
        self.head = nn.Sequential(
            _conv_norm_relu(channels, channels, 1, norm), Conv2d(channels, out_channels, 1)
        )

    def forward(self, kernel: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.head(xcorr_depthwise(kernel, self.conv_search(x)))


@RPN_HEAD_REGISTRY.register()
class DepthwiseRPNHead(nn.Module):
    """Head of SiamRPN++ on one feature level: one depthwise correlation for the logits and one
    for the deltas."""

    @configurable
    def __init__(self, *, in_channels: int, channels: int, num_anchors: int, norm: str = "BN"):
        """
        Args:
            in_channels (int): channels of the features, template and search alike.
            channels (int): channels of the correlation.
            num_anchors (int): A.
            norm (str): a name of detectron2.layers.get_norm.
        """
        super().__init__()
        self.cls = _DepthwiseBranch(in_channels, channels, num_anchors, norm)
        self.loc = _DepthwiseBranch(in_channels, channels, num_anchors * 4, norm)

    @classmethod
    def from_config(cls, cfg, input_shape: List[ShapeSpec]):
        if len(input_shape) != 1:
            raise ValueError(
                f"DepthwiseRPNHead takes one feature level; MODEL.RPN.IN_FEATURES names "
                f"{len(input_shape)}"
            )
        in_channels = input_shape[0].channels
        return {
            "in_channels": in_channels,
            "channels": cfg.MODEL.SIAMESE.HEAD_CHANNELS or in_channels,
            "num_anchors": build_anchor_generator(cfg, input_shape).num_anchors[0],
            "norm": cfg.MODEL.SIAMESE.NORM,
        }

    def template(self, features: List[torch.Tensor]) -> List[torch.Tensor]:
        """Kernels of the targets: [(N, C, Hz - 2, Wz - 2)] * 2 from [(N, C, Hz, Wz)]."""
        (z,) = features
        return [self.cls.conv_kernel(z), self.loc.conv_kernel(z)]

    def forward(
        self, kernels: List[torch.Tensor], features: List[torch.Tensor]
    ) -> Tuple[List[torch.Tensor], List[torch.Tensor]]:
        """
        Args:
            kernels (list[Tensor]): output of :meth:`template`.
            features (list[Tensor]): search features [(N, C, Hx, Wx)].

        Returns:
            list[Tensor]: logits [(N, A, H, W)].
            list[Tensor]: deltas [(N, A*4, H, W)], the four of an anchor next to each other.
        """
        (x,) = features
        return [self.cls(kernels[0], x)], [self.loc(kernels[1], x)]
