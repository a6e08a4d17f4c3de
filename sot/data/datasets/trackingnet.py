"""TrackingNet (Mueller et al., ECCV 2018): 30,132 training sequences in 12 chunks, 511 for test."""

from functools import partial
from pathlib import Path
from typing import Dict, List

from ..frames import ImageFrames, list_images
from .box_files import read_boxes
from .cache import Source
from .sequences import extend_first_box
from .tracks import make_track

TREE = """\
TRAIN_0/                      # ... TRAIN_11
  anno/
    -3TIfnTSM6c_2.txt         # x,y,w,h for each frame
  frames/                     # extracted from zips/
    -3TIfnTSM6c_2/
      0.jpg 1.jpg ...
TEST/
  anno/
    0-6LB4FqxoE_0.txt         # the first box only; a server knows the others
  frames/
    0-6LB4FqxoE_0/
      0.jpg 1.jpg ...
"""

# The official development kit draws the boxes as they stand with OpenCV, which counts from 0
# (generate_BB_frames.py).
PIXEL_ORIGIN = 0

NUM_CHUNKS = 12
# "train" is the whole training set, and "train_p4" its first four chunks, which ATOM, DiMP and
# others use
CHUNKS = {
    "train": [f"TRAIN_{i}" for i in range(NUM_CHUNKS)],
    "train_p4": [f"TRAIN_{i}" for i in range(4)],
    **{f"train_{i}": [f"TRAIN_{i}"] for i in range(NUM_CHUNKS)},
    "test": ["TEST"],
}


def trackingnet_sources(root: Path, split: str) -> List[Source]:
    """The sources of a split, which is a key of CHUNKS."""
    sources = []
    for chunk in (root / name for name in CHUNKS[split]):
        annotations = chunk / "anno"
        if not annotations.is_dir():
            raise FileNotFoundError(
                f"annotations {annotations} do not exist; trackingnet_train_0 ... "
                f"trackingnet_train_{NUM_CHUNKS - 1} are the datasets of single chunks"
            )
        for file in sorted(annotations.glob("*.txt")):
            read = partial(_read, chunk, file.stem, split == "test")
            sources.append(Source(file.stem, (file, chunk / "frames" / file.stem), read))
    return sources


def _read(chunk: Path, name: str, first_box_only: bool) -> List[Dict]:
    folder, archive = chunk / "frames" / name, chunk / "zips" / f"{name}.zip"
    if not folder.is_dir():
        todo = f": extract {archive} into it" if archive.is_file() else ""
        raise FileNotFoundError(f"frames {folder} do not exist{todo}")
    frames = ImageFrames(list_images(folder))
    boxes = read_boxes(chunk / "anno" / f"{name}.txt")
    if first_box_only:
        boxes = extend_first_box(boxes, len(frames))
    return [make_track(name, frames, boxes)]
