"""Measures of the VOT challenges: with restarts (VOT2015 to 2019), and long-term (VOT2018-LT).

With restarts, a tracker is started on the first frame. When its region does not overlap the true
one at all, it has failed: five frames are skipped, and it is started again on the true region.
Long-term tracking is one pass with a confidence for each frame; the target may leave.

Overlaps are those of `sot.evaluation.measures.polygon.raster_overlap`, inside of the image.

Sources: [EAO] Kristan et al.: The Visual Object Tracking VOT2015 challenge results (the measure),
and the results papers of each year; [LT] Lukezic et al.: Now you see me: evaluating performance in
long-term visual tracking, 2018; [vot] github.com/votchallenge/toolkit 0.7.2, vot/analysis
(supervised.py, longterm.py) and vot/stack (the intervals); [pysot] github.com/STVIR/pysot, toolkit,
which follows the challenge's older MATLAB toolkit.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .polygon import raster_overlap

# Marks of frames: what a line of a VOT result file says. The first three are lines of one number.
PASSED_OVER, STARTED, FAILED, BOX = range(4)

SKIP_AFTER_FAILURE = 5  # frames from a failure to the next start
THRESHOLDS = 100  # the most thresholds of confidence in long-term tracking
BURN_IN = 10  # frames from a start on that say little of accuracy, that of the start included

# Lengths of sequence that EAO averages over, both inclusive, by challenge [vot, pysot].
EAO_INTERVALS = {
    "vot2015": (108, 371),
    "vot2016": (108, 371),
    "vot2017": (100, 356),
    "vot2018": (100, 356),
    "vot2019": (46, 291),
}


class Fragment(NamedTuple):
    """The part of a run from a start to the next failure or the end of the sequence: the overlaps
    (L,) from the frame of the start on, and whether it ended with a failure. The frame of the
    failure is not a part of it."""

    overlaps: np.ndarray
    failed: bool


def restart_overlaps(
    regions: np.ndarray, marks: np.ndarray, truth: np.ndarray, image_size: Tuple[int, int]
) -> np.ndarray:
    """Overlaps (T,) of regions with the true ones, each (T, 4) XYXY or (T, 2K) corners, in an image
    of the size (width, height). A frame whose mark (T,) is not BOX has 0, as in [vot]. ValueError:
    the numbers of frames differ."""
    if not len(regions) == len(marks) == len(truth):
        raise ValueError(f"{len(regions)} regions and {len(marks)} marks for {len(truth)} frames")
    tracked = np.asarray(marks) == BOX
    overlaps = np.zeros(len(tracked))
    regions, truth = np.asarray(regions, np.float64), np.asarray(truth, np.float64)
    overlaps[tracked] = raster_overlap(regions[tracked], truth[tracked], image_size)
    return overlaps


def settled(marks: np.ndarray, burn_in: int = BURN_IN) -> np.ndarray:
    """The frames that count for accuracy, (T,) bool: they are tracked, and at least `burn_in`
    frames after a start."""
    counts = np.asarray(marks) == BOX
    for start in np.flatnonzero(np.asarray(marks) == STARTED):
        counts[start : start + burn_in] = False
    return counts


def restart_accuracy(overlaps: np.ndarray, marks: np.ndarray) -> float:
    """Mean overlap of a run without the frames right after starts; 0 if no frame is left [vot]."""
    counts = settled(marks)
    return float(np.asarray(overlaps)[counts].mean()) if counts.any() else 0.0


def fragments(overlaps: np.ndarray, marks: np.ndarray) -> List[Fragment]:
    """The fragments of a run [vot], one for each start, from its overlaps and marks (T,).
    ValueError: starts and failures do not alternate, from a start on frame 0 on."""
    marks = np.asarray(marks)
    starts, failures = np.flatnonzero(marks == STARTED), np.flatnonzero(marks == FAILED)
    ends = np.concatenate([failures, [len(marks)]])[: len(starts)]
    turns = marks[(marks == STARTED) | (marks == FAILED)]
    expected = np.where(np.arange(len(turns)) % 2 == 0, STARTED, FAILED)
    if marks[:1].tolist() != [STARTED] or (turns != expected).any():
        raise ValueError("the marks must have a start in frame 0 and one after each failure")
    return [
        Fragment(np.asarray(overlaps)[start:end], bool(end < len(marks)))
        for start, end in zip(starts, ends)
    ]


def expected_overlap_curve(parts: Sequence[Fragment], length: Optional[int] = None) -> np.ndarray:
    """The expected average overlap (N,) over the length of a sequence [EAO]. Its value at n is the
    mean overlap in the frames 1 to n after a start, averaged over all fragments with that many
    frames. After a failure a fragment continues with overlaps of 0 up to N, which is the length of
    the longest fragment, as in [vot], or `length` if that is more. The value is NaN if no fragment
    is long enough, and meaningless at 0.

    `parts` are the fragments of all runs over all sequences. All have the same weight."""
    length = max([length or 0, *(len(part.overlaps) for part in parts)])
    total, count = np.zeros(length), np.zeros(length)
    for overlaps, failed in parts:
        padded = np.zeros(length)
        padded[1 : len(overlaps)] = overlaps[1:]
        end = length if failed else len(overlaps)
        total[:end] += np.cumsum(padded)[:end] / np.maximum(np.arange(end), 1)
        count[:end] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def expected_average_overlap(curve: np.ndarray, interval: Tuple[int, int]) -> float:
    """The EAO: the mean of `expected_overlap_curve` over the lengths of the interval [vot]. Lengths
    beyond the end of the curve are left out; NaN if none is left."""
    part = np.asarray(curve)[interval[0] : interval[1] + 1]
    return float(np.nanmean(part)) if np.isfinite(part).any() else float("nan")


def eao_pysot(runs: Sequence[Tuple[np.ndarray, np.ndarray]], interval: Tuple[int, int]) -> float:
    """The EAO over an interval of EAO_INTERVALS as [pysot] computes it, from (overlaps, marks),
    both (T,), of each run. Most papers on Siamese trackers give this number. It differs from
    `expected_average_overlap` in three points:

    * After a failure a fragment continues with overlaps of 0 up to the length of the longest
      sequence, not of the longest fragment.
    * A fragment whose failure is too near the end of the sequence for another start counts as one
      that lasted to the end.
    * The interval is one frame earlier.

    One detail of [pysot] is left out, because it changes only the fourth digit: there a last
    fragment of n frames has the weight n / (n + 1) if its failure is exactly five frames before the
    end of the sequence."""
    parts, length = [], max(len(marks) for _, marks in runs)
    for overlaps, marks in runs:
        *others, last = fragments(overlaps, marks)
        if last.failed:
            start, failure = (np.flatnonzero(marks == mark)[-1] for mark in (STARTED, FAILED))
            again = failure + SKIP_AFTER_FAILURE
            # PySOT also counts a start just after the last frame
            last = Fragment(np.asarray(overlaps)[start:], bool(again <= len(marks)))
        parts += [*others, last]
    # lengths that no fragment has count as 0 there
    curve = np.nan_to_num(expected_overlap_curve(parts, length))
    return expected_average_overlap(curve, (interval[0] - 1, interval[1] - 1))


def confidence_thresholds(scores: np.ndarray) -> np.ndarray:
    """Descending thresholds of confidence (K,), from infinity to minus infinity, that split the
    frames of all sequences evenly [vot]. There are at most THRESHOLDS of them. If there are fewer
    scores, each score is a threshold. NaN are left out."""
    scores = np.asarray(scores, dtype=np.float64)
    scores = np.sort(scores[~np.isnan(scores)])[::-1]
    inner = THRESHOLDS - 2
    if len(scores) > inner:
        step = len(scores) // inner
        scores = scores[np.round(np.linspace(step, len(scores) - step, inner)).astype(int)]
    return np.concatenate([[np.inf], scores, [-np.inf]])


def precision_recall(
    overlaps: np.ndarray, scores: np.ndarray, num_visible: int, thresholds: np.ndarray
) -> Dict[str, np.ndarray]:
    """Tracking precision and recall of a sequence [LT], (K,) each. Precision is the mean overlap
    over the frames whose confidence is at least the threshold (1 if there is no such frame). Recall
    is the sum of these overlaps divided by the number of frames with a true region. The overlap
    (T,) with an absent target is 0. A frame with a score (T,) of NaN has no prediction at any
    threshold."""
    overlaps = np.asarray(overlaps, dtype=np.float64)
    reported = np.asarray(scores, dtype=np.float64)[:, None] >= np.asarray(thresholds)
    count, total = reported.sum(axis=0), (reported * overlaps[:, None]).sum(axis=0)
    return {
        "precision": np.where(count > 0, total / np.maximum(count, 1), 1.0),
        "recall": total / num_visible,
    }


def f_score(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """The harmonic mean of precision and recall; 0 if both are 0."""
    precision, recall = np.asarray(precision, float), np.asarray(recall, float)
    total = precision + recall
    return 2 * precision * recall / np.where(total > 0, total, 1)
