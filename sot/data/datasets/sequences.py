"""Functions for readers of datasets that have one folder for each sequence."""

from pathlib import Path
from typing import List

import numpy as np

from .box_files import read_table, read_text


def official_list(name: str) -> str:
    """The text of lists/NAME.txt, which lists the sequences of a benchmark, and their frames."""
    return (Path(__file__).parent / "lists" / f"{name}.txt").read_text()


def read_names(path) -> List[str]:
    """The sequence names in a list file, one in each line. Blank lines are dropped."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"list of sequences {path} does not exist")
    lines = read_text(path).splitlines()
    return [line.strip() for line in lines if line.strip()]


def read_labels(path, length: int) -> np.ndarray:
    """Read one whole number for each frame, in lines of their own or all in one line: (length,)
    int8."""
    labels = read_table(path).ravel()
    if len(labels) != length:
        raise ValueError(f"{path}: {len(labels)} labels but {length} boxes")
    return labels.astype(np.int8)


def extend_first_box(boxes: np.ndarray, length: int) -> np.ndarray:
    """Boxes (1, 4) -> (length, 4), with NaN after the first one. This is for test sets whose other
    boxes only a server knows. If there is more than one box, the boxes are returned as they are."""
    if len(boxes) != 1:
        return boxes
    extended = np.full((max(length, 1), 4), np.nan)
    extended[:1] = boxes
    return extended
