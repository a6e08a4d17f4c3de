"""Trackers on one dataset side by side, from their result files."""

import csv
import json
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterable, List, Optional

import numpy as np

from ...data import get_tracks
from ...data.datasets import TrackList
from ..measures.metrics import frames_per_second
from ..protocols import Protocol, get_protocol
from ..results import ResultProblem, SequenceResult, read_results
from .attributes import find_attributes, read_attributes

__all__ = ["Comparison", "TrackerScores", "as_json", "compare", "finite", "scalars", "write_table"]

logger = logging.getLogger(__name__)

LOWER_IS_BETTER = {"failures", "failures_per_100", "robustness"}


@dataclass
class TrackerScores:
    """One tracker on the dataset.

    Attributes:
        name, folder: as given.
        number: its place in the order of the command line, from 0; colors go by it.
        results: {sequence: result}, of those that can be used.
        scores: {sequence: what the protocol says of it}.
        summary: what the protocol says of them together; {} if there is none.
        fps: {sequence: frames per second}, where known.
        problems: what was wrong with its files.
    """

    name: str
    folder: Path
    number: int
    results: Dict[str, SequenceResult] = field(default_factory=dict)
    scores: Dict[str, Dict] = field(default_factory=dict)
    summary: Dict = field(default_factory=dict)
    fps: Dict[str, float] = field(default_factory=dict)
    problems: List[ResultProblem] = field(default_factory=list)

    @property
    def speed(self) -> Optional[float]:
        """Median of the frames per second over the sequences, None if not known."""
        return float(np.median(list(self.fps.values()))) if self.fps else None

    @property
    def problem_lines(self) -> List[str]:
        """The problems, a line each."""
        return [
            (f"{p.sequence}: {'left out: ' if p.left_out else ''}" if p.sequence else "") + p.detail
            for p in self.problems
        ]


