"""Own data without code: ``folder:PATH`` and ``coco:IMAGES_DIR:ANNOTATIONS_JSON``."""

import logging
from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np
from detectron2.data import DatasetCatalog
from detectron2.data.datasets import load_coco_json
from detectron2.utils.logger import log_first_n

from ..frames import ImageFrames, VideoFrames, find_frames

__all__ = ["get_tracks", "load_coco", "load_folder", "make_track", "read_boxes"]

TRUTH_NAMES = ("groundtruth_rect.txt", "groundtruth.txt")


def get_tracks(name: str) -> List[Dict]:
    """Tracks of a registered dataset, or of ``folder:PATH`` or ``coco:DIR:JSON``.

    Raises:
        ValueError: no such dataset, or none of its boxes is usable; the message names it.
        FileNotFoundError: a folder or file that the name points to is missing.
    """
    kind, _, rest = name.partition(":")
    if name in DatasetCatalog.list():
        tracks = DatasetCatalog.get(name)
    elif kind == "folder":
        tracks = load_folder(rest)
    elif kind == "coco":
        images, _, annotations = rest.rpartition(":")
        if not images:
            raise ValueError(f"dataset {name!r}: expected coco:IMAGES_DIR:ANNOTATIONS_JSON")
        tracks = load_coco(images, annotations)
    else:
        known = ", ".join(n for n in DatasetCatalog.list() if n.startswith("synthetic"))
        raise ValueError(
            f"no dataset {name!r}; use a registered name ({known}, ...), folder:PATH, "
            "or coco:IMAGES_DIR:ANNOTATIONS_JSON"
        )
    if not any(t["visible"].any() for t in tracks):
        raise ValueError(f"dataset {name!r} has no usable box")
    return tracks


def make_track(name: str, frames, boxes_xywh: np.ndarray) -> Dict:
    """Track dict from boxes (T, 4) XYWH; those with a NaN or a side <= 0 become invisible.

    Raises:
        ValueError: the numbers of frames and boxes differ.
    """
    xywh = np.asarray(boxes_xywh, dtype=np.float64).reshape(-1, 4)
    if len(frames) != len(xywh):
        raise ValueError(f"sequence {name}: {len(frames)} frames but {len(xywh)} boxes")
    visible = np.isfinite(xywh).all(axis=1)
    visible[visible] = (xywh[visible, 2:] > 0).all(axis=1)
    boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1).astype(np.float32)
    boxes[~visible] = np.nan
    return {"name": name, "frames": frames, "boxes": boxes, "visible": visible}


def read_boxes(path) -> np.ndarray:
    """Text file with one ``x,y,w,h`` a line (comma, tab, semicolon or space) -> (T, 4) float64.

    Eight numbers are the corners of a polygon: its bounding box is taken. ``NaN`` marks an
    absent target.

    Raises:
        ValueError: a line that does not hold 4 or 8 numbers; the message gives file and line.
    """
    rows = []
    for number, line in enumerate(Path(path).read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = [float(v) for v in line.replace(",", " ").replace(";", " ").split()]
        except ValueError:
            values = []
        if len(values) == 8:
            x, y = values[0::2], values[1::2]
            values = [min(x), min(y), max(x) - min(x), max(y) - min(y)]
        if len(values) != 4:
            raise ValueError(f"{path} line {number}: expected x,y,w,h but found {line.strip()!r}")
        rows.append(values)
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def load_folder(path) -> List[Dict]:
    """One folder per sequence (or ``path`` itself is one): ``groundtruth_rect.txt`` beside
    ``img/0001.jpg ...``, image files, or one video file.

    Boxes are x, y, w, h in pixels and taken as they stand: 0-based, top-left origin. For files
    that count pixels from 1 (OTB) that is off by one pixel, alike for training and scoring.

    Raises:
        FileNotFoundError: no such folder, or no sequence in it.
        ValueError: numbers of frames and boxes differ, or a line cannot be read.
    """
    root = Path(path).resolve()  # "." has no name
    if not root.is_dir():
        raise FileNotFoundError(f"dataset folder {root} does not exist")
    folders = [root] if _truth_file(root) else sorted(p for p in root.iterdir() if p.is_dir())
    tracks = [
        make_track(folder.name, _sequence_frames(folder), read_boxes(_truth_file(folder)))
        for folder in folders
        if _truth_file(folder)
    ]
    if not tracks:
        raise FileNotFoundError(
            f"no sequence in {root}: expected {root}/NAME/groundtruth_rect.txt beside img/*.jpg "
            "or one video file"
        )
    absent = {t["name"]: int((~t["visible"]).sum()) for t in tracks if not t["visible"].all()}
    if absent:
        _log_left_out(str(root), sum(absent.values()), [f"{k} ({v})" for k, v in absent.items()])
    return tracks


def _truth_file(folder: Path):
    return next((folder / n for n in TRUTH_NAMES if (folder / n).is_file()), None)


def _sequence_frames(folder: Path):
    images, videos = find_frames(folder)
    if images:
        return ImageFrames(images)
    if len(videos) != 1:
        raise FileNotFoundError(
            f"sequence {folder}: expected images in img/, or one video file, found {len(videos)}"
        )
    return VideoFrames(videos[0])


def load_coco(images_dir, annotations_json) -> List[Dict]:
    """Each object of a COCO file, crowds left out, as a track of one frame.

    Raises:
        FileNotFoundError: the folder or the file is missing.
        ValueError: the file is not in the COCO format.
    """
    if not Path(images_dir).is_dir():
        raise FileNotFoundError(f"image folder {images_dir} does not exist")
    if not Path(annotations_json).is_file():
        raise FileNotFoundError(f"annotation file {annotations_json} does not exist")
    try:
        images = load_coco_json(str(annotations_json), str(images_dir))
    except (ValueError, KeyError, AssertionError) as e:
        raise ValueError(f"{annotations_json} is no COCO file: {type(e).__name__} {e}") from e
    tracks, bad = [], []
    for image in images:
        frames = ImageFrames([image["file_name"]])
        for i, annotation in enumerate(image["annotations"]):
            if annotation.get("iscrowd", 0):
                continue
            name = f"{Path(image['file_name']).name}#{i}"
            track = make_track(name, frames, [annotation.get("bbox", [np.nan] * 4)])
            (tracks if track["visible"].all() else bad).append(track)
    if bad:
        _log_left_out(str(annotations_json), len(bad), [t["name"] for t in bad])
    return tracks


def _log_left_out(source: str, count: int, names: Sequence[str]):
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    message = f"{source}: {count} boxes are absent or not positive and left out, in {shown}"
    # once, though loader and evaluator both read the set
    log_first_n(logging.WARNING, message, key="message", name=__name__)
