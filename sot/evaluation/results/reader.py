"""Results of any tracker, read from its files (see `layouts`).

It returns boxes as they are everywhere in this project: XYXY in continuous frame pixels from 0 on.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ...boxes import bounding_box, is_present, to_xywh, to_xyxy
from ...data import resolve
from ...data.datasets import read_boxes, read_table
from ...data.datasets.box_files import read_text, split_line
from ..measures.metrics import iou_xyxy
from ..measures.vot import BOX, FAILED, PASSED_OVER, STARTED
from .layouts import RESTARTS, SCORES, TIMES, find_beside, find_result, further_runs

# if the first box overlaps the given one by less, the result is of another dataset
FIRST_BOX_IOU = 0.5
SAME_BOX_IOU = 0.9


class Run(NamedTuple):
    """One run over a sequence.

    Attributes:
        regions: (T, 4) XYXY in frame pixels from 0 on; or corners (T, 8), where a box XYXY is
            followed by NaN. A frame without a region has NaN. If the file only says that the
            tracker was started, the first region is the true one.
        marks: (T,) as in measures.vot: BOX for a frame with a region.
        scores: (T,) confidences, or None.
    """

    regions: np.ndarray
    marks: np.ndarray
    scores: Optional[np.ndarray] = None

    @property
    def boxes(self) -> np.ndarray:
        """The regions as boxes (T, 4): polygons become the boxes around their corners."""
        boxes = self.regions[:, :4]
        if self.regions.shape[1] == 4:
            return boxes
        polygon = ~np.isnan(self.regions[:, 4:]).all(axis=1, keepdims=True)
        return np.where(polygon, bounding_box(self.regions.reshape(-1, 4, 2)), boxes)


@dataclass(frozen=True)
class SequenceResult:
    """The result of a tracker for one sequence.

    Attributes:
        runs: all runs. Only repeated experiments of GOT-10k and VOT have several.
        times: (T,) seconds of the first run, or None.
        restarted: whether the runs are of an experiment with restarts.
        status: the tracker's status in each of the T frames. Only results of this project have it;
            others have ().
        doubts: messages about odd things that are no reason to leave the result out.
    """

    runs: Tuple[Run, ...]
    times: Optional[np.ndarray] = None
    restarted: bool = False
    status: Tuple[str, ...] = ()
    doubts: Tuple[str, ...] = ()

    @property
    def boxes(self) -> np.ndarray:
        """That of the first run, see Run."""
        return self.runs[0].boxes


class ResultProblem(NamedTuple):
    """A message about a sequence or, if ``sequence`` is "", about the whole folder. ``left_out``:
    the sequence has no usable result; otherwise its result is used."""

    sequence: str
    detail: str
    left_out: bool


def read_results(
    folder, dataset: Union[str, Iterable[Dict]], problems: List[ResultProblem]
) -> Dict[str, SequenceResult]:
    """Read the results of a tracker on a dataset.

    Args:
        dataset: a name that `sot.data.get_tracks` takes, or track dicts (whose pixels count from
        0).
        problems: messages about the files are appended to it.

    Returns:
        {name of a sequence: result}, in the order of the dataset, for sequences with a usable
        result.

    Raises:
        FileNotFoundError: there is no such folder.
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
        try:
            result = read_sequence(folder, track, origin)
        except FileNotFoundError as e:
            missing.append(ResultProblem(name, str(e), True))
        except ValueError as e:
            problems.append(ResultProblem(name, str(e), True))
        else:
            results[name] = result
            problems += [ResultProblem(name, doubt, False) for doubt in result.doubts]
            shifts.append((result.boxes[0] - track["boxes"][0])[:2])
    problems += _of_the_whole(folder, len(missing), count, shifts) + missing
    return results


def read_sequence(folder: Path, track: Dict, origin: float) -> SequenceResult:
    """Read the result of one sequence, from files in which the first pixel has the number
    ``origin``. FileNotFoundError: there is no file of boxes. ValueError: a file cannot be read or
    does not fit the track."""
    path = find_result(folder, track["name"])
    if path is None:
        raise FileNotFoundError(f"no result file for sequence {track['name']} in {folder}")
    doubts = []
    runs = [_read_run(p, track, origin, doubts) for p in (path, *further_runs(path))]
    doubts += _doubts(runs[0], track["boxes"])
    # only the two folders above the file, because one further up may have such a name by chance
    above = set(path.parts[-3:-1])
    restarted = bool(above.intersection(RESTARTS)) and runs[0].marks[0] == STARTED
    restarted |= any((run.marks == FAILED).any() for run in runs)
    times = _read_beside(path, TIMES, len(track["boxes"]), doubts)
    status = path.with_suffix(".status")
    words = tuple(read_text(status).split()) if status.is_file() else ()
    return SequenceResult(tuple(runs), times, bool(restarted), words, tuple(doubts))


