"""The protocols of the VOT challenges; their measures are in `sot.evaluation.measures.vot`."""

from dataclasses import dataclass
from typing import ClassVar, Dict, Optional, Sequence, Tuple

import numpy as np

from ...boxes import is_present
from ..measures import vot
from ..results import SequenceResult
from .base import Protocol, image_size


@dataclass(frozen=True)
class VOTProtocol(Protocol):
    """The short-term challenges. Results of one pass have the measure "average_overlap". Results of
    runs with restarts have the other measures.

    Attributes:
        interval: first and last length of the mean that is the EAO; None if there are no restarts.
    """

    polygons: ClassVar[bool] = True
    num_draws: ClassVar[int] = 200  # few, because each draw computes the EAO again

    interval: Optional[Tuple[int, int]] = None

    def score(self, boxes, track: Dict, scores=None) -> Dict:
        """See Protocol, for one pass without restarts. ``boxes`` may also be corners (T, 2K). The
        scores are "average_overlap", "frames" (of the sequence) and "frames_scored"."""
        marks = _one_start(len(boxes))
        overlaps = _overlaps(boxes, marks, track)
        settled = vot.settled(marks) & is_present(track["boxes"])
        if not settled.any():
            return {"frames_scored": 0}
        return {
            "average_overlap": float(overlaps[settled].mean()),
            "frames": len(marks),
            "frames_scored": int(settled.sum()),
        }

    def score_result(self, result: SequenceResult, track: Dict, restarted: bool = False) -> Dict:
        """See Protocol. For runs with restarts see score_runs."""
        if restarted and self.interval:
            return self.score_runs([(run.regions, run.marks) for run in result.runs], track)
        return super().score_result(result, track, restarted)

    def score_runs(self, runs: Sequence, track: Dict) -> Dict:
        """Scores of a sequence, from the (regions, marks) (see `vot.restart_overlaps`) of one or
        more runs with restarts.

        Returns:
            dict: "accuracy", "failures" (mean over runs), "frames" (of the sequence),
            "frames_scored", and "per_frame", the (overlaps, marks) of each run. A sequence with a
            single frame has only "frames_scored", which is 0.

        Raises:
            ValueError: a run does not fit the sequence, or its marks are not in order.
        """
        marks = [np.asarray(m) for _, m in runs]
        overlaps = [_overlaps(r, m, track) for (r, _), m in zip(runs, marks)]
        for o, m in zip(overlaps, marks):
            vot.fragments(o, m)  # raises if the marks are not in order
        if len(marks[0]) == 1:
            return {"frames_scored": 0}
        accuracies = [vot.restart_accuracy(o, m) for o, m in zip(overlaps, marks)]
        return {
            "accuracy": float(np.mean(accuracies)),
            "failures": float(np.mean([(m == vot.FAILED).sum() for m in marks])),
            "frames": len(marks[0]),
            "frames_scored": int(np.mean([vot.settled(m).sum() for m in marks])),
            "per_frame": list(zip(overlaps, marks)),
        }

    def _summarize(self, scored: Sequence[Dict]) -> Dict:
        """With restarts, "eao" is left out if no fragment is long enough to reach the interval."""
        restarted = [s for s in scored if "failures" in s]
        if not restarted:
            return {"average_overlap": _by_length(scored, "average_overlap"), "curves": {}}
        runs = [run for s in restarted for run in s["per_frame"]]
        parts = [part for run in runs for part in vot.fragments(*run)]
        curve = vot.expected_overlap_curve(parts)
        failures = sum(s["failures"] for s in restarted)
        scalars = {
            "eao": vot.expected_average_overlap(curve, self.interval),
            "accuracy": _by_length(restarted, "accuracy"),
            "robustness": _by_length(restarted, "failures"),
            "failures": failures,
            "failures_per_100": 100 * failures / sum(s["frames"] for s in restarted),
            "accuracy_pooled": _pooled_accuracy(restarted),
            "eao_pysot": vot.eao_pysot(runs, self.interval),
        }
        scalars = {name: value for name, value in scalars.items() if not np.isnan(value)}
        # the value at length 0 is meaningless
        return {**scalars, "curves": {"expected_overlap": [1.0, *curve[1:].tolist()]}}


