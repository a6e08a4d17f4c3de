"""Experiments: the ways in which a tracker is run over a sequence.

detectron2's ``inference_on_dataset`` calls an experiment on tracks, instead of a model on images.
The tracker of an experiment can be any object with the methods ``start`` and ``step_all`` of a
SiameseTracker."""

import contextlib
import logging
from typing import Dict, Iterator, List, Optional

import numpy as np
import torch

from ..boxes import is_present
from ..data.frame_source import Frame, frames_of, read_ahead
from ..tracking import BothWays, Course, Target, follow, follow_together
from ..utils.fingerprint import fingerprint
from .measures import vot
from .measures.polygon import raster_overlap

# Raise this number when the same weights and settings give other boxes than before. --resume then
# starts interrupted evaluations anew.
TRACKING_VERSION = 5

logger = logging.getLogger(__name__)


class Experiment:
    """Base of the experiments with a tracker; see sot.tracking.follow."""

    def __init__(self, tracker):
        self.tracker = tracker

    def __call__(self, tracks: List[Dict]) -> List[Dict]:
        """The result of :meth:`run` for each track dict. If it fails, the error is logged, and the
        result is ``name`` and ``error`` (a line of text), so that the other sequences go on."""
        return [self._try(track) for track in tracks]

    def _try(self, track: Dict) -> Dict:
        try:
            return self.run(track)
        except Exception as e:  # whatever it is, the other sequences can go on
            return _failure(track, e)

    def run(self, track: Dict) -> Dict:
        """Run the tracker over one track.

        Returns:
            dict: ``name``; ``boxes`` (T, 4) XYXY in frame pixels, NaN if a frame has none;
            ``marks`` (T,) as in sot.evaluation.measures.vot, BOX for a frame with a box; ``scores``
            (T,), NaN if a frame has none; ``status``, T strings; ``times`` (T,), seconds in the
            tracker, without reading the frame.
        """
        raise NotImplementedError


class OnePass(Experiment):
    """The tracker is started on the true box of the first frame and gets no more help. A frame that
    cannot be read has the box of the frame before and the status "skipped"."""

    def __call__(self, tracks: List[Dict]) -> List[Dict]:
        """See Experiment. Several tracks (TEST.TRACKER.BATCH_SEQUENCES) are followed side by side.
        If that fails, for example for lack of memory, each half of them is tried."""
        if len(tracks) < 2:
            return super().__call__(tracks)
        try:
            return self._run_together(tracks)
        except Exception as e:
            half = len(tracks) // 2
            logger.warning(f"{len(tracks)} sequences at once failed, trying {half} at once: {e}")
        return self(tracks[:half]) + self(tracks[half:])

    def run(self, track: Dict) -> Dict:
        """See Experiment. FrameError: the first frame cannot be read. ValueError: the tracker
        cannot be started."""
        result, target = _Result(track), Target({0: track["boxes"][0]})
        for frame, states, seconds in follow(self.tracker, _frames(track), [target]):
            result.add_step(frame, states[0], seconds)
        return result.columns

    def _run_together(self, tracks: List[Dict]) -> List[Dict]:
        results, outputs, courses = [_Result(track) for track in tracks], {}, []
        with contextlib.ExitStack() as stack:
            for track in tracks:
                frames = stack.enter_context(contextlib.closing(read_ahead(_frames(track))))
                courses.append(Course(frames, [Target({0: track["boxes"][0]})]))
            for k, step in follow_together(self.tracker, courses):
                if isinstance(step, Exception):
                    outputs[k] = _failure(tracks[k], step)
                else:
                    results[k].add_step(step.frame, step.states[0], step.seconds)
        return [outputs.get(k, result.columns) for k, result in enumerate(results)]


class Corrected(Experiment):
    """The tracker gets CORRECTIONS true boxes of a sequence, evenly spread from the first frame to
    the last one, and follows the target in both directions between them. A person who labels a
    video with that many boxes gets the same result. If the target is absent from such a frame, the
    box is that of the next frame with the target."""

    CORRECTIONS = 12

    def run(self, track: Dict) -> Dict:
        """See Experiment. FrameError: a frame with such a box cannot be read. ValueError: no box in
        the first frame."""
        startable = np.flatnonzero(_startable(track))
        even = np.linspace(0, len(track["boxes"]) - 1, self.CORRECTIONS).round()
        places = np.searchsorted(startable, even).clip(max=len(startable) - 1)
        target = Target({int(i): track["boxes"][i] for i in startable[places]})
        passes, result = BothWays(self.tracker, track["frames"], [target]), _Result(track)
        seconds, skipped = np.zeros(len(track["boxes"])), set()
        for frame, _, taken in passes:
            seconds[frame.index] += taken
            if frame.image is None:
                skipped.add(frame.index)
        for i, estimates in passes.estimates().items():
            found = estimates[0]
            status = "skipped" if i in skipped else found.status
            result.add(i, vot.BOX, status, seconds[i], found.score, found.box)
        return result.columns


