"""Follows the targets of a video, or those of several videos side by side."""

import logging
import math
import time
from dataclasses import dataclass
from typing import Dict, Iterable, Iterator, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..data.frame_source import Frame
from ..data.frames import FrameError
from .state import TargetState

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """A target of a video, and the boxes that are given for it.

    Attributes:
        boxes: at least one box (x0, y0, x1, y1) by frame, in pixels of that frame.
        last: the last frame in which it is followed, in the direction of the frames. With None it
            is followed to the end.
    """

    boxes: Mapping[int, Sequence[float]]
    last: Optional[int] = None


class Estimate(NamedTuple):
    """The place of a target in a frame: box (4,) XYXY in frame pixels; and score, status and raw
    score as in a TargetState."""

    box: np.ndarray
    score: float
    status: str
    raw_score: float = math.nan

    @classmethod
    def of(cls, state) -> "Estimate":
        """Make an estimate from any object with these attributes. Other trackers have no raw
        score."""
        raw_score = getattr(state, "raw_score", state.score)
        return cls(state.box, state.score, state.status, raw_score)


class Step(NamedTuple):
    """A frame; the states after it of the targets that are followed there, by the number of the
    target; and the seconds that the tracker took for it (0 for a frame without an image)."""

    frame: Frame
    states: Dict[int, TargetState]
    seconds: float


def follow(
    tracker, frames: Iterable[Frame], targets: Sequence[Target], reverse: bool = False
) -> Iterator[Step]:
    """Start each target on its first box and find it in the later frames. Every further box starts
    it anew.

    Args:
        tracker: a SiameseTracker, or an object with its ``start`` and ``step_all``.
        frames: the frames in order, or with ``reverse`` from the last to the first. In a frame
            without an image, which is logged, the states stay. A box whose frame is missing (a live
            source drops frames) belongs to the next frame.

    Raises:
        FrameError: the frame of a box has no image.
        ValueError: the tracker cannot be started on one of the boxes.
    """
    for _, step in follow_together(tracker, [Course(frames, targets, reverse)]):
        if isinstance(step, Exception):
            raise step
        yield step


class Course:
    """The targets of one video while they are followed through its frames.

    Attributes:
        states: states of the targets that are followed in the current frame, by number.
        given: boxes on which targets are started in the current frame, by number.
    """

    def __init__(self, frames: Iterable[Frame], targets: Sequence[Target], reverse: bool = False):
        """The arguments are those of :func:`follow`."""
        self.targets, self.states, self.given = targets, {}, {}
        self._frames, self._sign = iter(frames), -1 if reverse else 1
        # frames of each target's boxes, the next one last
        self._waiting = [sorted(target.boxes, key=lambda i: -self._sign * i) for target in targets]

    def take(self) -> Optional[Frame]:
        """Go on to the next frame, and return it. None after the last frame."""
        frame = next(self._frames, None)
        if frame is None:
            return None
        self.given, at = {}, self._sign * frame.index
        for number, (target, waiting) in enumerate(zip(self.targets, self._waiting)):
            while waiting and self._sign * waiting[-1] <= at:
                self.given[number] = target.boxes[waiting.pop()]
            if target.last is not None and at > self._sign * target.last:
                self.states.pop(number, None)
                self.given.pop(number, None)
        return frame

    def start(self, tracker, frame: Frame) -> None:
        """Start targets on the given boxes. For errors see :func:`follow`."""
        if self.given and frame.image is None:
            raise FrameError(frame.error)
        for number, box in self.given.items():
            self.states[number] = tracker.start(frame.image, box)


def follow_together(
    tracker, courses: Sequence[Course]
) -> Iterator[Tuple[int, Union[Step, Exception]]]:
    """Follow the targets of several videos side by side: a step of the tracker takes a frame of
    each video.

    Yields:
        the number of a course and its next Step. If the targets of a course cannot be started, its
        error comes instead of a Step, and the course ends. The other courses go on.
    """
    going = dict(enumerate(courses))
    while going:
        frames = {k: course.take() for k, course in going.items()}
        going = {k: course for k, course in going.items() if frames[k] is not None}
        seconds = _step_all(tracker, going, frames)
        for k, course in list(going.items()):
            frame, begin = frames[k], time.perf_counter()
            try:
                course.start(tracker, frame)
            except Exception as error:  # any error: the other videos go on
                del going[k]
                yield k, error
                continue
            taken = 0.0
            if frame.image is None:
                logger.warning(f"{frame.name} skipped: {frame.error}")
            else:
                taken = seconds.get(k, 0.0) + time.perf_counter() - begin
            yield k, Step(frame, dict(sorted(course.states.items())), taken)


def _step_all(
    tracker, courses: Mapping[int, Course], frames: Mapping[int, Frame]
) -> Dict[int, float]:
    """Find the targets of all courses in their frames. Returns the seconds, in equal shares, of
    each course that has such a target."""
    wanted = [
        (k, number)
        for k, course in courses.items()
        if frames[k].image is not None
        for number in course.states
        if number not in course.given
    ]
    if not wanted:
        return {}
    begin = time.perf_counter()
    images = [frames[k].image for k, _ in wanted]
    same = all(image is images[0] for image in images)
    states = [courses[k].states[number] for k, number in wanted]
    found = tracker.step_all(images[0] if same else images, states)
    for (k, number), state in zip(wanted, found):
        courses[k].states[number] = state
    stepped = {k for k, _ in wanted}
    return dict.fromkeys(stepped, (time.perf_counter() - begin) / len(stepped))
