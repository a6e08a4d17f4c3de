"""What can be wrong with the frames and boxes of tracks, looked for part by part."""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from ..boxes import find_fault, sides_of
from .datasets import TrackList
from .frames import ImageFrames, VideoFrames

__all__ = [
    "KINDS",
    "Checker",
    "Problem",
    "Progress",
    "Unit",
    "check_box",
    "fingerprint",
    "make_units",
    "start_worker",
]

PART = 200  # frames of a long track that are checked at a time
TOO_LARGE = 2.0  # sides of a box in sides of the picture

KINDS = {
    "unreadable": "sequences left out, as they cannot be read",
    "numbers": "sequences left out, as numbers of frames and boxes differ",
    "invisible": "tracks without a visible frame",
    "missing": "frames that are missing",
    "undecodable": "frames that do not decode",
    "damaged": "frames that decode with errors",
    "sizeless": "boxes that are not finite or have no size, in visible frames",
    "tiny": "boxes smaller than a pixel",
    "outside": "boxes outside the picture",
    "huge": f"boxes more than {TOO_LARGE:g} times as wide or high as the picture",
}
PICTURE_KINDS = ("missing", "undecodable", "damaged")


class Problem(NamedTuple):
    """Something wrong with a sequence, or with one of its frames (counted from 0)."""

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
    first, place = 0, None
    for i in range(len(tracks) + 1):
        here = None
        if i < len(tracks):
            frames = tracks[i]["frames"]
            here = (frames.name(0), frames.name(len(frames) - 1), len(frames))
        if i and here != place:
            # one object's frames come in parts, the pictures of several are decoded once
            part = PART if first == i - 1 else place[2]
            for begin in range(0, place[2], part):
                yield Unit(first, i - 1, begin, min(begin + part, place[2]))
            first = i
        place = here


def fingerprint(tracks: TrackList, unit: Unit) -> str:
    """Hash of a unit's annotations, and of the time stamp of its folder, picture or video."""
    state = hashlib.sha256()
    for i in range(unit.first, unit.last + 1):
        track = tracks[i]
        for key in ("boxes", "visible"):
            state.update(np.ascontiguousarray(track[key][unit.begin : unit.end]).tobytes())
        state.update(f"{track['name']} {unit.begin} ".encode(errors="replace"))
    frames = track["frames"]
    names = [frames.name(unit.begin), frames.name(unit.end - 1)]
    path = frames.path if isinstance(frames, VideoFrames) else names[0]
    if len(frames) > 1 and isinstance(frames, ImageFrames):
        path = os.path.dirname(path)
    with contextlib.suppress(OSError):  # frames of other kinds have no file
        stat = os.stat(path)
        names.append(f"{stat.st_mtime_ns} {stat.st_size}")
    state.update("\n".join(names).encode(errors="replace"))
    return state.hexdigest()[:24]


class Checker(Dataset):
    """``checker[unit]`` is the unit and what is wrong with it; for a loader whose workers begin
    with :func:`start_worker`, as otherwise no frame is found to be damaged."""

    def __init__(self, tracks: TrackList, decode: bool):
        """
        Args:
            decode: False reads the sizes of pictures alone, and the first frame of a video.
        """
        self.tracks, self.decode = tracks, decode

    def __getitem__(self, unit: Unit) -> Tuple[Unit, List[Problem]]:
        owner = self.tracks[unit.first]
        frames, problems = owner["frames"], []
        # a video has one size, and was counted when it was opened
        each = self.decode or isinstance(frames, ImageFrames)
        sizes = {}
        for t in range(unit.begin, unit.end if each else unit.begin + 1):
            sizes[t], kind, detail = self.look(frames, t)
            if kind:
                problems.append(Problem(kind, owner["name"], t, detail))
        for i in range(unit.first, unit.last + 1):
            track = self.tracks[i]
            boxes, visible = track["boxes"], track["visible"]
            if unit.begin == 0 and not visible.any():
                problems.append(Problem("invisible", track["name"], None, frames.name(0)))
            for t in range(unit.begin, unit.end):
                size = sizes[t if each else unit.begin]
                kind = check_box(boxes[t], size) if visible[t] else None
                if kind:
                    detail = f"{frames.name(t)}: {describe_box(boxes[t], size)}"
                    problems.append(Problem(kind, track["name"], t, detail))
        return unit, problems

    def look(self, frames, index: int):
        """Size (W, H) of a frame or None, kind of its problem or None, and what to say of it."""
        name, size = frames.name(index), None
        is_file = isinstance(frames, ImageFrames)
        if is_file and not os.path.isfile(name):
            return None, "missing", f"{name} is missing"
        try:
            if is_file and not self.decode:
                with contextlib.suppress(OSError):  # a format that OpenCV alone may know
                    size = size_in_header(name)
            if size is None:
                size = frames[index].shape[1::-1]
        except Exception as e:  # one odd file must not end a walk of hours, whatever it raises
            take_complaints()
            return None, "undecodable", str(e) or f"{name}: {type(e).__name__}"
        complaints = take_complaints()
        return size, "damaged" if complaints else None, f"{name}: {complaints}"


