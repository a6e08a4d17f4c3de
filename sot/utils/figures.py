"""Functions for all plots of the project. Nothing here opens a window."""

from typing import Dict, List, Tuple

import numpy as np
from matplotlib.figure import Figure

# no green, which is the color of true boxes
COLORS = "#d62728 #1f77b4 #ff7f0e #9467bd #17becf #8c564b #e377c2 #000000 #bcbd22 #7f7f7f".split()
LINES = ("-", "--", ":", "-.")


def line_style(color: int, dashes: int) -> Dict:
    """The style of a line, from the numbers of its color and its dashes. Both lists repeat."""
    return {"color": COLORS[color % len(COLORS)], "linestyle": LINES[dashes % len(LINES)]}


def panel_grid(count: int, columns: int, width: float, height: float) -> Tuple[Figure, List]:
    """A figure with ``count`` axes in rows of at most ``columns``, each of a size in inches."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(columns * width, rows * height + 0.3), layout="constrained")
    cells = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes in cells[:count]:
        axes.grid(alpha=0.3)
    for axes in cells[count:]:
        axes.axis("off")
    return figure, list(cells[:count])


def legend_beside(axes, handles, size: float = 9) -> None:
    """A legend to the right of the axes, where it covers nothing."""
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1.02), fontsize=size)
