"""Text files of boxes and of other numbers, as people and programs write them.

The number of columns alone never decides what the columns mean. If a file begins with a line of
column names, that line decides. Without such a line four numbers are x, y, w, h, and eight numbers
are the corners of a polygon. An additional first column that counts the lines is ignored. Numbers
that are hardly x, y, w, h in pixels are refused, and the message says which line to write.
"""

import codecs
import csv
import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...boxes import bounding_box, is_present, to_xywh, to_xyxy

# the names that a column may have, in lower case and without signs. The first name that a file has
# is used (MOTChallenge has bb_left and, for a point in space, x)
LEFT, TOP = ("bbleft", "left", "xmin", "x0", "x"), ("bbtop", "top", "ymin", "y0", "y")
RIGHT, BOTTOM = ("right", "xmax"), ("bottom", "ymax")
WIDTH, HEIGHT = ("w", "width", "bbwidth"), ("h", "height", "bbheight")
CENTER_X, CENTER_Y = ("cx", "xc", "xcenter", "centerx"), ("cy", "yc", "ycenter", "centery")
MAX_FRAMES = 10_000_000
POLYGON = tuple(f"{axis}{k}" for k in range(1, 5) for axis in "xy")
FRAME, TARGET = ("frame", "frameid", "index"), ("target", "id", "trackid", "objectid", "instanceid")

NAME_THEM = (
    'name the columns in a first line, as in "frame,id,x,y,w,h,score", "x0,y0,x1,y1" or, for '
    'fractions of the frame (YOLO), "class,cx/W,cy/H,w/W,h/H"'
)


def read_text(path) -> str:
    """The text of a file. It is decoded as UTF-8, as UTF-16 or, if both fail, as Latin-1."""
    data = Path(path).read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    if b"\0" in data[:2]:  # UTF-16 without its mark
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def split_line(line: str, separator: str = "") -> List[str]:
    """Split a line into words at ``separator``, or at semicolons, tabs, commas or spaces. Quotes
    around a word are removed, and a decimal comma becomes a point. A blank line gives []."""
    line = line.strip(" \t\r\n").rstrip(",;")
    bare = re.sub('"[^"]*"', "", line)
    separator = separator or next((s for s in ";\t," if s in bare), " ")
    if separator == " " and '"' not in line:
        words = line.split()
    else:
        try:
            words = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
        except csv.Error:  # a word longer than csv takes
            words = [line]
    words = [word.strip(" \t,'") for word in words]
    return [w.replace(",", ".") if re.fullmatch(r"[-+]?\d*,\d+", w) else w for w in words]


def split_lines(text: str) -> List[List[str]]:
    """The words of each line of a text. Blank lines at its end are left out."""
    if any(sign in text for sign in ";\t\"'"):
        # names separated by commas in the first line set the separator: columns may hold any other
        # sign
        separator = "," if re.match(r"\s*[a-zA-Z]\w*,[^;\t]*$", text, re.MULTILINE) else ""
        lines = [split_line(line, separator) for line in re.split("\r*\n|\r", text)]
    else:  # the usual files, in a fraction of the time
        lines = [line.strip().rstrip(",") for line in text.splitlines()]
        lines = [line.split("," if "," in line else None) if line else [] for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def parse_numbers(path, number: int, words: Sequence[str]) -> List[float]:
    try:
        return [float(word) for word in words]
    except ValueError:
        raise ValueError(f"{path} line {number}: no number in {_shorten(words)}") from None


def read_table(path, columns: Sequence = ()) -> np.ndarray:
    """Read a text file that has the same number of numbers in each line (see :func:`split_line`).
    Blank lines are ignored.

    Args:
        columns: the accepted values of K; () accepts any.

    Returns:
        (T, K) float64; (0, 0) for an empty file. ValueError names file and line.
    """
    rows = []
    for number, words in enumerate(split_lines(read_text(path)), start=1):
        if not words:
            continue
        row = parse_numbers(path, number, words)
        accepted = [len(rows[0])] if rows else columns
        if accepted and len(row) not in accepted:
            wanted = " or ".join(str(n) for n in accepted)
            problem = f"expected {wanted} numbers but found {_shorten(words)}"
            raise ValueError(f"{path} line {number}: {problem}")
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1 if rows else 0)


