"""Measures of one-pass evaluation (OPE): a tracker is started on the first frame and never helped.

Shapes: T is the number of frames of one sequence, K that of thresholds. Boxes are (T, 4) XYXY in
continuous frame pixels. `pred` are the boxes of a tracker, `gt` the true ones. A continuous box has
the area w * h and the centre x + w / 2. The MATLAB toolkits count whole pixels, x to x + w - 1, and
get the same areas, overlaps and distances.

Each benchmark decides which frames count, see `sot.evaluation.protocols`. Here a prediction with a
NaN is a failure: its IoU is 0 and its distance infinite.

Sources: [OTB] Wu, Lim, Yang: Object Tracking Benchmark, PAMI 2015, and its MATLAB toolkit; [TN]
Mueller et al.: TrackingNet, ECCV 2018."""

from typing import Optional

import numpy as np

from ...boxes import center_of, is_present, sides_of

SUCCESS_THRESHOLDS = np.linspace(0, 1, 21)
PRECISION_THRESHOLDS = np.arange(51.0)  # pixels
# fractions of the true sides; 20 / 100 is exactly 0.2
NORM_PRECISION_THRESHOLDS = np.arange(51) / 100


def iou_xyxy(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (T,) of two boxes in each row; 0 if either has a NaN or no area."""
    a, b = _as_pair(a, b)
    valid = is_present(a) & is_present(b)
    a, b = np.where(valid[:, None], a, 0), np.where(valid[:, None], b, 0)
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    intersection = np.maximum(sides, 0).prod(axis=1)
    union = sides_of(a).prod(axis=1) + sides_of(b).prod(axis=1) - intersection
    return intersection / np.where(valid, union, 1)


def center_error(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances (T,) between the centres, in pixels; infinite if either box is not finite."""
    a, b = _as_pair(a, b)
    valid = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    shift = np.where(valid[:, None], a, 0) - np.where(valid[:, None], b, 0)
    distance = np.linalg.norm(center_of(shift), axis=1)
    return np.where(valid, distance, np.inf)


def normalized_center_error(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """Distances (T,) between the centres, with x divided by the true width and y by the true height
    [TN, eq. 2]; infinite if a box is not finite or the true one has no area."""
    pred, gt = _as_pair(pred, gt)
    valid = np.isfinite(pred).all(axis=1) & is_present(gt)
    pred, gt = np.where(valid[:, None], pred, 0), np.where(valid[:, None], gt, [0, 0, 1, 1])
    # first the difference, so that equal boxes have the distance 0 and not 1e-15
    shift = center_of(pred - gt)
    distance = np.linalg.norm(shift / sides_of(gt), axis=1)
    return np.where(valid, distance, np.inf)


def success_curve(ious: np.ndarray, thresholds: np.ndarray = SUCCESS_THRESHOLDS) -> np.ndarray:
    """(K,) fraction of frames whose IoU (T,), T > 0, is above each threshold (K,). [OTB]: 0, 0.05,
    ..., 1, strictly above."""
    return (np.asarray(ious)[:, None] > np.asarray(thresholds)).mean(axis=0)


def precision_curve(
    errors: np.ndarray, thresholds: np.ndarray = PRECISION_THRESHOLDS
) -> np.ndarray:
    """(K,) fraction of frames whose error (T,), T > 0, is at most each threshold (K,), in the unit
    of the errors. [OTB]: 0, 1, ..., 50 pixels."""
    return (np.asarray(errors)[:, None] <= np.asarray(thresholds)).mean(axis=0)


def mean_area(curve: np.ndarray) -> float:
    """Area under a curve over evenly spaced thresholds, as the mean of its points [OTB]."""
    return float(np.mean(curve))


def trapezoid_area(curve: np.ndarray) -> float:
    """The same area by the trapezoidal rule: the first and the last point have half the weight
    [TN]."""
    curve = np.asarray(curve, np.float64)
    return float((curve[1:] + curve[:-1]).sum() / (2 * (len(curve) - 1)))


def frames_per_second(times: Optional[np.ndarray]) -> Optional[float]:
    """1 / median of the times (T,) in seconds. The first time, which is that of the start, is left
    out. So are times that are not positive: a frame that was not tracked, because it could not be
    read or was passed over after a failure, has the time 0. None: no time is left."""
    if times is None:
        return None
    times = np.asarray(times, dtype=np.float64)[1:]
    times = times[np.isfinite(times) & (times > 0)]
    return float(1 / np.median(times)) if len(times) else None


def _as_boxes(boxes) -> np.ndarray:
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must have the shape (T, 4), not {boxes.shape}")
    return boxes


def _as_pair(a, b):
    a, b = _as_boxes(a), _as_boxes(b)
    if len(a) != len(b):
        raise ValueError(f"boxes of {len(a)} and of {len(b)} frames cannot be compared")
    return a, b
