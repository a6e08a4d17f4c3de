"""Plots of a comparison: curves with ranked legends as in papers, attributes and speed.

Each function returns a matplotlib figure, or None if there is nothing to plot.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...utils.figures import COLORS, legend_beside, line_style, panel_grid
from .attributes import long_name
from .comparison import Comparison
from .part import Part, TrackerScores

MARKERS = "osD^v"  # they distinguish trackers of the same color
MOST_IN_LEGEND = 24
SIZE = (8.4, 5)  # of a plot and its legend, in inches


class Curve(NamedTuple):
    """A plot of curves. Its legend shows the measure that the protocol reports, or the first one.
    Thresholds are evenly spaced from 0 to the largest value of the x axis."""

    title: str
    measures: Sequence[str]
    xlabel: str
    ylabel: str
    top: float


CURVES: Dict[str, Curve] = {
    "success": Curve(
        "Success", ("success_auc", "average_overlap"), "overlap threshold", "success rate", 1
    ),
    "precision": Curve(
        "Precision",
        ("precision_20", "precision_auc"),
        "location error threshold, px",
        "precision",
        50,
    ),
    "norm_precision": Curve(
        "Normalised precision",
        ("norm_precision_auc", "norm_precision_20"),
        "location error threshold, in sides of the true box",
        "normalised precision",
        0.5,
    ),
}


def style(tracker: TrackerScores) -> Dict:
    """Color and dashes of a tracker, the same in all plots."""
    dashes, color = divmod(tracker.number, len(COLORS))
    return line_style(color, dashes)


def all_plots(comparison: Comparison) -> Dict[str, Figure]:
    """Every plot for which the results have numbers, by the name of its file."""
    figures = {kind: curve_plot(comparison, kind) for kind in CURVES}
    figures["expected_overlap"] = expected_overlap_plot(comparison)
    figures["precision_recall"] = long_term_plot(comparison)
    figures["speed"] = speed_plot(comparison)
    figures["attributes"] = attribute_overview(comparison)
    for kind in ("success", "precision"):
        figures[f"attributes_{kind}"] = attribute_curves(comparison, kind)
    return {name: figure for name, figure in figures.items() if figure is not None}


def curve_plot(comparison: Comparison, kind: str) -> Optional[Figure]:
    """A plot of CURVES."""
    if not _has_curve(comparison, kind):
        return None
    figure, axes = _axes(comparison, CURVES[kind].title)
    _draw_curves(axes, comparison.whole, kind)
    axes.set(xlabel=CURVES[kind].xlabel, ylabel=CURVES[kind].ylabel)
    return figure


def expected_overlap_plot(comparison: Comparison) -> Optional[Figure]:
    """VOT with restarts: the expected average overlap over the length of a sequence. The interval
    of the challenge is shaded."""
    known = _with_curve(comparison, "expected_overlap")
    if not known:
        return None
    figure, axes = _axes(comparison, "Expected average overlap")
    axes.axvspan(*comparison.protocol.interval, color="#eeeeee", zorder=0)
    lines = {t.number: axes.plot(curve, **style(t)) for t, curve in known}
    _ranked_legend(axes, comparison.whole, "eao", lines)
    axes.set(xlabel="length of sequence, frames", ylabel="expected overlap", xlim=(0, None))
    axes.set_ylim(0, 1)
    return figure


def long_term_plot(comparison: Comparison) -> Optional[Figure]:
    """VOT long-term: precision over recall, with the largest F-score marked and F-scores as
    contours."""
    known = _with_curve(comparison, "recall")
    if not known:
        return None
    figure, axes = _axes(comparison, "Long-term precision and recall")
    sides = np.linspace(0.005, 1, 200)
    f_scores = 2 * sides * sides[:, None] / (sides + sides[:, None])
    looks = {"levels": np.arange(1, 10) / 10, "colors": "#c8c8c8", "linewidths": 0.8, "zorder": 1}
    axes.clabel(axes.contour(sides, sides, f_scores, **looks), fontsize=7.5, fmt="%.1f")
    lines = {}
    for tracker, recall in known:
        precision = comparison.whole.curve(tracker, "precision")
        lines[tracker.number] = axes.plot(recall, precision, **style(tracker))
        best = (comparison.whole.value(tracker, name) for name in ("recall", "precision"))
        axes.plot(*best, zorder=99, **_dot(tracker))
    _ranked_legend(axes, comparison.whole, "f_score", lines)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
    return figure


def speed_plot(comparison: Comparison) -> Optional[Figure]:
    """The primary measure over frames per second, of the trackers whose times are known."""
    primary = comparison.primary
    points = [(t, t.speed, comparison.whole.value(t, primary)) for t in comparison.scored]
    points = [(t, speed, value) for t, speed, value in points if speed and value is not None]
    if not points:
        return None
    figure, axes = _axes(comparison, "Speed and accuracy")
    dots = {t.number: axes.plot(x, y, markersize=10, alpha=0.9, **_dot(t)) for t, x, y in points}
    _ranked_legend(axes, comparison.whole, primary, dots)
    _, speeds, values = zip(*points)
    margin = max(0.15 * (max(values) - min(values)), 0.03)
    axes.set(xscale="log", xlim=(min(speeds) / 2.5, max(speeds) * 2.5))
    axes.set(ylim=(max(0, min(values) - margin), max(values) + margin))
    axes.axvline(25, color="#777777", linestyle=":", linewidth=1)
    axes.set(xlabel="frames per second (median), dotted: 25", ylabel=primary)
    return figure


def attribute_curves(comparison: Comparison, kind: str) -> Optional[Figure]:
    """One small plot of CURVES for each attribute, with the number of its sequences."""
    parts = comparison.by_attribute
    if not parts or not _has_curve(comparison, kind):
        return None
    figure, cells = panel_grid(len(parts), columns=2, width=6.6, height=3.7)
    for axes, (attribute, part) in zip(cells, parts.items()):
        _draw_curves(axes, part, kind, legend_size=7.5)
        axes.set_title(f"{long_name(attribute)}: {len(part.names)}", fontsize=10.5)
    figure.supxlabel(CURVES[kind].xlabel, fontsize=10)
    figure.supylabel(CURVES[kind].ylabel, fontsize=10)
    return figure


def attribute_overview(comparison: Comparison) -> Optional[Figure]:
    """The primary measure of each tracker for each attribute."""
    parts, primary = comparison.by_attribute, comparison.primary
    if not parts or not comparison.scored:
        return None
    figure, (axes,) = panel_grid(1, columns=1, width=10, height=max(1 + 0.5 * len(parts), 4))
    dots, rows = {}, np.arange(len(parts))
    # in each row the best tracker is above the others, so that equal ones do not cover each other
    shifts = np.linspace(-0.3, 0.3, len(comparison.scored) + 2)[1:-1]
    for tracker, shift in zip(comparison.scored, shifts):
        values = [part.summaries[tracker.number].get(primary, np.nan) for part in parts.values()]
        looks = {"markersize": 7, "alpha": 0.85, **_dot(tracker)}
        dots[tracker.number] = axes.plot(values, rows + shift, **looks)
    _ranked_legend(axes, comparison.whole, primary, dots)
    axes.set_yticks(rows, [f"{long_name(a)}: {len(part.names)}" for a, part in parts.items()])
    axes.set(xlabel=primary, ylim=(len(parts) - 0.5, -0.5), xlim=(0, 1))
    return figure


def _with_curve(comparison: Comparison, kind: str) -> List[Tuple[TrackerScores, Sequence]]:
    """The trackers that have a curve, each with the curve."""
    curves = ((t, comparison.whole.curve(t, kind)) for t in comparison.scored)
    return [(tracker, curve) for tracker, curve in curves if curve is not None]


def _has_curve(comparison: Comparison, kind: str) -> bool:
    """Whether the protocol has this curve of CURVES. "precision" of long-term tracking is another
    curve."""
    return bool(_with_curve(comparison, kind)) and not _with_curve(comparison, "recall")


def _axes(comparison: Comparison, title: str):
    figure, (axes,) = panel_grid(1, 1, *SIZE)
    name = comparison.dataset
    name = name if len(name) <= 40 else "..." + name[-37:]
    axes.set_title(f"{title}, {name}", fontsize=11)
    return figure, axes


def _dot(tracker: TrackerScores) -> Dict:
    """The style of a single point of a tracker."""
    marker = MARKERS[tracker.number // len(COLORS) % len(MARKERS)]
    return {"color": style(tracker)["color"], "marker": marker, "linestyle": ""}


def _draw_curves(axes, part: Part, kind: str, legend_size: float = 9) -> None:
    """Plot the curves of the trackers, with a legend that the measure of the plot ranks."""
    curve, lines = CURVES[kind], {}
    reported = [m for m in part.protocol.measures if m in curve.measures]
    for tracker in part.trackers:
        values = part.curve(tracker, kind)
        if values is not None:
            thresholds = np.linspace(0, curve.top, len(values))
            lines[tracker.number] = axes.plot(thresholds, values, **style(tracker))
    _ranked_legend(axes, part, (reported or curve.measures)[0], lines, legend_size)
    axes.set(xlim=(0, curve.top), ylim=(0, 1))


def _ranked_legend(axes, part: Part, measure: str, lines: Dict[int, List[Line2D]], size=9) -> None:
    """Add a legend with the line of each tracker (by number), in the order of the measure. The
    first line is drawn on top."""
    handles = []
    for tracker in part.order(measure):
        for line in lines.get(tracker.number, ()):
            text = part.shown(tracker, measure) or "-"
            line.set(label=f"{part.marked(tracker)} [{text}]", linewidth=1.8)
            line.set_zorder(3 + len(lines) - len(handles))
            handles.append(line)
    more = len(handles) - MOST_IN_LEGEND
    if more > 0:
        rest = Line2D([], [], linestyle="", label=f"... and {more} more")
        handles = [*handles[:MOST_IN_LEGEND], rest]
    legend_beside(axes, handles, size)
