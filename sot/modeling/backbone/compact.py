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
    """A residual unit without the influence of padding (SiamDW, Sec. 4.1): two unpadded 3x3
    convolutions and a shortcut that is cropped by two pixels on each side. The values are those of
    padded convolutions whose sum is cropped, for less work."""

    def __init__(self, channels: int, norm: str):
        super().__init__(channels, channels, stride=1)
        self.conv1 = _conv(channels, channels, 3, norm)
        self.conv2 = _conv(channels, channels, 3, norm, activation=None)

    def forward(self, x):
        """(N, C, H, W) -> (N, C, H - 4, W - 4)."""
        return F.relu(self.conv2(self.conv1(x)) + x[..., 2:-2, 2:-2])


class CompactCIRNet(Backbone):
    """Dense 3x3 convolutions, no padding, total stride 8.

    The convolutions are dense, because a CPU runs these near its peak rate and depthwise ones far
    below it. There is no padding, because padding tells the network where it is in the crop
    (SiamRPN++, Sec. 3.1). With two blocks the feature is 6x6 for a crop of 127 and 22x22 for 255.
    """

    def __init__(self, channels=(24, 48, 64, 128), num_blocks: int = 2, norm: str = "BN"):
        """
        Args:
            channels: channels of the stem (stride 2), of the stage after it (stride 4, two values)
                and of the blocks.
            num_blocks: number of residual units at stride 8. Each shrinks the feature map by 4.
            norm: a name of detectron2.layers.get_norm.
        """
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
