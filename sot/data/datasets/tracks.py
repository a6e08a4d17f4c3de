"""Makes tracks from annotations, and keeps many tracks in a compact list."""

import os
import re
from collections.abc import Sequence
from typing import Dict, Iterable, List, Tuple

import numpy as np

from ...boxes import check_box, is_present, to_xyxy
from ..frames import ImageFrames, Photograph


def make_track(name: str, frames, boxes_xywh, visible=None, **fields) -> Dict:
    """
    Args:
        name: name of the sequence and its object, for messages and result files.
        frames: see sot.data.frames.
        boxes_xywh: (T, 4) in pixels. A box with a NaN or a side <= 0 becomes NaN and invisible.
        visible: (T,), False for further frames that training leaves out. Their boxes stay.
        fields: further arrays with T rows, which the track has under their names.

    Returns:
        a track dict (see sot.data.datasets). ValueError: there are no frames, or the numbers of
        frames, boxes and rows of a field differ.
    """
    xywh = np.asarray(boxes_xywh, dtype=np.float64).reshape(-1, 4)
    if len(frames) != len(xywh):
        raise ValueError(f"sequence {name}: {len(frames)} frames but {len(xywh)} boxes")
    if not len(frames):
        raise ValueError(f"sequence {name} has no frames")
    boxes = to_xyxy(xywh).astype(np.float64)
    present = is_present(boxes)
    boxes[~present] = np.nan
    fields = {key: np.asarray(value) for key, value in fields.items()}
    if visible is not None:
        fields["visible"] = np.asarray(visible, dtype=bool)
    _check_rows(name, len(boxes), fields)
    fields["visible"] = present & fields.get("visible", True)
    return {"name": name, "frames": frames, "boxes": boxes, **fields}


def _check_rows(name: str, length: int, fields: Dict) -> None:
    for key, value in fields.items():
        if len(value) != length:
            raise ValueError(f"sequence {name}: {length} boxes but {len(value)} values of {key}")


def check_start(track: Dict) -> None:
    """ValueError: a tracker cannot start in the first frame of a track, because the frame cannot be
    read, or its box is absent or outside of it. The message names the track."""
    try:
        check_box(track["boxes"][0], track["frames"][0].shape[:2])
    except ValueError as error:
        problem = f"a tracker cannot start in the first frame: {error}"
        raise ValueError(f"sequence {track['name']}: {problem}") from None


class NumberedFiles(Sequence):
    """File names that count up, ``prefix + 0001 + suffix`` and so on. They are made when needed."""

    def __init__(self, prefix: str, digits: int, first: int, step: int, suffix: str, length: int):
        self.parts = (prefix, digits, first, step, suffix)
        self.length = length

    @classmethod
    def from_list(cls, files: Sequence) -> "NumberedFiles":
        """NumberedFiles with the names ``files``, or None if these do not count up."""
        match = [re.fullmatch(r"(.*?)(\d+)(\D*)", f, re.DOTALL) for f in files[:2]]
        if len(match) < 2 or None in match:
            return None
        prefix, number, suffix = match[0].groups()
        first = int(number)
        step = int(match[1].group(2)) - first
        numbered = cls(prefix, len(number), first, step, suffix, len(files))
        return numbered if all(a == b for a, b in zip(numbered, files)) else None

    def __len__(self):
        return self.length

    def __getitem__(self, index: int) -> str:
        if not -self.length <= index < self.length:
            raise IndexError(index)
        prefix, digits, first, step, suffix = self.parts
        return f"{prefix}{first + step * (index % self.length):0{digits}d}{suffix}"


# how the frames of a track are stored: names one by one, a NumberedFiles, a Photograph, or a Python
# object
_LISTED, _NUMBERED, _PHOTOGRAPH, _OBJECT = range(4)


class TrackList(Sequence):
    """A read-only sequence of track dicts over a few large arrays. :meth:`pack` makes it.

    A list of a million dicts would be copied into every worker of the loader when it is read.
    Arrays are shared between workers, and, if they are files, between processes (see `cache`)."""

    def __init__(self, arrays: Dict[str, np.ndarray], objects: List, origin: Tuple = ()):
        """
        Args:
            arrays: the parts that are numbers or text, by name.
            objects: frames that cannot be written as text.
            origin: a function and its arguments, which make the same list in another process.
        """
        self.arrays, self.objects, self._origin = arrays, objects, origin

    @classmethod
    def pack(cls, tracks: Iterable[Dict]) -> "TrackList":
        """Make a list of the tracks. ValueError: their fields are not the same, or a field has
        another length than the boxes."""
        if isinstance(tracks, cls):
            return tracks
        names, frames, kinds, objects, lengths, rows = [], [], [], [], [], {}
        for track in tracks:
            kind, text = _describe(track["frames"])
            if kind == _OBJECT:
                objects.append(track["frames"])
                text = str(len(objects) - 1)
            names.append(os.fsencode(track["name"]))
            frames.append(os.fsencode(text))
            kinds.append(kind)
            lengths.append(len(track["boxes"]))
            fields = {k: v for k, v in track.items() if k not in ("name", "frames")}
            if rows and rows.keys() != fields.keys():
                raise ValueError(
                    f"sequence {track['name']} has the fields {sorted(fields)}, the others have "
                    f"{sorted(rows)}"
                )
            _check_rows(track["name"], lengths[-1], fields)
            for key, value in fields.items():
                rows.setdefault(key, []).append(value)
        arrays = {f"row.{key}": np.concatenate(values) for key, values in rows.items()}
        arrays["kinds"] = np.array(kinds, dtype=np.uint8)
        arrays["starts"] = np.cumsum([0, *lengths])
        for key, texts in (("names", names), ("frames", frames)):
            arrays[key] = np.frombuffer(bytearray().join(texts), dtype=np.uint8)
            arrays[f"{key}.starts"] = np.cumsum([0, *map(len, texts)])
        return cls(arrays, objects)

    def __reduce__(self):
        return self._origin or (TrackList, (self.arrays, self.objects))

    def __len__(self):
        return len(self.arrays["kinds"])

    def __getitem__(self, index: int) -> Dict:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        start, end = (int(v) for v in self.arrays["starts"][index : index + 2])
        rows = {k[4:]: v[start:end] for k, v in self.arrays.items() if k.startswith("row.")}
        frames = self._frames(index, end - start)
        return {"name": self._text("names", index), "frames": frames, **rows}

    def rows(self, key: str) -> np.ndarray:
        """A field of all tracks, one track after the other."""
        return self.arrays[f"row.{key}"] if len(self) else np.zeros(0)

    def num_visible(self) -> np.ndarray:
        """The number (N,) of visible frames of each track."""
        if not len(self):
            return np.zeros(0, dtype=np.int64)
        starts = self.arrays["starts"][:-1]
        return np.add.reduceat(self.arrays["row.visible"], starts, dtype=np.int64)

    def num_frames(self) -> np.ndarray:
        """The number (N,) of frames of each track."""
        return np.diff(self.arrays["starts"])

    def _text(self, key: str, index: int) -> str:
        start, end = self.arrays[f"{key}.starts"][index : index + 2]
        return os.fsdecode(self.arrays[key][start:end].tobytes())

    def _frames(self, index: int, length: int):
        kind = self.arrays["kinds"][index]
        text = self._text("frames", index)
        if kind == _OBJECT:
            return self.objects[int(text)]
        parts = text.split("\0")
        if kind == _PHOTOGRAPH:
            return Photograph(parts[0], (int(parts[1]), int(parts[2])))
        if kind == _NUMBERED:
            prefix, digits, first, step, suffix = parts
            parts = NumberedFiles(prefix, int(digits), int(first), int(step), suffix, length)
        return ImageFrames(parts)


def _describe(frames) -> Tuple[int, str]:
    """The kind of the frames, and a text from which they can be made. It uses NUL, which no file
    name contains."""
    if type(frames) is Photograph:
        return _PHOTOGRAPH, "\0".join(map(str, (frames.files[0], *frames.size)))
    if type(frames) is not ImageFrames:
        return _OBJECT, ""
    files = frames.files
    numbered = files if isinstance(files, NumberedFiles) else NumberedFiles.from_list(files)
    if numbered is not None:
        return _NUMBERED, "\0".join(str(part) for part in numbered.parts)
    return _LISTED, "\0".join(files)
