"""Tracks: how one is made from annotations, and a compact list of many."""

import json
import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Dict, Iterable, List, Tuple

import numpy as np

from ...boxes import bounding_box, is_present, to_xywh, to_xyxy
from ..frames import ImageFrames

__all__ = [
    "NumberedFiles",
    "TrackList",
    "bounding_boxes",
    "make_track",
    "read_boxes",
    "read_table",
]


def make_track(name: str, frames, boxes_xywh, visible=None, **fields) -> Dict:
    """
    Args:
        name: of the sequence and its object, for messages and result files.
        frames: see sot.data.frames.
        boxes_xywh: (T, 4) pixels; those with a NaN or a side <= 0 become NaN and invisible.
        visible: (T,), False for further frames that training leaves out; their boxes stay.
        fields: more arrays with T rows, kept under their names.

    Returns:
        a track dict (see sot.data.datasets).

    Raises:
        ValueError: no frames, or the numbers of frames and of boxes, or of rows of a field,
            differ.
    """
    xywh = np.asarray(boxes_xywh, dtype=np.float64).reshape(-1, 4)
    if len(frames) != len(xywh):
        raise ValueError(f"sequence {name}: {len(frames)} frames but {len(xywh)} boxes")
    if not len(frames):
        raise ValueError(f"sequence {name} has no frames")
    boxes = to_xyxy(xywh).astype(np.float32)
    present = is_present(boxes)
    boxes[~present] = np.nan
    fields = {key: np.asarray(value) for key, value in fields.items()}
    if visible is not None:
        fields["visible"] = np.asarray(visible, dtype=bool)
    for key, value in fields.items():
        if len(value) != len(boxes):
            raise ValueError(f"sequence {name}: {len(boxes)} boxes but {len(value)} of {key}")
    fields["visible"] = present & fields.get("visible", True)
    return {"name": name, "frames": frames, "boxes": boxes, **fields}


def read_table(path, columns: Sequence = ()) -> np.ndarray:
    """Text file with as many numbers in each line, separated by comma, tab, semicolon or space.

    Args:
        path: blank lines in it are passed over.
        columns: the numbers of columns to accept; () accepts any.

    Returns:
        (T, K) float64; (0, 0) for an empty file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no number, or another number of them; the message gives file and line.
    """
    rows = []
    text = Path(path).read_text(encoding="utf-8-sig").replace(",", " ").replace(";", " ")
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            raise ValueError(f"{path} line {number}: no number in {line.strip()!r}") from None
        accepted = [len(rows[0])] if rows else columns
        if accepted and len(row) not in accepted:
            wanted = " or ".join(str(n) for n in accepted)
            raise ValueError(
                f"{path} line {number}: expected {wanted} numbers but found {line.strip()!r}"
            )
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1 if rows else 0)


def read_boxes(path) -> np.ndarray:
    """Text file with one ``x,y,w,h`` a line (see :func:`read_table`) -> (T, 4) float64.

    Eight numbers are the corners of a polygon: its bounding box is taken. ``NaN`` marks an
    absent target.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line that does not hold 4 or 8 numbers; the message gives file and line.
    """
    return bounding_boxes(read_table(path, columns=(4, 8)))


def bounding_boxes(table: np.ndarray) -> np.ndarray:
    """(T, 4) x, y, w, h as they are, or (T, 8) corners of polygons -> (T, 4) x, y, w, h."""
    if table.shape[1] == 8:
        table = to_xywh(bounding_box(table.reshape(-1, 4, 2)))
    return table.reshape(-1, 4)


class NumberedFiles(Sequence):
    """File names that count up, ``prefix + 0001 + suffix``, ... made when asked for."""

    def __init__(self, prefix: str, digits: int, first: int, step: int, suffix: str, length: int):
        self.parts = (prefix, digits, first, step, suffix)
        self.length = length

    @classmethod
    def from_list(cls, files: Sequence) -> "NumberedFiles":
        """The same names as ``files``, or None if they do not count up."""
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


# how the frames of a track are stored: names one by one, a NumberedFiles, or a Python object
_LISTED, _NUMBERED, _OBJECT = range(3)


