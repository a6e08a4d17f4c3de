"""Result files of trackers as the public toolkits write them: where they are, what they hold.

A folder of results of one tracker on one data set is in one of these layouts:

* OTB, UAV123, LaSOT, TrackingNet, PySOT, PyTracking, and what this project writes: NAME.txt with
  ``x,y,w,h`` for each frame; comma, tab, semicolon or space. Times in NAME_time.txt,
  times/NAME_time.txt or (ours) NAME_time.value, scores in NAME_scores.txt or (ours)
  NAME_confidence.value.
* GOT-10k: NAME/NAME_001.txt of the same kind, further runs in NAME_002.txt ...; times in
  NAME/NAME_time.txt, one column for each run.
* VOT: NAME/NAME_001.txt, also below an experiment's folder (baseline/, longterm/, ...): a box or a
  polygon for each frame, or one number instead: 1 the tracker was started, 2 it failed, 0 the
  frame was passed over. Further runs as in GOT-10k. Times in NAME_time.txt or NAME_001_time.value,
  scores in NAME_001_confidence.value.
"""

import re
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from ..data.datasets import read_table
from .vot import BOX, FAILED, PASSED_OVER, STARTED

__all__ = ["SCORES", "TIMES", "find_result", "further_runs", "read_column", "read_result_table"]

EXPERIMENTS = ("", "baseline", "supervised", "unsupervised", "longterm", "realtime")
PREFIXES = ("", "uav_", "nfs_")  # PyTracking has them before the names of sequences
TIMES = ("{}_time.txt", "{}_times.txt", "{}_time.value", "times/{}_time.txt")
SCORES = ("{}_scores.txt", "{}_score.txt", "{}_confidence.value", "{}_confidence.txt")
RUN = "_001"


def find_result(folder: Path, name: str) -> Optional[Path]:
    """The result file of a sequence."""
    safe = re.sub(r"[^\w.#+-]+", "_", name)  # as SOTEvaluator writes it
    spellings = (name, safe, re.sub(r"[-.](?=\d+$)", "_", name), re.sub(r"-(?=\d+$)", ".", name))
    for experiment in EXPERIMENTS:
        for prefix in PREFIXES:
            for spelling in dict.fromkeys(prefix + spelling for spelling in spellings):
                root = folder / experiment
                nested = root / spelling / f"{spelling}{RUN}.txt"
                for path in (root / f"{spelling}.txt", nested):
                    if path.is_file():
                        return path
    return None


def read_column(path: Path, patterns: Sequence[str], length: int) -> Optional[np.ndarray]:
    """
    Args:
        path: a result file.
        patterns: TIMES or SCORES.
        length: number of frames.

    Returns:
        (length,) numbers of the first of the files that stands beside the result file; None if
        there is none. NaN for the first frame where that is left out, as VOT does.

    Raises:
        ValueError: no numbers, or another number of them; the message names the file.
    """
    stems = (path.stem, path.stem[: -len(RUN)] if path.stem.endswith(RUN) else path.stem)
    names = [pattern.format(stem) for stem in dict.fromkeys(stems) for pattern in patterns]
    beside = next((path.parent / name for name in names if (path.parent / name).is_file()), None)
    return None if beside is None else _fit_column(beside, length)


def further_runs(path: Path) -> List[Path]:
    """NAME_002.txt, NAME_003.txt, ... beside NAME_001.txt."""
    if not path.stem.endswith(RUN):
        return []
    stem = path.stem[: -len(RUN)]
    files = sorted(path.parent.iterdir())
    return [
        p for p in files if re.fullmatch(re.escape(stem) + r"_\d{3}\.txt", p.name) and p != path
    ]


def _fit_column(path: Path, length: int) -> np.ndarray:
    """The first column of a file, or its one row; NaN for blank lines, which the VOT toolkit
    writes where there is no value, and for a first frame that is not there."""
    lines = path.read_text(encoding="utf-8-sig").rstrip(" \t").splitlines()
    if len(lines) == 1:
        values = read_table(path).ravel()
    else:
        blank = np.array([not line.strip() for line in lines], dtype=bool)
        values = np.full(len(lines), np.nan)
        values[~blank] = read_table(path)[:, 0] if not blank.all() else np.nan
        while len(values) > length and blank[len(values) - 1]:
            values = values[:-1]  # blank lines at the end of the file
    if len(values) == length - 1:
        values = np.concatenate([[np.nan], values])
    if len(values) != length:
        raise ValueError(f"{path}: {len(values)} numbers for {length} frames")
    return values


def read_result_table(path) -> Tuple[np.ndarray, np.ndarray]:
    """Text file with a box x, y, w, h, a polygon x1, y1, ..., x4, y4, or one of the numbers
    STARTED, FAILED, PASSED_OVER in each line; comma, tab, semicolon or space between numbers.

    Returns:
        (T, 4) boxes, or (T, 8) polygons if there is one, NaN in lines with one number; (T,) marks.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another line; the message gives file and line.
    """
    rows, marks = [], []
    text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        words = re.split(r"[,;\s]+", line.strip(" \t,;"))
        if words == [""]:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            raise ValueError(f"{path} line {number}: no number in {line.strip()[:60]!r}") from None
        if len(row) == 1 and row[0] in (STARTED, FAILED, PASSED_OVER):
            marks.append(int(row[0]))
        elif len(row) in (4, 8):
            marks.append(BOX)
        else:
            raise ValueError(
                f"{path} line {number}: expected x,y,w,h, four corners, or 0, 1 or 2 as in VOT, "
                f"but found {line.strip()[:60]!r}"
            )
        rows.append(row)
    width = 8 if any(len(row) == 8 for row in rows) else 4
    table = np.full((len(rows), width), np.nan)
    for row, values in zip(table, rows):
        if len(values) > 1:
            row[:] = values if len(values) == width else _corners(*values)
    return table, np.array(marks, dtype=np.int8)


def _corners(x, y, w, h):
    return x, y, x + w, y, x + w, y + h, x, y + h
