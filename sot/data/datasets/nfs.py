"""Need for Speed, NfS (Galoogahi, Fagg, Huang, Ramanan and Lucey, ICCV 2017)."""

from functools import partial
from pathlib import Path
from typing import Dict, List

import numpy as np

from ..frames import ImageFrames, list_images
from .cache import Source
from .tracks import make_track

__all__ = ["nfs_sources"]

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

SEQUENCES = """
    Gymnastics MachLoop_jet Skiing_red Skydiving airboard_1 airplane_landing airtable_3
    basketball_1 basketball_2 basketball_3 basketball_6 basketball_7 basketball_player
    basketball_player_2 beach_flipback_person bee biker_acrobat biker_all_1 biker_head_2
    biker_head_3 biker_upper_body biker_whole_body billiard_2 billiard_3 billiard_6 billiard_7
    billiard_8 bird_2 book bottle bowling_1 bowling_2 bowling_3 bowling_6 bowling_ball bunny car
    car_camaro car_drifting car_jumping car_rc_rolling car_rc_rotating car_side car_white cheetah
    cup cup_2 dog dog_1 dog_2 dog_3 dogs dollar drone ducks_lake exit first flower footbal_skill
    helicopter horse_jumping horse_running iceskating_6 jellyfish_5 kid_swing motorcross
    motorcross_kawasaki parkour person_scooter pingpong_2 pingpong_7 pingpong_8 purse rubber
    running running_100_m running_100_m_2 running_2 shuffleboard_1 shuffleboard_2 shuffleboard_4
    shuffleboard_5 shuffleboard_6 shuffletable_2 shuffletable_3 shuffletable_4 ski_long
    soccer_ball soccer_ball_2 soccer_ball_3 soccer_player_2 soccer_player_3 stop_sign suv tiger
    walking walking_3 water_ski_2 yoyo zebra_fish
""".split()


def nfs_sources(root: Path, split: str) -> List[Source]:
    """
    Args:
        root: see TREE.
        split: frames per second, "30" or "240".
    """
    sources = []
    for name in SEQUENCES:
        truth, images = root / name / split / f"{name}.txt", root / name / split / name
        read = partial(_read_sequence, name, truth, images, ANNOTATED_FPS // int(split))
        sources.append(Source(name, (str(truth), str(images)), read))
    return sources


def _read_sequence(name: str, truth: Path, folder: Path, step: int) -> List[Dict]:
    table = read_vatic(truth)[::step]
    if not folder.is_dir():
        raise FileNotFoundError(f"sequence {name}: there is no folder {folder}")
    files = list_images(folder)
    # some videos end one frame before or after their annotation
    if abs(len(files) - len(table)) == 1:
        count = min(len(files), len(table))
        files, table = files[:count], table[:count]
    # the frame numbers in the table are no use: some files count from 0 and some from 1
    boxes, lost = table[:, 1:5], table[:, 6] > 0
    boxes[:, 2:] -= boxes[:, :2]
    return [make_track(name, ImageFrames(files), boxes, visible=~lost)]


def read_vatic(path: Path) -> np.ndarray:
    """Text file in VATIC's format, ``track xmin ymin xmax ymax frame lost occluded generated
    "label"`` a line -> (T, 9) float64, without the label.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another line; the message gives file and line.
    """
    rows = []
    for number, line in enumerate(Path(path).read_text().splitlines(), start=1):
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
