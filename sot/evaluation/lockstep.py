"""Several sequences side by side: a step of the tracker is for a frame of each."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Iterable, List, Optional

from ..data.frames import FrameError
from ..data.video import Frame

logger = logging.getLogger(__name__)


class Lane:
    """A sequence on its way. While the tracker is at a frame, a thread of the lane's own reads the
    next one.

    Attributes:
        state: of the target, None before it is started.
        add: called with each frame, the state after it, and the seconds that the tracker took.
        error: what ended the sequence, None if nothing did.
    """

    def __init__(self, frames: Iterable[Frame], box, add: Callable):
        self.box, self.add, self.state, self.error = box, add, None, None
        self._frames, self._thread = iter(frames), ThreadPoolExecutor(1)
        self._next = self._read()

    def _read(self):
        return self._thread.submit(next, self._frames, None)

    def take(self) -> Optional[Frame]:
        """The next frame, None after the last one."""
        frame = self._next.result()
        if frame is not None:
            self._next = self._read()
        return frame

    def close(self) -> None:
        self._thread.shutdown()


def follow_together(tracker, lanes: List[Lane]) -> None:
    """Start the target of each lane in its first frame, and find it in the others; what comes of it
    goes to the lanes. An error that a lane alone makes ends that lane.

    Args:
        tracker: a SiameseTracker, or what has its ``start`` and ``step_all``.
    """
    going = list(lanes)
    while going:
        taken = [(lane, frame) for lane in going if (frame := lane.take()) is not None]
        seen = [(lane, frame) for lane, frame in taken if lane.state and frame.image is not None]
        begin = time.perf_counter()
        if seen:
            states = tracker.step_all([f.image for _, f in seen], [lane.state for lane, _ in seen])
            for (lane, _), state in zip(seen, states):
                lane.state = state
        seconds = (time.perf_counter() - begin) / max(len(seen), 1)
        stepped = {id(lane) for lane, _ in seen}
        for lane, frame in taken:
            if lane.state is None:
                _start(tracker, lane, frame)
            elif id(lane) in stepped:
                lane.add(frame, lane.state, seconds)
            else:
                logger.warning(f"{frame.name} skipped: {frame.error}")
                lane.add(frame, lane.state, 0.0)
        going = [lane for lane, _ in taken if lane.error is None]


def _start(tracker, lane: Lane, frame: Frame) -> None:
    begin = time.perf_counter()
    try:
        if frame.image is None:
            raise FrameError(frame.error)
        lane.state = tracker.start(frame.image, lane.box)
    except Exception as e:  # whatever it is, the other sequences can go on
        lane.error = e
    else:
        lane.add(frame, lane.state, time.perf_counter() - begin)
