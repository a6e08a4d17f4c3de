"""The tables of a report, as data: what is in each cell and how it looks."""

from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from .comparison import LOWER_IS_BETTER, Comparison, TrackerScores, finite
from .plots import style

__all__ = ["Cell", "Table", "measures_table", "sequences_table"]

MISSING = "\N{EN DASH}"


class Cell(NamedTuple):
    """
    value: number or text to sort by; None where there is none.
    text: what is shown; by default the value.
    color: of a patch before the text.
    best: in bold.
    shade: background, 0 (red) to 1 (blue); None for no color.
    """

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
        """Pale red for a shade of 0, white in the middle, pale blue for 1; also told apart by the
        color-blind."""
        low, middle, high = (247, 190, 178), (255, 255, 255), (180, 208, 240)
        share = min(max(self.shade, 0.0), 1.0)
        a, b, t = (low, middle, 2 * share) if share < 0.5 else (middle, high, 2 * share - 1)
        return "#" + "".join(f"{round(u + (v - u) * t):02x}" for u, v in zip(a, b))


class Table(NamedTuple):
    """
    header: what is above each column.
    rows: cells; a column with text anywhere in it sorts as text.
    """

    header: List[Cell]
    rows: List[List[Cell]]

    def is_text(self, column: int) -> bool:
        return any(isinstance(row[column].value, str) for row in self.rows)


def measures_table(
    comparison: Comparison,
    measures: Sequence[str],
    names: Optional[Sequence[str]] = None,
    speed: bool = False,
) -> Table:
    """One line for each tracker, best first, the best of each column in bold.

    Args:
        comparison, measures: what is shown; measures that no tracker has are left out.
        names: sequences, which all trackers with a score have. None: the whole dataset, in which
            trackers that lack sequences stand behind the others, without a rank and never bold.
        speed: whether frames per second and the number of sequences are shown.
    """
    trackers = comparison.trackers if names is None else comparison.scored
    summaries = {
        t.number: t.summary if names is None else comparison.summarize(t, names) for t in trackers
    }
    ranked = {t.number for t in trackers if names is not None or comparison.complete(t)}
    if names is not None:
        values = {n: finite(s.get(comparison.primary)) for n, s in summaries.items()}
        trackers = sorted(
            trackers, key=lambda t: (values[t.number] is None, -(values[t.number] or 0))
        )
    columns = {m: {n: finite(s.get(m)) for n, s in summaries.items()} for m in measures}
    columns = {m: c for m, c in columns.items() if any(v is not None for v in c.values())}
    rows = []
    for tracker in trackers:
        number, summary = tracker.number, summaries[tracker.number]
        rank = 1 + sum(row[0].value is not None for row in rows) if number in ranked else None
        row = [Cell(rank), _name(comparison, tracker)]
        for measure, column in columns.items():
            others = [column[n] for n in ranked]
            best = number in ranked and _is_best(column[number], others, measure)
            row.append(Cell(column[number], comparison.shown(summary, measure), best=best))
        if speed:
            count = len(tracker.scores)
            row.append(Cell(tracker.speed, _speed(tracker.speed)))
            row.append(Cell(count, f"{count} of {len(comparison.tracks)}"))
        rows.append(row)
    header = ["#", "tracker", *columns, *(["fps", "sequences"] if speed else [])]
    return Table([Cell(text) for text in header], rows)


def sequences_table(comparison: Comparison) -> Optional[Table]:
    """One measure: sequences down, trackers across; None if no tracker has a score. The mean is
    over the trackers that have all sequences, so that it is over the same ones in each line."""
    trackers, measure = comparison.scored, comparison.sequence_measure
    if not trackers:
        return None
    complete = [comparison.complete(t) for t in trackers]
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
    header = [Cell(text) for text in header] + [_name(comparison, t) for t in trackers]
    return Table(header + ([Cell("mean")] if any(complete) else []), rows)


def _is_best(value: Optional[float], others: Sequence[Optional[float]], measure: str) -> bool:
    known = [v for v in others if v is not None]
    best = (min if measure in LOWER_IS_BETTER else max)(known, default=None)
    return value is not None and best is not None and abs(value - best) < 1e-9


def _name(comparison: Comparison, tracker: TrackerScores) -> Cell:
    return Cell(tracker.name, comparison.marked(tracker), style(tracker)["color"])


def _speed(value: Optional[float]) -> Optional[str]:
    if value is None:
        return None
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"
