"""Live sources, which do not wait for their user: cameras, streams and pipes.

OpenCV reads cameras, because it finds them by number on every platform.
"""

import collections
import itertools
import logging
import statistics
import threading
import time
from fractions import Fraction
from functools import partial
from typing import Callable, Iterator, Optional

import cv2

from .decoding import FrameError
from .frame_source import ALL, IMAGE_FPS, Frame, FrameSource

HELD = 12  # frames of a pipe that are kept until its pace is known
RETRY_AFTER = (1, 2, 4, 8, 16, 32)  # seconds before each attempt to open a stream again
LATENCIES = 1000  # number of the last frames whose latencies are kept

logger = logging.getLogger(__name__)


class CameraSource(FrameSource):
    """The camera with the given number."""

    def __init__(self, number: int, wanted: range = ALL):
        self.wanted, self.name = wanted, f"camera {number}"
        self.capture = cv2.VideoCapture(number)
        if not self.capture.isOpened():
            raise OSError(f"cannot open {self.name}")
        fps = self.capture.get(cv2.CAP_PROP_FPS)
        self.fps = Fraction(fps).limit_denominator(1001) if 0 < fps < 1e6 else IMAGE_FPS

    def _all(self):
        begin = None
        for index in itertools.count():
            ok, image = self.capture.read()
            if not ok:
                return
            begin = time.monotonic() if begin is None else begin
            now = time.monotonic() - begin
            yield partial(Frame, index, f"frame {index}", image, time=now)

    def close(self):
        self.capture.release()


class StreamSource(FrameSource):
    """A live stream. When it ends or breaks off, it is opened again, with the waits of RETRY_AFTER
    between the attempts. Frame numbers and times go on: numbers count the frames that were
    received, and times include the interruption."""

    def __init__(
        self,
        source: FrameSource,
        reopen: Callable[[], FrameSource],
        closing: threading.Event,
        wanted: range = ALL,
    ):
        """
        Args:
            source: the open stream.
            reopen: opens the stream again. FrameError: it cannot be opened.
            closing: an event that ends the waits.
        """
        self.source, self.reopen, self.closing, self.wanted = source, reopen, closing, wanted
        self.name, self.fps = source.name, source.fps
        self.reconnects = 0
        self._next_time = 0.0  # at the earliest

    @property
    def aspect(self) -> Fraction:
        return self.source.aspect

    def _all(self):
        number, begin, waits = 0, None, iter(RETRY_AFTER)
        while True:
            shift = None  # what is added to the times of this connection
            for make_frame in self.source._all():
                if shift is None:
                    begin = time.monotonic() if begin is None else begin
                    shift = max(time.monotonic() - begin, self._next_time)
                    waits = iter(RETRY_AFTER)
                yield partial(self._show, make_frame, number, shift)
                number += 1
            if not self._open_again(waits):
                return

    def _show(self, make_frame: Callable[[], Frame], index: int, shift: float) -> Frame:
        frame = make_frame()
        at = shift + frame.time
        self._next_time = at + float(1 / self.fps)
        return frame._replace(index=index, name=f"frame {index}", time=at)

    def _open_again(self, waits: Iterator[float]) -> bool:
        """Open the stream after the next of the waits for which that works. False: after none, or
        ``closing`` is set."""
        reason, begin = self.source.problem or "ended", time.monotonic()
        self.source.close()
        logger.warning(f"{self.name} {reason}; trying to open it again")
        for wait in waits:
            if self.closing.wait(wait):
                return False
            try:
                self.source = self.reopen()
            except FrameError:
                continue
            self.reconnects += 1
            logger.warning(f"{self.name} is open again after {time.monotonic() - begin:.0f} s")
            return True
        self.problem = f"{reason}, and could not be opened again"
        return False

    def close(self):
        self.source.close()


class LiveSource(FrameSource):
    """The newest frames of a source that does not wait.

    A thread fetches every frame and keeps the last one, so a slow consumer loses frames instead of
    falling behind. Frame numbers include the lost frames. If a pipe is filled faster than its
    frames are meant to be shown, it comes from a file: then the source waits, and no frame is lost.
    """

    live = True

    def __init__(
        self,
        source,
        stop: Optional[threading.Event] = None,
        endless: bool = True,
        wanted: range = ALL,
        closing: Optional[threading.Event] = None,
    ):
        """
        Args:
            stop: an event that ends the iteration.
            endless: the source has its own pace, and ends only by a fault or after the last wanted
                frame. Otherwise it is a pipe.
            closing: an event that this source sets when it is closed.
        """
        self.source, self.endless, self.wanted = source, endless, wanted
        self.name, self.fps, self.files = source.name, source.fps, source.files
        self._keeps_pace = endless or None  # None: not known yet
        self._frames, self._ended = collections.deque(), False
        self._next = 0  # number of the frame that is to come
        self._latencies = collections.deque(maxlen=LATENCIES)
        self._stop, self._closing = stop or threading.Event(), closing or threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._fetch, daemon=True)

    @property
    def aspect(self) -> Fraction:
        return self.source.aspect

    @property
    def latency(self) -> Optional[float]:
        """The median of the seconds from the arrival of a frame until its user asked for the next
        one, over the last LATENCIES frames: all that the user does with a frame counts. None if
        there are none."""
        return statistics.median(self._latencies) if self._latencies else None

    @property
    def reconnects(self) -> int:
        """How often the source was opened again."""
        return getattr(self.source, "reconnects", 0)

    def __iter__(self) -> Iterator[Frame]:
        self._thread.start()
        while not self._stop.is_set():
            with self._news:
                if self._frames:
                    arrival, frame = self._frames.popleft()
                    self._news.notify_all()
                elif self._ended:
                    break
                else:
                    self._news.wait(0.1)  # then look whether to stop
                    continue
            yield frame
            self._latencies.append(time.monotonic() - arrival)
        else:
            self._closing.set()
            return
        broke_off = self.endless and self._next < self.wanted.stop
        self.problem = self.problem or self.source.problem or ("ended" if broke_off else "")

    def _fetch(self):
        try:
            begin = None
            for frame in self.source:
                begin = time.monotonic() if begin is None else begin
                with self._news:
                    if self._keeps_pace is None and frame.index >= HELD:
                        self._keeps_pace = time.monotonic() - begin > frame.time / 2
                    if self._keeps_pace:
                        self._frames.clear()
                    self._news.wait_for(lambda: self._closing.is_set() or len(self._frames) <= HELD)
                    self._frames.append((time.monotonic(), frame))
                    self._next = frame.index + self.wanted.step
                    self._news.notify_all()
                if self._closing.is_set():
                    break
        except Exception as e:  # any error of a library, which the user of the frames is told
            self.problem = f"broke off: {e}"
        finally:
            with self._news:
                self._ended = True
                self._news.notify_all()
            if self._closing.is_set():  # by a close that may not have waited for this read
                self.source.close()

    def close(self):
        """Close the source. A read that still waits for data closes it when it ends."""
        with self._news:
            self._closing.set()
            self._news.notify_all()
        if self._thread.is_alive():
            self._thread.join(0.5)
        if not self._thread.is_alive():
            self.source.close()
