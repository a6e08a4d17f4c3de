"""1x1 adjustment of backbone features and centre crop of the template."""

from typing import Dict, Optional, Sequence

import torch
from detectron2.layers import ShapeSpec
from torch import nn

from ..layers import conv_norm


class AdjustNeck(nn.Module):
    """Reduces the channels of the features, and cuts the template features around their centre: the
    central 7x7 of 15x15 still shows the object (SiamRPN++, Sec. 3.2)."""

    def __init__(
        self,
        input_shape: Dict[str, ShapeSpec],
        channels: Sequence[int],
        template_size: int,
        norm: str,
    ):
        """
        Args:
            input_shape: shapes of the backbone's features.
            channels: channels of the outputs: one number for all features, or one for each in the
                order of ``input_shape``. If empty, the features keep their channels.
            template_size: side to which template features are cut; 0 keeps all of them.
            norm: a name of detectron2.layers.get_norm.
        """
        super().__init__()
        if len(channels) not in (0, 1, len(input_shape)):
            raise ValueError(
                f"MODEL.SIAMESE.ADJUST_CHANNELS must hold one number, or one for each of "
                f"{', '.join(input_shape)}; it is {list(channels)}"
            )
        if len(channels) == 1:
            channels = list(channels) * len(input_shape)
        self.template_size = template_size
        self.adjust = nn.ModuleDict()
        self._output_shape = dict(input_shape)
        for (name, shape), width in zip(input_shape.items(), channels):
            self.adjust[name] = conv_norm(shape.channels, width, 1, norm)
            self._output_shape[name] = ShapeSpec(channels=width, stride=shape.stride)

    def output_shape(self) -> Dict[str, ShapeSpec]:
        return self._output_shape

    def forward(self, features: Dict[str, torch.Tensor], is_template: bool):
        """Features (N, C, H, W) by name -> adjusted features by name. With ``is_template`` they are
        also cut around their centre."""
        out = {}
        for name, x in features.items():
            x = self.adjust[name](x) if name in self.adjust else x
            if is_template and 0 < self.template_size < x.shape[-1]:
                start = (x.shape[-1] - self.template_size) // 2
                window = slice(start, start + self.template_size)
                x = x[..., window, window]
            out[name] = x
        return out


def build_neck(cfg, input_shape: Dict[str, ShapeSpec]) -> Optional[AdjustNeck]:
    """The neck of MODEL.SIAMESE, or None if it would change nothing."""
    siamese = cfg.MODEL.SIAMESE
    if not siamese.ADJUST_CHANNELS and not siamese.TEMPLATE_FEATURE_SIZE:
        return None
    return AdjustNeck(
        input_shape, siamese.ADJUST_CHANNELS, siamese.TEMPLATE_FEATURE_SIZE, siamese.NORM
    )
