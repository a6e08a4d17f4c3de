"""OTB-2013 and OTB-2015 (Wu, Lim and Yang, CVPR 2013 and TPAMI 2015)."""

from functools import partial
from pathlib import Path
from typing import Dict, List, Tuple

from ..frames import FrameError, ImageFrames, list_images
from .box_files import read_boxes
from .cache import Source
from .sequences import official_list
from .tracks import make_track

TREE = """\
Basketball/
  groundtruth_rect.txt        # x,y,w,h for each frame; comma, tab or space
  img/0001.jpg ...
Board/img/00001.jpg ...       # five digits
Human4/groundtruth_rect.2.txt
Jogging/                      # two objects in one video, as in Skating2/
  groundtruth_rect.1.txt
  groundtruth_rect.2.txt
  img/0001.jpg ...
...                           # 98 folders; OTB-2013 needs 50 of them
"""

# The benchmark is written in MATLAB, where the first pixel of an image is (1, 1). Published
# trackers subtract 1, too.
PIXEL_ORIGIN = 1


def parse_ranges(text: str) -> Dict[str, Tuple[int, int]]:
    """``"name first-last, ..."`` -> {name: (first, last)}, numbers of frames, both inclusive."""
    ranges = {}
    for entry in text.split(","):
        name, numbers = entry.split()
        first, last = numbers.split("-")
        ranges[name] = (int(first), int(last))
    return ranges


# Frames by the numbers in their file names. Those before or after are not annotated: David,
# Football1, Freeman3, Freeman4, Diving, BlurCar1, BlurCar3 and BlurCar4. Tiger1 is annotated from
# frame 1 on, but starts at 6: the benchmark's list of frames unfit to start from (initOmit) begins
# with 1-5. A "-1" or "-2" after the folder's name is the object.
OTB2015 = parse_ranges(official_list("otb2015"))

OTB2013 = official_list("otb2013").split()

SPLITS = {"2013": OTB2013, "2015": list(OTB2015)}


def otb_sources(root: Path, split: str) -> List[Source]:
    """The sources of OTB-"2013" (51 sequences) or OTB-"2015" (100)."""
    sources = []
    for name in SPLITS[split]:
        folder, _, target = name.partition("-")
        suffix = f".{target}.txt" if target else ".txt"
        truth, images = root / folder / f"groundtruth_rect{suffix}", root / folder / "img"
        read = partial(read_range, name, truth, images, *OTB2015[name])
        sources.append(Source(name, (truth, images), read))
    return sources


def read_range(name: str, truth: Path, folder: Path, first: int, last: int) -> List[Dict]:
    """Read the frames ``first`` to ``last`` of a folder, by the numbers in their names, as a track.

    Args:
        truth: text file with boxes that count pixels from 1, for these frames or for all from
            frame 1 to ``last``.
    """
    boxes = read_boxes(truth)
    if not folder.is_dir():
        raise FileNotFoundError(f"sequence {name}: there is no folder {folder}")
    images = {Path(f).stem: f for f in list_images(folder)}
    images = {int(stem): f for stem, f in images.items() if stem.isdecimal()}
    missing = [n for n in range(first, last + 1) if n not in images]
    if missing:
        raise FrameError(
            f"sequence {name}: {len(missing)} of the frames {first} to {last} are missing in "
            f"{folder}, such as {missing[0]}"
        )
    if len(boxes) == last:
        boxes = boxes[first - 1 :]
    frames = ImageFrames([images[n] for n in range(first, last + 1)])
    return [make_track(name, frames, boxes - [PIXEL_ORIGIN, PIXEL_ORIGIN, 0, 0])]
