"""Film strips of the sequences in which trackers are worst: a few frames with the true box and the
boxes of trackers."""

from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ...boxes import is_present
from ...data.frames import FrameError
from ...data.transforms import SubwindowTransform
from ...utils.figures import legend_beside, panel_grid
from ...visualization import TRUTH_COLOR, draw_box, draw_label
from ..measures.metrics import iou_xyxy
from .comparison import Comparison
from .part import LOWER_IS_BETTER, TrackerScores, finite
from .plots import style

VIEW = np.array([400, 300])  # width and height of a frame of a strip
# The part of a frame that is shown is MARGIN times as large as the boxes in it, and at least
# SMALLEST_SHARE of the whole frame.
MARGIN, SMALLEST_SHARE = 1.5, 0.35
GRAY, WHITE = (96, 96, 96), (255, 255, 255)
STRIP_FRAMES = 5
MOST_IN_STRIP = 6  # trackers whose boxes are drawn
MOST_STRIPS = 24


class Strip(NamedTuple):
    """The film strip of a sequence: the trackers for which it is one of the worst sequences, worst
    first; (caption, image (H, W, 3) uint8 BGR) of each frame; the IoU of the trackers over all
    frames."""

    sequence: str
    losers: List[TrackerScores]
    frames: List[Tuple[str, np.ndarray]]
    plot: Figure


def worst_strips(comparison: Comparison, count: int) -> List[Strip]:
    """Strips of the ``count`` worst sequences of each tracker, at most MOST_STRIPS in all."""
    tracks = {track["name"]: track for track in comparison.tracks}
    return [
        _strip(comparison, tracks[name], losers)
        for name, losers in worst_sequences(comparison, count)[:MOST_STRIPS]
    ]


def worst_sequences(comparison: Comparison, count: int) -> List[Tuple[str, List[TrackerScores]]]:
    """The ``count`` worst sequences of each tracker, worst first, each with the trackers for which
    it is one of the worst, worst first."""
    measure, chosen = comparison.sequence_measure, {}
    sign = -1 if measure in LOWER_IS_BETTER else 1
    for tracker in comparison.scored:
        values = {n: finite(s.get(measure)) for n, s in tracker.scores.items()}
        ranked = sorted((sign * v, n) for n, v in values.items() if v is not None)
        for value, name in ranked[:count]:
            chosen.setdefault(name, []).append((value, tracker.number, tracker))
    ordered = sorted(chosen.items(), key=lambda item: min(item[1])[:2])
    return [(name, [tracker for *_, tracker in sorted(found)]) for name, found in ordered]


def _strip(comparison: Comparison, track: Dict, losers: List[TrackerScores]) -> Strip:
    name = track["name"]
    others = [t for t in comparison.scored if t not in losers and name in t.results]
    drawn = (losers + others)[:MOST_IN_STRIP]
    boxes = [t.results[name].boxes for t in drawn]
    ious = [_overlaps(b, track) for b in boxes]
    shown = choose_frames(ious[0], STRIP_FRAMES)
    colors = [style(t)["color"] for t in drawn]
    frames = [
        (_caption(track, drawn[0].name, ious[0], index), film_frame(track, boxes, colors, index))
        for index in shown
    ]
    return Strip(name, losers, frames, _overlap_plot(drawn, ious, shown))


def _caption(track: Dict, tracker: str, ious: np.ndarray, index: int) -> str:
    if not track["visible"][index]:
        return f"frame {index}: no true box"
    return f"frame {index}" + (f": {tracker} misses the target" if ious[index] <= 0 else "")


def _overlaps(boxes: np.ndarray, track: Dict) -> np.ndarray:
    """IoU (T,) of predictions (T, 4) with the true boxes; NaN if the target is not visible."""
    truth = np.asarray(track["boxes"], dtype=np.float64)
    seen = is_present(truth) & track["visible"]
    return np.where(seen, iou_xyxy(boxes, truth), np.nan)


def choose_frames(ious: np.ndarray, count: int) -> List[int]:
    """Choose at most ``count`` frames to show: the first frame, the one in which the target is
    lost, and evenly spaced ones. ``ious`` are (T,), NaN if the target is not visible."""
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
    """Draw frame ``index`` of a track, cut out around the boxes: an image of the size VIEW, uint8
    BGR. The true box has TRUTH_COLOR. The boxes of trackers, (T, 4) XYXY each, have matplotlib
    colors, and the first tracker is on top."""
    try:
        image = track["frames"][index]
    except FrameError:
        image = np.full((*VIEW[::-1], 3), GRAY, np.uint8)
        draw_label(image, f"frame {index} cannot be read", (0, 0), WHITE)
        return image
    shown = [(boxes[index], _bgr(color)) for boxes, color in zip(predictions, colors)][::-1]
    if track["visible"][index]:
        shown.insert(0, (track["boxes"][index], TRUTH_COLOR))
    view = _view(np.array([box for box, _ in shown]), *image.shape[:2])
    image = view.apply_image(image)
    for box, color in shown:
        draw_box(image, view.apply_coords(np.reshape(box, (2, 2))).ravel(), color)
    return image


def _bgr(color: str):
    return tuple(round(255 * v) for v in to_rgb(color)[::-1])


def _view(boxes: np.ndarray, height: int, width: int) -> SubwindowTransform:
    """The rectangle of a frame that is shown: all boxes (K, 4) as far as they are inside the frame,
    and some of their surroundings."""
    frame = np.array([width, height], dtype=np.float64)
    low, high = np.zeros(2), frame
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    if len(boxes):
        low, high = (np.clip(b, 0, frame) for b in (boxes[:, :2].min(0), boxes[:, 2:].max(0)))
    whole = (frame / VIEW).max()
    step = min(max((MARGIN * (high - low) / VIEW).max(), SMALLEST_SHARE * whole), whole)
    # inside the frame if that is large enough, otherwise centred on it
    room = frame - step * VIEW
    start = np.clip((low + high - step * VIEW) / 2, 0, np.maximum(room, 0))
    start = np.where(room > 0, start, room / 2)
    rect = (*start, *(start + step * VIEW))
    return SubwindowTransform(rect, tuple(VIEW[::-1].tolist()), GRAY)


def _overlap_plot(trackers: Sequence[TrackerScores], ious, frames: Sequence[int]) -> Figure:
    """Plot the IoU (T,) of each tracker over the frames, and mark the frames of the strip."""
    figure, (axes,) = panel_grid(1, 1, 12, 1.6)
    lines = [
        axes.plot(values, linewidth=1.3, label=tracker.name, zorder=-number, **style(tracker))[0]
        for number, (tracker, values) in enumerate(zip(trackers, ious), start=1)
    ]
    for frame in frames:
        axes.axvline(frame, color="#999999", linewidth=0.8, linestyle=":", zorder=-99)
    axes.set(xlim=(0, max(len(ious[0]) - 1, 1)), ylim=(-0.02, 1.02), xlabel="frame", ylabel="IoU")
    legend_beside(axes, lines, size=8.5)
    return figure
