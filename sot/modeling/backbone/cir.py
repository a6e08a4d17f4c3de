"""Crop-inside-residual networks (Zhang and Peng, Deeper and Wider Siamese Networks, CVPR 2019)."""

from functools import partial
from typing import Sequence

import fvcore.nn.weight_init as weight_init
import torch
import torch.nn.functional as F
from detectron2.layers import CNNBlockBase, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY, ResNet

from ..layers import conv_norm

_conv = partial(conv_norm, activation=F.relu, init=weight_init.c2_msra_fill)


def _crop(x: torch.Tensor) -> torch.Tensor:
    return x[..., 1:-1, 1:-1]


class CIRStem(CNNBlockBase):
    """A 7x7 convolution of stride 2 and max pooling, without the values that padding would
    influence.

    With 2x2 pooling this is SiamDW's stem of the residual networks: a padded convolution whose
    output is cropped by two pixels on each side (Sec. 4.1). An unpadded convolution gives the same
    values if the input is cropped by one pixel on each side, so that is done here. With 3x3 pooling
    nothing is cropped, as in the public code of CIResInception-22 and CIResNeXt-22. Both forms keep
    the centre of the crop in the centre of the map."""

    def __init__(
        self,
        out_channels: int = 64,
        *,
        pool: int = 2,
        bias: bool = False,
        padded: bool = False,
        norm: str,
    ):
        """
        Args:
            pool: kernel of the max pooling of stride 2: 2 or 3, or 0 for no pooling.
            bias: whether the convolution has a bias. It has no effect before a batch norm, but the
                public weights of CIResNeXt-22 have it.
            padded: whether the convolution is padded by 3 pixels and nothing is cropped.
        """
        if pool not in (0, 2, 3):
            raise ValueError(
                f"the pooling of the stem (MODEL.CIR.STEM_POOL) is 2, 3 or 0 for none, not {pool}"
            )
        super().__init__(3, out_channels, stride=4 if pool else 2)
        self.pool, self.padded = pool, padded
        padding = 3 if padded else 0
        self.conv1 = _conv(3, out_channels, 7, norm, stride=2, padding=padding, bias=bias)

    def forward(self, x):
        """(N, 3, H, W) -> (N, C, h, w). With pooling, h is 30 for H = 127, 62 for 255, 66 for
        271."""
        x = self.conv1(x if self.pool == 3 or self.padded else _crop(x))
        return F.max_pool2d(x, self.pool, 2) if self.pool else x


class _CropInsideUnit(CNNBlockBase):
    """A bottleneck of a 1x1, a 3x3 and a 1x1 convolution whose border is cropped (Sec. 4.1, Fig.
    3). Max pooling does the downsampling (CIR-D), because a strided convolution would drop values
    before they are compared.

    The 3x3 convolution is unpadded, and the shortcut is cropped before the addition. The values are
    those of padding first and cropping afterwards, for less work; and in training the batch
    statistics contain only the values that are kept. Layers have the names of detectron2's
    BottleneckBlock.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        *,
        channels,
        num_groups=1,
        stride=1,
        relu=True,
        padded=False,
        norm,
    ):
        """
        Args:
            channels: output channels of the three convolutions.
            num_groups: cardinality of the 3x3 convolution.
            stride: 1, or 2 for 2x2 max pooling at the end.
            relu: whether the unit ends with a ReLU. The last unit of a network has none, because
                the correlation needs both signs.
            padded: whether the 3x3 convolution is padded and nothing is cropped, as in a ResNet.
        """
        super().__init__(in_channels, out_channels, stride)
        self.relu, self.padded = relu, padded
        first, second, third = channels
        self.conv1 = _conv(in_channels, first, 1, norm)
        self.conv2 = _conv(first, second, 3, norm, padding=int(padded), groups=num_groups)
        self.conv3 = _conv(second, third, 1, norm, activation=None)

    def forward(self, x):
        """(N, C, H, W) -> (N, C', H - 2, W - 2), with padding (N, C', H, W). With stride 2 both
        sides are halved."""
        x = self.join(self.conv3(self.conv2(self.conv1(x))), x if self.padded else _crop(x))
        x = F.relu(x) if self.relu else x
        return F.max_pool2d(x, 2) if self.stride == 2 else x


class CIRUnit(_CropInsideUnit):
    """Residual unit of CIResNet and CIResNeXt."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        bottleneck_channels: int,
        widening: int = 1,
        norm_after: bool = False,
        norm: str,
        **kwargs,
    ):
        """
        Args:
            bottleneck_channels: output channels of the first 1x1 convolution.
            widening: output channels of the 3x3 convolution, as a multiple of those.
            norm_after: whether the norm follows the addition. The shortcut then has no norm.
        """
        channels = bottleneck_channels, bottleneck_channels * widening, out_channels
        super().__init__(in_channels, out_channels, channels=channels, norm=norm, **kwargs)
        self.shortcut = self.norm = None
        if in_channels != out_channels:
            shortcut_norm = "" if norm_after else norm
            self.shortcut = _conv(in_channels, out_channels, 1, shortcut_norm, activation=None)
        if norm_after:
            self.norm = get_norm(norm, out_channels)

    def join(self, x, cropped):
        x = x + (cropped if self.shortcut is None else self.shortcut(cropped))
        return x if self.norm is None else self.norm(x)


