"""How far a score can be believed. Shapes: N frames; ``chances`` are scores 0..1 that are meant to
be the chance of a right box, ``right`` says whether it is.

Source: Guo et al.: On calibration of modern neural networks, ICML 2017, Sec. 2 (reliability diagram
and expected calibration error).
"""

from typing import Dict

import numpy as np

from ...tracking.calibration import RIGHT_ABOVE

NUM_BINS = 10
SURE = 0.9  # a wrong box with a chance above this misleads


def reliability(chances: np.ndarray, right: np.ndarray, bins: int = NUM_BINS) -> np.ndarray:
    """(bins, 3) by equal intervals of the chance: mean chance, fraction of right boxes, number of
    frames; NaN, NaN, 0 where there are none."""
    chances, right = np.asarray(chances, dtype=np.float64), np.asarray(right, dtype=bool)
    which = np.minimum((chances * bins).astype(int), bins - 1)
    count = np.bincount(which, minlength=bins)
    sums = [np.bincount(which, weights=v, minlength=bins) for v in (chances, right)]
    with np.errstate(invalid="ignore"):
        return np.stack([*(s / count for s in sums), count], axis=1)


def expected_calibration_error(chances, right, bins: int = NUM_BINS) -> float:
    """Mean distance between chance and fraction of right boxes over the bins, by their frames."""
    mean, fraction, count = reliability(chances, right, bins).T
    used = count > 0
    return float(np.average(np.abs(mean - fraction)[used], weights=count[used]))


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive frame has a higher score than a negative one, ties counting half: the
    area under the ROC; NaN if there are none of one kind."""
    scores, positive = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    _, which, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[which]
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def trust(chances: np.ndarray, overlaps: np.ndarray) -> Dict[str, float]:
    """Measures of scores and the overlaps (N,) of their boxes with the true ones, 0 where there is
    none: "ece"; "auroc" of a right box; "auroc_on_target", of an overlap above 0.2, as much as a
    box has that is on the object but of another size; "failed_sure", the fraction of the wrong
    boxes with a chance above SURE; "right" and "frames"."""
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
