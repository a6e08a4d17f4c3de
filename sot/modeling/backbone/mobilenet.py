"""Small backbones of inverted residuals: MobileNetV2 as in SiamRPN++, and EfficientNet-Lite0."""

from functools import partial
from typing import NamedTuple, Sequence

import torch.nn.functional as F
from detectron2.layers import CNNBlockBase, FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from torch import nn

from ..fuse import FrozenLayers
from ..layers import conv_norm


class Layer(NamedTuple):
    """A row of a network's table: a number of inverted residuals. The first one has the stride, and
    the dilation of the layer before, because its input has that layer's grid."""

    expansion: int
    channels: int
    blocks: int
    stride: int
    dilation: int = 1
    kernel_size: int = 3


# MobileNetV2, Table 2. The strides of layers 4 and 6, which would exceed 8, become dilations.
MOBILENET_V2 = (
    Layer(1, 16, 1, 1),
    Layer(6, 24, 2, 2),
    Layer(6, 32, 3, 2),
    Layer(6, 64, 4, 1, dilation=2),
    Layer(6, 96, 3, 1, dilation=2),
    Layer(6, 160, 3, 1, dilation=4),
    Layer(6, 320, 1, 1, dilation=4),
)
# EfficientNet-Lite: EfficientNet, Table 1, without squeeze and excitation and with ReLU6 for swish.
EFFICIENTNET_LITE0 = (
    Layer(1, 16, 1, 1),
    Layer(6, 24, 2, 2),
    Layer(6, 40, 2, 2, kernel_size=5),
    Layer(6, 80, 3, 2),
    Layer(6, 112, 3, 1, kernel_size=5),
    Layer(6, 192, 4, 2, kernel_size=5),
    Layer(6, 320, 1, 1),
)


def _fill(conv: nn.Conv2d) -> None:
    # fan_in, because the fan-out that torch computes for a depthwise convolution counts all
    # channels
    nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")


_conv = partial(conv_norm, init=_fill)


class InvertedResidual(CNNBlockBase):
    """A 1x1 expansion, a depthwise and a linear 1x1 convolution (MobileNetV2, Table 1). The result
    is added to the input if the shapes agree. A strided convolution is padded by one pixel less
    than usual, so that maps of odd sizes stay centred: n -> (n - 1) / 2."""

    def __init__(
        self, in_channels, out_channels, *, expansion, stride, dilation, norm, kernel_size=3
    ):
        """
        Args:
            expansion: factor on the channels; None for no expansion convolution.
        """
        super().__init__(in_channels, out_channels, stride)
        self.residual = stride == 1 and in_channels == out_channels
        hidden = in_channels * (expansion or 1)
        self.expand = _conv(in_channels, hidden, 1, norm, F.relu6) if expansion else nn.Identity()
        self.depthwise = _conv(
            hidden,
            hidden,
            kernel_size,
            norm,
            F.relu6,
            stride=stride,
            padding=kernel_size // 2 - 1 if stride > 1 else dilation * (kernel_size // 2),
            dilation=dilation,
            groups=hidden,
        )
        self.project = _conv(hidden, out_channels, 1, norm)

    def forward(self, x):
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.residual else out


