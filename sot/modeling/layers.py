"""Layers that backbones, neck and heads are made of."""

from typing import Callable, Optional

from detectron2.layers import Conv2d, get_norm


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    norm: str,
    activation: Optional[Callable] = None,
    *,
    init: Optional[Callable] = None,
    bias: bool = False,
    **kwargs,
) -> Conv2d:
    """Convolution, norm (a name of detectron2.layers.get_norm) and activation (a function) as one
    module. ``init`` fills the convolution, in place of torch's own initialisation."""
    conv = Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        bias=bias,
        norm=get_norm(norm, out_channels),
        activation=activation,
        **kwargs,
    )
    if init is not None:
        init(conv)
    return conv
