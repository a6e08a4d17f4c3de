"""Box formats, corners and the validity of boxes, for NumPy arrays and torch tensors.

Boxes are (..., 4) in continuous pixels from the top left corner of a frame or crop. Inside the
project they are XYXY: (x0, y0, x1, y1), the left, upper, right and lower border. Files, command
lines and the public methods of trackers use XYWH: left and upper border, width, height.
(detectron2's BoxMode converts between the two, but a single box only as a list, and to float32.)
"""

from typing import Optional, Sequence, Tuple

import numpy as np
import torch
from detectron2.structures import BoxMode

MAX_SIDE = 1e6  # pixels; a tracker would compute overflows from larger sides


def to_xywh(boxes):
    """XYXY -> XYWH, (..., 4)."""
    boxes = _as_numbers(boxes)
    return _concatenate(boxes[..., :2], sides_of(boxes))


def to_xyxy(boxes):
    """XYWH -> XYXY, (..., 4)."""
    boxes = _as_numbers(boxes)
    return _concatenate(boxes[..., :2], boxes[..., :2] + boxes[..., 2:])


def from_center(center, sides):
    """XYXY boxes (..., 4) from centres (x, y) and sides (w, h), each (..., 2)."""
    center, half = _as_numbers(center), _as_numbers(sides) / 2
    return _concatenate(center - half, center + half)


def center_of(boxes):
    """(..., 2) centres (x, y) of XYXY boxes."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def sides_of(boxes):
    """(..., 2) widths and heights of XYXY boxes."""
    return boxes[..., 2:] - boxes[..., :2]


def bounding_box(points: np.ndarray) -> np.ndarray:
    """(..., 4) XYXY of the smallest boxes around (..., K, 2) points (x, y)."""
    return np.concatenate([points.min(axis=-2), points.max(axis=-2)], axis=-1)


def is_present(boxes: np.ndarray) -> np.ndarray:
    """Which XYXY boxes are finite and have two positive sides, (...) bool. The box of a frame
    without the target is not, since it is usually four NaN."""
    boxes = np.asarray(boxes)
    return np.isfinite(boxes).all(axis=-1) & (boxes[..., 2:] > boxes[..., :2]).all(axis=-1)


def find_fault(box: np.ndarray, image_size: Optional[Tuple[int, int]] = None) -> Optional[str]:
    """The fault of a box (4,) XYXY: "sizeless" (see is_present), "outside" of an image of the size
    (H, W), if that is given, or None."""
    if not is_present(box):
        return "sizeless"
    if image_size is not None:
        height, width = image_size
        if (box[2:] <= 0).any() or box[0] >= width or box[1] >= height:
            return "outside"
    return None


def check_box(
    box: Sequence[float],
    image_size: Optional[Tuple[int, int]] = None,
    mode: BoxMode = BoxMode.XYXY_ABS,
) -> np.ndarray:
    """Check a box in ``mode`` XYXY_ABS or XYWH_ABS, and return it as a new array (4,) float64 XYXY.

    Raises:
        ValueError: it is not four finite numbers, has a side that is not positive or is above
            MAX_SIDE, or lies outside an image of the size (H, W), if that is given.
    """
    box = box.numpy(force=True) if isinstance(box, torch.Tensor) else box
    try:
        values = np.array(box, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):  # a text, None, ...
        values = np.zeros(0)
    if values.shape != (4,) or not np.isfinite(values).all():
        raise ValueError(f"a box must be four finite numbers, got {box}")
    values = to_xyxy(values) if mode == BoxMode.XYWH_ABS else values
    x, y, w, h = to_xywh(values)
    fault = find_fault(values, image_size)
    if fault == "sizeless":
        raise ValueError(f"box has no positive size: width {w:g}, height {h:g}")
    if fault == "outside":
        height, width = image_size
        shown = f"box x={x:g} y={y:g} w={w:g} h={h:g}"
        raise ValueError(f"{shown} lies outside the {width}x{height} image")
    if max(w, h) > MAX_SIDE:
        raise ValueError(f"box is too large: width {w:g}, height {h:g}; at most {MAX_SIDE:g}")
    return values


def _as_numbers(values):
    return values if isinstance(values, torch.Tensor) else np.asarray(values)


def _concatenate(a, b):
    if isinstance(a, torch.Tensor):
        return torch.cat((a, b), dim=-1)
    return np.concatenate([a, b], axis=-1)