@dataclass
class Comparison:
    """
    Attributes:
        dataset: its name.
        protocol: by which all are scored.
        tracks: of the dataset.
        trackers: best first, those with all sequences before the others, those without any score
            last.
        attributes: {sequence: names of attributes}; {} if there are none.
        attributes_from: where they are from.
    """

    dataset: str
    protocol: Protocol
    tracks: TrackList
    trackers: List[TrackerScores]
    attributes: Dict[str, List[str]]
    attributes_from: str
    problems: List[str] = field(default_factory=list)

    @property
    def scored(self) -> List[TrackerScores]:
        """The trackers that have a measure of the protocol, best first."""
        measures = self.protocol.measures
        return [
            t for t in self.trackers if any(finite(t.summary.get(m)) is not None for m in measures)
        ]

    @property
    def primary(self) -> str:
        """The measure that ranks: the protocol's first one that any tracker has on all sequences,
        or, if there is no such tracker, on those that it has."""
        measures = self.protocol.measures
        complete = [t.summary for t in self.trackers if self.complete(t)]
        return self._first_of(measures, complete) or self._first_of(
            measures, [t.summary for t in self.trackers], self.protocol.primary
        )

    @property
    def sequence_measure(self) -> str:
        """The measure that ranks sequences; a run with restarts has no EAO, but failures."""
        scores = [s for t in self.trackers for s in t.scores.values()]
        measures = ("failures", *self.protocol.measures)
        return self._first_of(measures, scores, self.protocol.primary)

    def _first_of(self, measures: Iterable[str], scores: List[Dict], default: str = "") -> str:
        there = (m for m in measures if any(finite(s.get(m)) is not None for s in scores))
        return next(there, default)

    def value(self, tracker: TrackerScores) -> Optional[float]:
        """The primary measure of the whole set, None if there is none."""
        return finite(tracker.summary.get(self.primary))

    def common(self) -> List[str]:
        """Sequences that all trackers with a score have, in the order of the dataset."""
        names = [track["name"] for track in self.tracks]
        return [n for n in names if all(n in t.scores for t in self.scored)]

    def complete(self, tracker: TrackerScores) -> bool:
        """Whether a tracker has a result for each sequence."""
        return len(tracker.scores) == len(self.tracks)

    def marked(self, tracker: TrackerScores) -> str:
        """The name, with a star if its numbers are not of all sequences."""
        return tracker.name + ("" if self.complete(tracker) else "*")

    def shown(self, summary: Dict, measure: str) -> Optional[str]:
        """A measure as people read it, with a dagger if it is an EAO over a part of its interval;
        None if there is none."""
        value = finite(summary.get(measure))
        cut_short = measure == "eao" and self.end_of_curve(summary) is not None
        return None if value is None else f"{value:.3f}" + ("\N{DAGGER}" if cut_short else "")

    def end_of_curve(self, summary: Dict) -> Optional[int]:
        """The largest length that the expected overlap is known for, None if that is all of the
        interval which EAO is the mean over (or if there is no expected overlap)."""
        curve = summary.get("curves", {}).get("expected_overlap")
        if curve is None or len(curve) > self.protocol.interval[1]:
            return None
        return len(curve) - 1

    def notes(self) -> List[str]:
        """What has to be known of the marks beside names and numbers."""
        notes = []
        if not all(map(self.complete, self.trackers)):
            notes.append(
                "* Some sequences have no usable result. The numbers are of the others, do not "
                "compare with those of other trackers, and have no rank."
            )
        for tracker in self.scored:
            end = self.end_of_curve(tracker.summary)
            if end is not None and finite(tracker.summary.get("eao")) is not None:
                low, high = self.protocol.interval
                notes.append(
                    f"\N{DAGGER} eao of {tracker.name} is the mean over lengths of {low} to {end} "
                    f"frames instead of {low} to {high}: no run between two starts is longer."
                )
        return notes

    def summarize(self, tracker: TrackerScores, names: Iterable[str]) -> Dict:
        """What the protocol says of a part of the sequences; {} if the tracker has none of them."""
        part = {name: tracker.scores[name] for name in names if name in tracker.scores}
        return self.protocol.summarize(part) if part else {}

    def by_attribute(self) -> Dict[str, List[str]]:
        """{attribute: its sequences}, the attributes in alphabetical order."""
        names = sorted({a for attributes in self.attributes.values() for a in attributes})
        return {a: [n for n, found in self.attributes.items() if a in found] for a in names}


def finite(value) -> Optional[float]:
    """A number that JSON can hold, or None."""
    return None if value is None or not math.isfinite(value) else float(value)


def compare(
    dataset: str,
    folders: Dict[str, Path],
    attributes: Optional[Path] = None,
    protocol: str = "",
) -> Comparison:
    """
    Args:
        dataset: whatever `sot.data.get_tracks` knows.
        folders: {name of a tracker: folder of its results}.
        attributes: see read_attributes; None looks for them beside the dataset.
        protocol: its name; "" for that of the dataset.

    Returns:
        a :class:`Comparison`. What is wrong with result files is in it; other files and trackers
        go on.

    Raises:
        ValueError, FileNotFoundError: no such dataset, or bad ``attributes``.
    """
    tracks, protocol = get_tracks(dataset), get_protocol(dataset, protocol)
    names, problems = [track["name"] for track in tracks], []
    if attributes is not None:
        found, source = read_attributes(attributes, names), str(attributes)
    else:
        try:
            found, source = find_attributes(dataset, names)
        except ValueError as e:
            found, source = {}, ""
            problems.append(f"no attributes: {e}")
    trackers = [
        score_tracker(TrackerScores(name, Path(folder), number), dataset, tracks, protocol)
        for number, (name, folder) in enumerate(folders.items())
    ]
    result = Comparison(dataset, protocol, tracks, trackers, found, source, problems)
    trackers.sort(
        key=lambda t: (result.value(t) is None, not result.complete(t), -(result.value(t) or 0))
    )
    return result


