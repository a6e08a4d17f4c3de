"""What each benchmark counts, and how: the conventions behind its published numbers.

A protocol scores one sequence at a time and then summarises them. What it decided stands in its
`description`, which belongs beside the numbers. Predictions that are perfect reach 1, but for
`success_auc`, whose last threshold, 1, no IoU is above: see the descriptions.

One detail of some toolkits is left out on purpose. In the MATLAB toolkits of OTB and LaSOT and in
PySOT, a true box that is invalid, or that starts at 0 or below, gets the distance -1, so that any
prediction counts as right there.

Sources: [got10k] github.com/got-10k/toolkit 0.1.3, experiments/ and utils/metrics.py; [pysot]
github.com/STVIR/pysot, toolkit/; [lasot] github.com/HengLan/LaSOT_Evaluation_Toolkit, utils/;
[tn] github.com/SilvioGiancola/TrackingNet-devkit, metrics.py; for VOT see `measures.vot`.
"""

from dataclasses import dataclass
from typing import Callable, Dict, Tuple

import numpy as np

from ..boxes import is_present, sides_of, to_xywh, to_xyxy
from ..data import resolve
from .measures import metrics
from .protocol import Protocol, image_size_of
from .vot_protocols import LongTermProtocol, UnsupervisedProtocol, VOTProtocol

__all__ = [
    "PROTOCOLS",
    "LongTermProtocol",
    "OnePassProtocol",
    "Protocol",
    "UnsupervisedProtocol",
    "VOTProtocol",
    "get_protocol",
]

# Pixels by which a centre may be off and count as right at the threshold 0: result files hold
# rounded numbers, and the truth is stored in single precision.
EXACT = 1e-3


@dataclass(frozen=True)
class OnePassProtocol(Protocol):
    """One-pass evaluation: success, precision and normalised precision.

    Attributes:
        counted: the frames that count, of those whose truth is a box: "box" all, "visible" those
            whose `visible` is set, "cover" those whose `cover` is above 0.
        first_frame: the first frame counts; its box is the true one, whatever a file says.
        absent_fail: frames that do not count otherwise are failures.
        clip: boxes are moved into the image, as [got10k] does it.
        whole_pixels: x, y, width and height of all boxes are rounded first.
        repeat_invalid: a prediction that is no box is replaced by the one before; else it fails.
        pooled: means are over the frames of all sequences; else over sequences.
        area: under a curve, from its points.
        success, precision, norm_precision: thresholds of the curves; IoUs must be above, and
            errors at most the threshold.
    """

    counted: str = "visible"
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

    def score(self, boxes, track: Dict, scores=None, image_size=None) -> Dict:
        """
        See Protocol. Scores and image_size are used by protocols that need them.

        Returns:
            "success_auc", "precision_20" (pixels), "precision_auc", "norm_precision_20" (20 % of
            the true sides), "norm_precision_auc", "average_overlap" (mean IoU), "sr_50", "sr_75"
            (fractions of frames with an IoU above 0.5 and 0.75), "frames_scored", and "curves":
            "success", "precision" and "norm_precision", lists over the thresholds.
        """
        pred, truth = self._boxes(boxes, track)
        counts = self._counts(track, truth)
        if not counts[1:].any():  # the first box was given
            return {"frames_scored": 0}
        frames = len(counts) if self.absent_fail else int(counts.sum())
        share = float(counts.sum() / frames)
        pred, truth = pred[counts], truth[counts]
        errors = metrics.center_error(pred, truth)
        norm_errors = metrics.normalized_center_error(pred, truth)
        exact = errors < EXACT
        errors, norm_errors = np.where(exact, 0, errors), np.where(exact, 0, norm_errors)
        if self.clip:
            size = image_size_of(track, image_size)
            pred, truth = _move_inside(pred, size), _move_inside(truth, size)
        ious = metrics.iou_xyxy(pred, truth)
        curves = {
            "success": metrics.success_curve(ious, self.success) * share,
            "precision": metrics.precision_curve(errors, self.precision) * share,
            "norm_precision": metrics.precision_curve(norm_errors, self.norm_precision) * share,
        }
        return {
            "success_auc": self.area(curves["success"]),
            "precision_20": float(metrics.precision_curve(errors, [20])[0] * share),
            "precision_auc": self.area(curves["precision"]),
            "norm_precision_20": float(metrics.precision_curve(norm_errors, [0.2])[0] * share),
            "norm_precision_auc": self.area(curves["norm_precision"]),
            "average_overlap": float(ious.mean() * share),
            "sr_50": metrics.success_rate(ious, 0.5) * share,
            "sr_75": metrics.success_rate(ious, 0.75) * share,
            "frames_scored": frames,
            "curves": {name: curve.tolist() for name, curve in curves.items()},
        }

    def summarize(self, per_sequence: Dict[str, Dict]) -> Dict:
        scored = [s for s in per_sequence.values() if s["frames_scored"]]
        frames = [s["frames_scored"] for s in scored]
        counts = {"frames_scored": sum(frames), "sequences_scored": len(scored)}
        if not scored:
            return counts
        weights = frames if self.pooled else None
        means = {
            name: float(np.average([s[name] for s in scored], weights=weights))
            for name in scored[0]
            if name not in ("curves", "frames_scored")
        }
        curves = {
            name: np.average([s["curves"][name] for s in scored], axis=0, weights=weights).tolist()
            for name in scored[0]["curves"]
        }
        return {**means, **counts, "curves": curves}

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
            for b in (pred, truth):
                b[:] = to_xyxy(np.round(to_xywh(b)))
        return pred, truth

    def _counts(self, track: Dict, truth: np.ndarray) -> np.ndarray:
        counts = is_present(truth)
        if self.counted == "cover" and "cover" in track:
            counts &= np.asarray(track["cover"]) > 0
        elif self.counted != "box":
            counts &= np.asarray(track["visible"], dtype=bool)
        if not self.first_frame:
            counts[:1] = False
        return counts