class Restarts(Experiment):
    """The VOT protocol with restarts. The tracker is started on the bounding box of the true region
    in the first frame. It has failed when its box and the true region (the polygon, if there is
    one) have no pixel in common, and is started again ``vot.SKIP_AFTER_FAILURE`` frames after that.
    A frame without a true region, which VOT does not have, is a failure, and the tracker cannot
    start on it. A frame that cannot be read has the box of the frame before.

    Source: github.com/votchallenge/toolkit 0.7.2, vot/experiment/multirun.py
    (SupervisedExperiment)."""

    def run(self, track: Dict) -> Dict:
        """See Experiment. In a frame of a start the score is NaN. FrameError: the frame of a start
        cannot be read. ValueError: the first frame has no box, or the tracker cannot be started."""
        startable = _startable(track)
        result, start = _Result(track), 0
        while start < len(startable):
            failure = self._run_from(start, track, result)
            later = np.flatnonzero(startable[failure + vot.SKIP_AFTER_FAILURE :])
            if not len(later):
                break
            start = failure + vot.SKIP_AFTER_FAILURE + int(later[0])
        return result.columns

    def _run_from(self, start: int, track: Dict, result: "_Result") -> int:
        """The frame of the failure, or the number of frames if there is none."""
        truth = np.asarray(track.get("polygons", track["boxes"]), dtype=np.float64)
        target, size = Target({start: track["boxes"][start]}), None
        frames = _frames(track, range(start, len(truth)))
        for frame, states, seconds in follow(self.tracker, frames, [target]):
            i, state, status = frame.index, states[0], states[0].status
            if frame.image is None:
                status = "skipped"
            else:
                size = frame.image.shape[1::-1]
            if i == start:
                result.add(i, vot.STARTED, "init", seconds)
            elif raster_overlap(state.box[None], truth[i : i + 1], size)[0] > 0:
                result.add(i, vot.BOX, status, seconds, state.score, state.box)
            else:
                result.add(i, vot.FAILED, "failed", seconds, state.score)
                return i
        return len(truth)


def _startable(track: Dict) -> np.ndarray:
    """The frames that have a box to start from, (T,) bool. ValueError: the first one has none."""
    startable = is_present(track["boxes"])
    if not startable[0]:
        raise ValueError(f"sequence {track['name']}: no box in the first frame to start from")
    return startable


def _frames(track: Dict, indices: Optional[range] = None) -> Iterator[Frame]:
    return frames_of(track["frames"], indices, f"{track['name']}: ")


class _Result:
    """Collects the results of a sequence frame by frame. Frames that are not added count as passed
    over."""

    def __init__(self, track: Dict):
        length = len(track["boxes"])
        self.columns = {
            "name": track["name"],
            "boxes": np.full((length, 4), np.nan),
            "marks": np.full(length, vot.PASSED_OVER, dtype=np.int8),
            "scores": np.full(length, np.nan),
            "status": ["passed_over"] * length,
            "times": np.zeros(length),
        }

    def add(self, i: int, mark: int, status: str, seconds: float, score=np.nan, box=np.nan):
        values = {"boxes": box, "marks": mark, "scores": score, "status": status, "times": seconds}
        for name, value in values.items():
            self.columns[name][i] = value

    def add_step(self, frame: Frame, state, seconds: float) -> None:
        """The box of a state after a frame."""
        status = "skipped" if frame.image is None else state.status
        self.add(frame.index, vot.BOX, status, seconds, state.score, state.box)


def _failure(track: Dict, error: Exception) -> Dict:
    """The result of a sequence that failed with an error."""
    logger.error(f"{track['name']}: tracking failed", exc_info=error)
    return {"name": track["name"], "error": f"{type(error).__name__}: {error}"}


def tracker_fingerprint(cfg, model: torch.nn.Module, engine: str = "torch") -> str:
    """A fingerprint of everything that boxes depend on, except the data: the weights themselves,
    the settings, the engine that runs the network, and TRACKING_VERSION."""
    model_settings = {key: value for key, value in cfg.MODEL.items() if key != "WEIGHTS"}
    tracker_settings = {**cfg.TEST.TRACKER, "ENGINE": engine}
    settings = [TRACKING_VERSION, model_settings, cfg.INPUT, tracker_settings]
    weights = [part for item in model.state_dict().items() for part in item]
    return fingerprint(settings, *weights)
