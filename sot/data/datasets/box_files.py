"""Text files of boxes and of other numbers."""

from pathlib import Path
from typing import Sequence

import numpy as np

from ...boxes import bounding_box, to_xywh

__all__ = ["bounding_boxes", "read_boxes", "read_table"]


def read_table(path, columns: Sequence = ()) -> np.ndarray:
    """Text file with as many numbers in each line, separated by comma, tab, semicolon or space.

    Args:
        path: blank lines in it are passed over.
        columns: the numbers of columns to accept; () accepts any.

    Returns:
        (T, K) float64; (0, 0) for an empty file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no number, or another number of them; the message gives file and line.
    """
    rows = []
    text = Path(path).read_text(encoding="utf-8-sig").replace(",", " ").replace(";", " ")
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            raise ValueError(f"{path} line {number}: no number in {line.strip()!r}") from None
        accepted = [len(rows[0])] if rows else columns
        if accepted and len(row) not in accepted:
            wanted = " or ".join(str(n) for n in accepted)
            raise ValueError(
                f"{path} line {number}: expected {wanted} numbers but found {line.strip()!r}"
            )
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1 if rows else 0)


def read_boxes(path) -> np.ndarray:
    """Text file with one ``x,y,w,h`` a line (see :func:`read_table`) -> (T, 4) float64.

    Eight numbers are the corners of a polygon: its bounding box is taken. ``NaN`` marks an
    absent target.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line that does not hold 4 or 8 numbers; the message gives file and line.
    """
    return bounding_boxes(read_table(path, columns=(4, 8)))


def bounding_boxes(table: np.ndarray) -> np.ndarray:
    """(T, 4) x, y, w, h as they are, or (T, 8) corners of polygons -> (T, 4) x, y, w, h."""
    if table.shape[1] == 8:
        table = to_xywh(bounding_box(table.reshape(-1, 4, 2)))
    return table.reshape(-1, 4)
