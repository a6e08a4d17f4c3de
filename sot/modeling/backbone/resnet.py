"""ResNet with total stride 8, the backbone of SiamRPN++, built from detectron2's blocks."""

import fvcore.nn.weight_init as weight_init
from detectron2.layers import Conv2d, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, BottleneckBlock, ResNet

from ..layers import conv_norm

BLOCKS_PER_STAGE = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
# Of res2 to res5. res4 and res5 keep the stride of 8; their dilation gives them the field of view
# that they have at strides 16 and 32 (SiamRPN++, Sec. 3.2).
STRIDES, DILATIONS = (1, 2, 1, 1), (1, 1, 2, 4)


def _set_window(conv: Conv2d, stride: int, dilation: int) -> None:
    """Set the dilation and padding of a 3x3 convolution. A strided convolution has no padding, so
    that odd sizes (127, 255) are halved with no pixel left over."""
    conv.dilation = (dilation, dilation)
    conv.padding = (0, 0) if stride > 1 else (dilation, dilation)


def _make_block(in_channels, out_channels, *, stride=1, dilation=1, norm="BN", **kwargs):
    """One of detectron2's blocks, with unpadded strides and with dilation. It is a bottleneck if
    ``kwargs`` have ``bottleneck_channels``. In a strided or dilated stage the shortcut is a 3x3
    convolution instead of detectron2's 1x1, which would sample other positions than the unpadded
    3x3 convolution of the main path."""
    kind = BottleneckBlock if "bottleneck_channels" in kwargs else BasicBlock
    block = kind(in_channels, out_channels, stride=stride, norm=norm, **kwargs)
    # the input of the first block still has the grid of the stage before
    entry_dilation = max(dilation // 2, 1) if in_channels != out_channels else dilation
    if kind is BasicBlock:
        _set_window(block.conv1, stride, entry_dilation)
        _set_window(block.conv2, 1, dilation)
    else:
        _set_window(block.conv2, stride, entry_dilation)
    if block.shortcut is not None and (stride > 1 or dilation > 1):
        fill = weight_init.c2_msra_fill
        block.shortcut = conv_norm(in_channels, out_channels, 3, norm, stride=stride, init=fill)
        _set_window(block.shortcut, stride, entry_dilation)
    return block


class UnpaddedStem(BasicStem):
    """detectron2's stem without the padding of its 7x7 convolution. The max pooling keeps its
    padding: (N, 3, 127, 127) -> (N, C, 31, 31)."""

    def __init__(self, in_channels: int = 3, out_channels: int = 64, norm="BN"):
        super().__init__(in_channels, out_channels, norm)
        self.conv1.padding = (0, 0)


@BACKBONE_REGISTRY.register()
def build_atrous_resnet_backbone(cfg, input_shape: ShapeSpec) -> ResNet:
    """ResNet-18, -34 or -50 as MODEL.RESNETS describes it, with the padding and dilation of the
    networks published with PySOT.

    "res3" to "res5" have stride 8 and are 15x15 for a crop of 127 and 31x31 for 255. "res2" has
    stride 4 and is 31x31 and 63x63. Stages after the last of OUT_FEATURES are not built.

    ValueError: a key of MODEL.RESNETS has a value that this network cannot have."""
    resnets = cfg.MODEL.RESNETS
    depth, width, channels = resnets.DEPTH, resnets.STEM_OUT_CHANNELS, resnets.RES2_OUT_CHANNELS
    if depth not in BLOCKS_PER_STAGE:
        known = ", ".join(map(str, BLOCKS_PER_STAGE))
        raise ValueError(f"MODEL.RESNETS.DEPTH must be one of {known}, not {depth}")
    if depth < 50 and channels != width:
        raise ValueError(
            f"MODEL.RESNETS.RES2_OUT_CHANNELS must be {width} (STEM_OUT_CHANNELS) for "
            f"DEPTH {depth}, not {channels}"
        )
    if resnets.STRIDE_IN_1X1 or any(resnets.DEFORM_ON_PER_STAGE):
        raise ValueError(
            "MODEL.RESNETS.STRIDE_IN_1X1 and DEFORM_ON_PER_STAGE must be off: the unpadded "
            "strides of this ResNet are in plain 3x3 convolutions"
        )
    unknown = set(resnets.OUT_FEATURES) - {"stem", "res2", "res3", "res4", "res5"}
    if unknown or not resnets.OUT_FEATURES:
        raise ValueError(
            "MODEL.RESNETS.OUT_FEATURES must be some of stem, res2, res3, res4, res5, not "
            f"{resnets.OUT_FEATURES}"
        )
    norm = resnets.NORM or cfg.MODEL.SIAMESE.NORM
    stem = UnpaddedStem(input_shape.channels, width, norm)
    stages = []
    for i, (num_blocks, stride, dilation) in enumerate(
        zip(BLOCKS_PER_STAGE[depth], STRIDES, DILATIONS)
    ):
        kwargs = {}
        if depth >= 50:
            bottleneck = resnets.NUM_GROUPS * resnets.WIDTH_PER_GROUP * 2**i
            kwargs = {"bottleneck_channels": bottleneck, "num_groups": resnets.NUM_GROUPS}
        stages.append(
            ResNet.make_stage(
                _make_block,
                num_blocks,
                in_channels=width,
                out_channels=channels * 2**i,
                stride_per_block=[stride] + [1] * (num_blocks - 1),
                dilation=dilation,
                norm=norm,
                **kwargs,
            )
        )
        width = channels * 2**i
    return ResNet(
        stem,
        stages,
        out_features=list(resnets.OUT_FEATURES),
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )
