"""Attributes of test sequences (illumination variation, occlusion, ...), by which scores are split.

Where they come from:

* OTB: the list of its authors' web site, which is kept here, as the data set has no file of them.
* UAV123, UAV20L: anno/UAV123/att/NAME.txt and anno/UAV20L/att/NAME.txt of the data set.
* LaSOT: annos/att/NAME.txt of its evaluation toolkit; looked for in att/ of the data set's folder.
* any data set: a file ``attributes.json`` (``{"NAME": ["OCC", "night"], ...}``) or
  ``attributes.csv`` (lines ``NAME,OCC,night``) in its folder, or one that is given. Names of
  attributes are free.
"""

import csv
import json
import re
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Tuple

from ..data import resolve
from ..data.datasets import read_table

__all__ = ["ATTRIBUTE_NAMES", "OTB", "find_attributes", "long_name", "read_attributes"]

ATTRIBUTE_NAMES = {
    "ARC": "aspect ratio change",
    "BC": "background clutter",
    "CM": "camera motion",
    "DEF": "deformation",
    "FM": "fast motion",
    "FOC": "full occlusion",
    "IPR": "in-plane rotation",
    "IV": "illumination variation",
    "LR": "low resolution",
    "MB": "motion blur",
    "OCC": "occlusion",
    "OPR": "out-of-plane rotation",
    "OV": "out of view",
    "POC": "partial occlusion",
    "ROT": "rotation",
    "SOB": "similar object",
    "SV": "scale variation",
    "VC": "viewpoint change",
}

# What the 0s and 1s of a file stand for, in order. LaSOT: run_tracker_performance_evaluation.m of
# github.com/HengLan/LaSOT_Evaluation_Toolkit. UAV123: DatasetAnnotation.pdf of the data set.
FLAGS = {
    14: "IV POC DEF MB CM ROT BC VC SV FOC FM OV LR ARC".split(),
    12: "SV ARC LR FM FOC POC OV BC IV VC CM SOB".split(),
}


def _parse(text: str) -> Dict[str, List[str]]:
    """``"name attribute attribute, ..."`` -> {name: attributes}."""
    entries = (entry.split() for entry in text.split(","))
    return {name: attributes for name, *attributes in entries}


# The 98 videos of TB-100: github.com/jwlim/tracker_benchmark_doc, source/datasets/seq1 and seq2,
# src_items.txt. The paper of 2013 has other ones for a few of its 50 videos.
OTB = _parse("""
    Basketball IV OCC DEF OPR BC, Biker SV OCC MB FM OPR OV LR, Bird1 DEF FM OV, Bird2 OCC DEF
    FM IPR OPR, BlurBody SV DEF MB FM IPR, BlurCar1 MB FM, BlurCar2 SV MB FM, BlurCar3 MB FM,
    BlurCar4 MB FM, BlurFace MB FM IPR, BlurOwl SV MB FM IPR, Board SV MB FM OPR OV BC, Bolt
    OCC DEF IPR OPR, Bolt2 DEF BC, Box IV SV OCC MB IPR OPR OV BC LR, Boy SV MB FM IPR OPR,
    Car1 IV SV MB FM BC LR, Car2 IV SV MB FM BC, Car24 IV SV BC, Car4 IV SV, CarDark IV BC,
    CarScale SV OCC FM IPR OPR, ClifBar SV OCC MB FM IPR OV BC, Coke IV OCC FM IPR OPR BC,
    Couple SV DEF FM OPR BC, Coupon OCC BC, Crossing SV DEF FM OPR BC, Crowds IV DEF BC,
    Dancer SV DEF IPR OPR, Dancer2 DEF, David IV SV OCC DEF MB IPR OPR, David2 IPR OPR, David3
    OCC DEF OPR BC, Deer MB FM IPR BC LR, Diving SV DEF IPR, Dog SV DEF OPR, Dog1 SV IPR OPR,
    Doll IV SV OCC IPR OPR, DragonBaby SV OCC MB FM IPR OPR OV, Dudek SV OCC DEF FM IPR OPR OV
    BC, FaceOcc1 OCC, FaceOcc2 IV OCC IPR OPR, Fish IV, FleetFace SV DEF MB FM IPR OPR,
    Football OCC IPR OPR BC, Football1 IPR OPR BC, Freeman1 SV IPR OPR, Freeman3 SV IPR OPR,
    Freeman4 SV OCC IPR OPR, Girl SV OCC IPR OPR, Girl2 SV OCC DEF MB OPR, Gym SV DEF IPR OPR,
    Human2 IV SV MB OPR, Human3 SV OCC DEF OPR BC, Human4 IV SV OCC DEF, Human5 SV OCC DEF,
    Human6 SV OCC DEF FM OPR OV, Human7 IV SV OCC DEF MB FM, Human8 IV SV DEF, Human9 IV SV
    DEF MB FM, Ironman IV SV OCC MB FM IPR OPR OV BC LR, Jogging OCC DEF OPR, Jump SV OCC DEF
    MB FM IPR OPR, Jumping MB FM, KiteSurf IV OCC IPR OPR, Lemming IV SV OCC FM OPR OV, Liquor
    IV SV OCC MB FM OPR OV BC, Man IV, Matrix IV SV OCC FM IPR OPR BC, Mhyang IV DEF OPR BC,
    MotorRolling IV SV MB FM IPR BC LR, MountainBike IPR OPR BC, Panda SV OCC DEF IPR OPR OV
    LR, RedTeam SV OCC IPR OPR LR, Rubik SV OCC IPR OPR, Shaking IV SV IPR OPR BC, Singer1 IV
    SV OCC OPR, Singer2 IV DEF IPR OPR BC, Skater SV DEF IPR OPR, Skater2 SV DEF FM IPR OPR,
    Skating1 IV SV OCC DEF OPR BC, Skating2 SV OCC DEF FM OPR, Skiing IV SV DEF IPR OPR,
    Soccer IV SV OCC MB FM IPR OPR BC, Subway OCC DEF BC, Surfer SV FM IPR OPR LR, Suv OCC IPR
    OV, Sylvester IV IPR OPR, Tiger1 IV OCC DEF MB FM IPR OPR, Tiger2 IV OCC DEF MB FM IPR OPR
    OV, Toy SV FM IPR OPR, Trans IV SV OCC DEF, Trellis IV SV IPR OPR BC, Twinnings SV OPR,
    Vase SV FM IPR, Walking SV OCC DEF, Walking2 SV OCC LR, Woman IV SV OCC DEF MB FM OPR
""")


