"""Measures of the calibration of scores. N is the number of frames. ``chances`` are scores in 0..1
that should be the probability of a right box; ``right`` says whether the box is right.

Source: Guo et al.: On calibration of modern neural networks, ICML 2017, Sec. 2 (reliability diagram
and expected calibration error).
"""

from typing import Dict

import numpy as np

from ...tracking.calibration import RIGHT_ABOVE
from .vot import f_score

NUM_BINS = 10
BACK_WITHIN = 30  # frames after its return in which a target counts as found again
SURE = 0.9  # a wrong box with a score above this is misleading


def reliability(chances: np.ndarray, right: np.ndarray) -> np.ndarray:
    """A table (NUM_BINS, 3) over equal intervals of the score: mean score, fraction of right boxes,
    number of frames. A bin without frames has NaN, NaN, 0."""
    chances, right = np.asarray(chances, dtype=np.float64), np.asarray(right, dtype=bool)
    which = np.minimum((chances * NUM_BINS).astype(int), NUM_BINS - 1)
    count = np.bincount(which, minlength=NUM_BINS)
    sums = [np.bincount(which, weights=v, minlength=NUM_BINS) for v in (chances, right)]
    with np.errstate(invalid="ignore"):
        return np.stack([*(s / count for s in sums), count], axis=1)


def expected_calibration_error(chances, right) -> float:
    """The expected calibration error: the distance between mean score and fraction of right boxes,
    averaged over the bins by their numbers of frames."""
    mean, fraction, count = reliability(chances, right).T
    used = count > 0
    return float(np.average(np.abs(mean - fraction)[used], weights=count[used]))


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The area under the ROC curve: the probability that a positive frame has a higher score than a
    negative one, where a tie counts half. NaN if one kind of frame is missing."""
    scores, positive = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    _, which, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[which]
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def trust(chances: np.ndarray, overlaps: np.ndarray) -> Dict[str, float]:
    """Measures of scores, from the overlaps (N,) of their boxes with the true ones (0 if a frame
    has no true box): "ece", the expected calibration error; "auroc" of a right box;
    "auroc_on_target" of an overlap above 0.2, which a box on the object has even if its size is
    wrong; "failed_sure", the fraction of the wrong boxes with a score above SURE; "right", the
    fraction of right boxes; and "frames"."""
    chances, overlaps = np.asarray(chances), np.asarray(overlaps)
    right = overlaps > RIGHT_ABOVE
    wrong = chances[~right]
    return {
        "ece": expected_calibration_error(chances, right),
        "auroc": roc_auc(chances, right),
        "auroc_on_target": roc_auc(chances, overlaps > 0.2),
        "failed_sure": float((wrong > SURE).mean()) if len(wrong) else 0.0,
        "right": float(right.mean()),
        "frames": len(chances),
    }


def absence(
    lost: np.ndarray, absent: np.ndarray, right: np.ndarray, videos: np.ndarray
) -> Dict[str, float]:
    """How well the status "lost" detects frames without the target, and whether targets are found
    again: "absence_precision", "absence_recall" and "absence_f", their harmonic mean; "redetected",
    the fraction of the returns after which a box is right within BACK_WITHIN frames; and the number
    of "returns". {} if no target is ever absent.

    Args:
        lost, absent, right: (N,) bool, whether the status is "lost", the target cannot be seen, and
            the box is right.
        videos: (N,), the video of each frame. Its frames are in order.
    """
    if not absent.any():
        return {}
    hits = (lost & absent).sum()
    precision, recall = hits / max(lost.sum(), 1), hits / absent.sum()
    returns = np.flatnonzero(absent[:-1] & ~absent[1:] & (videos[:-1] == videos[1:])) + 1
    found = []
    for i in returns:
        near = slice(i, i + BACK_WITHIN)
        found.append((right[near] & (videos[near] == videos[i])).any())
    return {
        "absence_precision": float(precision),
        "absence_recall": float(recall),
        "absence_f": float(f_score(precision, recall)),
        **({"redetected": float(np.mean(found))} if found else {}),
        "returns": len(found),
    }
