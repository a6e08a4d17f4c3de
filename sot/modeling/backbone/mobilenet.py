"""MobileNetV2 with total stride 8, the light backbone of SiamRPN++."""

from typing import Sequence

import torch.nn.functional as F
from detectron2.layers import CNNBlockBase, Conv2d, FrozenBatchNorm2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from torch import nn

__all__ = ["InvertedResidual", "MobileNetV2", "build_mobilenet_backbone"]

# Layers 1 to 7: expansion, channels, blocks, stride, dilation (MobileNetV2, Table 2; where its
# strides of layers 4 and 6 would exceed 8 they become dilations).
LAYERS = (
    (1, 16, 1, 1, 1),
    (6, 24, 2, 2, 1),
    (6, 32, 3, 2, 1),
    (6, 64, 4, 1, 2),
    (6, 96, 3, 1, 2),
    (6, 160, 3, 1, 4),
    (6, 320, 1, 1, 4),
)


def _conv(in_channels, out_channels, kernel_size, norm, activation=None, **kwargs) -> Conv2d:
    conv = Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        bias=False,
        norm=get_norm(norm, out_channels),
        activation=activation,
        **kwargs,
    )
    # the fan-out that torch computes for a depthwise convolution counts all channels
    nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
    return conv


class InvertedResidual(CNNBlockBase):
    """1x1 expansion, 3x3 depthwise and linear 1x1 convolution (MobileNetV2, Table 1), added to
    the input where the shapes allow it. Strided ones are not padded."""

    def __init__(self, in_channels, out_channels, *, expansion, stride, dilation, norm):
        super().__init__(in_channels, out_channels, stride)
        self.residual = stride == 1 and in_channels == out_channels
        hidden = in_channels * expansion
        self.expand = _conv(in_channels, hidden, 1, norm, F.relu6)
        self.depthwise = _conv(
            hidden,
            hidden,
            3,
            norm,
            F.relu6,
            stride=stride,
            padding=0 if stride > 1 else dilation,
            dilation=dilation,
            groups=hidden,
        )
        self.project = _conv(hidden, out_channels, 1, norm)

    def forward(self, x):
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.residual else out


class MobileNetV2(Backbone):
    """MobileNetV2 as in the networks published with PySOT: channels times a width, rounded down;
    an expansion convolution in layer 1 too; stride 8 from layer 3 on.

    Feature sizes of layers 3 to 7: 15x15 for 127, 31x31 for 255.
    """

    def __init__(
        self,
        width: float = 1.4,
        out_features: Sequence[str] = ("layer3", "layer5", "layer7"),
        norm: str = "BN",
        freeze_at: int = 0,
    ):
        """
        Args:
            width: factor on the channels of all layers.
            out_features: some of "layer1" ... "layer7". Layers after the last one are not built.
            norm: a name of detectron2.layers.get_norm.
            freeze_at: number of layers, from layer0 on, that keep their weights for ever.

        Raises:
            ValueError: other ``out_features``.
        """
        super().__init__()
        names = [f"layer{i}" for i in range(1, len(LAYERS) + 1)]
        if not out_features or not set(out_features) <= set(names):
            raise ValueError(
                f"MODEL.MOBILENET.OUT_FEATURES must be some of {', '.join(names)}, "
                f"not {list(out_features)}"
            )
        self._out_features = list(out_features)
        self._out_feature_strides, self._out_feature_channels = {}, {}
        channels, total_stride, last_dilation = int(32 * width), 2, 1
        self.layer0 = _conv(3, channels, 3, norm, F.relu6, stride=2)
        self.layer_names = names[: max(map(names.index, out_features)) + 1]
        for name, (expansion, base, num_blocks, stride, dilation) in zip(self.layer_names, LAYERS):
            blocks = []
            for i in range(num_blocks):
                # the first block of a layer still sees the grid of the layer before
                block = InvertedResidual(
                    channels,
                    int(base * width),
                    expansion=expansion,
                    stride=1 if i else stride,
                    dilation=dilation if i else last_dilation,
                    norm=norm,
                )
                blocks.append(block)
                channels = block.out_channels
            self.add_module(name, nn.Sequential(*blocks))
            total_stride *= stride
            last_dilation = dilation
            self._out_feature_strides[name] = total_stride
            self._out_feature_channels[name] = channels
        for name in ("layer0", *self.layer_names)[:freeze_at]:
            layer = getattr(self, name).requires_grad_(False)
            FrozenBatchNorm2d.convert_frozen_batchnorm(layer)

    def forward(self, x):
        """{name: (N, C, h, w)} for the out_features, from (N, 3, H, W)."""
        outputs = {}
        x = self.layer0(x)
        for name in self.layer_names:
            x = getattr(self, name)(x)
            if name in self._out_features:
                outputs[name] = x
        return outputs


@BACKBONE_REGISTRY.register()
def build_mobilenet_backbone(cfg, input_shape: ShapeSpec) -> MobileNetV2:
    return MobileNetV2(
        cfg.MODEL.MOBILENET.WIDTH,
        cfg.MODEL.MOBILENET.OUT_FEATURES,
        cfg.MODEL.SIAMESE.NORM,
        cfg.MODEL.BACKBONE.FREEZE_AT,
    )
