"""Compares trackers on one dataset by their result files."""

import logging
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Dict, List, Optional

from ...data import get_tracks
from ...data.datasets import TrackList
from ..measures.metrics import frames_per_second
from ..protocols import Protocol, get_protocol
from ..results import ResultProblem, read_results
from .attributes import find_attributes, read_attributes
from .part import Part, TrackerScores, finite

logger = logging.getLogger(__name__)


@dataclass
class Comparison:
    """Trackers, best first (see Part.order), scored by one protocol; and the attributes of
    sequences ({} if there are none), their source, and what is wrong with them."""

    dataset: str
    protocol: Protocol
    tracks: TrackList
    trackers: List[TrackerScores]
    attributes: Dict[str, List[str]]
    attributes_from: str
    problems: List[str] = field(default_factory=list)

    def __post_init__(self):
        self.trackers = self.whole.order(self.primary)
        self.whole.trackers = self.trackers

    @cached_property
    def whole(self) -> Part:
        """The part with all trackers and all sequences."""
        return Part(self.protocol, [track["name"] for track in self.tracks], self.trackers)

    @property
    def scored(self) -> List[TrackerScores]:
        """The trackers that have a measure of the protocol, best first."""
        return [
            t
            for t in self.trackers
            if any(self.whole.value(t, m) is not None for m in self.protocol.measures)
        ]

    @cached_property
    def primary(self) -> str:
        """The measure that ranks: the first one of the protocol that any tracker has on all
        sequences. If no tracker has all sequences, it is the first one that any tracker has."""
        measures = self.protocol.measures
        found = [m for complete in (True, False) for m in measures if self.whole.has(m, complete)]
        return (found or measures)[0]

    @cached_property
    def sequence_measure(self) -> str:
        """The measure that ranks sequences. A single sequence with restarts has no EAO; failures
        rank it."""
        scores = [s for t in self.trackers for s in t.scores.values()]
        measures = ("failures", *self.protocol.measures)
        there = (m for m in measures if any(finite(s.get(m)) is not None for s in scores))
        return next(there, self.protocol.primary)

    @cached_property
    def common(self) -> Part:
        """The part with the sequences that all trackers with a score have."""
        names = [n for n in self.whole.names if all(n in t.scores for t in self.scored)]
        return Part(self.protocol, names, self.scored)

    @cached_property
    def by_attribute(self) -> Dict[str, Part]:
        """A part for the sequences of each attribute, in alphabetical order."""
        with_attribute = {
            a: [n for n, found in self.attributes.items() if a in found]
            for a in sorted({a for found in self.attributes.values() for a in found})
        }
        return {a: Part(self.protocol, n, self.scored) for a, n in with_attribute.items()}


def compare(
    dataset: str, folders: Dict[str, Path], attributes: Optional[Path] = None, protocol: str = ""
) -> Comparison:
    """Compare trackers, {name: folder of results}, on a dataset that `sot.data.get_tracks` knows.
    Faults of result files are noted in the comparison, and the other files are used.

    Args:
        attributes: see read_attributes; None looks for them beside the dataset.
        protocol: its name; "" for that of the dataset.

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
    return Comparison(dataset, protocol, tracks, trackers, found, source, problems)


def score_tracker(
    tracker: TrackerScores, dataset: str, tracks: TrackList, protocol: Protocol
) -> TrackerScores:
    """Read and score the results of a tracker. Faults of its files go into its problems."""
    try:
        tracker.results = read_results(tracker.folder, dataset, tracker.problems)
    except FileNotFoundError as e:
        tracker.problems.append(ResultProblem("", str(e), True))
        return tracker
    # a run without a failure does not show whether it has restarts, but the other runs do
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
        speed = frames_per_second(result.times)
        if speed:
            tracker.fps[name] = speed
    logger.info(f"{tracker.name}: {len(tracker.scores)} of {len(tracks)} sequences")
    return tracker
