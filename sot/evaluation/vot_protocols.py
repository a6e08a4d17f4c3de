"""The protocols of the VOT challenges; their measures are in `sot.evaluation.measures.vot`."""

from dataclasses import dataclass, field
from typing import ClassVar, Dict, Sequence, Tuple, Type

import numpy as np

from ..boxes import is_present
from .experiments import Experiment, Restarts
from .measures import vot
from .protocol import Protocol, image_size_of
from .results.reader import SequenceResult

__all__ = ["LongTermProtocol", "UnsupervisedProtocol", "VOTProtocol"]


@dataclass(frozen=True)
class UnsupervisedProtocol(Protocol):
    """One pass over a VOT data set, without restarts."""

    name: str = "vot_unsupervised"
    description: str = (
        "One pass over a VOT data set without restarts, as the unsupervised experiment of the VOT "
        "toolkit 0.7. average_overlap: mean over the frames without the first 10, then over "
        "sequences by their length. Overlaps are counted in pixels inside of the image, with the "
        "polygons of the truth."
    )
    measures: Tuple[str, ...] = ("average_overlap",)

    def score(self, boxes, track: Dict, scores=None, image_size=None) -> Dict:
        """See Protocol. `boxes` may be corners, (T, 2K).

        Returns:
            "average_overlap", "frames" of the sequence, "frames_scored".
        """
        marks = np.full(len(boxes), vot.BOX)
        marks[:1] = vot.STARTED
        overlaps = _overlaps(boxes, marks, track, image_size)
        settled = vot.settled(marks) & is_present(track["boxes"])
        if not settled.any():
            return {"frames": len(marks), "frames_scored": 0}
        return {
            "average_overlap": float(overlaps[settled].mean()),
            "frames": len(marks),
            "frames_scored": int(settled.sum()),
        }

    def summarize(self, per_sequence: Dict[str, Dict]) -> Dict:
        scored = [s for s in per_sequence.values() if s["frames_scored"]]
        frames = sum(s["frames_scored"] for s in scored)
        counts = {"frames_scored": frames, "sequences_scored": len(scored), "curves": {}}
        if not scored:
            return counts
        return {"average_overlap": _by_length(scored, "average_overlap"), **counts}


@dataclass(frozen=True)
class VOTProtocol(Protocol):
    """VOT2016, 2018 and 2019: runs with restarts. Results of one pass are scored as by
    UnsupervisedProtocol.

    Made from a name of `vot.EAO_INTERVALS`.
    """

    experiment: ClassVar[Type[Experiment]] = Restarts
    task: ClassVar[str] = "vot"

    description: str = field(init=False)
    measures: Tuple[str, ...] = field(
        init=False, default=("eao", "accuracy", "robustness", "average_overlap")
    )

    def __post_init__(self):
        low, high = vot.EAO_INTERVALS[self.name]
        text = (
            f"{self.name.upper()}, as in the VOT toolkit 0.7. Overlaps are counted in pixels "
            "inside of the image, with the polygons of the truth. With restarts (a failure where "
            "the overlap is 0, next start 5 frames later): accuracy is the mean overlap without "
            "the 10 frames from each start on, robustness the number of failures in a sequence, "
            "both means over runs and then over sequences by their length; failures: over all "
            f"sequences; eao: expected average overlap over lengths of {low} to {high} frames. As "
            "in PySOT, and in most papers on Siamese trackers: accuracy_pooled (over frames), "
            "failures_per_100 frames, eao_pysot; PySOT rasterises in another way. Without "
            "restarts: average_overlap, without the first 10 frames, mean over sequences by their "
            "length."
        )
        object.__setattr__(self, "description", text)

    @property
    def interval(self) -> Tuple[int, int]:
        """Lengths that EAO is the mean over, both inclusive."""
        return vot.EAO_INTERVALS[self.name]

    def score(self, boxes, track: Dict, scores=None, image_size=None) -> Dict:
        """One pass without restarts; see UnsupervisedProtocol."""
        return UnsupervisedProtocol().score(boxes, track, scores, image_size)

    def score_result(self, result: SequenceResult, track: Dict, restarted: bool = False) -> Dict:
        """See Protocol; with restarts, see score_runs."""
        if restarted:
            return self.score_runs(result.runs, track)
        return super().score_result(result, track)

    def score_runs(self, runs: Sequence, track: Dict, image_size=None) -> Dict:
        """
        Scores of a sequence, of one or more runs with restarts.

        Args:
            runs: (regions, marks) of each; see `vot.restart_overlaps`.
            track, image_size: see Protocol.

        Returns:
            "accuracy", "failures" (mean over runs), "frames" of the sequence, "frames_scored", and
            "per_frame" with "overlaps" and "marks", lists of a list for each run.

        Raises:
            ValueError: runs that do not fit the sequence, or whose marks are not in order.
        """
        marks = [np.asarray(m) for _, m in runs]
        overlaps = [_overlaps(r, m, track, image_size) for (r, _), m in zip(runs, marks)]
        for o, m in zip(overlaps, marks):
            vot.fragments(o, m)  # raises if the marks are not in order
        accuracies = [vot.restart_accuracy(o, m) for o, m in zip(overlaps, marks)]
        return {
            "accuracy": float(np.mean(accuracies)),
            "failures": float(np.mean([(m == vot.FAILED).sum() for m in marks])),
            "frames": len(marks[0]),
            "frames_scored": int(np.mean([vot.settled(m).sum() for m in marks])),
            "per_frame": {
                "overlaps": [o.tolist() for o in overlaps],
                "marks": [m.tolist() for m in marks],
            },
        }

    def summarize(self, per_sequence: Dict[str, Dict]) -> Dict:
        """Of what `score` or `score_runs` returned; see Protocol.

        "eao" is left out if no fragment is so long that it reaches the interval.
        """
        restarted = [s for s in per_sequence.values() if "failures" in s]
        if not restarted:
            return UnsupervisedProtocol().summarize(per_sequence)
        counts = {
            "frames_scored": sum(s["frames_scored"] for s in per_sequence.values()),
            "sequences_scored": len(restarted),
        }
        return {**counts, **self._summarize_runs(restarted)}

    def _summarize_runs(self, scored: Sequence[Dict]) -> Dict:
        runs = [
            (np.array(overlaps), np.array(marks))
            for s in scored
            for overlaps, marks in zip(s["per_frame"]["overlaps"], s["per_frame"]["marks"])
        ]
        parts = [part for run in runs for part in vot.fragments(*run)]
        curve = vot.expected_overlap_curve(parts)
        failures = sum(s["failures"] for s in scored)
        scalars = {
            "eao": vot.expected_average_overlap(curve, self.interval),
            "accuracy": _by_length(scored, "accuracy"),
            "robustness": _by_length(scored, "failures"),
            "failures": failures,
            "failures_per_100": 100 * failures / sum(s["frames"] for s in scored),
            "accuracy_pooled": _pooled_accuracy(scored),
            "eao_pysot": vot.eao_pysot(runs, self.interval),
        }
        scalars = {name: value for name, value in scalars.items() if not np.isnan(value)}
        # the value at length 0 means nothing
        return {**scalars, "curves": {"expected_overlap": [1.0, *curve[1:].tolist()]}}