class InvertedResidualNet(Backbone):
    """A stem of stride 2 ("layer0") and layers of inverted residuals ("layer1" and so on)."""

    def __init__(
        self,
        layers: Sequence[Layer],
        stem_channels: int,
        out_features: Sequence[str],
        norm: str = "BN",
        freeze_at: int = 0,
        pointwise_only: bool = False,
        expand_first: bool = True,
    ):
        """
        Args:
            layers: the network's table.
            stem_channels: channels of layer0.
            out_features: names of the layers whose outputs are features. Layers after the last one
                are not built.
            norm: a name of detectron2.layers.get_norm.
            freeze_at: number of layers, from layer0 on, whose weights never change.
            pointwise_only: whether only the 1x1 convolutions of the other layers learn.
            expand_first: whether an expansion by the factor 1 is a convolution; otherwise there is
                none.

        Raises:
            ValueError: ``out_features`` is empty or names a layer that does not exist.
        """
        super().__init__()
        names = [f"layer{i}" for i in range(1, len(layers) + 1)]
        if not out_features or not set(out_features) <= set(names):
            raise ValueError(
                f"MODEL.MOBILENET.OUT_FEATURES must be some of {', '.join(names)}, "
                f"not {list(out_features)}"
            )
        self._out_features = list(out_features)
        self._out_feature_strides, self._out_feature_channels = {}, {}
        channels, total_stride, last_dilation = stem_channels, 2, 1
        self.layer0 = _conv(3, channels, 3, norm, F.relu6, stride=2)
        self.layer_names = names[: max(map(names.index, out_features)) + 1]
        for name, layer in zip(self.layer_names, layers):
            blocks = []
            for i in range(layer.blocks):
                block = InvertedResidual(
                    channels,
                    layer.channels,
                    expansion=layer.expansion if layer.expansion > 1 or expand_first else None,
                    stride=1 if i else layer.stride,
                    dilation=layer.dilation if i else last_dilation,
                    norm=norm,
                    kernel_size=layer.kernel_size,
                )
                blocks.append(block)
                channels = block.out_channels
            self.add_module(name, nn.Sequential(*blocks))
            total_stride *= layer.stride
            last_dilation = layer.dilation
            self._out_feature_strides[name] = total_stride
            self._out_feature_channels[name] = channels
        self._frozen_names = ("layer0", *self.layer_names)[:freeze_at]
        self._frozen_layers = FrozenLayers()
        for name in self._frozen_names:
            layer = getattr(self, name).requires_grad_(False)
            FrozenBatchNorm2d.convert_frozen_batchnorm(layer)
        if pointwise_only:
            FrozenBatchNorm2d.convert_frozen_batchnorm(self)
            for module in self.modules():
                if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
                    module.requires_grad_(False)

    def forward(self, x):
        """{name: (N, C, h, w)} for the out_features, from (N, 3, H, W)."""
        names, outputs = ("layer0", *self.layer_names), {}
        if self.training and self._frozen_names:
            frozen, names = self._frozen_names, names[len(self._frozen_names) :]
            wanted = [i for i, name in enumerate(frozen) if name in self._out_features]
            positions = sorted({*wanted, len(frozen) - 1})
            maps = self._frozen_layers([getattr(self, name) for name in frozen], positions, x)
            outputs = {frozen[i]: y for i, y in zip(positions, maps) if i in wanted}
            x = maps[-1]
        for name in names:
            x = getattr(self, name)(x)
            if name in self._out_features:
                outputs[name] = x
        return outputs


@BACKBONE_REGISTRY.register()
def build_mobilenet_backbone(cfg, input_shape: ShapeSpec) -> InvertedResidualNet:
    """MobileNetV2 as in the networks published with PySOT: channels times MODEL.MOBILENET.WIDTH,
    rounded down; an expansion convolution in layer 1 too; stride 8 from layer 3 on.

    Feature sizes of layers 3 to 7: 15x15 for 127, 31x31 for 255.
    """
    width = cfg.MODEL.MOBILENET.WIDTH
    layers = [row._replace(channels=int(row.channels * width)) for row in MOBILENET_V2]
    return _build(cfg, layers, int(32 * width))


@BACKBONE_REGISTRY.register()
def build_efficientnet_lite_backbone(cfg, input_shape: ShapeSpec) -> InvertedResidualNet:
    """EfficientNet-Lite0 (Tan and Le 2019, and its mobile variant). Layers 3, 4 and 6 have the
    strides 8, 16 and 32. The feature of layer 4 is 7x7 for a crop of 127 and 15x15 for 255.

    The original network pads the input of strided convolutions, of even size, behind the last pixel
    only. The centres of its convolutions are then where InvertedResidual has them for odd sizes, so
    the pre-trained weights see here what they saw in their training.
    """
    return _build(cfg, EFFICIENTNET_LITE0, 32, expand_first=False)


def _build(cfg, layers: Sequence[Layer], stem_channels: int, **kwargs) -> InvertedResidualNet:
    mobilenet = cfg.MODEL.MOBILENET
    return InvertedResidualNet(
        layers,
        stem_channels,
        mobilenet.OUT_FEATURES,
        cfg.MODEL.SIAMESE.NORM,
        cfg.MODEL.BACKBONE.FREEZE_AT,
        mobilenet.POINTWISE_ONLY,
        **kwargs,
    )
