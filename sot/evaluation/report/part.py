"""Trackers on some sequences of a dataset: their measures and their order."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np

from ..protocols import Protocol
from ..results import ResultProblem, SequenceResult

LOWER_IS_BETTER = {"failures", "failures_per_100", "robustness"}


@dataclass(eq=False)
class TrackerScores:
    """One tracker on the dataset.

    Attributes:
        number: its place in the order of the command line, from 0 on. It decides the color.
        results: {sequence: result} of the usable results.
        scores: {sequence: scores by the protocol}.
        fps: {sequence: frames per second}, as far as known.
        problems: the faults of its files.
    """

    name: str
    folder: Path
    number: int
    results: Dict[str, SequenceResult] = field(default_factory=dict)
    scores: Dict[str, Dict] = field(default_factory=dict)
    fps: Dict[str, float] = field(default_factory=dict)
    problems: List[ResultProblem] = field(default_factory=list)

    @property
    def speed(self) -> Optional[float]:
        """The median of the frames per second over the sequences, or None if unknown."""
        return float(np.median(list(self.fps.values()))) if self.fps else None

    @property
    def problem_lines(self) -> List[str]:
        """The problems, one in each line."""
        return [
            (f"{p.sequence}: {'left out: ' if p.left_out else ''}" if p.sequence else "") + p.detail
            for p in self.problems
        ]


@dataclass(eq=False)
class Part:
    """Trackers on some or all of the sequences, whose names are given."""

    protocol: Protocol
    names: List[str]
    trackers: List[TrackerScores]

    @cached_property
    def summaries(self) -> Dict[int, Dict]:
        """{number of a tracker: its measures on these sequences}; {} if it has no score on them."""
        of_each = {
            t.number: {n: t.scores[n] for n in self.names if n in t.scores} for t in self.trackers
        }
        return {n: self.protocol.summarize(s) if s else {} for n, s in of_each.items()}

    def complete(self, tracker: TrackerScores) -> bool:
        """Whether a tracker has a result for each sequence."""
        return all(name in tracker.scores for name in self.names)

    def value(self, tracker: TrackerScores, measure: str) -> Optional[float]:
        """A measure of a tracker, or None if it does not have it."""
        return finite(self.summaries[tracker.number].get(measure))

    def curve(self, tracker: TrackerScores, kind: str) -> Optional[Sequence[float]]:
        return self.summaries[tracker.number].get("curves", {}).get(kind)

    def has(self, measure: str, complete: bool = False) -> bool:
        """Whether any tracker has a measure; any complete one, if that is asked for."""
        trackers = filter(self.complete, self.trackers) if complete else self.trackers
        return any(self.value(t, measure) is not None for t in trackers)

    def order(self, measure: str) -> List[TrackerScores]:
        """The trackers, best first; behind them those that lack sequences, and those that have no
        such measure."""

        def key(tracker):
            value = self.value(tracker, measure)
            # rounded, so that trackers with equal values keep their order
            return value is None, not self.complete(tracker), -round(value or 0, 6)

        return sorted(self.trackers, key=key)

    def marked(self, tracker: TrackerScores) -> str:
        """The name of a tracker, with a star if its numbers are not of all sequences."""
        return tracker.name + ("" if self.complete(tracker) else "*")

    def shown(self, tracker: TrackerScores, measure: str) -> Optional[str]:
        """A measure as text, with its standard deviation over repeated runs, and with a dagger if
        it is an EAO over a part of its interval. None if the tracker does not have it."""
        value, spread = (self.value(tracker, name) for name in (measure, f"{measure}_std"))
        if value is None:
            return None
        cut_short = measure == "eao" and self.end_of_eao(tracker) is not None
        text = f"{value:.3f}" + ("" if spread is None else f" \N{PLUS-MINUS SIGN} {spread:.3f}")
        return text + ("\N{DAGGER}" if cut_short else "")

    def end_of_eao(self, tracker: TrackerScores) -> Optional[int]:
        """The largest length in the mean that is the EAO, if the curve ends before the interval
        does. None otherwise, and if there is no EAO."""
        curve = self.curve(tracker, "expected_overlap")
        if self.value(tracker, "eao") is None or len(curve) > self.protocol.interval[1]:
            return None
        return len(curve) - 1

    def notes(self) -> List[str]:
        """Explanations of the marks beside names and numbers, and the intervals of the measure that
        ranks."""
        notes = []
        intervals = [(t, self.protocol.confidence_interval(t.scores)) for t in self.trackers]
        shown = [
            f"{t.name} {i[0]:.3f} to {i[1]:.3f}{self.protocol.doubt(t.scores)}"
            for t, i in intervals
            if i
        ]
        if shown:
            notes.append(
                f"95 % intervals of {self.protocol.primary}, by the bootstrap over sequences: "
                f"{', '.join(shown)}."
            )
        if not all(map(self.complete, self.trackers)):
            notes.append(
                "* Some sequences have no usable result. The numbers are of the others, do not "
                "compare with those of other trackers, and have no rank."
            )
        for tracker in self.trackers:
            end = self.end_of_eao(tracker)
            if end is not None:
                low, high = self.protocol.interval
                notes.append(
                    f"\N{DAGGER} eao of {tracker.name} is the mean over lengths of {low} to {end} "
                    f"frames instead of {low} to {high}: no run between two starts is longer."
                )
        return notes


def finite(value) -> Optional[float]:
    """The number, or None if JSON cannot hold it."""
    return None if value is None or not math.isfinite(value) else float(value)