def long_name(attribute: str) -> str:
    """``OCC`` -> ``occlusion (OCC)``; a name that is not known stays as it is."""
    known = ATTRIBUTE_NAMES.get(attribute)
    return f"{known} ({attribute})" if known else attribute


def find_attributes(dataset: str, names: Iterable[str]) -> Tuple[Dict[str, List[str]], str]:
    """
    Args:
        dataset: name that `sot.data.get_tracks` knows.
        names: of its sequences.

    Returns:
        {sequence: attributes} and where they are from; ({}, "") if there are none.

    Raises:
        ValueError: a file that cannot be read; the message names it.
    """
    names, (root, official) = list(names), _places(dataset)
    if root is not None:
        places = (root / "attributes.json", root / "attributes.csv", root / "att", official)
        for place in places:
            if place is not None and place.exists():
                return read_attributes(place, names), str(place)
    if dataset.startswith("otb"):
        known = {name: OTB[video] for name in names for video in [_video(name)] if video in OTB}
        return known, "list of the OTB web site"
    return {}, ""


def _places(dataset: str) -> Tuple[Optional[Path], Optional[Path]]:
    """Folder of a data set, and of its official attributes if it has a place of its own."""
    root = resolve(dataset).root
    official = {"uav123": "anno/UAV123/att", "uav20l": "anno/UAV20L/att"}.get(dataset)
    return root, root / official if official else None


def _video(name: str) -> str:
    """``Jogging-1`` -> ``Jogging``: two objects of one video have the same attributes."""
    return re.sub(r"-\d$", "", name)


def read_attributes(path, names: Iterable[str]) -> Dict[str, List[str]]:
    """
    Args:
        path: a JSON or CSV file as above, or a folder with NAME.txt: names of attributes, or 0 and
            1 in the order of LaSOT (14) or UAV123 (12).
        names: the sequences that are asked for.

    Returns:
        {sequence: attributes}, of those that have an entry or file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another content, or no entry for any of the sequences.
    """
    path, names = Path(path), list(names)
    if path.is_dir():
        files = {name: path / f"{name}.txt" for name in names}
        found = {name: _read_flags(file) for name, file in files.items() if file.is_file()}
    elif not path.is_file():
        raise FileNotFoundError(f"file of attributes {path} does not exist")
    else:
        table = _read_json(path) if path.suffix == ".json" else _read_csv(path)
        found = {name: table[name] for name in names if name in table}
    if not found:
        raise ValueError(f"{path} has no attributes of any of the {len(names)} sequences")
    return found


def _read_json(path: Path) -> Dict[str, List[str]]:
    try:
        table = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as e:
        raise ValueError(f"{path} is no JSON: {e}") from None
    lists = table.values() if isinstance(table, dict) else [None]
    if not all(isinstance(v, list) and all(isinstance(a, str) for a in v) for v in lists):
        raise ValueError(f'{path}: expected {{"NAME OF A SEQUENCE": ["ATTRIBUTE", ...], ...}}')
    return table


def _read_csv(path: Path) -> Dict[str, List[str]]:
    with open(path, newline="", encoding="utf-8-sig") as f:
        rows = [[cell.strip() for cell in row] for row in csv.reader(f)]
    return {row[0]: [cell for cell in row[1:] if cell] for row in rows if row}


def _read_flags(path: Path) -> List[str]:
    words = re.split(r"[,;\s]+", path.read_text(encoding="utf-8-sig").strip(" ,;\n"))
    if not all(re.fullmatch(r"[01](\.0*)?", word) for word in words):
        return words
    flags = read_table(path).ravel()
    if len(flags) not in FLAGS:
        known = " or ".join(map(str, FLAGS))
        raise ValueError(f"{path}: {len(flags)} flags; expected {known}, or names of attributes")
    return [attribute for attribute, flag in zip(FLAGS[len(flags)], flags) if flag > 0]
