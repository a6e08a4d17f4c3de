"""LaSOT (Fan et al., CVPR 2019): 1,120 training and 280 test sequences of 70 categories."""

from functools import partial
from pathlib import Path
from typing import Dict, List

from ..frames import ImageFrames, list_images
from .box_files import read_boxes
from .cache import Source
from .sequences import official_list, read_labels, read_names
from .tracks import make_track

TREE = """\
training_set.txt              # names of the sequences; without it, the official list is used
testing_set.txt               # the same
airplane/                     # airplane-1/ may also stand right in the dataset's folder
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


def official_names(split: str) -> List[str]:
    """The names of the sequences of "train" (1,120) or "test" (280), by protocol II: the official
    list has the numbers of the four test sequences of each category, and all others are for
    training."""
    names = []
    for line in official_list("lasot_test").split(","):
        category, *held_out = line.split()
        for i in range(1, NUM_PER_CATEGORY + 1):
            if (str(i) in held_out) == (split == "test"):
                names.append(f"{category}-{i}")
    return names


def lasot_sources(root: Path, split: str) -> List[Source]:
    """The sources of "train" or "test". Frames in which the target is fully occluded or out of view
    are marked invisible. Their boxes are kept, although they are not reliable."""
    listing = root / LISTS[split]
    names = read_names(listing) if listing.is_file() else official_names(split)
    folders = [_folder(root, name) for name in names]
    if not any(folder.is_dir() for folder in folders):
        raise FileNotFoundError(
            f"none of the {len(names)} sequences of LaSOT {split} is in {root}: "
            f"expected {root}/airplane/airplane-1/img, and so on"
        )
    names = ("groundtruth.txt", "full_occlusion.txt", "out_of_view.txt", "img")
    return [
        Source(folder.name, tuple(folder / n for n in names), partial(_read, folder))
        for folder in folders
    ]


def _folder(root: Path, name: str) -> Path:
    # LaSOTTesting.zip has no folders of categories, the other zip files do
    flat = root / name
    return flat if flat.is_dir() else root / name.rpartition("-")[0] / name


def _read(folder: Path) -> List[Dict]:
    boxes = read_boxes(folder / "groundtruth.txt") - [PIXEL_ORIGIN, PIXEL_ORIGIN, 0, 0]
    occluded, outside = (
        read_labels(folder / f"{name}.txt", len(boxes))
        for name in ("full_occlusion", "out_of_view")
    )
    # some copies end with a frame without a box, which the official toolkit drops, too
    frames = ImageFrames(list_images(folder / "img")[: len(boxes)])
    return [make_track(folder.name, frames, boxes, (occluded == 0) & (outside == 0))]