def score_tracker(
    tracker: TrackerScores, dataset: str, tracks: TrackList, protocol: Protocol
) -> TrackerScores:
    """Read and score the results of a tracker; what is wrong goes into its problems."""
    try:
        tracker.results = read_results(tracker.folder, dataset, tracker.problems)
    except FileNotFoundError as e:
        tracker.problems.append(ResultProblem("", str(e), True))
        return tracker
    recorded = _recorded_speeds(tracker.folder, dataset)
    # a run in which the tracker never failed does not show what it is of, but the others do
    restarted = any(result.restarted for result in tracker.results.values())
    for track in tracks:
        name = track["name"]
        if name not in tracker.results:
            continue
        result = tracker.results[name]
        try:
            scores = protocol.score_result(result, track, restarted)
        except ValueError as e:
            tracker.problems.append(ResultProblem(name, str(e), True))
            continue
        tracker.scores[name] = scores
        speed = frames_per_second(result.times) or recorded.get(name)
        if speed:
            tracker.fps[name] = speed
    if tracker.scores:
        tracker.summary = protocol.summarize(tracker.scores)
    logger.info(f"{tracker.name}: {len(tracker.scores)} of {len(tracks)} sequences")
    return tracker


def _recorded_speeds(folder: Path, dataset: str) -> Dict[str, float]:
    """{sequence: frames per second} of the evaluator's metrics.json on the dataset, if there is."""
    try:
        report = json.loads((folder / "metrics.json").read_text())
        if report.get("dataset", dataset) != dataset:
            return {}
        sequences = report["sequences"]
        return {name: float(entry["fps"]) for name, entry in sequences.items() if "fps" in entry}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def scalars(scores: Dict) -> Dict[str, Optional[float]]:
    """The entries of scores that are numbers."""
    return {k: finite(v) for k, v in scores.items() if isinstance(v, (int, float, np.number))}


def as_json(comparison: Comparison) -> Dict:
    """Everything that was measured."""
    names = comparison.common()
    return {
        "dataset": comparison.dataset,
        "protocol": {
            "name": comparison.protocol.name,
            "description": comparison.protocol.description,
            "primary": comparison.primary,
        },
        "sequences": len(comparison.tracks),
        "common_sequences": names,
        "attributes_from": comparison.attributes_from,
        "problems": comparison.problems,
        "trackers": {t.name: _tracker_json(comparison, t, names) for t in comparison.trackers},
    }


def _tracker_json(comparison: Comparison, tracker: TrackerScores, common: List[str]) -> Dict:
    return {
        "folder": str(tracker.folder),
        "sequences_scored": len(tracker.scores),
        "summary": scalars(tracker.summary),
        "eao_ends_at": comparison.end_of_curve(tracker.summary),
        "common": scalars(comparison.summarize(tracker, common)),
        "fps": tracker.speed,
        "attributes": {
            attribute: scalars(comparison.summarize(tracker, names))
            for attribute, names in comparison.by_attribute().items()
        },
        "curves": tracker.summary.get("curves", {}),
        "sequences": {
            name: {**scalars(scores), "fps": tracker.fps.get(name)}
            for name, scores in tracker.scores.items()
        },
        "problems": [problem._asdict() for problem in tracker.problems],
    }


def write_table(comparison: Comparison, path) -> None:
    """CSV with a line for each tracker and sequence, and a column for each measure; empty where
    there is no number."""
    found = [scalars(s) for t in comparison.trackers for s in t.scores.values()]
    measures = dict.fromkeys(name for scores in found for name in scores)
    measures.pop("frames", None)  # of the sequence, which has a column of its own
    with open(path, "w", newline="") as f:
        rows = csv.writer(f, lineterminator="\n")
        rows.writerow(["tracker", "sequence", "frames", *measures, "fps", "attributes"])
        for tracker in comparison.trackers:
            for track in comparison.tracks:
                name = track["name"]
                scores = scalars(tracker.scores.get(name, {}))
                values = [*(scores.get(m) for m in measures), tracker.fps.get(name)]
                cells = ["" if v is None else f"{v:.6g}" for v in values]
                attributes = " ".join(comparison.attributes.get(name, []))
                rows.writerow([tracker.name, name, len(track["boxes"]), *cells, attributes])
