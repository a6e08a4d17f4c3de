"""Sources that give the frames of a video one after the other.

A frame that does not decode has no image but the reason, so that frame numbers stay those of the
source and the caller decides what to do. Images are (H, W, 3) uint8 BGR. They are turned upright if
the file says how (EXIF, videos of phones)."""

import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Callable, Iterable, Iterator, NamedTuple, Optional, Sequence

import numpy as np

from .decoding import FrameError

IMAGE_FPS = Fraction(25)  # for image folders, and for cameras that do not state their rate
ALL = range(sys.maxsize)  # frames
HELD_BYTES = 2**28  # the most memory for frames while a video is read backwards


class Frame(NamedTuple):
    """One frame of a source. If it did not decode, ``image`` is None and ``error`` says why."""

    index: int  # place in the source, from 0
    name: str  # file name, or "frame INDEX"
    image: Optional[np.ndarray]
    error: str = ""
    time: Optional[float] = None  # seconds since frame 0; None: one step of the source's rate
    file: str = ""  # name of the image file, if it is one


def frames_of(frames, indices: Optional[range] = None, prefix: str = "") -> Iterator[Frame]:
    """Yield the frames at these indices, by default all frames, of ``frames`` (see :mod:`.frames`).
    ``prefix`` is put before their names. Descending indices are read in ascending runs of at most
    HELD_BYTES, because reading a video backwards frame by frame would decode it from a key frame
    each time."""
    indices = range(len(frames)) if indices is None else indices
    if indices.step > 0:
        for i in indices:
            yield frame_of(frames, i, prefix)
        return
    length = 1  # frames in a run; the first run shows how large a frame is
    while indices:
        held = [frame_of(frames, i, prefix) for i in reversed(indices[:length])]
        size = max(0 if f.image is None else f.image.nbytes for f in held)
        indices, length = indices[length:], max(1, HELD_BYTES // max(size, 1))
        while held:
            yield held.pop()


def frame_of(frames, index: int, prefix: str = "") -> Frame:
    """One frame, see :func:`frames_of`."""
    name = f"{prefix}frame {index}"
    try:
        return Frame(index, name, frames[index])
    except FrameError as e:
        return Frame(index, name, None, str(e))


def read_ahead(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield the same frames. A thread reads the next frame while the current one is in use."""
    frames = iter(frames)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, frames, None)
        while (frame := coming.result()) is not None:
            coming = thread.submit(next, frames, None)
            yield frame


class FrameSource:
    """A source of frames, which can be iterated only once. Subclasses add :meth:`_all`.

    Attributes:
        name: name for messages.
        wanted: numbers of the frames to give, with a step above 0; other frames are passed over.
        total: about how many frames it gives, or None if unknown.
        fps, aspect: Fractions, frames per second, and width / height of a pixel.
        files: paths of the files that it reads.
        live: whether the frames come at their own pace.
        problem: after the iteration, what was wrong with its end, or "".
    """

    name: str

    fps, aspect, live, problem = IMAGE_FPS, Fraction(1), False, ""
    files: Sequence[str] = ()
    total: Optional[int] = None
    wanted = ALL

    def __iter__(self) -> Iterator[Frame]:
        if not self.wanted:
            return
        for index, make_frame in enumerate(self._all()):
            if index in self.wanted:
                yield make_frame()
            if index == self.wanted[-1]:  # a live source may have no further frame for long
                return

    def _all(self) -> Iterator[Callable[[], Frame]]:
        """Yield a function for each frame of the source, wanted or not, that makes the frame."""
        raise NotImplementedError

    def num_wanted(self, length: int) -> int:
        """The number of wanted frames in a source with this number of frames."""
        return len(range(length)[self.wanted.start : self.wanted.stop : self.wanted.step])

    def indexed(self):
        """All frames by number (see :mod:`.frames`), or None if they can be read only once."""
        return None

    def close(self) -> None:
        pass