@dataclass(frozen=True)
class LongTermProtocol(Protocol):
    """VOT2018-LT: tracking precision, recall and F-score over thresholds of confidence."""

    description: str = (
        "VOT long-term, as in the VOT toolkit 0.7. precision: mean overlap over the frames whose "
        "confidence is at least t; recall: the same sum over the frames where the target can be "
        "seen; means over sequences; f_score: the largest harmonic mean of the two over t, and "
        "precision and recall there. t goes over at most 100 quantiles of the confidences of the "
        "whole set. The first frame has no region and the confidence 0, so that perfect boxes have "
        "a recall of (n - 1) / n with n visible frames. Overlaps are counted in pixels inside of "
        "the image. A frame without a box has no prediction at any t (the toolkit gives it the "
        "overlap 1 where the target is absent, too, which can lift recall above 1). "
        "Scores of one sequence are with the thresholds of its own."
    )
    measures: Tuple[str, ...] = ("f_score", "precision", "recall")

    def score(self, boxes, track: Dict, scores=None, image_size=None) -> Dict:
        """See Protocol.

        Returns:
            "f_score", "precision", "recall", "frames_scored" (with the target), "curves", and
            "per_frame" with "overlaps" and "scores" (None: no prediction).

        Raises:
            ValueError: no `scores`, or another number of them.
        """
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
        marks = np.full(len(boxes), vot.BOX)
        marks[:1] = vot.STARTED
        overlaps = _overlaps(boxes, marks, track, image_size)
        scores[~is_present(boxes)] = np.nan
        scores[:1] = 0
        visible = is_present(track["boxes"])
        if not visible[1:].any():
            return {"frames_scored": 0}
        per_frame = {
            "overlaps": overlaps.tolist(),
            "scores": [None if np.isnan(s) else float(s) for s in scores],
        }
        result = {"frames_scored": int(visible.sum()), "per_frame": per_frame}
        return {**_best_f_score([result]), **result}

    def summarize(self, per_sequence: Dict[str, Dict]) -> Dict:
        scored = [s for s in per_sequence.values() if s["frames_scored"]]
        frames = sum(s["frames_scored"] for s in scored)
        counts = {"frames_scored": frames, "sequences_scored": len(scored)}
        return {**_best_f_score(scored), **counts} if scored else counts


def _overlaps(regions, marks, track: Dict, image_size) -> np.ndarray:
    truth = track.get("polygons", track["boxes"])
    try:
        return vot.restart_overlaps(regions, marks, truth, image_size_of(track, image_size))
    except ValueError as e:
        raise ValueError(f"sequence {track['name']}: {e}") from None


def _by_length(scored: Sequence[Dict], name: str) -> float:
    return float(np.average([s[name] for s in scored], weights=[s["frames"] for s in scored]))


def _pooled_accuracy(scored: Sequence[Dict]) -> float:
    """Mean over the frames of all sequences, of the mean over the runs that tracked a frame."""
    means = []
    for s in scored:
        overlaps = np.array(s["per_frame"]["overlaps"])
        counts = np.array([vot.settled(marks) for marks in s["per_frame"]["marks"]])
        tracked = counts.any(axis=0)
        means.append((overlaps * counts).sum(axis=0)[tracked] / counts.sum(axis=0)[tracked])
    means = np.concatenate(means)
    return float(means.mean()) if len(means) else float("nan")


def _best_f_score(scored: Sequence[Dict]) -> Dict:
    confidences = [np.array(s["per_frame"]["scores"], dtype=np.float64) for s in scored]
    thresholds = vot.confidence_thresholds(np.concatenate(confidences))
    curves = [
        vot.precision_recall(s["per_frame"]["overlaps"], c, s["frames_scored"], thresholds)
        for s, c in zip(scored, confidences)
    ]
    mean = {name: np.mean([c[name] for c in curves], axis=0) for name in curves[0]}
    mean["f_score"] = vot.f_score(mean["precision"], mean["recall"])
    best = int(np.argmax(mean["f_score"]))
    return {
        **{name: float(curve[best]) for name, curve in mean.items()},
        "curves": {name: curve.tolist() for name, curve in mean.items()},
    }
