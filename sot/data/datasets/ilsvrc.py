"""ImageNet VID and DET of ILSVRC 2015 (Russakovsky et al., IJCV 2015)."""

import os
import re
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import numpy as np

from ..frames import ImageFrames
from .cache import Source
from .tracks import make_track

TREE = """\
Annotations/
  VID/
    train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000/000000.xml ...
    val/ILSVRC2015_val_00000000/000000.xml ...
  DET/
    train/ILSVRC2013_train/n00007846/*.xml
    train/ILSVRC2014_train_0000/*.xml ...
    val/*.xml
Data/                         # the same folders with .JPEG for .xml
  VID/...
  DET/...
"""

# The annotation tools count from 0, and draw boxes as edges between pixels: VID was annotated with
# VATIC, whose xmax is the position xmin + width; in DET xmax reaches the width of the image.
PIXEL_ORIGIN = 0

# Folders below Annotations/ and Data/. They are named in full, because users of other projects link
# further folders beside them, or move val into train.
VID_FOLDERS = {
    "train": ["VID/train/ILSVRC2015_VID_train_*/ILSVRC2015_train_*"],
    "val": ["VID/val/ILSVRC2015_val_*"],
}
DET_FOLDERS = {
    "train": ["DET/train/ILSVRC2013_train/n*", "DET/train/ILSVRC2014_*train_*"],
    "val": ["DET/val"],
}

_FIELD = re.compile(rb"<(trackid|xmin|ymin|xmax|ymax|occluded|generated)>\s*([-+.\d]+)\s*</")


def vid_sources(root: Path, split: str) -> List[Source]:
    """The sources of VID, "train" (3862 snippets) or "val" (555). Each object is a track over its
    whole snippet.

    Tracks have two more arrays, (T,) bool: ``occluded`` (the target is partly occluded) and
    ``generated`` (the box was interpolated). Published trackers train on both kinds of frames.
    """
    return _sources(root, VID_FOLDERS[split], _read_snippet)


def det_sources(root: Path, split: str) -> List[Source]:
    """The sources of DET, folders of photographs, "train" (without ILSVRC2013_train_extra*, which
    has no boxes) or "val". Each object is a track of one frame."""
    return _sources(root, DET_FOLDERS[split], _read_photographs)


def _sources(root: Path, patterns: List[str], read: Callable) -> List[Source]:
    """A source for each folder of annotations; ``read`` gets the folders of both trees."""
    base = root / "Annotations"
    folders = sorted(folder for pattern in patterns for folder in base.glob(pattern))
    if not folders:
        raise FileNotFoundError(f"found no folder {' or '.join(patterns)} in {base}")
    sources = []
    for folder in folders:
        files = (str(folder), str(root / "Data" / folder.relative_to(base)))
        sources.append(Source(folder.name, files, partial(read, *files)))
    return sources


def _names(folder: str, suffix: str) -> List[str]:
    """The names of the files of a folder, sorted and without suffix."""
    return sorted(f[: -len(suffix)] for f in os.listdir(folder) if f.endswith(suffix))


def _read_snippet(annotations: str, images: str) -> List[Dict]:
    snippet, names = os.path.basename(images), _names(annotations, ".xml")
    odd = set(names).symmetric_difference(_names(images, ".JPEG"))
    if odd:
        raise ValueError(
            f"snippet {snippet}: {len(odd)} frames are only in one of {images} and "
            f"{annotations}, such as {min(odd)}"
        )
    frames = ImageFrames([os.path.join(images, f"{name}.JPEG") for name in names])
    tables = {}
    for t, name in enumerate(names):
        for row in _read_objects(os.path.join(annotations, f"{name}.xml"), with_track=True):
            table = tables.setdefault(int(row[0]), np.full((len(names), 6), np.nan))
            table[t] = row[1:]
    tracks = []
    for number, table in sorted(tables.items()):
        flags = {"occluded": table[:, 4] == 1, "generated": table[:, 5] == 1}
        tracks.append(make_track(f"{snippet}#{number}", frames, table[:, :4], **flags))
    return tracks


def _read_photographs(annotations: str, images: str) -> Iterator[Dict]:
    if not os.path.isdir(images):
        raise FileNotFoundError(f"there is no folder {images}")
    for name in _names(annotations, ".xml"):
        frames = ImageFrames([os.path.join(images, f"{name}.JPEG")])
        for i, box in enumerate(_read_objects(os.path.join(annotations, f"{name}.xml"))):
            yield make_track(f"{name}#{i}", frames, [box])


def _read_objects(path: str, with_track: bool = False) -> List[List[float]]:
    """The objects of an annotation file, each as x, y, w, h or, in VID, as track, x, y, w, h,
    occluded, generated. It is read with a regular expression, because VID has 1.3 million of these
    files and an XML parser takes five times as long."""
    text = Path(path).read_bytes()
    if not text.rstrip().endswith(b"</annotation>"):
        raise ValueError(f"{path} is not an annotation of ILSVRC, or cut off")
    rows = []
    for part in text.split(b"<object>")[1:]:
        try:
            fields = {key: float(value) for key, value in _FIELD.findall(part)}
            x, y = fields[b"xmin"], fields[b"ymin"]
            row = [x, y, fields[b"xmax"] - x, fields[b"ymax"] - y]
            if with_track:
                flags = [fields[b"occluded"], fields[b"generated"]]
                row = [fields[b"trackid"], *row, *flags]
        except (KeyError, ValueError):
            raise ValueError(f"{path}: object {len(rows)} lacks a number") from None
        rows.append(row)
    return rows
