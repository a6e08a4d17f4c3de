"""The report of a comparison: plots, tables, and one HTML file that needs nothing else.

OUT/report.html            all of it in one file, for any browser
OUT/metrics.json           every number and curve
OUT/sequences.csv          a line for each tracker and sequence
OUT/success.png, .pdf ...  each plot for itself
"""

import json
from html import escape
from pathlib import Path
from typing import Dict, Iterable, List, Optional

import numpy as np

from .. import __version__
from .comparison import (
    LOWER_IS_BETTER,
    Comparison,
    TrackerScores,
    as_json,
    finite,
    scalars,
    write_table,
)
from .html_page import Cell, details, figure_image, page, swatch, table
from .plots import (
    CURVES,
    attribute_curves,
    attribute_overview,
    curve_plot,
    expected_overlap_plot,
    long_term_plot,
    speed_plot,
    style,
)
from .worst import worst_html

__all__ = ["write_report"]

SHOWN_PROBLEMS = 30


def write_report(comparison: Comparison, output, worst: int = 3) -> Path:
    """
    Args:
        comparison: of sot.evaluation.comparison.compare.
        output: folder, made if it is missing; files of an earlier report are replaced.
        worst: sequences of each tracker that are shown as film strips.

    Returns:
        the path of report.html.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    figures = {name: figure for name, figure in _figures(comparison).items() if figure is not None}
    for name, figure in figures.items():
        figure.savefig(output / f"{name}.png", dpi=150)
        figure.savefig(output / f"{name}.pdf")
    (output / "metrics.json").write_text(json.dumps(as_json(comparison), indent=1, default=_plain))
    write_table(comparison, output / "sequences.csv")
    path = output / "report.html"
    title = f"Trackers on {comparison.dataset}"
    path.write_text(page(title, _body(comparison, title, figures, worst)), encoding="utf-8")
    return path


def _plain(value):
    """What numpy has, as JSON has it."""
    if isinstance(value, np.ndarray):
        return [finite(v) for v in value.ravel()]
    return finite(value)


def _figures(comparison: Comparison) -> Dict:
    figures = {kind: curve_plot(comparison, kind) for kind in CURVES}
    figures["expected_overlap"] = expected_overlap_plot(comparison)
    figures["precision_recall"] = long_term_plot(comparison)
    figures["speed"] = speed_plot(comparison)
    figures["attributes"] = attribute_overview(comparison)
    for kind in ("success", "precision"):
        figures[f"attributes_{kind}"] = attribute_curves(comparison, kind)
    return figures


def _body(comparison: Comparison, title: str, figures: Dict, worst: int) -> List[str]:
    parts = {
        "ranking": ("Ranking", _ranking(comparison)),
        "plots": ("Plots", _plots(figures)),
        "attributes": ("Attributes", _attributes(comparison, figures)),
        "sequences": ("Sequences", _sequences(comparison)),
        "worst": ("Worst sequences", worst_html(comparison, worst)),
    }
    parts = {key: part for key, part in parts.items() if part[1]}
    links = "".join(f'<a href="#{key}">{name}</a>' for key, (name, _) in parts.items())
    frames = int(comparison.tracks.num_frames().sum())
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="note">{len(comparison.trackers)} trackers, {len(comparison.tracks)} sequences, '
        f"{frames} frames. Protocol: <b>{escape(comparison.protocol.name)}</b>.</p>",
        f"<nav>{links}</nav>",
        *_problems(comparison),
    ]
    for key, (name, content) in parts.items():
        body += [f'<h2 id="{key}">{name}</h2>', *content]
    return [*body, f'<p class="note">Made by sot {escape(__version__)}.</p>']


def _problems(comparison: Comparison) -> List[str]:
    lists = {"The data set": comparison.problems}
    for tracker in comparison.trackers:
        lists[tracker.name] = [
            (f"{p.sequence}: " if p.sequence else "")
            + ("left out: " if p.left_out and p.sequence else "")
            + p.detail
            for p in tracker.problems
        ]
    blocks = []
    for name, lines in lists.items():
        if lines:
            count = f"{len(lines)} problem{'s' if len(lines) > 1 else ''}"
            more = len(lines) - SHOWN_PROBLEMS
            shown = lines[:SHOWN_PROBLEMS] + ([f"... and {more} more"] if more > 0 else [])
            blocks.append(details(f"{name}: {count}", shown))
    if not blocks:
        return []
    return ['<div class="warn"><b>Not all files were as expected.</b>', *blocks, "</div>"]


def _ranking(comparison: Comparison) -> List[str]:
    trackers, measures = comparison.trackers, comparison.protocol.measures
    summaries = {t.name: t.summary for t in trackers}
    html = [_measures_table(comparison, summaries, measures)]
    if not all(map(comparison.complete, trackers)):
        html.append(
            '<p class="note">* not all sequences: the numbers are of those that the tracker has, '
            "and do not compare with the others.</p>"
        )
        names = comparison.common()
        if names and len(names) < len(comparison.tracks):
            parts = {t.name: comparison.summarize(t, names) for t in comparison.scored}
            html.append(f"<h3>On the {len(names)} sequences that all of them have</h3>")
            html.append(_measures_table(comparison, parts, measures, speed=False))
    html.append(f'<p class="note">{escape(comparison.protocol.description)}</p>')
    if comparison.protocol.maximum:
        limits = ", ".join(f"{k} {v:.3f}" for k, v in comparison.protocol.maximum.items())
        html.append(f'<p class="note">Perfect boxes reach: {escape(limits)}; 1 elsewhere.</p>')
    others = dict.fromkeys(k for s in summaries.values() for k in scalars(s) if k not in measures)
    others = [m for m in others if not m.endswith("_scored")]
    if others:
        more = _measures_table(comparison, summaries, others, speed=False)
        html.append(f"<details><summary>Other measures</summary>{more}</details>")
    return html


def _measures_table(
    comparison: Comparison, summaries: Dict[str, Dict], measures, speed: bool = True
) -> str:
    """One line for each tracker of ``summaries``, best first; the best of each column in bold."""
    columns = {m: {n: finite(s.get(m)) for n, s in summaries.items()} for m in measures}
    columns = {m: c for m, c in columns.items() if any(v is not None for v in c.values())}
    best = {m: _best(m, column.values()) for m, column in columns.items()}
    by_name = {t.name: t for t in comparison.trackers}
    order = {n: finite(s.get(comparison.primary)) for n, s in summaries.items()}
    if speed:  # of all sequences, so that those who lack some go last
        names = [t.name for t in comparison.trackers if t.name in summaries]
    else:
        names = sorted(summaries, key=lambda n: np.inf if order[n] is None else -order[n])
    rows = []
    for rank, name in enumerate(names, start=1):
        tracker = by_name[name]
        row = [Cell(rank), _name_cell(comparison, tracker)]
        for measure, column in columns.items():
            row.append(Cell(column[name], best=_is_best(column[name], best[measure])))
        if speed:
            fps, count = tracker.speed, len(tracker.scores)
            row += [
                Cell(fps, None if fps is None else _number(fps)),
                Cell(count, f"{count} of {len(comparison.tracks)}"),
            ]
        rows.append(row)
    header = ["#", "tracker", *map(escape, columns), *(["fps", "sequences"] if speed else [])]
    return table(header, rows)


def _best(measure: str, values: Iterable[Optional[float]]) -> Optional[float]:
    known = [v for v in values if v is not None]
    return (min if measure in LOWER_IS_BETTER else max)(known, default=None)


def _is_best(value: Optional[float], best: Optional[float]) -> bool:
    return value is not None and abs(value - best) < 1e-9


def _name_cell(comparison: Comparison, tracker: TrackerScores) -> Cell:
    mark = "" if comparison.complete(tracker) else "*"
    return Cell(tracker.name, swatch(style(tracker)["color"], tracker.name + mark))


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _plots(figures: Dict) -> List[str]:
    names = [n for n in figures if not n.startswith("attributes")]
    shown = [figure_image(figures[n], f"{n} plot") for n in names]
    return ['<div class="plots">', *shown, "</div>"] if shown else []


def _attributes(comparison: Comparison, figures: Dict) -> List[str]:
    names = [n for n in figures if n.startswith("attributes")]
    if not names:
        return []
    source = escape(comparison.attributes_from)
    html = [f'<p class="note">From: {source}. The number of sequences is behind each name.</p>']
    titles = {"attributes_success": "Success", "attributes_precision": "Precision"}
    for name in names:
        if name in titles:
            html.append(f"<h3>{titles[name]}</h3>")
        html.append(figure_image(figures[name], f"{name} plot", wide=name in titles))
    return html


def _sequences(comparison: Comparison) -> List[str]:
    """A table of one measure: sequences down, trackers across."""
    trackers, measure = comparison.scored, comparison.sequence_measure
    if not trackers:
        return []
    table_of = {t.name: {n: finite(s.get(measure)) for n, s in t.scores.items()} for t in trackers}
    top = max([1.0, *(v for column in table_of.values() for v in column.values() if v is not None)])
    rows = []
    for track in comparison.tracks:
        name = track["name"]
        values = [table_of[t.name].get(name) for t in trackers]
        known = [v for v in values if v is not None]
        row = [Cell(name), Cell(len(track["boxes"]))]
        if comparison.attributes:
            row.append(Cell(" ".join(comparison.attributes.get(name, []))))
        for value in values:
            shade = None if value is None else value / top
            if value is not None and measure in LOWER_IS_BETTER:
                shade = 1 - shade
            best = _is_best(value, _best(measure, known))
            row.append(Cell(value, best=best, shade=shade))
        rows.append([*row, Cell(float(np.mean(known)) if known else None)])
    header = ["sequence", "frames", *(["attributes"] if comparison.attributes else [])]
    header += [_name_cell(comparison, t).html for t in trackers] + ["mean"]
    note = (
        f"{measure} of each sequence; a click on the head of a column sorts. All measures are in "
        "sequences.csv."
    )
    return [f'<p class="note">{escape(note)}</p>', table(header, rows)]