@dataclass(frozen=True)
class LongTermProtocol(Protocol):
    """VOT2018-LT: tracking precision, recall and F-score over thresholds of confidence."""

    num_draws: ClassVar[int] = 200  # few, because each draw goes over all frames and thresholds

    def score(self, boxes, track: Dict, scores=None) -> Dict:
        """See Protocol. The scores are "f_score", "precision", "recall", "frames_scored" (the
        frames with the target), "curves", and "per_frame": (overlaps, scores), with NaN in frames
        without a prediction. ValueError: `scores` is missing or has another length."""
        if scores is None:
            raise ValueError(
                f"sequence {track['name']}: a long-term result needs the tracker's confidences: "
                f"{track['name']}_001_confidence.value beside the boxes"
            )
        boxes, scores = np.asarray(boxes, dtype=np.float64), np.array(scores, dtype=np.float64)
        if len(scores) != len(boxes):
            raise ValueError(
                f"sequence {track['name']}: {len(scores)} scores for {len(boxes)} boxes"
            )
        overlaps = _overlaps(boxes, _one_start(len(boxes)), track)
        scores[~is_present(boxes)] = np.nan
        scores[:1] = 0
        visible = is_present(track["boxes"])
        if not visible[1:].any():
            return {"frames_scored": 0}
        result = {"frames_scored": int(visible.sum()), "per_frame": (overlaps, scores)}
        return {**_best_f_score([[result]]), **result}

    def _summarize(self, scored: Sequence[Dict]) -> Dict:
        return _best_f_score([s.get("runs", [s]) for s in scored])


def _one_start(length: int) -> np.ndarray:
    """The marks of one pass."""
    marks = np.full(length, vot.BOX)
    marks[:1] = vot.STARTED
    return marks


def _overlaps(regions, marks, track: Dict) -> np.ndarray:
    truth = track.get("polygons", track["boxes"])
    try:
        return vot.restart_overlaps(regions, marks, truth, image_size(track))
    except ValueError as e:
        raise ValueError(f"sequence {track['name']}: {e}") from None


def _by_length(scored: Sequence[Dict], name: str) -> float:
    return float(np.average([s[name] for s in scored], weights=[s["frames"] for s in scored]))


def _pooled_accuracy(scored: Sequence[Dict]) -> float:
    """The mean over the frames of all sequences. The value of a frame is its mean over the runs
    that tracked it."""
    means = []
    for s in scored:
        overlaps = np.array([o for o, _ in s["per_frame"]])
        counts = np.array([vot.settled(marks) for _, marks in s["per_frame"]])
        tracked = counts.any(axis=0)
        means.append((overlaps * counts).sum(axis=0)[tracked] / counts.sum(axis=0)[tracked])
    means = np.concatenate(means)
    return float(means.mean()) if len(means) else float("nan")


def _best_f_score(sequences: Sequence[Sequence[Dict]]) -> Dict:
    """The mean over the runs of each sequence, then over sequences."""
    runs = [run for of_one in sequences for run in of_one]
    weights = [1 / len(of_one) for of_one in sequences for _ in of_one]
    thresholds = vot.confidence_thresholds(np.concatenate([s["per_frame"][1] for s in runs]))
    curves = [vot.precision_recall(*s["per_frame"], s["frames_scored"], thresholds) for s in runs]
    mean = {
        name: np.average([c[name] for c in curves], axis=0, weights=weights) for name in curves[0]
    }
    mean["f_score"] = vot.f_score(mean["precision"], mean["recall"])
    best = int(np.argmax(mean["f_score"]))
    return {
        **{name: float(curve[best]) for name, curve in mean.items()},
        "curves": {name: curve.tolist() for name, curve in mean.items()},
    }
