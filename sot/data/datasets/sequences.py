"""What the readers of datasets with one folder per sequence share."""

from pathlib import Path
from typing import List

import numpy as np

from .box_files import read_table, read_text


def official_list(name: str) -> str:
    """The text of lists/NAME.txt: which sequences, and which of their frames, a benchmark has."""
    return (Path(__file__).parent / "lists" / f"{name}.txt").read_text()


def read_names(path) -> List[str]:
    """List file, one sequence name a line; blank lines and ends of line of any kind are dropped."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"list of sequences {path} does not exist")
    lines = read_text(path).splitlines()
    return [line.strip() for line in lines if line.strip()]


def read_labels(path, length: int) -> np.ndarray:
    """One whole number per frame, one a line or all in one line -> (length,) int8."""
    labels = read_table(path).ravel()
    if len(labels) != length:
        raise ValueError(f"{path}: {len(labels)} labels but {length} boxes")
    return labels.astype(np.int8)


def extend_first_box(boxes: np.ndarray, length: int) -> np.ndarray:
    """(1, 4) -> (length, 4) with NaN after the first, for test sets whose other boxes only a
    server knows. Any other number of boxes is left as it is."""
    if len(boxes) != 1:
        return boxes
    extended = np.full((max(length, 1), 4), np.nan)
    extended[:1] = boxes
    return extended
