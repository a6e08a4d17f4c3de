"""Arithmetic of a tracking step: penalties, window, smoothing, clipping. Pure functions."""

import numpy as np
import torch

from ..boxes import from_center


def cosine_window(height: int, width: int) -> torch.Tensor:
    """The outer product (H, W) of two Hann windows: 1 in the middle and 0 on the border."""
    y, x = (torch.hann_window(n, periodic=False) for n in (height, width))
    return torch.outer(y, x)


def central_positions(side: int, center: int) -> torch.Tensor:
    """A mask (side, side), bool, of the ``center`` x ``center`` positions in the middle of a map.
    If only one of ``side`` and ``center`` is odd, those positions cannot be centred; then the mask
    has one row and one column fewer."""
    inside = (torch.arange(side) - (side - 1) / 2).abs() < center / 2
    return torch.outer(inside, inside)


def cut_middle(maps: np.ndarray, side: int) -> np.ndarray:
    """The middle (N, side, side) of maps (N, n, n). n - side must be even."""
    begin = (maps.shape[-1] - side) // 2
    return maps[:, begin : begin + side, begin : begin + side]


def change_penalty(sizes: np.ndarray, previous: np.ndarray, k: float) -> np.ndarray:
    """Penalty for change of size and aspect ratio, in 0..1 (SiamRPN, Sec. 4.3).

    exp(-k * (max(r / r', r' / r) * max(s / s', s' / s) - 1)). r is the ratio h / w. s is the
    overall size, with half the sum of the sides as padding. r' and s' are those of the previous
    box.

    Args:
        sizes: (..., 2) widths and heights.
        previous: (..., 2) widths and heights of the target, broadcast against ``sizes``.
        k: PENALTY_K.
    """
    sizes = np.maximum(sizes, 1e-3)  # an untrained network's boxes may shrink to nothing

    def overall(wh):
        w, h = wh[..., 0], wh[..., 1]
        pad = (w + h) / 2
        return np.sqrt((w + pad) * (h + pad))

    def change(ratio):
        return np.maximum(ratio, 1 / ratio)

    aspect = change((sizes[..., 0] / sizes[..., 1]) / (previous[..., 0] / previous[..., 1]))
    scale = change(overall(sizes) / overall(previous))
    return np.exp(-k * (aspect * scale - 1))


def smooth_size(previous: np.ndarray, measured: np.ndarray, rate: float) -> np.ndarray:
    """The size (w, h) that lies between ``previous`` (rate 0) and ``measured`` (rate 1)."""
    return previous + rate * (measured - previous)


def clip_box(center: np.ndarray, size: np.ndarray, image_size, min_side: float = 4.0) -> np.ndarray:
    """The box XYXY with this centre and size, after both are clipped: the centre lies in the image,
    and the sides are between ``min_side`` and the sides of the image. The box may reach over the
    border of the image, as the target may.

    Args:
        center, size: (x, y) and (w, h) in pixels.
        image_size: (H, W).
    """
    limit = np.array([image_size[1], image_size[0]], dtype=float)
    # np.clip would take several times as long
    center = np.minimum(np.maximum(center, 0), limit)
    size = np.minimum(np.maximum(size, np.minimum(min_side, limit)), limit)
    return from_center(center, size)
