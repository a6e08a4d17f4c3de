"""The VOT challenges whose annotations are polygons or boxes: VOT2015 to VOT2019 and VOT2018-LT."""

from functools import partial
from pathlib import Path
from typing import Dict, List

import numpy as np

from ...boxes import to_xyxy
from ..frames import ImageFrames, list_images
from .box_files import bounding_boxes, read_table
from .cache import Source
from .sequences import read_names
from .tracks import make_track

TREE = """\
list.txt                      # names of the sequences
ants1/
  groundtruth.txt             # the corners x1,y1,...,x4,y4 or x,y,w,h for each frame; nan: absent
  color/                      # older releases: the frames right in the sequence's folder
    00000001.jpg ...
  occlusion.tag ...           # not read
"""

# The official toolkits count from 0: the Matlab one adds 1 before it indexes an image
# (sequence/cut_patch.m), the Python one puts the first pixel of a mask at x, y (region/shapes.py).
PIXEL_ORIGIN = 0


def vot_sources(root: Path, split: str) -> List[Source]:
    """The sources of one challenge, "shortterm" or "longterm". ``root`` may be ``sequences/`` in a
    workspace of the VOT toolkit.

    Short-term tracks have ``polygons``, (T, 8) float64: the corners x1, y1, ..., x4, y4 of the
    annotation, or a box XYXY and four NaN, in frame pixels. ``boxes`` are their bounds.
    """
    sources = []
    for name in read_names(root / "list.txt"):
        truth, color = root / name / "groundtruth.txt", root / name / "color"
        images = color if color.is_dir() else root / name
        read = partial(_read, name, truth, images, split == "shortterm")
        sources.append(Source(name, (truth, images), read))
    return sources


def _read(name: str, truth: Path, images: Path, polygons: bool) -> List[Dict]:
    table = read_table(truth, columns=(4, 8))
    fields = {"polygons": _corners(table)} if polygons else {}
    return [make_track(name, ImageFrames(list_images(images)), bounding_boxes(table), **fields)]


def _corners(table: np.ndarray) -> np.ndarray:
    """Annotations (T, 8) stay. Boxes (T, 4) x, y, w, h, as in conduction1 of VOT2018, become XYXY
    and four NaN. They stay boxes, because a box has other pixels than the polygon of its
    corners."""
    if table.shape[1] != 4:
        return table.reshape(-1, 8)
    return np.concatenate([to_xyxy(table), np.full_like(table, np.nan)], axis=1)
