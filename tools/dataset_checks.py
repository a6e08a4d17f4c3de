"""Checks of the frames and boxes of tracks, for tools/check_dataset.py."""

import gc
import os
import tempfile
from dataclasses import dataclass
from itertools import groupby
from typing import Iterator, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from sot.boxes import find_fault, sides_of, to_xywh
from sot.data.datasets import TrackList
from sot.data.frames import ImageFrames, Photograph, frame_size

PART = 200  # frames of a long track that are checked at a time
TOO_LARGE = 2.0  # sides of a box in sides of the picture

KINDS = {
    "unreadable": "sequences left out because they cannot be read",
    "numbers": "sequences left out because their numbers of frames and boxes differ",
    "invisible": "tracks without a visible frame",
    "missing": "frames that are missing",
    "undecodable": "frames that do not decode",
    "damaged": "frames that decode with errors",
    "size": "pictures whose size or rotation is not that of their annotations",
    "sizeless": "boxes that are not finite or have no size, in visible frames",
    "tiny": "boxes smaller than a pixel",
    "outside": "boxes outside the picture",
    "huge": f"boxes more than {TOO_LARGE:g} times as wide or high as the picture",
}


class Problem(NamedTuple):
    """A problem of a sequence, or of one of its frames (which count from 0)."""

    kind: str
    sequence: str
    frame: Optional[int]
    detail: str


class Unit(NamedTuple):
    """Frames ``begin`` to ``end - 1`` of the tracks ``first`` to ``last``, which are in the same
    pictures."""

    first: int
    last: int
    begin: int
    end: int

    @property
    def num_boxes(self) -> int:
        return (self.last - self.first + 1) * (self.end - self.begin)


def make_units(tracks: TrackList) -> Iterator[Unit]:
    """Units that cover all tracks once, in order."""

    def pictures(i: int):
        frames = tracks[i]["frames"]
        return frames.name(0), frames.name(len(frames) - 1), len(frames)

    for (*_, length), group in groupby(range(len(tracks)), pictures):
        first, *others = group
        last = others[-1] if others else first
        # one object's frames come in parts, the pictures of several are decoded once
        part = length if others else PART
        for begin in range(0, length, part):
            yield Unit(first, last, begin, min(begin + part, length))


@dataclass
class Checker:
    """``checker[unit]`` gives a unit and its problems. The workers of the loader must begin with
    :func:`start_worker`; otherwise damaged frames are not noticed. Without ``decode`` it reads only
    the sizes of pictures, and the first frame of a video."""

    tracks: TrackList
    decode: bool

    def __getitem__(self, unit: Unit) -> Tuple[Unit, List[Problem]]:
        owner = self.tracks[unit.first]
        frames, problems, sizes = owner["frames"], [], {}
        # a video has one size, and was counted when it was opened
        each = self.decode or isinstance(frames, ImageFrames)
        for t in range(unit.begin, unit.end if each else unit.begin + 1):
            sizes[t], kind, detail = self.look(frames, t)
            if kind:
                problems.append(Problem(kind, owner["name"], t, detail))
        for track in (self.tracks[i] for i in range(unit.first, unit.last + 1)):
            if unit.begin == 0 and not track["visible"].any():
                problems.append(Problem("invisible", track["name"], None, frames.name(0)))
            for t in range(unit.begin, unit.end):
                box, size = track["boxes"][t], sizes[t if each else unit.begin]
                kind = check_box(box, size) if track["visible"][t] else None
                if kind:
                    numbers = ", ".join(f"{v:g}" for v in to_xywh(box))
                    picture = f" in a picture of {size[0]} x {size[1]}" if size else ""
                    detail = f"{frames.name(t)}: x, y, w, h = {numbers}{picture}"
                    problems.append(Problem(kind, track["name"], t, detail))
        return unit, problems

    def look(self, frames, index: int):
        """Check a frame. Returns its size (W, H) or None, the kind of its problem or None, and the
        details of the problem in words."""
        name = frames.name(index)
        if isinstance(frames, ImageFrames) and not os.path.isfile(name):
            return None, "missing", f"{name} is missing"
        try:
            size = frames[index].shape[1::-1] if self.decode else frame_size(frames, index)
        except Exception as e:  # one odd file must not end a walk of hours, whatever it raises
            take_complaints()
            return None, "undecodable", str(e) or f"{name}: {type(e).__name__}"
        complaints = take_complaints()
        if complaints:
            return size, "damaged", f"{name}: {complaints}"
        if not isinstance(frames, Photograph):
            return size, None, ""
        upright = frame_size(ImageFrames([name]))
        if upright == frames.size:
            return size, None, ""
        told, shown = ("{} x {}".format(*s) for s in (frames.size, upright))
        detail = f"{name}: the annotations tell {told}, the picture is {shown}"
        if size == frames.size:
            detail += " by its EXIF tag; it is read as stored, so that the boxes fit"
        return size, "size", detail


def check_box(box: np.ndarray, size: Optional[Tuple[int, int]]) -> Optional[str]:
    """Kind of the problem with a box, XYXY, in a picture of that (W, H) if it is known."""
    fault, sides = find_fault(box, size and size[::-1]), sides_of(box)
    if fault:
        return fault
    if size is not None and (sides > TOO_LARGE * np.asarray(size)).any():
        return "huge"
    return "tiny" if (sides < 1).any() else None


_stderr_file = None  # what a worker process prints to stderr


def start_worker(_worker_id) -> None:
    """Send what image libraries print to a file, where :func:`take_complaints` finds it: of a
    damaged JPEG they return what they have, and only print that it is damaged."""
    global _stderr_file
    gc.freeze()  # as sot.data.build does in its workers
    cv2.setNumThreads(0)
    _stderr_file = tempfile.TemporaryFile(buffering=0)
    os.dup2(_stderr_file.fileno(), 2)


def take_complaints() -> str:
    """The text that was printed to stderr since the last call, without warnings."""
    if _stderr_file is None:
        return ""
    _stderr_file.seek(0)
    text = _stderr_file.read().decode(errors="replace")
    _stderr_file.seek(0)
    _stderr_file.truncate()
    lines = [line.strip() for line in text.splitlines() if "warning" not in line.lower()]
    return "; ".join(filter(None, lines))
