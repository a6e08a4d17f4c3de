"""What all evaluation protocols have in common."""

from dataclasses import dataclass
from typing import ClassVar, Dict, Optional, Tuple, Type

import numpy as np

from .experiments import Experiment, OnePass
from .results.reader import SequenceResult

__all__ = ["Protocol", "image_size_of"]


@dataclass(frozen=True)
class Protocol:
    """One benchmark's conventions.

    Attributes:
        name: key of `sot.evaluation.protocols.PROTOCOLS`.
        description: what is counted and how, in words.
        measures: the scalars that the benchmark reports; the first one that is there ranks.
        experiment: how a tracker is run.
        task: name of the results among those of an evaluation.
    """

    experiment: ClassVar[Type[Experiment]] = OnePass
    task: ClassVar[str] = "ope"

    name: str
    description: str
    measures: Tuple[str, ...]

    @property
    def primary(self) -> str:
        """The measure that ranks trackers."""
        return self.measures[0]

    @property
    def maximum(self) -> Dict[str, float]:
        """What perfect predictions reach, of the measures where it is not 1."""
        return {}

    def score(self, boxes, track: Dict, scores=None, image_size=None) -> Dict:
        """
        Scores of one sequence.

        Args:
            boxes: (T, 4) XYXY predictions in frame pixels, the first one the box that was given;
                NaN where there is none.
            track: track dict (see sot.data.datasets); `frames` only where the size of the image is
                needed and not given.
            scores: (T,) confidences, for long-term protocols.
            image_size: (width, height).

        Returns:
            scalars by name, "frames_scored", and "curves" by name; "frames_scored" alone, and 0, if
            there is no truth to compare with but the box that was given. What `summarize` needs of
            each frame is in "per_frame". All of it fits into JSON.

        Raises:
            ValueError: another number of boxes than of frames, or no size of the image.
        """
        raise NotImplementedError

    def score_result(self, result: SequenceResult, track: Dict, restarted: bool = False) -> Dict:
        """
        Scores of one sequence from the files of a tracker.

        Args:
            result, track: what was read, and the sequence.
            restarted: the runs are of an experiment with restarts.

        Returns:
            as :meth:`score`; of several runs the mean, over the frames of all.

        Raises:
            ValueError: this protocol has no restarts; and as :meth:`score`.
        """
        if restarted:
            raise ValueError(
                f"the result is of an experiment with restarts, which protocol {self.name} does "
                "not know"
            )
        if len(result.runs) == 1:
            return self.score(result.boxes, track, result.scores)
        # only the first run's confidences are read, and no protocol with confidences has more runs
        runs = [self.score(run.boxes, track, result.scores) for run in result.runs]
        first = runs[0]
        if not first["frames_scored"]:
            return first
        curves = {
            name: np.mean([run["curves"][name] for run in runs], axis=0).tolist()
            for name in first.get("curves", {})
        }
        scalars = {k: v for k, v in first.items() if isinstance(v, float)}
        means = {name: float(np.mean([run[name] for run in runs])) for name in scalars}
        frames = sum(run["frames_scored"] for run in runs)
        return {**first, **means, "frames_scored": frames, "curves": curves}

    def summarize(self, per_sequence: Dict[str, Dict]) -> Dict:
        """
        Args:
            per_sequence: {sequence: what `score` returned}.

        Returns:
            scalars of the whole set, "frames_scored", "sequences_scored", and "curves". Sequences
            with nothing to score are left out; no other scalars if that is all of them.
        """
        raise NotImplementedError


def image_size_of(track: Dict, image_size: Optional[Tuple[int, int]]) -> Tuple[int, int]:
    """(width, height): as given, or of the first frame.

    Raises:
        ValueError: neither is there.
    """
    if image_size is not None:
        return tuple(image_size)
    if track.get("frames") is None:
        raise ValueError(f"sequence {track['name']}: the size of the image is needed to score it")
    height, width = track["frames"][0].shape[:2]
    return width, height
