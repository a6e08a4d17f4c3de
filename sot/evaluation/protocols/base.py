"""What all evaluation protocols have in common."""

from dataclasses import dataclass
from typing import ClassVar, Dict, List, Optional, Sequence, Tuple, Type

import numpy as np

from ..experiments import Experiment, OnePass
from ..results import SequenceResult

ENOUGH = 5  # sequences for an interval; the bootstrap of fewer is too narrow


@dataclass(frozen=True)
class Protocol:
    """One benchmark's conventions.

    Attributes:
        name: key of `sot.evaluation.protocols.PROTOCOLS`.
        description: says in words which frames count and how the measures are computed.
        measures: names of the scalars that the benchmark reports. The first one that a result has
            ranks the trackers.
        experiment: the class that runs a tracker.
        task: name of these results among those of an evaluation.
        polygons: whether :meth:`score` also takes polygons.
        num_draws: number of draws of the bootstrap, see :meth:`confidence_interval`.
    """

    polygons: ClassVar[bool] = False
    num_draws: ClassVar[int] = 1000

    name: str
    description: str
    measures: Tuple[str, ...]
    experiment: Type[Experiment] = OnePass
    task: str = "ope"

    @property
    def primary(self) -> str:
        """The measure that ranks trackers."""
        return self.measures[0]

    @property
    def maximum(self) -> Dict[str, float]:
        """The values that perfect predictions reach, of the measures for which it is not 1."""
        return {}

    def score(self, boxes, track: Dict, scores=None) -> Dict:
        """Scores of one run over one sequence.

        Args:
            boxes: (T, 4) XYXY predictions in frame pixels. The first one is the box that was given.
                A frame without a prediction has NaN.
            track: track dict. Only protocols that count inside the image need its `frames`.
            scores: (T,) confidences, for long-term protocols.

        Returns:
            dict: scalars by name, "frames_scored", and "curves" by name, all of which fit into
            JSON; and in "per_frame" the values of each frame that `summarize` needs. If the box
            that was given is the only true one, the dict has only "frames_scored", which is 0.

        Raises:
            ValueError: the number of boxes is not that of the frames.
        """
        raise NotImplementedError

    def score_result(self, result: SequenceResult, track: Dict, restarted: bool = False) -> Dict:
        """Scores of one sequence from the files of a tracker, see :meth:`score`. For several runs
        the scores are means over the frames of all runs, and "runs" has the scores of each. With
        `restarted` the runs are of an experiment with restarts. ValueError: this protocol has no
        restarts."""
        if restarted:
            raise ValueError(
                f"the tracker was run with restarts, but protocol {self.name} scores one pass"
            )
        runs = [
            self.score(run.regions if self.polygons else run.boxes, track, run.scores)
            for run in result.runs
        ]
        if len(runs) == 1 or not runs[0]["frames_scored"]:
            return runs[0]
        return {
            **runs[0],
            **mean_scores(runs),
            "frames_scored": sum(run["frames_scored"] for run in runs),
            "runs": runs,
        }

    def summarize(self, per_sequence: Dict[str, Dict]) -> Dict:
        """The measures of the whole dataset, from the result of `score_result` or `score` for each
        sequence: scalars, "frames_scored", "sequences_scored" and "curves". Sequences with nothing
        to score are left out. If no other is left, there are no measures. For repeated runs there
        is also "<measure>_std", the standard deviation over runs of the measure that ranks."""
        scored = self._scored(per_sequence)
        counts = {
            "frames_scored": sum(s["frames_scored"] for s in scored),
            "sequences_scored": len(scored),
        }
        if not scored:
            return counts
        summary = self._summarize(scored)
        repeats = max(len(s.get("runs", ())) for s in scored)
        if repeats:
            # a sequence with fewer runs has its runs again: toolkits run a deterministic sequence
            # once
            of_each = [s.get("runs", [s]) for s in scored]
            runs = [[some[k % len(some)] for some in of_each] for k in range(repeats)]
            measure = next(m for m in self.measures if m in summary)
            values = [self._summarize(run)[measure] for run in runs]
            summary[f"{measure}_std"] = float(np.std(values))
        return {**summary, **counts}

    def confidence_interval(self, per_sequence: Dict[str, Dict]) -> Optional[Tuple[float, float]]:
        """The 95 % interval (low, high) of the measure that ranks, by the percentile bootstrap:
        sets of sequences are drawn with replacement, and `summarize` gives the measure of each set.
        None if fewer than two sequences have scores."""
        scored = self._scored(per_sequence)
        if len(scored) < 2:
            return None
        slim = [{k: v for k, v in s.items() if k != "curves"} for s in scored]
        draws = np.random.default_rng(0).integers(len(slim), size=(self.num_draws, len(slim)))
        sets = [self._summarize([slim[i] for i in draw]) for draw in draws]
        values = [s[self.primary] for s in sets if self.primary in s]
        return tuple(np.percentile(values, [2.5, 97.5]).tolist()) if values else None

    def doubt(self, per_sequence: Dict[str, Dict]) -> str:
        """What to add to a :meth:`confidence_interval`, or "" if enough sequences have scores."""
        count = len(self._scored(per_sequence))
        return f" (of {count} sequences, too few to rely on it)" if count < ENOUGH else ""

    def _scored(self, per_sequence: Dict[str, Dict]) -> List[Dict]:
        return [s for s in per_sequence.values() if any(m in s for m in self.measures)]

    def _summarize(self, scored: Sequence[Dict]) -> Dict:
        """The scalars and "curves" of the whole dataset. At least one sequence has scores."""
        raise NotImplementedError


def mean_scores(scored: Sequence[Dict], weights=None) -> Dict:
    """The means of all measures (floats) and curves."""
    names = [name for name, value in scored[0].items() if isinstance(value, float)]
    curves = scored[0].get("curves", {})

    def mean(rows: List) -> np.ndarray:
        return np.average(rows, axis=0, weights=weights)

    return {
        **{name: float(mean([s[name] for s in scored])) for name in names},
        "curves": {name: mean([s["curves"][name] for s in scored]).tolist() for name in curves},
    }


def image_size(track: Dict) -> Tuple[int, int]:
    """(width, height) of the first frame."""
    height, width = track["frames"][0].shape[:2]
    return width, height
