"""AlexNet, the backbone of SiamFC and SiamRPN, and its relatives."""

import math
from typing import Sequence

import torch.nn.functional as F
from detectron2.layers import Conv2d, FrozenBatchNorm2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY, Backbone


class AlexNet(Backbone):
    """Convolutions with batch norm, some of them followed by 3x3 max pooling. As it is by default,
    it is the unpadded network of SiamFC (Table 1) of total stride 8, with feature sizes 6x6 for
    127, 22x22 for 255 and 26x26 for 287. Other kernels, strides and lengths make the AlexNet and
    VGG variants of SiamDW (docs/analyses.md)."""

    def __init__(
        self,
        channels: Sequence[int] = (96, 256, 384, 384, 256),
        groups: int = 1,
        kernels: Sequence[int] = (11, 5, 3, 3, 3),
        strides: Sequence[int] = (2, 1, 1, 1, 1),
        pool_strides: Sequence[int] = (2, 2, 0, 0, 0),
        padded: bool = False,
        norm: str = "BN",
        freeze_at: int = 0,
    ):
        """
        Args:
            channels: channels of the convolutions.
            groups: groups of the second, fourth and fifth convolution. SiamFC has 2. The published
                networks of SiamRPN have 1 (Sec. 3.1 of the paper drops the groups of conv2 and
                conv4).
            kernels, strides: kernel and stride of each convolution.
            pool_strides: stride of the pooling after each convolution; 0 for no pooling.
            padded: whether convolutions and poolings are padded by half a kernel, so that only
                strides make the map smaller.
            norm: a name of detectron2.layers.get_norm.
            freeze_at: number of convolutions, from the first on, whose weights never change.
        """
        super().__init__()
        if not len(channels) == len(kernels) == len(strides) == len(pool_strides):
            raise ValueError(
                "MODEL.ALEXNET.CHANNELS, KERNELS, STRIDES and POOL_STRIDES need one value for each "
                f"convolution, not {len(channels)}, {len(kernels)}, {len(strides)} and "
                f"{len(pool_strides)}"
            )
        ins = (3, *channels[:-1])
        for i, (c_in, c_out, k, s) in enumerate(zip(ins, channels, kernels, strides), start=1):
            g = groups if i in (2, 4, 5) else 1
            p = k // 2 if padded else 0
            conv = Conv2d(c_in, c_out, k, stride=s, padding=p, groups=g, norm=get_norm(norm, c_out))
            if i <= freeze_at:
                conv = FrozenBatchNorm2d.convert_frozen_batchnorm(conv.requires_grad_(False))
            self.add_module(f"conv{i}", conv)
        self._pool_strides, self._pool_padding = tuple(pool_strides), int(padded)
        name = f"conv{len(channels)}"
        stride = math.prod(strides) * math.prod(filter(None, pool_strides))
        self._out_features = [name]
        self._out_feature_strides = {name: stride}
        self._out_feature_channels = {name: channels[-1]}

    def forward(self, x):
        """{"conv5": (N, C, h, w)} from (N, 3, H, W); the name is that of the last convolution."""
        (last,) = self._out_features
        for (name, conv), stride in zip(self.named_children(), self._pool_strides):
            x = conv(x)
            x = F.max_pool2d(x, 3, stride, self._pool_padding) if stride else x
            # no ReLU after the last layer: the correlation needs both signs
            x = x if name == last else F.relu(x)
        return {last: x}


@BACKBONE_REGISTRY.register()
def build_alexnet_backbone(cfg, input_shape: ShapeSpec) -> AlexNet:
    alexnet = cfg.MODEL.ALEXNET
    return AlexNet(
        alexnet.CHANNELS,
        alexnet.GROUPS,
        alexnet.KERNELS,
        alexnet.STRIDES,
        alexnet.POOL_STRIDES,
        alexnet.PADDED,
        cfg.MODEL.SIAMESE.NORM,
        cfg.MODEL.BACKBONE.FREEZE_AT,
    )
