"""A small backbone for real-time tracking on a CPU."""

from functools import partial

import fvcore.nn.weight_init as weight_init
import torch.nn.functional as F
from detectron2.layers import CNNBlockBase, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from torch import nn

from ..layers import conv_norm

_conv = partial(conv_norm, activation=F.relu, init=weight_init.c2_msra_fill)


class CropInsideBlock(CNNBlockBase):
    """Residual unit that keeps only what padding has not touched (SiamDW, Sec. 4.1): two unpadded
    3x3 convolutions and a shortcut cropped by two pixels a side. The same numbers as padded
    convolutions with the border cropped after the addition, for less work."""

    def __init__(self, channels: int, norm: str):
        super().__init__(channels, channels, stride=1)
        self.conv1 = _conv(channels, channels, 3, norm)
        self.conv2 = _conv(channels, channels, 3, norm, activation=None)

    def forward(self, x):
        """(N, C, H, W) -> (N, C, H - 4, W - 4)."""
        return F.relu(self.conv2(self.conv1(x)) + x[..., 2:-2, 2:-2])


class CompactCIRNet(Backbone):
    """Dense 3x3 convolutions, no padding, total stride 8.

    Dense convolutions because a CPU runs them near its peak rate, depthwise ones far below; no
    padding because it tells the network where it is in the crop (SiamRPN++, Sec. 3.1). Sizes for
    two blocks: 6x6 for a crop of 127, 22x22 for 255.
    """

    def __init__(self, channels=(24, 48, 64, 128), num_blocks: int = 2, norm: str = "BN"):
        """channels: of the stride-2 stem, the stride-4 stage (two values) and the blocks.
        num_blocks: residual units at stride 8, each of which shrinks the feature map by 4."""
        super().__init__()
        c1, c2, c3, c4 = channels
        self.stem = nn.Sequential(_conv(3, c1, 3, norm, stride=2), _conv(c1, c2, 3, norm, stride=2))
        self.stage = nn.Sequential(_conv(c2, c3, 3, norm), _conv(c3, c4, 3, norm, stride=2))
        self.blocks = nn.Sequential(*[CropInsideBlock(c4, norm) for _ in range(num_blocks)])
        self._out_features = ["blocks"]
        self._out_feature_strides = {"blocks": 8}
        self._out_feature_channels = {"blocks": c4}

    def forward(self, x):
        """{"blocks": (N, C, h, w)} from (N, 3, H, W)."""
        return {"blocks": self.blocks(self.stage(self.stem(x)))}


@BACKBONE_REGISTRY.register()
def build_compact_backbone(cfg, input_shape: ShapeSpec) -> CompactCIRNet:
    return CompactCIRNet(
        cfg.MODEL.COMPACT.CHANNELS, cfg.MODEL.COMPACT.NUM_BLOCKS, cfg.MODEL.SIAMESE.NORM
    )