class CIInceptionUnit(_CropInsideUnit):
    """Bottleneck and 1x1 branch, concatenated and cropped; no addition, as in the public code."""

    def __init__(
        self, in_channels: int, out_channels: int, *, bottleneck_channels: int, norm: str, **kwargs
    ):
        """``bottleneck_channels`` are the output channels of the first 1x1, of the 3x3 convolution
        and of the 1x1 branch. The last 1x1 convolution has the rest of ``out_channels``."""
        mid = bottleneck_channels
        channels = mid, mid, out_channels - mid
        super().__init__(in_channels, out_channels, channels=channels, norm=norm, **kwargs)
        self.branch1x1 = _conv(in_channels, mid, 1, norm, activation=None)

    def join(self, x, cropped):
        return torch.cat([x, self.branch1x1(cropped)], dim=1)


_RESNET_22 = {
    "unit": CIRUnit,
    "num_units": (3, 4),
    "bottleneck_channels": (64, 128),
    "out_channels": (256, 512),
    "unit_args": {},
    "stem_args": {},
}

# Stages res2 and res3 of each network. The first unit of res3 downsamples. The layers of
# CIResNet-22 have the shapes and names of those of ResNet-50, so its pre-trained weights fit.
CIR_NETWORKS = {
    "CIResNet-16": {**_RESNET_22, "num_units": (1, 4)},
    "CIResNet-19": {**_RESNET_22, "num_units": (2, 4)},
    "CIResNet-22": _RESNET_22,
    "CIResNet-22W": {**_RESNET_22, "unit_args": {"widening": 2}},
    # Not in the public code. 43 layers, stride 4, 256 channels, the receptive field of 105 and the
    # output size of 6 (Table 3) leave one arrangement of these units: no pooling in the stem, and 4
    # of the 14 before the one in res3. For its parameters see tests/modeling/test_cir.py.
    "CIResNet-43": {
        **_RESNET_22,
        "num_units": (3, 11),
        "bottleneck_channels": (64, 64),
        "out_channels": (256, 256),
        "stem_args": {"pool": 0},
    },
    "CIResInception-22": {**_RESNET_22, "unit": CIInceptionUnit, "out_channels": (320, 640)},
    "CIResNeXt-22": {
        **_RESNET_22,
        "bottleneck_channels": (128, 256),
        "unit_args": {"num_groups": 32, "norm_after": True},
        "stem_args": {"bias": True},
    },
}


def make_cir_network(
    name: str,
    stem_pool: int = 2,
    norm: str = "BN",
    freeze_at: int = 0,
    *,
    num_units: Sequence[int] = (),
    strides: Sequence[int] = (1, 2),
    padded: bool = False,
) -> ResNet:
    """A network of SiamDW (Table 3) as a detectron2 ResNet of crop-inside units.

    Its only feature is "res3", with stride 8 (CIResNet-43: 4). In a network of 22 layers it is 5x5
    for a crop of 127, 21x21 for 255 and 23x23 for 271.

    Args:
        name: a key of CIR_NETWORKS.
        stem_pool: kernel of the max pooling in the stem, where the network has one: 2 as in the
            paper's table, or 3 as in the public code of CIResInception-22 and CIResNeXt-22, for
            the same sizes and a receptive field of 95 instead of 93; 0 for no pooling.
        norm, freeze_at: as for detectron2's ResNet.
        num_units: units in res2 and in res3; () for those of the network.
        strides: strides of res2 and of res3, 1 or 2. The first unit of a stage of stride 2 pools.
        padded: whether convolutions are padded and nothing is cropped.
    """
    if name not in CIR_NETWORKS:
        raise ValueError(f"MODEL.CIR.NAME must be one of {', '.join(CIR_NETWORKS)}; not {name!r}")
    spec = CIR_NETWORKS[name]
    num_units = num_units or spec["num_units"]
    if len(num_units) != 2 or min(num_units) < 1:
        raise ValueError(f"MODEL.CIR.NUM_UNITS needs the units of res2 and res3, not {num_units}")
    if len(strides) != 2 or not set(strides) <= {1, 2}:
        raise ValueError(f"MODEL.CIR.STRIDES of res2 and res3 are 1 or 2, not {strides}")
    stem = CIRStem(norm=norm, padded=padded, **{"pool": stem_pool, **spec["stem_args"]})
    stages, in_channels = [], stem.out_channels
    for i, (n, stride, mid, out) in enumerate(
        zip(num_units, strides, spec["bottleneck_channels"], spec["out_channels"])
    ):
        last = i == 1
        stages.append(
            ResNet.make_stage(
                spec["unit"],
                n,
                in_channels=in_channels,
                out_channels=out,
                bottleneck_channels=mid,
                stride_per_block=[stride] + [1] * (n - 1),
                relu_per_block=[True] * (n - 1) + [not last],
                padded=padded,
                norm=norm,
                **spec["unit_args"],
            )
        )
        in_channels = out
    return ResNet(stem, stages, out_features=["res3"], freeze_at=freeze_at)


@BACKBONE_REGISTRY.register()
def build_cir_backbone(cfg, input_shape: ShapeSpec) -> ResNet:
    """The network of MODEL.CIR; see make_cir_network."""
    return make_cir_network(
        cfg.MODEL.CIR.NAME,
        cfg.MODEL.CIR.STEM_POOL,
        cfg.MODEL.SIAMESE.NORM,
        cfg.MODEL.BACKBONE.FREEZE_AT,
        num_units=cfg.MODEL.CIR.NUM_UNITS,
        strides=cfg.MODEL.CIR.STRIDES,
        padded=cfg.MODEL.CIR.PADDED,
    )
