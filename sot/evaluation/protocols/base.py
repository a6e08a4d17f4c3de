"""What all evaluation protocols have in common."""

from dataclasses import dataclass
from typing import ClassVar, Dict, List, Optional, Sequence, Tuple, Type

import numpy as np

from ..experiments import Experiment, OnePass
from ..results import SequenceResult


@dataclass(frozen=True)
class Protocol:
    """One benchmark's conventions.

    Attributes:
        name: key of `sot.evaluation.protocols.PROTOCOLS`.
        description: what is counted and how, in words.
        measures: the scalars that the benchmark reports; the first one that is there ranks.
        experiment: how a tracker is run.
        task: name of the results among those of an evaluation.
        polygons: :meth:`score` takes polygons too.
        num_draws: of the bootstrap, see :meth:`confidence_interval`.
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
        """What perfect predictions reach, of the measures where it is not 1."""
        return {}

    def score(self, boxes, track: Dict, scores=None) -> Dict:
        """Scores of one run over one sequence.

        Args:
            boxes: (T, 4) XYXY predictions in frame pixels, the first one the box that was given;
                NaN where there is none.
            track: track dict; its `frames` are only needed by protocols that count inside of the
                image.
            scores: (T,) confidences, for long-term protocols.

        Returns:
            scalars by name, "frames_scored", and "curves" by name, all of which fit into JSON;
                "frames_scored" alone, and 0, if there is no truth to compare with but the box that
                was given. What `summarize` needs of each frame is in "per_frame".

        Raises:
            ValueError: another number of boxes than of frames.
        """
        raise NotImplementedError

    def score_result(self, result: SequenceResult, track: Dict, restarted: bool = False) -> Dict:
        """Scores of one sequence from the files of a tracker, as :meth:`score`; of several runs the
        mean over the frames of all, and "runs", what :meth:`score` says of each. `restarted`: the
        runs are of an experiment with restarts; ValueError if this protocol has none."""
        if restarted:
            raise ValueError(
                f"the result is of an experiment with restarts, which protocol {self.name} does "
                "not know"
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
        """Of the whole set, from what `score_result` or `score` returned for each sequence:
        scalars, "frames_scored", "sequences_scored", and "curves". Sequences with nothing to score
        are left out; no other scalars if that is all of them. Of repeated runs also
        "<measure>_std", the standard deviation over runs of the measure that ranks."""
        scored = [s for s in per_sequence.values() if any(m in s for m in self.measures)]
        counts = {
            "frames_scored": sum(s["frames_scored"] for s in scored),
            "sequences_scored": len(scored),
        }
        if not scored:
            return counts
        summary = self._summarize(scored)
        repeats = max(len(s.get("runs", ())) for s in scored)
        if repeats:
            # a sequence with fewer runs has them once more: toolkits run what never differs once
            of_each = [s.get("runs", [s]) for s in scored]
            runs = [[some[k % len(some)] for some in of_each] for k in range(repeats)]
            measure = next(m for m in self.measures if m in summary)
            values = [self._summarize(run)[measure] for run in runs]
            summary[f"{measure}_std"] = float(np.std(values))
        return {**summary, **counts}

    def confidence_interval(self, per_sequence: Dict[str, Dict]) -> Optional[Tuple[float, float]]:
        """95 % interval (low, high) of the measure that ranks by the percentile bootstrap: of its
        values for sets drawn from these sequences (see `summarize`) with replacement. None if fewer
        than two sequences have scores."""
        scored = [s for s in per_sequence.values() if any(m in s for m in self.measures)]
        if len(scored) < 2:
            return None
        slim = [{k: v for k, v in s.items() if k != "curves"} for s in scored]
        draws = np.random.default_rng(0).integers(len(slim), size=(self.num_draws, len(slim)))
        sets = [self._summarize([slim[i] for i in draw]) for draw in draws]
        values = [s[self.primary] for s in sets if self.primary in s]
        return tuple(np.percentile(values, [2.5, 97.5]).tolist()) if values else None

    def _summarize(self, scored: Sequence[Dict]) -> Dict:
        """The scalars of the whole set, and "curves"; at least one sequence is scored."""
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
