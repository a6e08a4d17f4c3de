"""One-pass evaluation (OPE) of OTB, UAV123, NfS, LaSOT, TrackingNet and GOT-10k."""

from dataclasses import dataclass
from typing import Callable, Dict, Sequence, Tuple

import numpy as np

from ...boxes import is_present, sides_of, to_xywh, to_xyxy
from ..measures import metrics
from .base import Protocol, image_size, mean_scores

# Distances are rounded to this many decimals, so that an error of exactly 20 px counts at the
# threshold of 20 px, and an error of 0 at 0, whatever the last bits of the numbers in a file are.
DECIMALS = 6


@dataclass(frozen=True)
class OnePassProtocol(Protocol):
    """One-pass evaluation: success, precision and normalised precision.

    Attributes:
        counted: the frames that count. "box": frames with a true box; "visible": those of them
            whose `visible` is set; "cover": those of them whose `cover` is above 0; "all": all
            frames, where a frame without a true box is a failure, unless `near` applies.
        near: true boxes for which any centre is right, because toolkits give them the distance -1.
            "": none. "center": boxes whose centre is not above 0 in x and y. "box": boxes whose x,
            y, width and height are not all above 0; their overlap is a failure. x and y count from
            1, as in OTB, UAV123 and LaSOT.
        first_frame: whether the first frame counts. Its box is always the true one, whatever a file
            says.
        absent_fail: whether the frames that do not count are failures.
        clip: whether boxes are moved into the image, see _move_inside.
        whole_pixels: whether x, y, width and height of all boxes are rounded first.
        repeat_invalid: whether the box before replaces a prediction that is no box. Otherwise it is
            a failure.
        pooled: whether means are taken over the frames of all sequences. Otherwise they are taken
            over sequences.
        area: function that computes the area under a curve from its points.
        success, precision, norm_precision: thresholds of the curves. An IoU must be above the
            threshold, and an error must be at most the threshold.
    """

    counted: str = "visible"
    near: str = ""
    first_frame: bool = True
    absent_fail: bool = False
    clip: bool = False
    whole_pixels: bool = False
    repeat_invalid: bool = False
    pooled: bool = False
    area: Callable[[np.ndarray], float] = metrics.mean_area
    success: Tuple[float, ...] = tuple(metrics.SUCCESS_THRESHOLDS)
    precision: Tuple[float, ...] = tuple(metrics.PRECISION_THRESHOLDS)
    norm_precision: Tuple[float, ...] = tuple(metrics.NORM_PRECISION_THRESHOLDS)

    @property
    def maximum(self) -> Dict[str, float]:
        """See Protocol; of LaSOT this is for sequences whose target can always be seen."""
        return {"success_auc": self.area(np.array(self.success) < 1)}

    def score(self, boxes, track: Dict, scores=None) -> Dict:
        """See Protocol: "success_auc", "precision_20" (pixels), "precision_auc",
        "norm_precision_20" (20 % of the true sides), "norm_precision_auc", "average_overlap" (mean
        IoU), "sr_50", "sr_75" (fractions of frames with an IoU above 0.5 and 0.75),
        "frames_scored", and "curves": "success", "precision" and "norm_precision", lists over the
        thresholds."""
        pred, truth = self._boxes(boxes, track)
        counts = self._counts(track, truth)
        if not (counts & is_present(truth))[1:].any():  # the first box was given to the tracker
            return {"frames_scored": 0}
        frames = len(counts) if self.absent_fail else int(counts.sum())
        share = float(counts.sum() / frames)
        pred, truth = pred[counts], truth[counts]
        errors = metrics.center_error(pred, truth).round(DECIMALS)
        norm_errors = metrics.normalized_center_error(pred, truth).round(DECIMALS)
        near = self._is_near(truth)
        errors[near] = norm_errors[near] = -1
        if self.clip:
            size = image_size(track)
            pred, truth = _move_inside(pred, size), _move_inside(truth, size)
        ious = metrics.iou_xyxy(pred, truth)
        if self.near == "box":
            ious[near] = 0
        success = metrics.success_curve(ious, self.success) * share
        precision = metrics.precision_curve(errors, self.precision) * share
        norm_precision = metrics.precision_curve(norm_errors, self.norm_precision) * share
        sr_50, sr_75 = metrics.success_curve(ious, [0.5, 0.75]) * share
        return {
            "success_auc": self.area(success),
            "precision_20": float(metrics.precision_curve(errors, [20])[0] * share),
            "precision_auc": self.area(precision),
            "norm_precision_20": float(metrics.precision_curve(norm_errors, [0.2])[0] * share),
            "norm_precision_auc": self.area(norm_precision),
            "average_overlap": float(ious.mean() * share),
            "sr_50": float(sr_50),
            "sr_75": float(sr_75),
            "frames_scored": frames,
            "curves": {
                "success": success.tolist(),
                "precision": precision.tolist(),
                "norm_precision": norm_precision.tolist(),
            },
        }

    def _summarize(self, scored: Sequence[Dict]) -> Dict:
        return mean_scores(scored, [s["frames_scored"] for s in scored] if self.pooled else None)

    def _boxes(self, boxes, track: Dict):
        pred, truth = (np.array(b, dtype=np.float64) for b in (boxes, track["boxes"]))
        if pred.shape != truth.shape:
            raise ValueError(
                f"sequence {track['name']}: boxes of shape {pred.shape} for {len(truth)} frames"
            )
        pred[:1] = truth[:1]
        if self.repeat_invalid:
            for i in np.flatnonzero(~is_present(pred)):
                pred[i] = pred[max(i - 1, 0)]
        if self.whole_pixels:
            pred, truth = (to_xyxy(np.round(to_xywh(b))) for b in (pred, truth))
        return pred, truth

    def _counts(self, track: Dict, truth: np.ndarray) -> np.ndarray:
        if self.counted == "all":
            counts = np.ones(len(truth), dtype=bool)
        else:
            counts = is_present(truth)
        if self.counted == "cover" and "cover" in track:
            counts &= np.asarray(track["cover"]) > 0
        elif self.counted in ("visible", "cover"):
            counts &= np.asarray(track["visible"], dtype=bool)
        if not self.first_frame:
            counts[:1] = False
        return counts

    def _is_near(self, truth: np.ndarray) -> np.ndarray:
        """(T,) bool, see `near`; a NaN is not above 0."""
        numbers = to_xywh(truth) + [1, 1, 0, 0]
        if self.near == "center":
            numbers = numbers[:, :2] + (numbers[:, 2:] - 1) / 2
        return ~(numbers > 0).all(axis=1) & (self.near != "")


def _move_inside(boxes: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Move boxes into the image as the got10k toolkit does (rect_iou with a bound). A box that
    begins left of the image or above it is moved to the border and keeps its sides. Then it is cut
    at the right and the lower border. NaN stay."""
    size = np.asarray(size, dtype=np.float64)
    start = np.clip(boxes[:, :2], 0, size)
    sides = np.clip(sides_of(boxes), 0, size - start)
    return to_xyxy(np.concatenate([start, sides], axis=1))
