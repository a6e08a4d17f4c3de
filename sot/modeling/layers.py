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
    """A convolution, its norm (a name of detectron2.layers.get_norm) and its activation (a
    function) as one module. ``init`` initializes the convolution instead of torch's own
    initialization."""
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
