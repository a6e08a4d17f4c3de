"""Results of any tracker, read from its files (see `layouts`).

Boxes come back as everywhere in this project: XYXY in continuous frame pixels that count from 0.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ...boxes import bounding_box, is_present, to_xyxy
from ...data import resolve
from ...data.datasets import read_table
from ...data.datasets.box_files import read_text, split_line
from ..measures.metrics import iou_xyxy
from ..measures.vot import BOX, FAILED, PASSED_OVER, STARTED
from .layouts import RESTARTS, SCORES, TIMES, find_beside, find_result, further_runs

FIRST_BOX_IOU = 0.5  # a first box that agrees less with the given one is of another data set


class Run(NamedTuple):
    """regions: (T, 4) XYXY in frame pixels from 0, or (T, 8) corners, a box XYXY among them
    followed by NaN; NaN where there is none. The first one is the truth's where the file only says
    that the tracker was started. marks: (T,) as in measures.vot: BOX where there is a region.
    scores: (T,) confidences, or None."""

    regions: np.ndarray
    marks: np.ndarray
    scores: Optional[np.ndarray] = None

    @property
    def boxes(self) -> np.ndarray:
        """(T, 4) the regions, or the boxes around their corners."""
        boxes = self.regions[:, :4]
        if self.regions.shape[1] == 4:
            return boxes
        polygon = ~np.isnan(self.regions[:, 4:]).all(axis=1, keepdims=True)
        return np.where(polygon, bounding_box(self.regions.reshape(-1, 4, 2)), boxes)


@dataclass(frozen=True)
class SequenceResult:
    """What a tracker said about one sequence.

    Attributes:
        runs: all of them; one, but for repeated experiments of GOT-10k and VOT.
        times: (T,) seconds of the first run, or None.
        restarted: they are of an experiment in which a tracker that fails is started again.
        status: T words of the tracker's status, of this project's results alone; else ().
        doubts: what is odd, but no reason to leave the result out.
    """

    runs: Tuple[Run, ...]
    times: Optional[np.ndarray] = None
    restarted: bool = False
    status: Tuple[str, ...] = ()
    doubts: Tuple[str, ...] = ()

    @property
    def boxes(self) -> np.ndarray:
        """Of the first run, see Run."""
        return self.runs[0].boxes


class ResultProblem(NamedTuple):
    """What is wrong, for people, with a sequence or (sequence "") the folder as a whole; left_out:
    the sequence has no usable result, else it is used as it is."""

    sequence: str
    detail: str
    left_out: bool


def read_results(
    folder, dataset: Union[str, Iterable[Dict]], problems: List[ResultProblem]
) -> Dict[str, SequenceResult]:
    """{name of a sequence: result}, in the order of the data set, of those with a usable result;
    what is wrong is appended to ``problems``. ``dataset``: a name that `sot.data.get_tracks` knows,
    or track dicts (counted from 0). FileNotFoundError: there is no such folder."""
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
    """The result of one sequence, from files in which the first pixel has the number ``origin``.
    FileNotFoundError: no file of boxes. ValueError: one that cannot be read or does not fit the
    track."""
    path = find_result(folder, track["name"])
    if path is None:
        raise FileNotFoundError(f"no result file for sequence {track['name']} in {folder}")
    doubts = []
    runs = [_read_run(p, track, origin, doubts) for p in (path, *further_runs(path))]
    doubts += _doubts(runs[0], track["boxes"])
    above = set(path.parts[-3:-1])  # and not those of the whole path, which may be called so too
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
            + ("the run broke off" if len(regions) < length else "of another data set or version?")
        )
    if marks[0] == STARTED:  # the box that was given
        regions[0, :4] = track["boxes"][0]
    return Run(regions, marks, _read_beside(path, SCORES, length, doubts))


def _read_beside(
    path: Path, patterns: Sequence[str], length: int, doubts: List[str]
) -> Optional[np.ndarray]:
    """The numbers of a file beside a result file; None where there is none that can be used."""
    beside = find_beside(path, patterns)
    try:
        return None if beside is None else _read_column(beside, length)
    except ValueError as e:
        doubts.append(f"{e}; the file is passed over")
        return None


def _doubts(run: Run, truth: np.ndarray) -> List[str]:
    boxes, marks = run.boxes, run.marks
    found = []
    # where the target is absent, no box is right in long-term tracking, and nowhere wrong
    none = ~is_present(boxes) & (marks == BOX) & is_present(truth)
    if none.any():
        found.append(
            f"{none.sum()} of {len(none)} boxes have a NaN or no area, the first in frame "
            f"{np.flatnonzero(none)[0]}: they count as failures"
        )
    iou = float(iou_xyxy(boxes[:1], truth[:1])[0])
    if is_present(truth[0]) and iou < FIRST_BOX_IOU:
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
    """Text file with a box x, y, w, h, a polygon x1, y1, ..., x4, y4, or one of the numbers
    STARTED, FAILED, PASSED_OVER in each line; comma, tab, semicolon or space between numbers.
    Pixels in it count from ``origin``.

    (T, 4) boxes XYXY, or (T, 8) corners if there is a polygon, see Run; (T,) marks. ValueError:
    another line; the message gives file and line."""
    rows, marks = [], []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        # beside semicolons a comma is a decimal point
        words = split_line(line) if ";" in line else re.split(r"[,\s]+", line.strip(" \t,"))
        if words in ([], [""]):
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
    regions = np.full((len(rows), max([4, *map(len, rows)])), np.nan)
    for region, row in zip(regions, rows):
        if len(row) == 8:
            region[:] = np.subtract(row, origin)
        elif len(row) == 4:
            region[:4] = to_xyxy(np.subtract(row, [origin, origin, 0, 0]))
    return regions, np.array(marks, dtype=np.int8)
