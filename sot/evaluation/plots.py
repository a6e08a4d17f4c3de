"""Plots of a comparison: curves with ranked legends as in papers, attributes, speed.

Each function returns a matplotlib figure; nothing opens a window.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from .attributes import long_name
from .comparison import Comparison, TrackerScores

__all__ = [
    "CURVES",
    "attribute_curves",
    "attribute_overview",
    "curve_plot",
    "expected_overlap_plot",
    "long_term_plot",
    "speed_plot",
    "style",
]

# no green: that is the truth in the film strips
COLORS = "#d62728 #1f77b4 #ff7f0e #9467bd #17becf #8c564b #e377c2 #000000 #bcbd22 #7f7f7f".split()
LINES = ("-", "--", ":", "-.")
MOST_IN_LEGEND = 12


class Curve(NamedTuple):
    """
    title: of the plot.
    measures: one of them is in the legend: that which the protocol reports, or the first.
    xlabel, ylabel: of the axes.
    top: largest value on the x axis; thresholds are evenly spaced from 0 to it.
    legend: where there is room for it.
    """

    title: str
    measures: Sequence[str]
    xlabel: str
    ylabel: str
    top: float
    legend: str


CURVES: Dict[str, Curve] = {
    "success": Curve(
        "Success",
        ("success_auc", "average_overlap"),
        "overlap threshold",
        "success rate",
        1,
        "lower left",
    ),
    "precision": Curve(
        "Precision",
        ("precision_20", "precision_auc"),
        "location error threshold, px",
        "precision",
        50,
        "lower right",
    ),
    "norm_precision": Curve(
        "Normalised precision",
        ("norm_precision_auc", "norm_precision_20"),
        "location error threshold, in sides of the true box",
        "normalised precision",
        0.5,
        "lower right",
    ),
}


def style(tracker: TrackerScores) -> Dict:
    """Colour and line of a tracker, the same in all plots."""
    cycle, place = divmod(tracker.number, len(COLORS))
    return {"color": COLORS[place], "linestyle": LINES[cycle % len(LINES)]}


def _marked(comparison: Comparison, tracker: TrackerScores) -> str:
    """The name, with a star if it does not stand for all sequences."""
    return tracker.name if comparison.complete(tracker) else f"{tracker.name}*"


def _label(comparison: Comparison, tracker: TrackerScores, value: float) -> str:
    """An entry of a legend, as papers have it."""
    return f"{_marked(comparison, tracker)} [{'-' if np.isnan(value) else f'{value:.3f}'}]"


def has_curve(comparison: Comparison, kind: str) -> bool:
    """Whether the protocol has a curve of CURVES; "precision" of long-term tracking is another."""
    curves = [t.summary.get("curves", {}) for t in comparison.scored]
    return any(kind in c and "recall" not in c for c in curves)


def curve_plot(comparison: Comparison, kind: str) -> Optional[Figure]:
    """A plot of CURVES; None if no tracker has that curve."""
    if not has_curve(comparison, kind):
        return None
    summaries = {t.number: t.summary for t in comparison.scored}
    figure, axes = _axes(comparison, CURVES[kind].title)
    _draw_curves(axes, comparison, summaries, kind, legend_size=9)
    axes.set(xlabel=CURVES[kind].xlabel, ylabel=CURVES[kind].ylabel)
    return figure


def _short(dataset: str) -> str:
    return dataset if len(dataset) <= 40 else "..." + dataset[-37:]


def _draw_curves(axes, comparison: Comparison, summaries: Dict[int, Dict], kind, legend_size):
    """Curves of the trackers (by number), legend ranked by the measure of the plot."""
    curve, entries = CURVES[kind], []
    reported = [m for m in comparison.protocol.measures if m in curve.measures]
    measure = (reported or curve.measures)[0]
    for tracker in comparison.scored:
        summary = summaries.get(tracker.number, {})
        values = summary.get("curves", {}).get(kind)
        if values is None:
            continue
        value = summary.get(measure, np.nan)
        label = _label(comparison, tracker, value)
        thresholds = np.linspace(0, curve.top, len(values))
        (line,) = axes.plot(thresholds, values, label=label, linewidth=1.8, **style(tracker))
        entries.append((value, line))
    _ranked_legend(axes, entries, curve.legend, legend_size)
    axes.set(xlim=(0, curve.top), ylim=(0, 1))


def _ranked_legend(axes, entries, place: str, size: float) -> None:
    """Legend of (value, line), the largest value first, and its line on top of the others."""
    # rounded, so that equal ones stay in the order of the trackers
    entries = sorted(entries, key=lambda entry: -round(np.nan_to_num(entry[0], nan=-1), 6))
    for rank, (_, line) in enumerate(entries):
        line.set_zorder(3 + len(entries) - rank)
    lines = [line for _, line in entries[:MOST_IN_LEGEND]]
    if len(entries) > len(lines):
        more = f"... and {len(entries) - len(lines)} more"
        lines.append(Line2D([], [], linestyle="", label=more))
    axes.legend(handles=lines, loc=place, fontsize=size, framealpha=0.85)


def long_term_plot(comparison: Comparison) -> Optional[Figure]:
    """VOT long-term: precision over recall, the largest F-score marked, and F-scores as contours;
    None for other protocols."""
    known = [t for t in comparison.scored if "recall" in t.summary.get("curves", {})]
    if not known:
        return None
    figure, axes = _axes(comparison, "Long-term precision and recall")
    sides = np.linspace(0.005, 1, 200)
    f_scores = 2 * sides * sides[:, None] / (sides + sides[:, None])
    levels = np.arange(1, 10) / 10
    contours = axes.contour(
        sides, sides, f_scores, levels=levels, colors="#c8c8c8", linewidths=0.8, zorder=1
    )
    axes.clabel(contours, fontsize=7.5, fmt="%.1f")
    entries = []
    for tracker in known:
        summary, curves = tracker.summary, tracker.summary["curves"]
        value = summary["f_score"]
        label = _label(comparison, tracker, value)
        looks = style(tracker)
        (line,) = axes.plot(
            curves["recall"], curves["precision"], label=label, linewidth=1.8, **looks
        )
        axes.plot(summary["recall"], summary["precision"], "o", color=looks["color"], zorder=99)
        entries.append((value, line))
    _ranked_legend(axes, entries, "lower left", 9)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
    return figure


def expected_overlap_plot(comparison: Comparison) -> Optional[Figure]:
    """VOT with restarts: expected average overlap over the length of sequence, the interval of the
    challenge shaded; None for other results."""
    kind = "expected_overlap"
    known = [t for t in comparison.scored if kind in t.summary.get("curves", {})]
    if not known:
        return None
    figure, axes = _axes(comparison, "Expected average overlap")
    low, high = comparison.protocol.interval
    axes.axvspan(low, high, color="#eeeeee", zorder=0)
    entries = []
    for tracker in known:
        value = tracker.summary.get("eao", np.nan)
        values = tracker.summary["curves"][kind]
        label = _label(comparison, tracker, value)
        (line,) = axes.plot(values, label=label, linewidth=1.8, **style(tracker))
        entries.append((value, line))
    _ranked_legend(axes, entries, "upper right", 9)
    axes.set(xlabel="length of sequence, frames", ylabel="expected overlap", xlim=(0, None))
    axes.set_ylim(0, 1)
    return figure


def _axes(comparison: Comparison, title: str):
    figure = Figure(figsize=(6.4, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(f"{title}, {_short(comparison.dataset)}", fontsize=11)
    axes.grid(alpha=0.3)
    return figure, axes


def attribute_curves(comparison: Comparison, kind: str, columns: int = 3) -> Optional[Figure]:
    """One small plot of CURVES for each attribute, with the number of its sequences."""
    groups = comparison.by_attribute()
    if not groups or not has_curve(comparison, kind):
        return None
    columns = min(columns, len(groups))
    rows = -(-len(groups) // columns)
    figure = Figure(figsize=(4.7 * columns, 3.7 * rows + 0.3), layout="constrained")
    cells = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes, (attribute, names) in zip(cells, groups.items()):
        summaries = {t.number: comparison.summarize(t, names) for t in comparison.scored}
        _draw_curves(axes, comparison, summaries, kind, legend_size=7.5)
        axes.grid(alpha=0.3)
        axes.set_title(f"{long_name(attribute)}: {len(names)}", fontsize=10.5)
    for axes in cells[len(groups) :]:
        axes.axis("off")
    figure.supxlabel(CURVES[kind].xlabel, fontsize=10)
    figure.supylabel(CURVES[kind].ylabel, fontsize=10)
    return figure


def attribute_overview(comparison: Comparison) -> Optional[Figure]:
    """The primary measure of each tracker for each attribute."""
    groups = comparison.by_attribute()
    if not groups or not comparison.scored:
        return None
    figure = Figure(figsize=(9, 1.6 + 0.38 * len(groups)), layout="constrained")
    axes = figure.subplots()
    for tracker in comparison.scored:
        summaries = [comparison.summarize(tracker, names) for names in groups.values()]
        values = [summary.get(comparison.primary, np.nan) for summary in summaries]
        axes.plot(
            values,
            range(len(groups)),
            "o",
            color=style(tracker)["color"],
            markersize=8,
            alpha=0.85,
            label=_marked(comparison, tracker),
        )
    labels = [f"{long_name(a)}: {len(names)}" for a, names in groups.items()]
    axes.set_yticks(range(len(groups)), labels)
    axes.set(xlabel=comparison.primary, ylim=(len(groups) - 0.5, -0.5), xlim=(0, 1))
    axes.grid(alpha=0.3)
    count = len(comparison.scored)
    figure.legend(loc="outside upper center", ncols=min(count, 5), fontsize=9, frameon=False)
    return figure


def speed_plot(comparison: Comparison) -> Optional[Figure]:
    """Primary measure over frames per second, of the trackers whose times are known."""
    known = [t for t in comparison.scored if t.speed and comparison.value(t) is not None]
    if not known:
        return None
    figure, axes = _axes(comparison, "Speed and accuracy")
    speeds = [t.speed for t in known]
    values = [comparison.value(t) for t in known]
    axes.set_xscale("log")
    for tracker, speed, value in zip(known, speeds, values):
        axes.plot(speed, value, "o", markersize=10, color=style(tracker)["color"], alpha=0.9)
    axes.set_xlim(min(speeds) / 2.5, max(speeds) * 2.5)
    low, high = min(values), max(values)
    margin = max(0.15 * (high - low), 0.03)
    axes.set_ylim(max(0, low - margin), high + margin)
    _name_points(axes, known, speeds, values)
    axes.axvline(25, color="#777777", linestyle=":", linewidth=1)
    axes.set(xlabel="frames per second (median), dotted: 25", ylabel=comparison.primary)
    return figure


def _name_points(axes, trackers: List[TrackerScores], speeds, values) -> None:
    """Names beside the points, moved up or down where they would lie on each other."""
    figure = axes.figure
    figure.draw_without_rendering()
    points = axes.transData.transform(np.stack([speeds, values], axis=1))
    taken = [Bbox.from_bounds(x - 9, y - 9, 18, 18) for x, y in points]
    for tracker, speed, value in sorted(zip(trackers, speeds, values), key=lambda p: p[2]):
        left = axes.transData.transform((speed, value))[0] > np.mean(axes.bbox.intervalx)
        text = axes.annotate(
            tracker.name,
            (speed, value),
            xytext=(-10 if left else 10, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=9,
        )
        box = text.get_window_extent()
        lift = 0
        while any(box.translated(0, lift).overlaps(other) for other in taken):
            lift += 2
        text.xyann = (text.xyann[0], lift * 72 / figure.dpi)
        taken.append(box.translated(0, lift))