def size_in_header(path: str) -> Tuple[int, int]:
    """(W, H) of a picture as it is decoded, turned as its EXIF tag says."""
    with Image.open(path) as image:
        width, height = image.size
        turned = image.getexif().get(0x0112, 1) >= 5
    return (height, width) if turned else (width, height)


def check_box(box: np.ndarray, size: Optional[Tuple[int, int]]) -> Optional[str]:
    """Kind of the problem with a box, XYXY, in a picture of that (W, H) if it is known."""
    fault, sides = find_fault(box, size and size[::-1]), sides_of(box)
    if fault:
        return fault
    if size is not None and (sides > TOO_LARGE * np.asarray(size)).any():
        return "huge"
    return "tiny" if (sides < 1).any() else None


def describe_box(box: np.ndarray, size: Optional[Tuple[int, int]]) -> str:
    x0, y0, x1, y1 = box.tolist()
    picture = f" in a picture of {size[0]} x {size[1]}" if size else ""
    return f"x, y, w, h = {x0:g}, {y0:g}, {x1 - x0:g}, {y1 - y0:g}{picture}"


_stderr_file = None  # of a worker process


def start_worker(_worker_id) -> None:
    """Send what image libraries print to a file, where :func:`take_complaints` finds it: of a
    damaged JPEG they return what they have, and only print that it is damaged."""
    global _stderr_file
    cv2.setNumThreads(0)
    _stderr_file = tempfile.TemporaryFile(buffering=0)
    os.dup2(_stderr_file.fileno(), 2)


def take_complaints() -> str:
    """What was printed to standard error since the last call, but for mere warnings."""
    if _stderr_file is None:
        return ""
    _stderr_file.seek(0)
    text = _stderr_file.read().decode(errors="replace")
    _stderr_file.seek(0)
    _stderr_file.truncate()
    lines = [line.strip() for line in text.splitlines() if "warning" not in line.lower()]
    return "; ".join(filter(None, lines))


class Progress:
    """Units that were checked, in a file next to the report until the walk has come to its end.

    A unit is found again by its :func:`fingerprint`, so that what has changed since is checked
    again; so is what had a problem with its pictures, which may have been mended.
    """

    def __init__(self, path: Path, dataset: str, decode: bool, restart: bool):
        """
        Args:
            path: of the file; what another data set or another ``decode`` left there counts
                for nothing.
            restart: begin anew.
        """
        self.path, self.done = path, {}
        header = json.dumps({"dataset": dataset, "decode": decode})
        lines = [] if restart or not path.is_file() else path.read_text().splitlines()
        if lines[:1] == [header]:
            for line in lines[1:]:
                with contextlib.suppress(ValueError):  # the last one may be cut off
                    key, problems = json.loads(line)
                    self.done[key] = [Problem(*p) for p in problems]
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("w", buffering=1)
        self.file.write(header + "\n")
        for key, problems in self.done.items():
            self.file.write(json.dumps([key, problems]) + "\n")

    def add(self, key: str, problems: List[Problem]) -> None:
        if not any(p.kind in PICTURE_KINDS for p in problems):
            self.file.write(json.dumps([key, problems]) + "\n")

    def finish(self) -> None:
        self.file.close()
        self.path.unlink()
