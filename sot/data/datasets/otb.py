"""OTB-2013 and OTB-2015 (Wu, Lim and Yang, CVPR 2013 and TPAMI 2015)."""

from functools import partial
from pathlib import Path
from typing import Dict, List, Tuple

from ..frames import FrameError, ImageFrames, list_images
from .box_files import read_boxes
from .cache import Source
from .tracks import make_track

__all__ = ["otb_sources", "parse_ranges", "read_range"]

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

# The benchmark and its trackers are MATLAB: the first pixel of an image is (1, 1). Published
# trackers subtract 1 as well before they work with 0-based images.
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
OTB2015 = parse_ranges("""
    Basketball 1-725, Biker 1-142, Bird1 1-408, Bird2 1-99, BlurBody 1-334, BlurCar1 247-988,
    BlurCar2 1-585, BlurCar3 3-359, BlurCar4 18-397, BlurFace 1-493, BlurOwl 1-631, Board 1-698,
    Bolt 1-350, Bolt2 1-293, Box 1-1161, Boy 1-602, Car1 1-1020, Car2 1-913, Car24 1-3059,
    Car4 1-659, CarDark 1-393, CarScale 1-252, ClifBar 1-472, Coke 1-291, Couple 1-140,
    Coupon 1-327, Crossing 1-120, Crowds 1-347, Dancer 1-225, Dancer2 1-150, David 300-770,
    David2 1-537, David3 1-252, Deer 1-71, Diving 1-215, Dog 1-127, Dog1 1-1350, Doll 1-3872,
    DragonBaby 1-113, Dudek 1-1145, FaceOcc1 1-892, FaceOcc2 1-812, Fish 1-476, FleetFace 1-707,
    Football 1-362, Football1 1-74, Freeman1 1-326, Freeman3 1-460, Freeman4 1-283, Girl 1-500,
    Girl2 1-1500, Gym 1-767, Human2 1-1128, Human3 1-1698, Human4-2 1-667, Human5 1-713,
    Human6 1-792, Human7 1-250, Human8 1-128, Human9 1-305, Ironman 1-166, Jogging-1 1-307,
    Jogging-2 1-307, Jump 1-122, Jumping 1-313, KiteSurf 1-84, Lemming 1-1336, Liquor 1-1741,
    Man 1-134, Matrix 1-100, Mhyang 1-1490, MotorRolling 1-164, MountainBike 1-228, Panda 1-1000,
    RedTeam 1-1918, Rubik 1-1997, Shaking 1-365, Singer1 1-351, Singer2 1-366, Skater 1-160,
    Skater2 1-435, Skating1 1-400, Skating2-1 1-473, Skating2-2 1-473, Skiing 1-81, Soccer 1-392,
    Subway 1-175, Surfer 1-376, Suv 1-945, Sylvester 1-1345, Tiger1 6-354, Tiger2 1-365,
    Toy 1-271, Trans 1-124, Trellis 1-569, Twinnings 1-472, Vase 1-271, Walking 1-412,
    Walking2 1-500, Woman 1-597
""")

OTB2013 = """
    Basketball Bolt Boy Car4 CarDark CarScale Coke Couple Crossing David David2 David3 Deer Dog1
    Doll Dudek FaceOcc1 FaceOcc2 Fish FleetFace Football Football1 Freeman1 Freeman3 Freeman4 Girl
    Ironman Jogging-1 Jogging-2 Jumping Lemming Liquor Matrix Mhyang MotorRolling MountainBike
    Shaking Singer1 Singer2 Skating1 Skiing Soccer Subway Suv Sylvester Tiger1 Tiger2 Trellis
    Walking Walking2 Woman
""".split()

SPLITS = {"2013": OTB2013, "2015": list(OTB2015)}


def otb_sources(root: Path, split: str) -> List[Source]:
    """
    Args:
        root: see TREE.
        split: "2013" (51 sequences) or "2015" (100).
    """
    sources = []
    for name in SPLITS[split]:
        folder, _, target = name.partition("-")
        suffix = f".{target}.txt" if target else ".txt"
        truth, images = root / folder / f"groundtruth_rect{suffix}", root / folder / "img"
        read = partial(read_range, name, truth, images, *OTB2015[name])
        sources.append(Source(name, (str(truth), str(images)), read))
    return sources


def read_range(name: str, truth: Path, folder: Path, first: int, last: int) -> List[Dict]:
    """A track of the frames ``first`` to ``last`` of a folder, by the numbers in their names.

    Args:
        truth: text file with boxes that count pixels from 1, for these frames or for all from
            frame 1 to ``last``.

    Raises:
        FileNotFoundError: no such file or folder.
        FrameError: a frame is missing.
        ValueError: another number of boxes.
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
