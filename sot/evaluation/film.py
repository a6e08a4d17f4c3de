"""Film strips: a few frames of a sequence with the truth and what trackers said."""

from typing import Dict, List, Sequence

import cv2
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ..boxes import is_present
from ..data.frames import FrameError
from ..visualization import TRUTH_COLOR, draw_box, draw_label
from .measures.metrics import iou_xyxy

__all__ = ["choose_frames", "film_frame", "overlap_plot", "overlaps"]

FRAME_WIDTH, FRAME_HEIGHT = 400, 300
MARGIN, SMALLEST_SHARE = 1.5, 0.35  # of what is shown: to the boxes, to the frame
GRAY, WHITE = (96, 96, 96), (255, 255, 255)


def overlaps(boxes: np.ndarray, track: Dict) -> np.ndarray:
    """(T,) IoU of predictions (T, 4) with the truth; NaN where the target is not visible."""
    truth = np.asarray(track["boxes"], dtype=np.float64)
    seen = is_present(truth) & track["visible"]
    return np.where(seen, iou_xyxy(boxes, truth), np.nan)


def choose_frames(ious: np.ndarray, count: int) -> List[int]:
    """Frames to show: the first, the one in which the target is lost, and evenly spaced ones.

    Args:
        ious: (T,), NaN where the target is not visible.
        count: at most so many.
    """
    length = len(ious)
    chosen = np.unique(np.round(np.linspace(0, length - 1, min(count, length))).astype(int))
    lost = np.flatnonzero(ious <= 0)
    if len(lost) and len(chosen) > 2 and lost[0] > 0:
        middle = chosen[1:-1]
        middle[np.argmin(np.abs(middle - lost[0]))] = lost[0]
    return np.unique(chosen).tolist()


def film_frame(
    track: Dict, predictions: Sequence[np.ndarray], colors: Sequence[str], index: int
) -> np.ndarray:
    """
    A frame with the truth in TRUTH_COLOR and predictions, cut out around them.

    Args:
        track: a track dict.
        predictions: (T, 4) XYXY of each tracker; the first one is drawn on top.
        colors: of the trackers, as matplotlib has them.
        index: number of the frame.

    Returns:
        (FRAME_HEIGHT, FRAME_WIDTH, 3) uint8 BGR.
    """
    try:
        image = track["frames"][index]
    except FrameError:
        image = np.full((FRAME_HEIGHT, FRAME_WIDTH, 3), GRAY, np.uint8)
        draw_label(image, f"frame {index} cannot be read", (0, 0), WHITE)
        return image
    shown = [(boxes[index], _bgr(color)) for boxes, color in zip(predictions, colors)][::-1]
    if track["visible"][index]:
        shown.insert(0, (track["boxes"][index], TRUTH_COLOR))
    x0, y0, scale = _window(np.array([box for box, _ in shown]), *image.shape[1::-1])
    image = _cut(image, x0, y0, scale)
    for box, color in shown:
        draw_box(image, (np.asarray(box) - [x0, y0, x0, y0]) * scale, color)
    return image


def _cut(image: np.ndarray, x0: int, y0: int, scale: float) -> np.ndarray:
    """(FRAME_HEIGHT, FRAME_WIDTH, 3) of an image from (x0, y0) on, gray where that is outside."""
    x1, y1 = x0 + round(FRAME_WIDTH / scale), y0 + round(FRAME_HEIGHT / scale)
    part = image[max(y0, 0) : y1, max(x0, 0) : x1]
    left, top = max(round(-x0 * scale), 0), max(round(-y0 * scale), 0)
    size = [max(1, round(side * scale)) for side in part.shape[1::-1]]
    size = min(size[0], FRAME_WIDTH - left), min(size[1], FRAME_HEIGHT - top)
    part = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.full((FRAME_HEIGHT, FRAME_WIDTH, 3), GRAY, np.uint8)
    canvas[top : top + size[1], left : left + size[0]] = part
    return canvas


def _bgr(color: str):
    return tuple(round(255 * v) for v in to_rgb(color)[::-1])


def _window(boxes: np.ndarray, width: int, height: int):
    """Left, top and scale of what is shown of a frame: all boxes (K, 4), as far as they are in
    it, and some of what is around them."""
    low, high = np.zeros(2), np.array([width, height], dtype=np.float64)
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    if len(boxes):
        low, high = (np.clip(b, low, high) for b in (boxes[:, :2].min(0), boxes[:, 2:].max(0)))
    ratio = np.array([FRAME_WIDTH, FRAME_HEIGHT])
    whole = max(width / FRAME_WIDTH, height / FRAME_HEIGHT)
    step = min(max((MARGIN * (high - low) / ratio).max(), SMALLEST_SHARE * whole), whole)
    size = step * ratio
    start = (low + high - size) / 2
    # inside of the frame where that is large enough, else in the middle of it
    room = np.array([width, height]) - size
    start = np.where(room > 0, np.clip(start, 0, np.maximum(room, 0)), room / 2)
    return round(start[0]), round(start[1]), 1 / step


def overlap_plot(
    ious: Sequence[np.ndarray], styles: Sequence[Dict], names: Sequence[str], frames: Sequence[int]
) -> Figure:
    """IoU over the frames of each tracker (T,), the frames of the strip marked."""
    figure = Figure(figsize=(12, 1.9), layout="constrained")
    axes = figure.subplots()
    for values, style, name in zip(ious[::-1], styles[::-1], names[::-1]):
        axes.plot(values, linewidth=1.3, label=name, **style)
    for frame in frames:
        axes.axvline(frame, color="#999999", linewidth=0.8, linestyle=":")
    axes.set(xlim=(0, max(len(ious[0]) - 1, 1)), ylim=(-0.02, 1.02), xlabel="frame", ylabel="IoU")
    axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8.5
    )
    return figure
