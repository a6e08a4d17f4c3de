"""Attributes of test sequences (illumination variation, occlusion, ...). The report splits scores
by them.

They come from these places:

* OTB: the list of its authors' web site, otb_attributes.csv, as the dataset has no file of them.
* UAV123, UAV20L: anno/UAV123/att/NAME.txt and anno/UAV20L/att/NAME.txt of the dataset.
* LaSOT: annos/att/NAME.txt of its evaluation toolkit; looked for in att/ of the dataset's folder.
* any dataset: a file ``attributes.json`` (``{"NAME": ["OCC", "night"], ...}``) or
  ``attributes.csv`` (lines ``NAME,OCC,night``) in its folder, or one that is given. Names of
  attributes are free.
"""

import csv
import io
import json
import re
from pathlib import Path
from typing import Dict, Iterable, List, Tuple

from ...data import resolve
from ...data.datasets import read_table
from ...data.datasets.box_files import read_text

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

OFFICIAL = {"uav123": "anno/UAV123/att", "uav20l": "anno/UAV20L/att"}  # by dataset

# The attributes of the 0s and 1s in a file, in order. LaSOT: run_tracker_performance_evaluation.m
# of github.com/HengLan/LaSOT_Evaluation_Toolkit. UAV123: DatasetAnnotation.pdf of the dataset.
FLAGS = {
    14: "IV POC DEF MB CM ROT BC VC SV FOC FM OV LR ARC".split(),
    12: "SV ARC LR FM FOC POC OV BC IV VC CM SOB".split(),
}


# The 98 videos of TB-100: github.com/jwlim/tracker_benchmark_doc, source/datasets/seq1 and seq2,
# src_items.txt. The paper of 2013 has other ones for a few of its 50 videos.
OTB_FILE = Path(__file__).with_name("otb_attributes.csv")


def long_name(attribute: str) -> str:
    """``OCC`` -> ``occlusion (OCC)``. An unknown name stays as it is."""
    known = ATTRIBUTE_NAMES.get(attribute)
    return f"{known} ({attribute})" if known else attribute


def find_attributes(dataset: str, names: Iterable[str]) -> Tuple[Dict[str, List[str]], str]:
    """{sequence: attributes} of a dataset, and the source of the attributes; ({}, "") if there are
    none. ValueError: a file cannot be read; the message names it."""
    names, root = list(names), resolve(dataset).root
    if root is not None:
        places = ("attributes.json", "attributes.csv", "att", OFFICIAL.get(dataset, "att"))
        for place in places:
            if (root / place).exists():
                return read_attributes(root / place, names), str(root / place)
    if dataset.startswith("otb"):
        table = _read_csv(OTB_FILE)
        # Jogging-1 and Jogging-2 are two objects of one video
        videos = {name: re.sub(r"-\d$", "", name) for name in names}
        found = {name: table[video] for name, video in videos.items() if video in table}
        return found, "list of the OTB web site"
    return {}, ""


def read_attributes(path, names: Iterable[str]) -> Dict[str, List[str]]:
    """{sequence: attributes} for those of ``names`` that have an entry or a file.

    Args:
        path: a JSON or CSV file as above, or a folder with NAME.txt: names of attributes, or 0 and
            1 in the order of LaSOT (14) or UAV123 (12).

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
        table = json.loads(read_text(path))
    except (ValueError, RecursionError) as e:
        raise ValueError(f"{path} is not JSON: {e}") from None
    lists = table.values() if isinstance(table, dict) else [None]
    if not all(isinstance(v, list) and all(isinstance(a, str) for a in v) for v in lists):
        raise ValueError(f'{path}: expected {{"NAME OF A SEQUENCE": ["ATTRIBUTE", ...], ...}}')
    return table


def _read_csv(path: Path) -> Dict[str, List[str]]:
    text = read_text(path)
    # Excel writes semicolons in countries with decimal commas
    first = re.search("[,;\t]", text)
    delimiter = first.group() if first else ","
    try:
        lines = csv.reader(io.StringIO(text), delimiter=delimiter)
        rows = [[cell.strip() for cell in row] for row in lines]
    except csv.Error as e:
        raise ValueError(f"{path} is not CSV: {e}") from None
    return {row[0]: [cell for cell in row[1:] if cell] for row in rows if row}


def _read_flags(path: Path) -> List[str]:
    words = re.split(r"[,;\s]+", read_text(path).strip(" ,;\n"))
    if not all(re.fullmatch(r"[01](\.0*)?", word) for word in words):
        return words
    flags = read_table(path).ravel()
    if len(flags) not in FLAGS:
        known = " or ".join(map(str, FLAGS))
        raise ValueError(f"{path}: {len(flags)} flags; expected {known}, or names of attributes")
    return [attribute for attribute, flag in zip(FLAGS[len(flags)], flags) if flag > 0]
