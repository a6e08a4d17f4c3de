"""The VOT protocol with restarts, on data sets on disk: where a tracker has lost its target it is
started again, a little later.

Source: [vot] github.com/votchallenge/toolkit 0.7.2, vot/experiment/multirun.py
(SupervisedExperiment).
"""

import logging
import time
from typing import Dict, NamedTuple

import numpy as np

from ..boxes import is_present, to_xywh
from ..data.frames import FrameError
from ..evaluation import vot
from ..evaluation.polygon import raster_overlap
from ..evaluation.writers import ResultWriter, vot_layout
from ..utils.files import write_text

__all__ = ["RestartWriter", "track_with_restarts"]

NAN = float("nan")


class _Frame(NamedTuple):
    """What is known of a frame after a run."""

    mark: int
    status: str
    time: float = 0.0
    score: float = NAN
    box: np.ndarray = np.full(4, NAN)


def track_with_restarts(tracker, track: Dict) -> Dict:
    """
    The tracker is started on the bounding box of the truth in the first frame. Where its box and
    the truth (the polygon, if there is one) have no pixel in common it has failed, and
    `vot.SKIP_AFTER_FAILURE` frames after that one it is started again, as in [vot]. A frame
    without a truth, which VOT does not have, is a failure, and no frame to start on.

    A frame that cannot be read has the box of the one before.

    Args:
        tracker: with `start` and `step` as in SiameseTracker.
        track: track dict, with `polygons` where the data set has them.

    Returns:
        dict with `name`; `boxes` (T, 4) XYXY in frame pixels, NaN where the mark is not `vot.BOX`;
        `marks` (T,) of `vot.BOX`, `vot.STARTED`, `vot.FAILED`, `vot.PASSED_OVER`; `scores` (T,)
        confidences, NaN at starts and where frames were passed over; `status`, T strings; `times`
        (T,) seconds, 0 where frames were passed over.

    Raises:
        FrameError: a frame that the tracker should be started on cannot be read.
        ValueError: there is no box in the first frame, or the tracker does not take the one of a
            start.
    """
    truth = np.asarray(track.get("polygons", track["boxes"]), dtype=np.float64)
    startable = is_present(track["boxes"])
    if not startable[0]:
        raise ValueError(f"sequence {track['name']}: no box in the first frame to start from")
    frames, state, next_start = [], None, 0
    for i in range(len(truth)):
        if state is None and (i < next_start or not startable[i]):
            frames.append(_Frame(vot.PASSED_OVER, "passed_over"))
            continue
        if state is None:
            image = track["frames"][i]
            begin = time.perf_counter()
            state = tracker.start(image, track["boxes"][i])
            frames.append(_Frame(vot.STARTED, "init", time.perf_counter() - begin))
            continue
        state, status, seconds = _step(tracker, track, i, state)
        if raster_overlap(state.box[None], truth[i : i + 1], image.shape[1::-1])[0] > 0:
            frames.append(_Frame(vot.BOX, status, seconds, state.score, state.box))
        else:
            frames.append(_Frame(vot.FAILED, "failed", seconds, state.score))
            state, next_start = None, i + vot.SKIP_AFTER_FAILURE
    return {
        "name": track["name"],
        "boxes": np.stack([frame.box for frame in frames]),
        "marks": np.array([frame.mark for frame in frames], dtype=np.int8),
        "scores": np.array([frame.score for frame in frames]),
        "status": [frame.status for frame in frames],
        "times": np.array([frame.time for frame in frames]),
    }


def _step(tracker, track: Dict, index: int, state):
    """State, status and seconds of a frame that is not a start."""
    try:
        image = track["frames"][index]
    except FrameError as e:
        logging.getLogger(__name__).warning(f"{track['name']}: frame {index} skipped: {e}")
        return state, "skipped", 0.0
    begin = time.perf_counter()
    state = tracker.step(image, state)
    return state, state.status, time.perf_counter() - begin


class RestartWriter(ResultWriter):
    """Result files of runs with restarts, as in the results of a workspace of the VOT toolkit:
    baseline/NAME/NAME_001.txt, _time.value and _confidence.value, and NAME_001.status. A line of
    the first is x,y,w,h or one number, a mark of `sot.evaluation.vot`."""

    def __init__(self, folder, pixel_origin: float):
        """See ResultWriter."""
        super().__init__(folder, "vot", pixel_origin)
        self.layout = vot_layout("baseline")

    def write(self, output: Dict) -> None:
        """Write the files of one sequence, each whole or not at all.

        Args:
            output: of track_with_restarts.
        """
        rows = to_xywh(output["boxes"]) + [self.pixel_origin, self.pixel_origin, 0, 0]
        lines = [
            ",".join(f"{v:.4f}" for v in row) if mark == vot.BOX else str(mark)
            for row, mark in zip(rows, output["marks"])
        ]
        times = [f"{t:.8f}" for t in output["times"]]
        scores = [f"{s:.6f}" for s in output["scores"]]
        paths = self.layout.paths(output["name"])
        for path, column in zip(paths, (times, scores, output["status"], lines)):
            write_text(self.folder / path, "\n".join(column) + "\n")