def _read_run(path: Path, track: Dict, origin: float, doubts: List[str]) -> Run:
    regions, marks = read_result_table(path, origin)
    length = len(track["boxes"])
    if len(regions) != length:
        raise ValueError(
            f"{path} has {len(regions)} boxes, but {track['name']} has {length} frames: "
            + ("the run broke off" if len(regions) < length else "it is for another dataset")
        )
    if marks[0] == STARTED:  # the box that was given to the tracker
        regions[0, :4] = track["boxes"][0]
    return Run(regions, marks, _read_beside(path, SCORES, length, doubts))


def _read_beside(
    path: Path, patterns: Sequence[str], length: int, doubts: List[str]
) -> Optional[np.ndarray]:
    """The numbers of a file beside a result file, or None if there is no usable one."""
    beside = find_beside(path, patterns)
    try:
        return None if beside is None else _read_column(beside, length)
    except ValueError as e:
        doubts.append(f"{e}; the file is passed over")
        return None


def _doubts(run: Run, truth: np.ndarray) -> List[str]:
    boxes, marks = run.boxes, run.marks
    found = []
    # In long-term tracking it is right to give no box while the target is absent, and no error
    # otherwise.
    none = ~is_present(boxes) & (marks == BOX) & is_present(truth)
    if none.any():
        found.append(
            f"{none.sum()} of {len(none)} boxes have a NaN or no area, the first in frame "
            f"{np.flatnonzero(none)[0]}: they count as failures"
        )
    iou = float(iou_xyxy(boxes[:1], truth[:1])[0])
    if is_present(truth[0]) and iou < FIRST_BOX_IOU:
        found.append(
            f"the first box overlaps with the one given by {iou:.2f} only: is this the result of "
            "another dataset, or was the tracker started on another box?"
        )
    # the numbers of the file, as corners
    as_corners = float(iou_xyxy(to_xywh(boxes[:1]), truth[:1])[0])
    if as_corners > max(iou, SAME_BOX_IOU):
        found.append(
            "the first line is the given box as two corners; if all are, write x0,y0,x1,y1 above it"
        )
    return found


def _of_the_whole(folder: Path, missing: int, count: int, shifts) -> List[ResultProblem]:
    found = []
    if missing > 1:
        detail = f"no result file for {missing} of {count} sequences in {folder}"
        if missing == count:
            there = sorted(p.name for p in folder.iterdir())[:3]
            detail += ": is it for another dataset? There is " + (", ".join(there) or "nothing")
        found.append(ResultProblem("", detail, False))
    shift = np.median(shifts, axis=0) if shifts else np.zeros(2)
    if len(shifts) > 1 and np.allclose(np.abs(shift), 1, atol=0.01) and np.isclose(*shift):
        detail = (
            f"the first boxes are {shift[0]:+.0f}, {shift[1]:+.0f} px off the given ones: do these "
            "files count pixels from another number than the dataset does?"
        )
        found.append(ResultProblem("", detail, False))
    return found


def _read_column(path: Path, length: int) -> np.ndarray:
    """The first column of a file, or its only row. A blank line, which the VOT toolkit writes for a
    missing value, gives NaN, and so does a missing first frame."""
    lines = read_text(path).rstrip(" \t").splitlines()
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


def read_result_table(path, origin: float = 0) -> Tuple[np.ndarray, np.ndarray]:
    """Read a text file whose lines hold a box x, y, w, h, a polygon x1, y1, ..., x4, y4, or one of
    the numbers STARTED, FAILED, PASSED_OVER. Commas, tabs, semicolons or spaces separate the
    numbers. Pixels count from ``origin``. If the first line names the columns, or the first column
    counts the frames, read_boxes reads the file.

    Returns:
        boxes (T, 4) XYXY, or corners (T, 8) if there is a polygon, see Run; and marks (T,).

    Raises:
        ValueError: a line holds anything else; the message names file and line.
    """
    rows, marks = [], []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        # beside semicolons a comma is a decimal point
        words = split_line(line) if ";" in line else re.split(r"[,\s]+", line.strip(" \t,"))
        if words in ([], [""]):
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) == 1 and row[0] in (STARTED, FAILED, PASSED_OVER):
            marks.append(int(row[0]))
        elif len(row) in (4, 8):
            marks.append(BOX)
        elif not rows:  # a first line of names, or a column that counts the frames
            table = read_boxes(path) - [origin, origin, 0, 0]
            return to_xyxy(table), np.full(len(table), BOX, dtype=np.int8)
        else:
            raise ValueError(
                f"{path} line {number}: expected x,y,w,h, four corners, or 0, 1 or 2 as in VOT, "
                f"but found {line.strip()[:60]!r}"
            )
        rows.append(row)
    regions = np.full((len(rows), max([4, *map(len, rows)])), np.nan)
    for region, row in zip(regions, rows):
        if len(row) == 8:
            region[:] = np.subtract(row, origin)
        elif len(row) == 4:
            region[:4] = to_xyxy(np.subtract(row, [origin, origin, 0, 0]))
    return regions, np.array(marks, dtype=np.int8)
