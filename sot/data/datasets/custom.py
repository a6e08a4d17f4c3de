"""Tracks by the name of a data set: registered ones, and own data without code
(``folder:PATH`` and ``coco:IMAGES_DIR:ANNOTATIONS_JSON``)."""

import logging
from functools import partial
from pathlib import Path
from typing import Dict, Iterable, List

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from detectron2.structures import BoxMode
from detectron2.utils.logger import log_first_n

from ..frames import ImageFrames, VideoFrames, find_frames
from .cache import Source, cached_tracks
from .tracks import TrackList, make_track, read_boxes

__all__ = ["get_tracks", "load_coco", "load_folder", "photograph_tracks"]

TRUTH_NAMES = ("groundtruth_rect.txt", "groundtruth.txt")


def get_tracks(name: str) -> TrackList:
    """Tracks of a registered data set, or of ``folder:PATH`` or ``coco:DIR:JSON``.

    A registered data set yields track dicts, or detectron2's dicts of photographs with
    annotations.

    Raises:
        ValueError: no such data set, or none of its boxes is usable; the message names it.
        FileNotFoundError: a folder or file that the name points to is missing.
    """
    kind, _, rest = name.partition(":")
    if name in DatasetCatalog.list():
        tracks = _registered_tracks(name)
    elif kind == "folder":
        tracks = load_folder(rest)
    elif kind == "coco":
        images, _, annotations = rest.rpartition(":")
        if not images:
            raise ValueError(f"dataset {name!r}: expected coco:IMAGES_DIR:ANNOTATIONS_JSON")
        tracks = load_coco(images, annotations)
    else:
        known = [n for n in DatasetCatalog.list() if MetadataCatalog.get(n).get("frame_range")]
        raise ValueError(
            f"no dataset {name!r}; use a registered name ({', '.join(known)}, ...), folder:PATH, "
            "or coco:IMAGES_DIR:ANNOTATIONS_JSON"
        )
    if not tracks.num_visible().any():
        raise ValueError(f"dataset {name!r} has no usable box")
    return tracks


def _registered_tracks(name: str) -> TrackList:
    metadata = MetadataCatalog.get(name)
    if metadata.get("evaluator_type") == "coco" and metadata.get("json_file"):
        # known without reading it, so that a large file is read once and kept as an index
        return load_coco(metadata.image_root, metadata.json_file)
    items = DatasetCatalog.get(name)
    if len(items) and "annotations" in items[0]:
        items = photograph_tracks(items, name)
    return TrackList.pack(items)


def load_folder(path) -> TrackList:
    """One folder per sequence (or ``path`` itself is one): ``groundtruth_rect.txt`` beside
    ``img/0001.jpg ...``, image files, or one video file.

    Boxes are x, y, w, h in pixels and taken as they stand: 0-based, top-left origin. For files
    that count pixels from 1 (OTB) that is off by one pixel, alike for training and scoring.

    Raises:
        FileNotFoundError: no such folder, or no sequence in it.
        ValueError: numbers of frames and boxes differ, or a line cannot be read.
    """
    root = Path(path).resolve()  # "." has no name
    sources = folder_sources(root)
    tracks = cached_tracks(f"folder:{root}", sources, strict=True)
    absent = tracks.num_frames() - tracks.num_visible()
    if absent.any():
        names = [f"{tracks[i]['name']} ({absent[i]})" for i in np.flatnonzero(absent)[:6]]
        _log_left_out(str(root), absent.sum(), names)
    return tracks


def folder_sources(root: Path) -> List[Source]:
    """The sequences of :func:`load_folder`; errors as there."""
    if not root.is_dir():
        raise FileNotFoundError(f"dataset folder {root} does not exist")
    folders = [root] if _truth_file(root) else sorted(p for p in root.iterdir() if p.is_dir())
    sources = []
    for folder in folders:
        truth = _truth_file(folder)
        if truth:
            # a frame that comes or goes changes the time stamp of its folder
            files = [truth, folder, *(p for p in [folder / "img"] if p.is_dir())]
            read = partial(_read_sequence, folder, truth)
            sources.append(Source(folder.name, tuple(map(str, files)), read))
    if not sources:
        raise FileNotFoundError(
            f"no sequence in {root}: expected {root}/NAME/groundtruth_rect.txt beside img/*.jpg "
            "or one video file"
        )
    return sources


def _truth_file(folder: Path):
    return next((folder / n for n in TRUTH_NAMES if (folder / n).is_file()), None)


def _read_sequence(folder: Path, truth: Path) -> List[Dict]:
    images, videos = find_frames(folder)
    if not images and len(videos) != 1:
        raise FileNotFoundError(
            f"sequence {folder}: expected images in img/, or one video file, found {len(videos)}"
        )
    frames = ImageFrames(images) if images else VideoFrames(videos[0])
    return [make_track(folder.name, frames, read_boxes(truth))]


def load_coco(images_dir, annotations_json) -> TrackList:
    """Each object of a COCO file, crowds left out, as a track of one frame.

    Raises:
        FileNotFoundError: the folder or the file is missing.
        ValueError: the file is not in the COCO format.
    """
    if not Path(images_dir).is_dir():
        raise FileNotFoundError(f"image folder {images_dir} does not exist")
    if not Path(annotations_json).is_file():
        raise FileNotFoundError(f"annotation file {annotations_json} does not exist")
    read = partial(_read_coco, str(images_dir), str(annotations_json))
    source = Source(str(annotations_json), (str(annotations_json), str(images_dir)), read)
    return cached_tracks(f"coco:{images_dir}:{annotations_json}", [source], strict=True)


def _read_coco(images_dir: str, annotations_json: str) -> List[Dict]:
    try:
        images = load_coco_json(annotations_json, images_dir)
    except (ValueError, KeyError, AssertionError) as e:
        raise ValueError(f"{annotations_json} is no COCO file: {type(e).__name__} {e}") from e
    return photograph_tracks(images, annotations_json)


def photograph_tracks(images: Iterable[Dict], source: str) -> List[Dict]:
    """Each object of photographs in detectron2's format as a track of one frame; crowds are left
    out, as are boxes without a positive size, whose number is logged.

    Args:
        images: dicts with ``file_name`` and ``annotations``, each with ``bbox`` and ``bbox_mode``.
        source: for the message.
    """
    tracks, bad = [], []
    for image in images:
        frames = ImageFrames([image["file_name"]])
        for i, annotation in enumerate(image["annotations"]):
            if annotation.get("iscrowd", 0):
                continue
            name = f"{Path(image['file_name']).name}#{i}"
            box = list(annotation.get("bbox", [np.nan] * 4))
            mode = annotation.get("bbox_mode", BoxMode.XYWH_ABS)
            track = make_track(name, frames, [BoxMode.convert(box, mode, BoxMode.XYWH_ABS)])
            (tracks if track["visible"].all() else bad).append(track)
    if bad:
        _log_left_out(source, len(bad), [t["name"] for t in bad[:6]])
    return tracks


def _log_left_out(source: str, count: int, names: List[str]):
    """``names``: at least the first six."""
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    message = f"{source}: {count} boxes are absent or not positive and left out, in {shown}"
    # once, though loader and evaluator both read the set
    log_first_n(logging.WARNING, message, key="message", name=__name__)
