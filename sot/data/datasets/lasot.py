"""LaSOT (Fan et al., CVPR 2019): 1,120 training and 280 test sequences of 70 categories."""

from functools import partial
from pathlib import Path
from typing import Dict, List

from ..frames import ImageFrames, list_images
from .box_files import read_boxes
from .cache import Source
from .sequences import read_labels, read_names
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
TEST_SET = """
    airplane 1 9 13 15, basketball 1 6 7 11, bear 2 4 6 17, bicycle 2 7 9 18, bird 2 3 15 17,
    boat 3 4 12 17, book 3 10 11 19, bottle 1 12 14 18, bus 2 5 17 19, car 2 6 9 17, cat 1 3 18 20,
    cattle 2 7 12 13, chameleon 3 6 11 20, coin 3 6 7 18, crab 3 6 12 18, crocodile 3 4 10 14,
    cup 1 4 7 17, deer 4 8 10 14, dog 1 7 15 19, drone 2 7 13 15, electricfan 1 10 18 20,
    elephant 1 12 16 18, flag 2 3 5 9, fox 2 3 5 20, frog 3 4 9 20, gametarget 1 2 7 13,
    gecko 1 5 16 19, giraffe 2 10 13 15, goldfish 3 7 8 10, gorilla 4 6 9 13, guitar 3 8 10 16,
    hand 2 3 9 16, hat 1 2 5 18, helmet 5 11 13 19, hippo 1 7 9 20, horse 1 4 12 15,
    kangaroo 2 5 11 14, kite 4 6 10 15, leopard 1 7 16 20, licenseplate 6 12 13 15, lion 1 5 12 20,
    lizard 1 3 6 13, microphone 2 6 14 16, monkey 3 4 9 17, motorcycle 1 3 9 18, mouse 1 8 9 17,
    person 1 5 10 12, pig 2 10 13 18, pool 3 7 12 15, rabbit 10 13 17 19, racing 10 15 16 20,
    robot 1 5 8 19, rubicCube 1 6 14 19, sepia 6 8 13 16, shark 2 3 5 6, sheep 3 5 7 9,
    skateboard 3 8 16 19, spider 14 16 18 20, squirrel 8 11 13 19, surfboard 4 5 8 12,
    swing 10 14 17 20, tank 6 9 14 16, tiger 4 6 12 18, train 1 7 11 20, truck 3 6 7 16,
    turtle 5 8 9 16, umbrella 2 9 17 19, volleyball 1 13 18 19, yoyo 7 15 17 19, zebra 10 14 16 17
"""


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
