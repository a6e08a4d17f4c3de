"""The tables of a report as data: the content and the style of each cell."""

from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from .comparison import Comparison
from .part import LOWER_IS_BETTER, Part, TrackerScores, finite
from .plots import style

MISSING = "\N{EN DASH}"


class Cell(NamedTuple):
    """A cell of a table: the number or text by which it is sorted (None if there is none); the text
    that is shown, which is by default that value; the color of a patch before the text; whether the
    text is bold; and the background, from 0 (red) to 1 (blue), or None for no color."""

    value: object = None
    text: Optional[str] = None
    color: Optional[str] = None
    best: bool = False
    shade: Optional[float] = None

    @property
    def shown(self) -> str:
        if self.text is not None:
            return self.text
        if self.value is None:
            return MISSING
        return f"{self.value:.3f}" if isinstance(self.value, float) else str(self.value)

    @property
    def background(self) -> str:
        """The background: pale red for a shade of 0, white in the middle, pale blue for 1. People
        with color blindness can tell these apart."""
        low, middle, high = (247, 190, 178), (255, 255, 255), (180, 208, 240)
        share = min(max(self.shade, 0.0), 1.0)
        a, b, t = (low, middle, 2 * share) if share < 0.5 else (middle, high, 2 * share - 1)
        return "#" + "".join(f"{round(u + (v - u) * t):02x}" for u, v in zip(a, b))


class Table(NamedTuple):
    """Titles of the columns, and rows of cells. A column with any text is sorted as text."""

    header: List[Cell]
    rows: List[List[Cell]]

    def is_text(self, column: int) -> bool:
        return any(isinstance(row[column].value, str) for row in self.rows)


def measures_table(
    part: Part, measures: Sequence[str], ranked_by: str, speed: bool = False
) -> Table:
    """A table with one line for each tracker, best first by the measure ``ranked_by``. The best
    value of each column is bold. Measures that no tracker has are left out. Trackers that lack
    sequences have no rank and are never bold. With ``speed``, frames per second and the number of
    sequences are shown."""
    measures = [m for m in measures if part.has(m)]
    trackers = part.order(ranked_by)
    ranked = [t for t in trackers if part.complete(t)]
    rows = []
    for tracker in trackers:
        complete = tracker in ranked
        row = [Cell(ranked.index(tracker) + 1 if complete else None), _name(part, tracker)]
        for measure in measures:
            value, others = part.value(tracker, measure), [part.value(t, measure) for t in ranked]
            best = complete and _is_best(value, others, measure)
            row.append(Cell(value, part.shown(tracker, measure), best=best))
        if speed:
            count = len(tracker.scores)
            row.append(Cell(tracker.speed, _speed(tracker.speed)))
            row.append(Cell(count, f"{count} of {len(part.names)}"))
        rows.append(row)
    header = ["#", "tracker", *measures, *(["fps", "sequences"] if speed else [])]
    return Table([Cell(text) for text in header], rows)


def sequences_table(comparison: Comparison) -> Optional[Table]:
    """A table of one measure, with a line for each sequence and a column for each tracker; None if
    no tracker has a score. The mean is over the trackers that have all sequences, so that it is
    over the same trackers in each line."""
    trackers, measure = comparison.scored, comparison.sequence_measure
    if not trackers:
        return None
    complete = [comparison.whole.complete(t) for t in trackers]
    scores = [
        [finite(t.scores.get(track["name"], {}).get(measure)) for t in trackers]
        for track in comparison.tracks
    ]
    top = max([1.0, *(v for values in scores for v in values if v is not None)])
    rows = []
    for track, values in zip(comparison.tracks, scores):
        name = track["name"]
        known = [v for v, whole in zip(values, complete) if whole and v is not None]
        row = [Cell(name), Cell(len(track["boxes"]))]
        if comparison.attributes:
            row.append(Cell(" ".join(comparison.attributes.get(name, []))))
        for value, whole in zip(values, complete):
            shade = None if value is None else value / top
            if value is not None and measure in LOWER_IS_BETTER:
                shade = 1 - shade
            best = whole and _is_best(value, known, measure)
            row.append(Cell(value, best=best, shade=shade))
        if any(complete):
            row.append(Cell(float(np.mean(known)) if known else None))
        rows.append(row)
    header = ["sequence", "frames", *(["attributes"] if comparison.attributes else [])]
    header = [Cell(text) for text in header] + [_name(comparison.whole, t) for t in trackers]
    return Table(header + ([Cell("mean")] if any(complete) else []), rows)


def _is_best(value: Optional[float], others: Sequence[Optional[float]], measure: str) -> bool:
    known = [v for v in others if v is not None]
    best = (min if measure in LOWER_IS_BETTER else max)(known, default=None)
    return value is not None and best is not None and abs(value - best) < 1e-9


def _name(part: Part, tracker: TrackerScores) -> Cell:
    return Cell(tracker.name, part.marked(tracker), style(tracker)["color"])


def _speed(value: Optional[float]) -> Optional[str]:
    if value is None:
        return None
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"
