"""LaSOT (Fan et al., CVPR 2019): 1,120 training and 280 test sequences of 70 categories."""

from functools import partial
from pathlib import Path
from typing import Dict, List

from ..frames import ImageFrames, list_images
from .box_files import read_boxes
from .cache import Source
from .sequences import official_list, read_labels, read_names
from .tracks import make_track

__all__ = ["lasot_sources", "official_names"]

TREE = """\
training_set.txt              # names of the sequences; without it, the official list is used
testing_set.txt               # the same
airplane/                     # airplane-1/ may also stand right in the data set's folder
  airplane-1/
    img/
      00000001.jpg ...
    groundtruth.txt           # x,y,w,h for each frame
    full_occlusion.txt        # 0,0,1,... in one line
    out_of_view.txt           # the same
    nlp.txt                   # not read
"""

# "The smallest should be 1": the first author on x and y, github.com/HengLan/
# LaSOT_Evaluation_Toolkit/issues/14 (that is LaSOT, not the later extension, which counts from 0).
PIXEL_ORIGIN = 1

LISTS = {"train": "training_set.txt", "test": "testing_set.txt"}

NUM_PER_CATEGORY = 20
# Protocol II: the numbers of the four test sequences of each category; the others are for training
TEST_SET = official_list("lasot_test")


def official_names(split: str) -> List[str]:
    """The sequences of "train" (1,120) or "test" (280)."""
    names = []
    for line in TEST_SET.split(","):
        category, *numbers = line.split()
        held_out = {int(n) for n in numbers}
        for i in range(1, NUM_PER_CATEGORY + 1):
            if (i in held_out) == (split == "test"):
                names.append(f"{category}-{i}")
    return names


def lasot_sources(root: Path, split: str) -> List[Source]:
    """
    Frames in which the target is fully occluded or out of view are invisible; their boxes are
    kept, but mean little.

    Args:
        root: see TREE.
        split: "train" or "test".

    Raises:
        FileNotFoundError: none of the sequences is there.
    """
    listing = root / LISTS[split]
    names = read_names(listing) if listing.is_file() else official_names(split)
    folders = [_folder(root, name) for name in names]
    if not any(folder.is_dir() for folder in folders):
        raise FileNotFoundError(
            f"none of the {len(names)} sequences of LaSOT {split} is in {root}: "
            f"expected {root}/airplane/airplane-1/img, and so on"
        )
    return [_source(folder) for folder in folders]


def _folder(root: Path, name: str) -> Path:
    # LaSOTTesting.zip is flat; the zip files of categories, and of the whole, are not
    flat = root / name
    return flat if flat.is_dir() else root / name.rpartition("-")[0] / name


def _source(folder: Path) -> Source:
    names = ("groundtruth.txt", "full_occlusion.txt", "out_of_view.txt", "img")
    return Source(folder.name, tuple(str(folder / n) for n in names), partial(_read, folder))


def _read(folder: Path) -> List[Dict]:
    boxes = read_boxes(folder / "groundtruth.txt") - [PIXEL_ORIGIN, PIXEL_ORIGIN, 0, 0]
    occluded, outside = (
        read_labels(folder / f"{name}.txt", len(boxes))
        for name in ("full_occlusion", "out_of_view")
    )
    # some copies end with a frame that has no box; the official toolkit drops it, too
    frames = ImageFrames(list_images(folder / "img")[: len(boxes)])
    return [make_track(folder.name, frames, boxes, (occluded == 0) & (outside == 0))]
