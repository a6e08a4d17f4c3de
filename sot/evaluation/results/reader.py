"""Results of any tracker, read from its files (see `layouts`).

Boxes come back as everywhere in this project: XYXY in continuous frame pixels that count from 0.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from ...boxes import bounding_box, is_present, to_xyxy
from ...data import resolve
from ...data.datasets import read_table
from ..measures.metrics import iou_xyxy
from ..measures.vot import BOX, FAILED, PASSED_OVER, STARTED
from .layouts import RESTARTS, SCORES, TIMES, find_beside, find_result, further_runs

__all__ = [
    "ResultProblem",
    "Run",
    "SequenceResult",
    "read_result_table",
    "read_results",
    "read_sequence",
]

FIRST_BOX_IOU = 0.5  # a first box that agrees less with the given one is of another data set


class Run(NamedTuple):
    """
    regions: (T, 4) XYXY in frame pixels from 0, or (T, 8) corners; NaN where there is none. The
        first one is the truth's where the file only says that the tracker was started.
    marks: (T,) as in sot.evaluation.measures.vot: BOX where there is a region.
    """

    regions: np.ndarray
    marks: np.ndarray

    @property
    def boxes(self) -> np.ndarray:
        """(T, 4) the regions, or the boxes around their corners."""
        if self.regions.shape[1] == 4:
            return self.regions
        return bounding_box(self.regions.reshape(-1, 4, 2))


@dataclass(frozen=True)
class SequenceResult:
    """What a tracker said about one sequence.

    Attributes:
        scores: (T,) confidence, or None.
        times: (T,) seconds, or None.
        runs: all of them; one, but for repeated experiments of GOT-10k and VOT.
        status: T words of the tracker's status, of this project's results alone; else ().
        restarted: they are of an experiment in which a tracker that fails is started again.
    """

    scores: Optional[np.ndarray] = None
    times: Optional[np.ndarray] = None
    runs: Tuple[Run, ...] = ()
    restarted: bool = False
    status: Tuple[str, ...] = ()

    @property
    def boxes(self) -> np.ndarray:
        """Of the first run, see Run."""
        return self.runs[0].boxes


class ResultProblem(NamedTuple):
    """
    sequence: its name, or "" where the folder as a whole is meant.
    detail: for people.
    left_out: the sequence has no usable result; otherwise it is used as it is.
    """

    sequence: str
    detail: str
    left_out: bool


def read_results(
    folder, dataset: Union[str, Iterable[Dict]], problems: Optional[List[ResultProblem]] = None
) -> Dict[str, SequenceResult]:
    """
    Args:
        folder: of one tracker on one data set, see `layouts`.
        dataset: a name that `sot.data.get_tracks` knows, or track dicts (counted from 0).
        problems: what is wrong is appended here, and sequences without a usable result are left
            out. None: the first one is an error.

    Returns:
        {name of a sequence: result}, in the order of the data set.

    Raises:
        FileNotFoundError: no such folder; or, without ``problems``, no file for a sequence.
        ValueError: without ``problems``, a file that cannot be read or does not fit.
    """
    folder, origin = Path(folder), 0
    if not folder.is_dir():
        raise FileNotFoundError(f"folder of results {folder} does not exist")
    if isinstance(dataset, str):
        entry = resolve(dataset)
        origin, dataset = entry.pixel_origin, entry.tracks()
    results, shifts, missing, count = {}, [], [], 0
    for track in dataset:
        name, count = track["name"], count + 1
        doubts = None if problems is None else []
        try:
            result = read_sequence(folder, track, origin, doubts)
        except FileNotFoundError as e:
            if problems is None:
                raise
            missing.append(ResultProblem(name, str(e), True))
            continue
        except ValueError as e:
            if problems is None:
                raise
            problems.append(ResultProblem(name, str(e), True))
            continue
        results[name] = result
        if problems is not None:
            problems += [ResultProblem(name, doubt, False) for doubt in doubts]
            shifts.append((result.boxes[0] - track["boxes"][0])[:2])
    if problems is not None:
        problems += _of_the_whole(folder, len(missing), count, shifts) + missing
    return results


def read_sequence(
    folder: Path, track: Dict, origin: float, doubts: Optional[List[str]] = None
) -> SequenceResult:
    """The result of one sequence.

    Args:
        folder, track: see read_results.
        origin: number of the first pixel in the files.
        doubts: what is odd, but no reason to leave the result out, is appended here. None: a bad
            file of times or scores is an error.

    Raises:
        FileNotFoundError: no file of boxes.
        ValueError: a file that cannot be read or does not fit the track.
    """
    path = find_result(folder, track["name"])
    if path is None:
        raise FileNotFoundError(f"no result file for sequence {track['name']} in {folder}")
    runs = tuple(_read_run(p, track, origin) for p in (path, *further_runs(path)))
    boxes, marks = runs[0].boxes, runs[0].marks
    columns = []
    for patterns in (SCORES, TIMES):
        try:
            beside = find_beside(path, patterns)
            columns.append(None if beside is None else _read_column(beside, len(boxes)))
        except ValueError as e:
            if doubts is None:
                raise
            columns.append(None)
            doubts.append(f"{e}; the file is passed over")
    if doubts is not None:
        doubts += _doubts(boxes, marks, track["boxes"])
    above = set(path.parts[-3:-1])  # and not those of the whole path, which may be called so too
    restarted = bool(above.intersection(RESTARTS)) and marks[0] == STARTED
    restarted |= any((run.marks == FAILED).any() for run in runs)
    status = path.with_suffix(".status")
    words = tuple(status.read_text().split()) if status.is_file() else ()
    return SequenceResult(*columns, runs, bool(restarted), words)


def _read_run(path: Path, track: Dict, origin: float) -> Run:
    table, marks = read_result_table(path)
    length = len(track["boxes"])
    if len(table) != length:
        raise ValueError(
            f"{path} has {len(table)} boxes, but {track['name']} has {length} frames: "
            + ("the run broke off" if len(table) < length else "of another data set or version?")
        )
    if table.shape[1] == 8:
        regions = table - origin
    else:
        regions = to_xyxy(table - [origin, origin, 0, 0])
    if marks[0] == STARTED:  # the box that was given
        x0, y0, x1, y1 = track["boxes"][0]
        regions[0] = (x0, y0, x1, y1) if regions.shape[1] == 4 else (x0, y0, x1, y0, x1, y1, x0, y1)
    return Run(regions, marks)


def _doubts(boxes: np.ndarray, marks: np.ndarray, truth: np.ndarray) -> List[str]:
    found = []
    # where the target is absent, no box is right in long-term tracking, and nowhere wrong
    none = ~is_present(boxes) & (marks == BOX) & is_present(truth)
    if none.any():
        found.append(
            f"{none.sum()} of {len(none)} boxes have a NaN or no area, the first in frame "
            f"{np.flatnonzero(none)[0]}: they count as failures"
        )
    given = np.asarray(truth[:1], dtype=np.float64)
    iou = float(iou_xyxy(boxes[:1], given)[0])
    if is_present(given)[0] and iou < FIRST_BOX_IOU:
        found.append(
            f"the first box overlaps with the one given by {iou:.2f} only: is the result of "
            "another data set, or started elsewhere?"
        )
    return found


def _of_the_whole(folder: Path, missing: int, count: int, shifts) -> List[ResultProblem]:
    found = []
    if missing > 1:
        detail = f"no result file for {missing} of {count} sequences in {folder}"
        if missing == count:
            there = sorted(p.name for p in folder.iterdir())[:3]
            detail += ": is it of another data set? There is " + (", ".join(there) or "nothing")
        found.append(ResultProblem("", detail, False))
    shift = np.median(shifts, axis=0) if shifts else np.zeros(2)
    if len(shifts) > 1 and np.allclose(np.abs(shift), 1, atol=0.01) and np.isclose(*shift):
        detail = (
            f"the first boxes are {shift[0]:+.0f}, {shift[1]:+.0f} px off the given ones: do these "
            "files count pixels from another number than the data set does?"
        )
        found.append(ResultProblem("", detail, False))
    return found


def _read_column(path: Path, length: int) -> np.ndarray:
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
