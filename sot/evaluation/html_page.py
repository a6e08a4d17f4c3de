"""Pieces of a self-contained HTML page: tables that sort, pictures within the file."""

import base64
import io
from html import escape
from string import Template
from typing import Iterable, NamedTuple, Optional, Sequence

import cv2
import numpy as np

__all__ = ["Cell", "details", "figure_image", "film_html", "page", "swatch", "table"]

DPI = 110
JPEG_QUALITY = 82
MISSING = "&ndash;"

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: #1c1c1c;
  margin: 0 auto; padding: 1em 1.5em 4em; max-width: 1280px; background: #fff; }
h1 { font-size: 1.7em; margin: .4em 0 .1em; overflow-wrap: anywhere; }
h2 { font-size: 1.25em; margin: 2em 0 .5em; padding-bottom: .15em; border-bottom: 1px solid #ccc; }
h3 { font-size: 1.05em; margin: 1.6em 0 .3em; overflow-wrap: anywhere; }
p, ul { max-width: 62em; margin: .4em 0; }
nav a { margin-right: 1.2em; }
.note { color: #555; }
.warn { background: #fff4d6; border-left: 4px solid #e0a100; padding: .4em .9em; margin: .8em 0;
  overflow-wrap: anywhere; }
.warn p, .warn ul { max-width: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .6em 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .7em; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #e4e4e4; }
th { background: #f3f3f3; vertical-align: bottom; }
td.text, th.text { text-align: left; }
td.wrap { white-space: normal; min-width: 9em; }
td.best { font-weight: bold; }
th button { font: inherit; font-weight: bold; border: 0; background: none; padding: 0;
  cursor: pointer; color: inherit; text-align: inherit; }
th button::after { content: " \\2195"; color: #aaa; }
th[aria-sort=ascending] button::after { content: " \\2191"; color: #000; }
th[aria-sort=descending] button::after { content: " \\2193"; color: #000; }
tbody tr:hover { background: #f7f9fc; }
.swatch { display: inline-block; width: .85em; height: .85em; border-radius: 2px;
  margin-right: .45em; vertical-align: -.08em; }
.plots { display: grid; gap: 1em;
  grid-template-columns: repeat(auto-fit, minmax(min(560px, 100%), 1fr)); }
img { max-width: 100%; height: auto; display: block; }
img.wide { width: 100%; }
.film { display: grid; grid-template-columns: repeat(5, 1fr); gap: 5px; margin: .4em 0; }
.film figure { margin: 0; }
.film figcaption { font-size: .85em; color: #444; text-align: center; }
summary { cursor: pointer; }
@media print { th button::after { content: ""; } h2 { break-after: avoid; } }
</style>
</head>
<body>
$body
<script>
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), body = head.closest("table").tBodies[0];
    const column = head.cellIndex, numbers = !head.classList.contains("text");
    const first = numbers ? "descending" : "ascending";
    const other = numbers ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    const sign = order === "ascending" ? 1 : -1;
    for (const th of head.parentNode.cells) th.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const value = row => row.cells[column].dataset.value;
    const compare = (a, b) => {
      const x = value(a), y = value(b);
      if (x === "" || y === "") return (x === "") - (y === "");  // what is missing goes last
      return sign * (numbers ? x - y : x.localeCompare(y, undefined, {numeric: true}));
    };
    body.append(...[...body.rows].sort(compare));
  });
}
</script>
</body>
</html>
""")


class Cell(NamedTuple):
    """
    value: number or text to sort by; None where there is none.
    html: what is shown, made from the value if None.
    best: in bold.
    shade: background, 0 (red) to 1 (blue); None for no colour.
    """

    value: object
    html: Optional[str] = None
    best: bool = False
    shade: Optional[float] = None


def page(title: str, body: Iterable[str]) -> str:
    """A whole document."""
    return PAGE.substitute(title=escape(title), body="\n".join(body))


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table that sorts by the column whose head is clicked.

    Args:
        header: one for each column, as HTML.
        rows: cells; columns with text anywhere in them sort as text.
    """
    is_text = [any(isinstance(row[i].value, str) for row in rows) for i in range(len(header))]
    heads = (
        f'<th class="text"><button>{head}</button></th>'
        if text
        else f"<th><button>{head}</button></th>"
        for head, text in zip(header, is_text)
    )
    lines = (
        "<tr>" + "".join(_cell(cell, text) for cell, text in zip(row, is_text)) + "</tr>"
        for row in rows
    )
    return (
        '<div class="scroll"><table><thead><tr>{}</tr></thead>\n<tbody>\n{}\n</tbody></table></div>'
    ).format("".join(heads), "\n".join(lines))


def _cell(cell: Cell, text: bool) -> str:
    value = cell.value
    if value is None:
        shown, key = MISSING, ""
    elif isinstance(value, str):
        shown, key = escape(value), escape(value, quote=True)
    else:
        shown, key = (str(value) if isinstance(value, int) else f"{value:.3f}"), repr(value)
    classes = [name for name, on in (("text", text), ("best", cell.best)) if on]
    if text and isinstance(value, str) and len(value) > 24:
        classes.append("wrap")
    style = "" if cell.shade is None else f' style="background:{_shade(cell.shade)}"'
    kind = f' class="{" ".join(classes)}"' if classes else ""
    return f'<td{kind}{style} data-value="{key}">{shown if cell.html is None else cell.html}</td>'


def _shade(share: float) -> str:
    """Pale red for 0, white in the middle, pale blue for 1; also told apart by the colour-blind."""
    low, middle, high = (247, 190, 178), (255, 255, 255), (180, 208, 240)
    share = min(max(share, 0.0), 1.0)
    a, b, t = (low, middle, 2 * share) if share < 0.5 else (middle, high, 2 * share - 1)
    return "#" + "".join(f"{round(u + (v - u) * t):02x}" for u, v in zip(a, b))


def swatch(color: str, name: str) -> str:
    """A name with a patch of its colour before it."""
    return f'<span class="swatch" style="background:{color}"></span>{escape(name)}'


def details(summary: str, lines: Sequence[str]) -> str:
    """A list that folds; both are text."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<details><summary>{escape(summary)}</summary><ul>{items}</ul></details>"


def figure_image(figure, text: str, wide: bool = False) -> str:
    """A matplotlib figure, with a text for those who cannot see it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return _image(buffer.getvalue(), "png", text, wide)


def film_html(images: Sequence[np.ndarray], captions: Sequence[str], name: str) -> str:
    """(H, W, 3) uint8 BGR images of a sequence side by side, each with its caption (text)."""
    cells = []
    for image, caption in zip(images, captions):
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        picture = _image(data.tobytes(), "jpeg", f"{name}, {caption}", True)
        cells.append(f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>")
    return f'<div class="film">{"".join(cells)}</div>'


def _image(data: bytes, kind: str, text: str, wide: bool) -> str:
    code = base64.b64encode(data).decode("ascii")
    style = ' class="wide"' if wide else ""
    return f'<img{style} alt="{escape(text, quote=True)}" src="data:image/{kind};base64,{code}">'