def _move_inside(boxes: np.ndarray, image_size: Tuple[int, int]) -> np.ndarray:
    """
    Boxes in the image as [got10k] has them (rect_iou with a bound): a box that begins left of or
    above the image is moved to the border with its sides as they are, not cut there; then it is cut
    at the right and lower border. NaN stay.
    """
    size = np.asarray(image_size, dtype=np.float64)
    start = np.clip(boxes[:, :2], 0, size)
    sides = np.clip(sides_of(boxes), 0, size - start)
    return to_xyxy(np.concatenate([start, sides], axis=1))


_SUCCESS = (
    "success_auc: fraction of frames with an IoU above t, mean over t = 0, 0.05, ..., 1 (at most "
    "20/21 = 0.952, as no IoU is above 1). precision_20: centre at most 20 px off. "
    "norm_precision: centre off by at most t, in widths and heights of the true box; _20 at "
    "t = 0.2, _auc the mean over t = 0, 0.01, ..., 0.5. Means over frames, then over sequences. "
    "The first frame counts, with the box that was given. "
)
_NAN_FAILS = "A prediction that is no box is a failure. "

_OTB_LIKE = ("success_auc", "precision_20", "norm_precision_auc")

PROTOCOLS: Dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        OnePassProtocol(
            "otb",
            "One-pass evaluation of OTB. "
            + _SUCCESS
            + _NAN_FAILS
            + "Frames whose target is absent or marked invisible are left out (OTB has none). The "
            "MATLAB toolkit repeats the box before instead of a prediction that is no box.",
            _OTB_LIKE,
        ),
        OnePassProtocol(
            "uav123",
            "One-pass evaluation of UAV123 and UAV20L. "
            + _SUCCESS
            + _NAN_FAILS
            + "Frames without the target (NaN) are left out, as in got10k; PySOT keeps them in the "
            "denominator.",
            _OTB_LIKE,
        ),
        OnePassProtocol(
            "nfs",
            "One-pass evaluation of Need for Speed. "
            + _SUCCESS
            + _NAN_FAILS
            + "All frames with a box count, also those marked as lost, as in got10k.",
            _OTB_LIKE,
            counted="box",
        ),
        OnePassProtocol(
            "lasot",
            "One-pass evaluation of LaSOT. "
            + _SUCCESS
            + "Frames in which the target is fully occluded or out of view cannot be right but "
            "stay in the denominator (perfect boxes: 20/21 and 1, times the fraction of visible "
            "frames), and a prediction that is no box is replaced by the one before: as in the "
            "official toolkit. Its normalised precision is norm_precision_20 or _auc, by a "
            "setting.",
            ("success_auc", "norm_precision_auc", "precision_20"),
            absent_fail=True,
            repeat_invalid=True,
        ),
        OnePassProtocol(
            "trackingnet",
            "One-pass evaluation of TrackingNet, as in the official development kit. Boxes are "
            "rounded to whole pixels. success_auc: fraction of frames with an IoU above t, area "
            "by the trapezoidal rule over t = 0, 0.05, ..., 1 (at most 0.975). precision_auc: "
            "centre at most t off, the same over t = 0, 2.5, ..., 50 px; it is the benchmark's "
            "precision. norm_precision_auc: in widths and heights of the true box, over t = 0, "
            "0.025, ..., 0.5. precision_20 and norm_precision_20: at 20 px, and at 0.2. All "
            "frames count, the first with the box that was given. Means over frames, then over "
            "sequences. " + _NAN_FAILS,
            ("success_auc", "norm_precision_auc", "precision_auc"),
            counted="box",
            whole_pixels=True,
            area=metrics.trapezoid_area,
            precision=tuple(np.linspace(0, 50, 21)),
            norm_precision=tuple(np.linspace(0, 0.5, 21)),
        ),
        OnePassProtocol(
            "got10k",
            "One-pass evaluation of GOT-10k, as in its toolkit. average_overlap (AO): mean IoU. "
            "sr_50, sr_75: fraction of frames with an IoU above 0.5, 0.75. Means are over the "
            "frames of all sequences at once, without the first frames and those where nothing of "
            "the target can be seen (cover 0). Boxes are moved into the image first. success_auc "
            "is over 101 thresholds (at most 100/101). Precision is not part of that benchmark. A "
            "prediction with a NaN is a failure (the toolkit's AO would be NaN).",
            ("average_overlap", "sr_50", "sr_75"),
            counted="cover",
            first_frame=False,
            clip=True,
            pooled=True,
            success=tuple(np.linspace(0, 1, 101)),
        ),
        VOTProtocol("vot2016"),
        VOTProtocol("vot2018"),
        VOTProtocol("vot2019"),
        UnsupervisedProtocol(),
        LongTermProtocol("vot2018_lt"),
    )
}


def get_protocol(dataset_name: str, name: str = "") -> Protocol:
    """
    The protocol of a data set.

    Args:
        dataset_name: whatever `sot.data.get_tracks` knows.
        name: TEST.PROTOCOL; "" for the one that the data set asks for, "otb" if it asks for none.

    Raises:
        ValueError: no such data set, or no protocol of that name.
    """
    name = name or resolve(dataset_name).protocol or "otb"
    if name not in PROTOCOLS:
        raise ValueError(
            f"dataset {dataset_name!r} asks for the protocol {name!r}; there are "
            f"{', '.join(PROTOCOLS)}"
        )
    return PROTOCOLS[name]
