#!/usr/bin/env python3
"""Plot training runs: losses, learning rates, gradient norm, positives, speed and results of
evaluations over the iterations, several runs in one picture.

    python tools/plot_run.py output/mine [output/other ...] [--output picture.png]

It reads the metrics.json that train_net.py writes into its OUTPUT_DIR, also while a training runs.
If a run was resumed and repeated iterations, the last values are used."""

import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

import sot  # noqa: F401  isort: skip  (first, since it silences a warning of detectron2's import)
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sot.utils.command_line import first_few, make_parser, one_line_errors
from sot.utils.figures import line_style, panel_grid

FILE = "metrics.json"
COLUMNS, WIDTH, HEIGHT = 3, 5.2, 3.3  # panels in a row, and the size of each in inches
# Panels of one scalar, where it is there.
SINGLE = {
    "grad_norm": "gradient norm, before clipping",
    "rpn/num_pos_anchors": "positive anchors per image",
    "siamfc/num_pos_positions": "positive positions per image",
    "pairs_per_second": "pairs per second",
    "data_share": "share of time waiting for data",
}
# Results of evaluations that have no plot of their own: they are not between 0 and 1.
NOT_PLOTTED = ("fps", "failed_sequences")

Scalars = Dict[str, Dict[int, float]]


class Run(NamedTuple):
    """A run's name in the legend, and its scalars."""

    name: str
    scalars: Scalars


class Panel(NamedTuple):
    """The title of a plot, and the names of its scalars: several only where they are of one
    kind."""

    title: str
    names: Sequence[str]
    log: bool = False


def read_run(path: Path) -> Scalars:
    """Read a metrics.json, in which each line is a JSON object. Other lines (such as the last one
    of a run that was killed) are left out with a warning on stderr. ValueError: no line has a
    scalar."""
    scalars: Scalars = defaultdict(dict)
    broken = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            try:
                values = json.loads(line)
                iteration = values.pop("iteration")
                for name, value in values.items():
                    scalars[name][int(iteration)] = float(value)
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
                broken.append(number)
    if broken:
        lines = first_few(broken)
        print(f"warning: {path}: no numbers in line {lines}; left out", file=sys.stderr)
    if not scalars:
        raise ValueError(f"{path} has no numbers of a training")
    return dict(scalars)


def read_runs(folders: Sequence[str]) -> List[Run]:
    """Read the runs in folders (OUTPUT_DIR), which may also be given as their metrics.json files. A
    run has the name of its folder, or its whole path if two folders have one name. ValueError: a
    folder has no metrics.json, or an empty one, or is given twice."""
    paths = [Path(f).expanduser() for f in folders]
    files = [p / FILE if p.is_dir() else p for p in paths]
    for given, file in zip(paths, files):
        if not file.is_file():
            problem = f"has no {FILE} of a training" if given.is_dir() else "does not exist"
            raise ValueError(f"{given} {problem}: name an OUTPUT_DIR of train_net.py")
    homes = [file.resolve().parent for file in files]
    names = [home.name for home in homes]
    if len(set(names)) < len(names):
        names = [str(home) for home in homes]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(f"{paths[i]} is given twice")
    return [Run(name, read_run(file)) for name, file in zip(names, files)]


def panels(runs: Sequence[Run]) -> List[Panel]:
    """The panels for which any of the runs has numbers."""
    names = sorted({name for run in runs for name in run.scalars})
    rates = [n for n in names if n.startswith("lr/")] or [n for n in names if n == "lr"]
    out = [Panel("total loss", ["total_loss"])] if "total_loss" in names else []
    out += [Panel(n.replace("_", " "), [n]) for n in names if n.startswith("loss")]
    if rates:
        out.append(Panel("learning rate", rates, log=True))
    out += [Panel(SINGLE[n], [n], log=n == "grad_norm") for n in SINGLE if n in names]
    results = [n for n in names if n.split("/")[-2:-1] == ["ope"]]
    out += [Panel(n, [n]) for n in results if n.split("/")[-1] not in NOT_PLOTTED]
    return out


def plot(runs: Sequence[Run]) -> Figure:
    """One plot for each panel, one color for each run, the same in all."""
    shown = panels(runs)
    figure, cells = panel_grid(len(shown), COLUMNS, WIDTH, HEIGHT)
    for axes, panel in zip(cells, shown):
        _draw(axes, panel, runs)
    handles = [Line2D([], [], label=run.name, **line_style(i, 0)) for i, run in enumerate(runs)]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(runs), 4))
    return figure


def _draw(axes, panel: Panel, runs: Sequence[Run]) -> None:
    for i, run in enumerate(runs):
        for k, name in enumerate(panel.names):
            if name in run.scalars:
                iterations, values = zip(*sorted(run.scalars[name].items()))
                # markers where there are few points: a single one has no line
                marks = {"marker": "o" if len(values) < 30 else None, "markersize": 3}
                axes.plot(iterations, values, linewidth=1.2, **marks, **line_style(i, k))
    if len(panel.names) > 1:
        labels = [name.split("/")[-1] for name in panel.names]
        looks = [{**line_style(0, k), "color": "k"} for k in range(len(labels))]
        handles = [Line2D([], [], label=t, **look) for t, look in zip(labels, looks)]
        axes.legend(handles=handles, fontsize=8)
    values = [v for run in runs for n in panel.names for v in run.scalars.get(n, {}).values()]
    if panel.log and any(v > 0 and math.isfinite(v) for v in values):
        axes.set_yscale("log")
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel("iteration", fontsize=9)


def parse_args(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="OUTPUT_DIR", help="of train_net.py")
    parser.add_argument("--output", help=f"picture to write (first OUTPUT_DIR/{FILE[:-5]}.png)")
    return parser.parse_args(argv)


@one_line_errors()
def main(argv=None) -> int:
    args = parse_args(argv)
    figure = plot(read_runs(args.runs))
    first = Path(args.runs[0]).expanduser()
    folder = first if first.is_dir() else first.parent
    output = Path(args.output).expanduser() if args.output else folder / "metrics.png"
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=100)
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
