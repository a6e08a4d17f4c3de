"""Anchors on a grid that is centred on the search crop."""

import math
from typing import List

import torch
from detectron2.config import configurable
from detectron2.modeling.anchor_generator import ANCHOR_GENERATOR_REGISTRY, DefaultAnchorGenerator
from detectron2.structures import Boxes


def response_centers(size, stride: int, crop_size: int, device=None) -> List[torch.Tensor]:
    """Coordinates of the positions of a response map in the search crop, in crop pixels: one tensor
    for each side in ``size``, such as (H, W). They are symmetric around the centre of the crop. The
    first of n coordinates is (crop_size - stride * (n - 1)) / 2, which is 31.5 for a crop of 255,
    25 positions and stride 8."""
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
        """
        Args:
            truncate: whether the sides of the anchors are truncated to integers, as the weights
                published with PySOT expect.
            others: as for DefaultAnchorGenerator; ``offset`` has no effect.
        """
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

        With ``truncate`` the sides are truncated to integers at the size of the stride, and then
        scaled by size / stride: w = int(sqrt(stride^2 / ratio)), h = int(w * ratio). The stride is
        that of the first level."""
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
        """The H * W * A anchors of each level's response map (N, *, H, W), in pixels of a search
        crop of side ``crop_size``, in the order (H, W, A). They are centred on
        :func:`response_centers`."""
        anchors = []
        for response, stride, cell in zip(responses, self.strides, self.cell_anchors):
            y, x = response_centers(response.shape[-2:], stride, crop_size, cell.device)
            y, x = (g.reshape(-1, 1) for g in torch.meshgrid(y, x, indexing="ij"))
            # (H*W, 1, 4) + (1, A, 4) -> (H*W*A, 4)
            shifts = torch.cat((x, y, x, y), dim=1)
            anchors.append(Boxes((shifts[:, None] + cell[None]).reshape(-1, 4)))
        return anchors