def bounding_boxes(table: np.ndarray) -> np.ndarray:
    """Boxes (T, 4) x, y, w, h, or corners of polygons (T, 8) -> boxes (T, 4) x, y, w, h."""
    if table.shape[1] == 8:
        table = to_xywh(bounding_box(table.reshape(-1, 4, 2)))
    return table.reshape(-1, 4)


def read_boxes(path, size: Optional[Tuple[int, int]] = None) -> np.ndarray:
    """Read a text file with a box for each frame: a boxes.csv of the demo, lines of x,y,w,h or of
    the corners of a polygon, or any columns whose names are in the first line.

    The lines are in the order of the frames, or have a column ``frame``, which counts from 0 or 1.
    A blank line, NaN, or a frame that is not listed means that the target is absent.

    Args:
        size: (W, H) of the frames, in pixels. It serves to notice boxes that are not x,y,w,h, and
            to read fractions.

    Returns:
        (T, 4) float64 x, y, w, h. ValueError gives file and line, and what to write.
    """
    lines, layout = [], None
    for number, words in enumerate(split_lines(read_text(path)), start=1):
        is_comment = bool(words) and words[0].startswith(("#", "%"))
        found = None
        if not lines and words and (is_comment or not _is_number(words[0])):
            found = _find_layout([w.strip("#% ") for w in words if w.strip("#%")])
        # once the columns have names, the first of them may hold words
        is_data = not lines and layout is None and words and not _is_number(words[0])
        if found or is_comment or is_data:
            layout = found or layout
            if layout is None and not is_comment:
                problem = f"{_shorten(words)} names no box; {NAME_THEM}"
                raise ValueError(f"{path} line {number}: {problem}")
        elif lines or words:
            lines.append((number, words))
    if not lines:
        return np.zeros((0, 4))
    named, layout = layout is not None, layout or _layout_of_numbers(path, lines)
    table = _read_columns(path, lines, layout, named)
    if layout.fractions:
        if size is None:
            raise ValueError(
                f"{path}: the boxes are fractions of the frame, but its size is not known; give "
                "pixels"
            )
        table = table * np.tile(size, table.shape[1] // 2)
    if layout.kind == "corners":
        ends_before = (table[:, 2:] < table[:, :2]).any(axis=1)
        if ends_before.any():
            number, words = lines[int(ends_before.argmax())]
            problem = "ends before it begins; if it is x,y,w,h, name its columns so"
            raise ValueError(f"{path} line {number}: the box {_shorten(words)} {problem}")
        table = to_xywh(table)
    elif layout.kind == "center":
        table[:, :2] -= table[:, 2:] / 2
    elif layout.kind == "xywh" and size is not None and not named:
        _check_fit(path, lines, table, size)
    table = bounding_boxes(table)
    return table if layout.frame is None else _place(path, lines, layout.frame, table)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _shorten(words: Sequence[str]) -> str:
    return repr(",".join(words)[:60])


class Layout(NamedTuple):
    """The meaning of the columns of a file."""

    kind: str  # "xywh", "corners", "center" or "polygon"
    columns: List[int]  # of the box
    fractions: bool = False  # of the frame, in place of pixels
    frame: Optional[int] = None  # column of its number
    target: Optional[int] = None  # column that names the object


def _find_layout(names: Sequence[str]) -> Optional[Layout]:
    """The columns that names describe, or None if the names describe no box."""
    clean = [re.sub("[^a-z0-9/]", "", name.lower()) for name in names]
    at: Dict[str, int] = {}
    for i, name in enumerate(clean):
        at.setdefault(name.partition("/")[0], i)

    def find(*options: Sequence[str]) -> List[Optional[int]]:
        return [next((at[name] for name in names if name in at), None) for names in options]

    # beside x0, x1 is the right edge; beside x2, it is the left one
    k, m = (0, 1) if "x0" in at else (1, 2)
    kinds = {
        "polygon": find(*((name,) for name in POLYGON)),
        "center": find(CENTER_X, CENTER_Y, WIDTH, HEIGHT),
        "corners": find((f"x{k}", *LEFT), (f"y{k}", *TOP), (f"x{m}", *RIGHT), (f"y{m}", *BOTTOM)),
        "xywh": find(LEFT, TOP, WIDTH, HEIGHT),
    }
    for kind, columns in kinds.items():
        if None not in columns:
            fractions = all("/" in clean[i] for i in columns)
            return Layout(kind, columns, fractions, *find(FRAME, TARGET))
    return None


def _layout_of_numbers(path, lines) -> Layout:
    """The columns of a file without names: x,y,w,h or a polygon, perhaps after a column that counts
    the lines."""
    width = len(lines[0][1])
    first = [words[0] for _, words in lines if words]
    counts = len(first) > 1 and first in ([str(i + k) for i in range(len(first))] for k in (0, 1))
    if width in (4, 8) and not (counts and width == 8):
        return Layout("xywh" if width == 4 else "polygon", list(range(width)))
    if counts and width in (5, 9):
        return Layout("xywh" if width == 5 else "polygon", list(range(1, width)), frame=0)
    number, words = lines[0]
    expected = "expected x,y,w,h or the four corners of a polygon but found"
    raise ValueError(f"{path} line {number}: {expected} {_shorten(words)}; {NAME_THEM}")


def _read_columns(path, lines, layout: Layout, named: bool) -> np.ndarray:
    """The numbers of the boxes, (T, 4) or (T, 8). Blank lines give NaN."""
    width, rows, targets = len(lines[0][1]), [], set()
    last = max([*layout.columns, layout.frame or 0, layout.target or 0])
    for number, words in lines:
        # with names, what is missing at the end of a line may be empty
        if words and (len(words) <= last if named else len(words) != width):
            wanted = f"at least {last + 1} columns" if named else f"{width} columns as before"
            problem = f"expected {wanted} but found {_shorten(words)}"
            raise ValueError(f"{path} line {number}: {problem}")
        cells = [words[i] if words else "" for i in layout.columns]
        rows.append(parse_numbers(path, number, [cell or "nan" for cell in cells]))
        if words and layout.target is not None:
            targets.add(words[layout.target])
    if len(targets) > 1:
        shown = ", ".join(sorted(targets)[:5])
        raise ValueError(f"{path} has boxes of {len(targets)} targets ({shown}): keep those of one")
    return np.array(rows, dtype=np.float64)


def _place(path, lines, column: int, boxes: np.ndarray) -> np.ndarray:
    """Sort the boxes by their frames, which a column numbers from 0 or 1."""
    filled = [(number, words, box) for (number, words), box in zip(lines, boxes) if words]
    frames = [parse_numbers(path, number, [words[column]])[0] for number, words, _ in filled]
    for (number, *_), before, frame in zip(filled, [-1, *frames], frames):
        if not frame.is_integer():
            raise ValueError(f"{path} line {number}: frame {frame:g} is not a whole number")
        if not before < frame < MAX_FRAMES:
            raise ValueError(f"{path} line {number}: frame {frame:g} comes after frame {before:g}")
    places = np.array(frames, dtype=int) - int(min(frames[0], 1))
    placed = np.full((places[-1] + 1, 4), np.nan)
    placed[places] = [box for *_, box in filled]
    return placed


def beyond_if_corners(boxes: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Which boxes (N, 4) x, y, w, h end outside of their frames of size (W, H), if all boxes would
    fit as x0, y0, x1, y1; none of them otherwise: (N,) bool."""
    places, sides = boxes[:, :2], boxes[:, 2:]
    as_corners = (sides > places).all() and (sides <= size + 1).all()
    return as_corners & (places + sides > 1.05 * size).any(axis=1)


def _check_fit(path, lines, table: np.ndarray, size: Tuple[int, int]) -> None:
    """ValueError: numbers without column names are hardly x, y, w, h in pixels."""
    present = np.flatnonzero(is_present(to_xyxy(table)))
    found, size = table[present], np.asarray(size, dtype=float)
    if not len(found):
        return
    width, height = size.astype(int)

    def refuse(row: int, problem: str) -> None:
        number, words = lines[present[row]]
        raise ValueError(
            f"{path} line {number}: the box {_shorten(words)} {problem}; if it is x,y,w,h in "
            'pixels, write "x,y,w,h" as the first line'
        )

    if (found <= 1).all():
        names = '"cx/W,cy/H,w/W,h/H" (its centre, as YOLO) or "x/W,y/H,w/W,h/H" as the first line'
        refuse(0, f"is smaller than a pixel; if these are fractions of the frame, write {names}")
    if (found[:, :2] >= size).any(axis=1).all():
        refuse(0, f"and all others lie outside of the frames, which are {width} x {height}")
    beyond = beyond_if_corners(found, size)
    if beyond.any():
        names = 'if these are two corners, write "x0,y0,x1,y1" as the first line'
        refuse(int(beyond.argmax()), f"does not fit in a frame of {width} x {height}; {names}")
