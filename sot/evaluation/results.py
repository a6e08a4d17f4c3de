"""Results of any tracker, read from its files (see `sot.evaluation.result_files`).

Boxes come back as everywhere in this project: XYXY in continuous frame pixels that count from 0.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from ..boxes import bounding_box, is_present, to_xyxy
from ..data import resolve
from .metrics import iou_xyxy
from .result_files import (
    SCORES,
    TIMES,
    find_result,
    further_runs,
    read_column,
    read_result_table,
)
from .vot import BOX, FAILED, STARTED

__all__ = ["ResultProblem", "Run", "SequenceResult", "read_results"]

FIRST_BOX_IOU = 0.5  # a first box that agrees less with the given one is of another data set
RESTART_EXPERIMENTS = {"baseline", "supervised"}  # folders of the VOT toolkits


class Run(NamedTuple):
    """
    regions: (T, 4) XYXY in frame pixels from 0, or (T, 8) corners; NaN where there is none.
    marks: (T,) as in sot.evaluation.vot: BOX where there is a region.
    """

    regions: np.ndarray
    marks: np.ndarray


@dataclass(frozen=True)
class SequenceResult:
    """What a tracker said about one sequence.

    Attributes:
        boxes: (T, 4) float64 XYXY in frame pixels from 0, of the first run; NaN where there is
            none. The first one is the truth's where the file only says that the tracker was
            started.
        scores: (T,) confidence, or None.
        times: (T,) seconds, or None.
        runs: all of them; one, but for repeated experiments of GOT-10k and VOT.
        restarted: they are of an experiment in which a tracker that fails is started again.
    """

    boxes: np.ndarray
    scores: Optional[np.ndarray] = None
    times: Optional[np.ndarray] = None
    runs: Tuple[Run, ...] = ()
    restarted: bool = False


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
        folder: of one tracker on one data set, see sot.evaluation.result_files.
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
            result = _read_sequence(folder, track, origin, doubts)
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


def _read_sequence(folder: Path, track: Dict, origin: float, doubts) -> SequenceResult:
    """What is odd, but no reason to leave it out, is appended to ``doubts``, if not None."""
    path = find_result(folder, track["name"])
    if path is None:
        raise FileNotFoundError(f"no result file for sequence {track['name']} in {folder}")
    runs = tuple(_read_run(p, track, origin) for p in (path, *further_runs(path)))
    regions, marks = runs[0]
    boxes = regions.copy()
    if boxes.shape[1] == 8:
        boxes = bounding_box(boxes.reshape(-1, 4, 2))
    if marks[0] == STARTED:
        boxes[0] = track["boxes"][0]
    columns = []
    for patterns in (SCORES, TIMES):
        try:
            columns.append(read_column(path, patterns, len(boxes)))
        except ValueError as e:
            if doubts is None:
                raise
            columns.append(None)
            doubts.append(f"{e}; the file is passed over")
    if doubts is not None:
        doubts += _doubts(boxes, marks, track["boxes"])
    above = set(path.parts[-3:-1])  # and not those of the whole path, which may be called so too
    restarted = bool(RESTART_EXPERIMENTS & above) and marks[0] == STARTED
    restarted |= any((run.marks == FAILED).any() for run in runs)
    return SequenceResult(boxes, *columns, runs, bool(restarted))


def _read_run(path: Path, track: Dict, origin: float) -> Run:
    table, marks = read_result_table(path)
    length = len(track["boxes"])
    if len(table) != length:
        raise ValueError(
            f"{path} has {len(table)} boxes, but {track['name']} has {length} frames: "
            + ("the run broke off" if len(table) < length else "of another data set or version?")
        )
    if table.shape[1] == 8:
        return Run(table - origin, marks)
    return Run(to_xyxy(table - [origin, origin, 0, 0]), marks)


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
