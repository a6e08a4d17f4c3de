"""1x1 adjustment of backbone features and centre crop of the template."""

from typing import Dict, Optional

import torch
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from torch import nn

__all__ = ["AdjustNeck", "build_neck"]


class AdjustNeck(nn.Module):
    """Bring every feature to the same number of channels; keep the centre of the template's
    (SiamRPN++, Sec. 3.3: the 7x7 of 15x15 that still shows the object)."""

    def __init__(self, input_shape: Dict[str, ShapeSpec], channels: int, template_size: int, norm):
        """
        Args:
            input_shape: shapes of the backbone's features.
            channels: of every output; 0 keeps the features as they are.
            template_size: side of the centre crop of template features; 0 keeps all.
            norm: a name of detectron2.layers.get_norm.
        """
        super().__init__()
        self.template_size = template_size
        self.adjust = nn.ModuleDict()
        self._output_shape = dict(input_shape)
        if channels:
            for name, shape in input_shape.items():
                self.adjust[name] = Conv2d(
                    shape.channels, channels, 1, bias=False, norm=get_norm(norm, channels)
                )
                self._output_shape[name] = ShapeSpec(channels=channels, stride=shape.stride)

    def output_shape(self) -> Dict[str, ShapeSpec]:
        return self._output_shape

    def forward(self, features: Dict[str, torch.Tensor], is_template: bool):
        """Features (N, C, H, W) by name -> the same names; smaller if ``is_template``."""
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
    """The neck of MODEL.SIAMESE, or None where it would do nothing."""
    siamese = cfg.MODEL.SIAMESE
    if not siamese.ADJUST_CHANNELS and not siamese.TEMPLATE_FEATURE_SIZE:
        return None
    return AdjustNeck(
        input_shape, siamese.ADJUST_CHANNELS, siamese.TEMPLATE_FEATURE_SIZE, siamese.NORM
    )
