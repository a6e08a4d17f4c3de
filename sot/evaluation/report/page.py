"""The report of a comparison: plots, tables, and one HTML file that needs nothing else.

OUT/report.html            all of it in one file, for any browser
OUT/metrics.json           every number and curve
OUT/sequences.csv          a line for each tracker and sequence
OUT/success.png, .pdf ...  each plot for itself
"""

import base64
import io
from pathlib import Path
from typing import Dict

import cv2
import jinja2
import numpy as np

from ... import __version__
from ...utils.files import write_text
from .comparison import Comparison
from .export import scalars, write_json, write_table
from .film import worst_strips
from .plots import all_plots, style
from .tables import measures_table, sequences_table

DPI = 110
JPEG_QUALITY = 82


def write_report(comparison: Comparison, output, worst: int = 3) -> Path:
    """Write the report of a comparison into a folder, with film strips of the ``worst`` sequences
    of each tracker. The folder is made if it is missing, and files of an earlier report are
    replaced. Returns the path of report.html."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    figures = all_plots(comparison)
    for name, figure in figures.items():
        figure.savefig(output / f"{name}.png", dpi=150)
        figure.savefig(output / f"{name}.pdf")
    write_json(comparison, output / "metrics.json")
    write_table(comparison, output / "sequences.csv")
    path = output / "report.html"
    content = {**_tables(comparison), "strips": worst_strips(comparison, worst), "worst": worst}
    write_text(path, render(comparison=comparison, figures=figures, **content))
    return path


def _tables(comparison: Comparison) -> Dict:
    """The tables of the page, by their names in the template."""
    measures, primary = comparison.protocol.measures, comparison.primary
    others = dict.fromkeys(k for s in comparison.whole.summaries.values() for k in scalars(s))
    others = [m for m in others if m not in measures and not m.endswith(("_scored", "_std"))]
    whole, common = comparison.whole, comparison.common
    in_part = 0 < len(common.names) < len(whole.names)
    return {
        "ranking": measures_table(whole, measures, primary, speed=True),
        "common": measures_table(common, measures, primary) if in_part else None,
        "other_measures": measures_table(whole, others, primary) if others else None,
        "sequences": sequences_table(comparison),
    }


def render(**content) -> str:
    """Render the page from report.html.j2."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(png=_png, jpeg=_jpeg, color=lambda tracker: style(tracker)["color"])
    return environment.get_template("report.html.j2").render(version=__version__, **content)


def _png(figure) -> str:
    """A matplotlib figure as a data URL."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _jpeg(image: np.ndarray) -> str:
    """An image (H, W, 3) uint8 BGR as a data URL."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
