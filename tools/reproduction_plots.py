"""Pictures of what reproduce.py has measured."""

import json
from pathlib import Path
from typing import Dict, Sequence, Tuple

import numpy as np

from sot.utils.command_line import first_few
from sot.utils.figures import panel_grid

Entries = Sequence[Tuple[Dict, Dict]]  # tables of docs/reproduction.yaml, each with one of its rows


def plot(entries: Entries, args) -> None:
    """Draw the entries into the file --plot: --measure, or the published numbers and the measured
    ones. ValueError: the entries are of several tables, or none has the measure."""
    _check_one_table(entries, args)
    (_plot_measure if args.measure else _plot_published)(entries, args)


def _check_one_table(entries: Entries, args) -> None:
    """ValueError: the entries are of several tables, whose numbers are different ones."""
    sources: Dict[str, str] = {}
    for table, row in entries:
        sources.setdefault(f"{table['source']}, {table['where']}", row["name"])
    if len(sources) > 1:
        raise ValueError(
            f"--plot draws one table, but {args.name!r} has entries of {len(sources)}, such as "
            f"{first_few(sources.values())}: name those of one"
        )


def report_file(row: Dict, args) -> Path:
    """The path of the results of an entry."""
    return Path(args.output, row["name"], "reproduction.json")


def _written(row: Dict, args) -> Dict:
    """The results of an entry, or {} if there are none."""
    file = report_file(row, args)
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _plot_published(entries: Entries, args) -> None:
    """Draw the first number of each entry: the published one, and that of each seed whose result is
    in the folder of the results."""
    figure, axes = _rows([row["tracker"] for _, row in entries])
    published, seeds = [], []
    for i, (_, row) in enumerate(entries):
        published.append((row["values"][0] or np.nan, i))
        for number in _written(row, args).get("numbers", [])[:1]:
            seeds += [(value, i) for value in number["values"]]
    axes.plot(*np.transpose(published), "o", label="published")
    axes.plot(*np.reshape(seeds, (-1, 2)).T, "x", label="measured here, each seed")
    axes.set(xlabel=entries[0][0]["columns"][0], title=entries[0][0]["where"].split(":")[0])
    axes.legend()
    _save(figure, args)


def _plot_measure(entries: Entries, args) -> None:
    """Draw --measure of each seed in the folder of the results, with its bootstrap interval where
    the evaluation gave one. Entries without results are left out. ValueError: none has the
    measure."""
    names, points = [], []
    for _, row in entries:
        for run in _written(row, args).get("results", []):
            measures = next(iter(run.values()))
            if args.measure in measures:
                names += [] if row["name"] in names else [row["name"]]
                value = measures[args.measure]
                low, high = measures.get("interval_95", {}).get(args.measure, (value, value))
                points.append((value, len(names) - 1, value - low, high - value))
    if not points:
        raise ValueError(
            f"no result of {args.name!r} in {args.output} has the measure {args.measure!r}: run "
            f"the entries with this --output first"
        )
    figure, axes = _rows(names)
    values, places, below, above = np.transpose(points)
    # the seeds of an entry are a little apart, so that their intervals do not cover each other
    places = places + [0.12 * list(places[:k]).count(p) for k, p in enumerate(places)]
    axes.errorbar(values, places, xerr=(below, above), fmt="x", capsize=3)
    network = f", {Path(args.config_file).stem}" if args.config_file else ""
    axes.set(
        xlabel=f"{args.measure}, 95 % intervals by the bootstrap over sequences",
        title=f"Measured here, each seed{network}",
    )
    _save(figure, args)


def _rows(labels: Sequence[str]):
    """A figure and its axes, with a row for each label, from above."""
    figure, (axes,) = panel_grid(1, 1, 8, 1 + 0.3 * len(labels))
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    return figure, axes


def _save(figure, args) -> None:
    Path(args.plot).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.plot, dpi=80)
    print(f"wrote {args.plot}")
