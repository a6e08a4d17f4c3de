"""Anchors on a grid that is centred on the search crop."""

import math
from typing import List

import torch
from detectron2.config import configurable
from detectron2.modeling.anchor_generator import ANCHOR_GENERATOR_REGISTRY, DefaultAnchorGenerator
from detectron2.structures import Boxes


def response_centers(size, stride: int, crop_size: int, device=None) -> List[torch.Tensor]:
    """Where the positions of a response map of a size, such as (H, W), lie in the search crop: for
    each side the coordinates in crop pixels, symmetric around the middle. The first of n is
    (crop_size - stride * (n - 1)) / 2: 31.5 for 255, 25 and stride 8."""
    return [
        (crop_size - stride * (n - 1)) / 2
        + stride * torch.arange(n, dtype=torch.float32, device=device)
        for n in size
    ]


@ANCHOR_GENERATOR_REGISTRY.register()
class CenteredAnchorGenerator(DefaultAnchorGenerator):
    """DefaultAnchorGenerator whose grid is centred on the crop.

    detectron2 puts the first anchor at ``offset * stride``, which suits padded networks. After
    unpadded convolutions and a correlation the response map is smaller than crop / stride, and its
    positions lie symmetrically around the middle of the crop."""

    @configurable
    def __init__(self, *, sizes, aspect_ratios, strides, offset=0.5, truncate=False):
        """``truncate``: integer-truncated shapes of the weights published with PySOT. The others
        are DefaultAnchorGenerator's; offset has no effect."""
        # read by generate_cell_anchors, which the base constructor calls
        self.truncate = truncate
        self.base_stride = strides[0]
        super().__init__(sizes=sizes, aspect_ratios=aspect_ratios, strides=strides, offset=offset)

    @classmethod
    def from_config(cls, cfg, input_shape):
        ret = super().from_config(cfg, input_shape)
        ret["truncate"] = cfg.MODEL.ANCHOR_GENERATOR.TRUNCATE
        return ret

    def generate_cell_anchors(self, sizes=(64,), aspect_ratios=(0.33, 0.5, 1, 2, 3)):
        """Cell anchors around (0, 0), (len(sizes) * len(aspect_ratios), 4) XYXY.

        With ``truncate``, width and height are integers in units of the stride before they are
        scaled: w = int(sqrt(stride^2 / ratio)), h = int(w * ratio), times size / stride, with the
        first level's stride."""
        if not self.truncate:
            return super().generate_cell_anchors(sizes, aspect_ratios)
        stride, anchors = self.base_stride, []
        for size in sizes:
            for ratio in aspect_ratios:
                w = int(math.sqrt(stride * stride / ratio))
                h = int(w * ratio)
                w, h = w * size / stride, h * size / stride
                anchors.append([-w / 2, -h / 2, w / 2, h / 2])
        return torch.tensor(anchors)

    def forward(self, responses: List[torch.Tensor], crop_size: int) -> List[Boxes]:
        """Of each level's response map (N, *, H, W) the (H * W * A) boxes in pixels of a search
        crop of side ``crop_size``, in the order (H, W, A), on the :func:`response_centers`."""
        anchors = []
        for response, stride, cell in zip(responses, self.strides, self.cell_anchors):
            y, x = response_centers(response.shape[-2:], stride, crop_size, cell.device)
            y, x = (g.reshape(-1, 1) for g in torch.meshgrid(y, x, indexing="ij"))
            # (H*W, 1, 4) + (1, A, 4) -> (H*W*A, 4)
            shifts = torch.cat((x, y, x, y), dim=1)
            anchors.append(Boxes((shifts[:, None] + cell[None]).reshape(-1, 4)))
        return anchors