class TrackList(Sequence):
    """A read-only sequence of track dicts over a few large arrays.

    A list of a million dicts would be copied into every loader worker as soon as it is read;
    arrays are shared between workers, and between processes when they are files
    (:meth:`save`, :meth:`load`).
    """

    def __init__(self, arrays: Dict[str, np.ndarray], objects: List, folder: str = ""):
        """Use :meth:`pack` or :meth:`load`."""
        self._arrays, self._objects, self._folder = arrays, objects, folder

    @classmethod
    def pack(cls, tracks: Iterable[Dict]) -> "TrackList":
        """
        Raises:
            ValueError: a track without a field that the others have, or with one of another
                length than its boxes.
        """
        if isinstance(tracks, cls):
            return tracks
        names, frames, kinds, objects, lengths, rows = [], [], [], [], [], {}
        for track in tracks:
            kind, text = _describe(track["frames"])
            if kind == _OBJECT:
                objects.append(track["frames"])
                text = str(len(objects) - 1)
            names.append(track["name"].encode())
            frames.append(text.encode("utf-8", "surrogateescape"))
            kinds.append(kind)
            lengths.append(len(track["boxes"]))
            fields = {k: v for k, v in track.items() if k not in ("name", "frames")}
            if rows and rows.keys() != fields.keys():
                raise ValueError(
                    f"sequence {track['name']} has the fields {sorted(fields)}, the others have "
                    f"{sorted(rows)}"
                )
            for key, value in fields.items():
                if len(value) != len(track["boxes"]):
                    raise ValueError(
                        f"sequence {track['name']}: {len(track['boxes'])} boxes but "
                        f"{len(value)} of {key}"
                    )
                rows.setdefault(key, []).append(value)
        arrays = {f"row.{key}": np.concatenate(values) for key, values in rows.items()}
        arrays["kinds"] = np.array(kinds, dtype=np.uint8)
        arrays["starts"] = np.cumsum([0, *lengths])
        for key, texts in (("names", names), ("frames", frames)):
            arrays[key] = np.frombuffer(b"".join(texts), dtype=np.uint8)
            arrays[f"{key}.starts"] = np.cumsum([0, *map(len, texts)])
        return cls(arrays, objects)

    def save(self, folder) -> None:
        """Write the arrays as files into a folder that exists."""
        folder = Path(folder)
        for key, array in self._arrays.items():
            np.save(folder / f"{key}.npy", array)
        (folder / "objects.pkl").write_bytes(pickle.dumps(self._objects))
        (folder / "arrays.json").write_text(json.dumps(list(self._arrays)))

    @classmethod
    def load(cls, folder) -> "TrackList":
        """What was saved, mapped into memory: pages are read when used, and shared.

        Raises:
            OSError, ValueError: not there or not whole.
        """
        folder = Path(folder)
        keys = json.loads((folder / "arrays.json").read_text())
        arrays = {key: _map_file(folder / f"{key}.npy") for key in keys}
        return cls(arrays, pickle.loads((folder / "objects.pkl").read_bytes()), str(folder))

    def __reduce__(self):
        if self._folder:
            return TrackList.load, (self._folder,)
        return TrackList, (self._arrays, self._objects)

    def __len__(self):
        return len(self._arrays["kinds"])

    def __getitem__(self, index: int) -> Dict:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        start, end = (int(v) for v in self._arrays["starts"][index : index + 2])
        rows = {k[4:]: v[start:end] for k, v in self._arrays.items() if k.startswith("row.")}
        return {
            "name": self._text("names", index).decode(),
            "frames": self._frames(index, end - start),
            **rows,
        }

    def rows(self, key: str) -> np.ndarray:
        """A field of all tracks, one after the other."""
        return self._arrays[f"row.{key}"]

    def num_visible(self) -> np.ndarray:
        """(N,) visible frames of each track."""
        if not len(self):
            return np.zeros(0, dtype=np.int64)
        starts = self._arrays["starts"][:-1]
        return np.add.reduceat(self._arrays["row.visible"], starts, dtype=np.int64)

    def num_frames(self) -> np.ndarray:
        """(N,) frames of each track."""
        return np.diff(self._arrays["starts"])

    def _text(self, key: str, index: int) -> bytes:
        start, end = self._arrays[f"{key}.starts"][index : index + 2]
        return self._arrays[key][start:end].tobytes()

    def _frames(self, index: int, length: int):
        kind = self._arrays["kinds"][index]
        text = self._text("frames", index).decode("utf-8", "surrogateescape")
        if kind == _OBJECT:
            return self._objects[int(text)]
        parts = text.split("\0")
        if kind == _NUMBERED:
            prefix, digits, first, step, suffix = parts
            parts = NumberedFiles(prefix, int(digits), int(first), int(step), suffix, length)
        return ImageFrames(parts)


def _describe(frames) -> Tuple[int, str]:
    """Kind, and the text to make the frames from; NUL cannot be in a file name."""
    if type(frames) is not ImageFrames:
        return _OBJECT, ""
    files = frames.files
    numbered = files if isinstance(files, NumberedFiles) else NumberedFiles.from_list(files)
    if numbered is not None:
        return _NUMBERED, "\0".join(str(part) for part in numbered.parts)
    return _LISTED, "\0".join(files)


def _map_file(path: Path) -> np.ndarray:
    # an empty file cannot be mapped; and plain arrays, since views of np.memmap are slow to make
    array = np.load(path, mmap_mode="r")
    return array.view(np.ndarray)
