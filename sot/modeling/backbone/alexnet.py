"""AlexNet without padding, the backbone of SiamFC and SiamRPN."""

from typing import Sequence

import torch.nn.functional as F
from detectron2.layers import Conv2d, FrozenBatchNorm2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY, Backbone


class AlexNet(Backbone):
    """Five convolutions with batch norm, without padding, total stride 8 (SiamFC, Table 1). Feature
    sizes: 6x6 for 127, 22x22 for 255, 26x26 for 287."""

    def __init__(
        self,
        channels: Sequence[int] = (96, 256, 384, 384, 256),
        groups: int = 1,
        norm: str = "BN",
        freeze_at: int = 0,
    ):
        """
        Args:
            channels: channels of the five convolutions.
            groups: groups of the second, fourth and fifth convolution. SiamFC has 2. The published
                networks of SiamRPN have 1 (Sec. 3.1 of the paper drops the groups of conv2 and
                conv4).
            norm: a name of detectron2.layers.get_norm.
            freeze_at: number of convolutions, from the first on, whose weights never change.
        """
        super().__init__()
        kernels, strides = (11, 5, 3, 3, 3), (2, 1, 1, 1, 1)
        ins = (3, *channels[:-1])
        for i, (c_in, c_out, k, s) in enumerate(zip(ins, channels, kernels, strides), start=1):
            g = groups if i in (2, 4, 5) else 1
            conv = Conv2d(c_in, c_out, k, stride=s, groups=g, norm=get_norm(norm, c_out))
            if i <= freeze_at:
                conv = FrozenBatchNorm2d.convert_frozen_batchnorm(conv.requires_grad_(False))
            self.add_module(f"conv{i}", conv)
        self._out_features = ["conv5"]
        self._out_feature_strides = {"conv5": 8}
        self._out_feature_channels = {"conv5": channels[-1]}

    def forward(self, x):
        """{"conv5": (N, C, h, w)} from (N, 3, H, W)."""
        x = F.relu(F.max_pool2d(self.conv1(x), 3, 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 3, 2))
        x = F.relu(self.conv3(x))
        x = F.relu(self.conv4(x))
        # no ReLU after the last layer: the correlation needs both signs
        return {"conv5": self.conv5(x)}


@BACKBONE_REGISTRY.register()
def build_alexnet_backbone(cfg, input_shape: ShapeSpec) -> AlexNet:
    return AlexNet(
        cfg.MODEL.ALEXNET.CHANNELS,
        cfg.MODEL.ALEXNET.GROUPS,
        cfg.MODEL.SIAMESE.NORM,
        cfg.MODEL.BACKBONE.FREEZE_AT,
    )
