"""Need for Speed, NfS (Galoogahi, Fagg, Huang, Ramanan and Lucey, ICCV 2017)."""

from functools import partial
from pathlib import Path
from typing import Dict, List

import numpy as np

from ..frames import ImageFrames, list_images
from .box_files import read_text
from .cache import Source
from .sequences import official_list
from .tracks import make_track

TREE = """\
airboard_1/
  30/
    airboard_1/00001.jpg ...    # every eighth moment
    airboard_1.txt              # a line for each frame of 240 fps, here too
  240/
    airboard_1/00001.jpg ...
    airboard_1.txt
...                             # 100 folders
"""

# Corners of boxes that were drawn with VATIC in a browser, on a canvas whose first pixel is 0; the
# right and lower edges are positions, not the last pixel: width = xmax - xmin.
PIXEL_ORIGIN = 0

ANNOTATED_FPS = 240

SEQUENCES = official_list("nfs").split()


def nfs_sources(root: Path, split: str) -> List[Source]:
    """The sources of the version with "30" or "240" frames per second."""
    sources = []
    for name in SEQUENCES:
        truth, images = root / name / split / f"{name}.txt", root / name / split / name
        read = partial(_read_sequence, name, truth, images, ANNOTATED_FPS // int(split))
        sources.append(Source(name, (truth, images), read))
    return sources


def _read_sequence(name: str, truth: Path, folder: Path, step: int) -> List[Dict]:
    table = read_vatic(truth)[::step]
    if not folder.is_dir():
        raise FileNotFoundError(f"sequence {name}: there is no folder {folder}")
    files = list_images(folder)
    # some videos end one frame before or after their annotation
    if abs(len(files) - len(table)) == 1:
        files, table = files[: len(table)], table[: len(files)]
    # the frame numbers in the file are not used: some files count from 0 and others from 1
    boxes, lost = table[:, 1:5], table[:, 6] > 0
    boxes[:, 2:] -= boxes[:, :2]
    return [make_track(name, ImageFrames(files), boxes, visible=~lost)]


def read_vatic(path: Path) -> np.ndarray:
    """Text file in VATIC's format, ``track xmin ymin xmax ymax frame lost occluded generated
    "label"`` a line -> (T, 9) float64, without the label."""
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = [float(word) for word in line.partition('"')[0].split()]
        except ValueError:
            row = []
        if len(row) != 9:
            raise ValueError(
                f"{path} line {number}: expected 9 numbers and a label but found {line.strip()!r}"
            )
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, 9)
