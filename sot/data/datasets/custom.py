"""Tracks by the name of a data set: registered ones, and own data without code
(``folder:PATH``, ``coco:IMAGES_DIR:ANNOTATIONS_JSON``, and ``composite:`` before either kind of
photographs)."""

import json
import logging
import os
import re
import tempfile
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Optional, Tuple

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from detectron2.structures import BoxMode
from detectron2.utils.logger import log_first_n
from tqdm import tqdm

from ..frames import ImageFrames, VideoFrames, find_frames
from .cache import Source, cached_tracks
from .composite import composite_tracks
from .composite_cut import CutOuts, choose_cut_outs, cut_out_fields, is_polygon
from .tracks import TrackList, make_track, read_boxes

__all__ = ["get_tracks", "load_coco", "load_composite", "load_folder", "photograph_tracks"]

TRUTH_NAMES = ("groundtruth_rect.txt", "groundtruth.txt")
COMPOSITE_TRACKS = (10000, 64)  # number and length where a name gives none
MIN_CUT_OUTS = 200  # that sequences of photographs choose from, where there are as many

# makes further fields of a photograph's track from its image and annotation
Fields = Callable[[Dict, Dict], Dict]


def get_tracks(name: str) -> TrackList:
    """Tracks of a registered data set, or of ``folder:PATH`` or ``coco:DIR:JSON``.

    A registered data set yields track dicts, or detectron2's dicts of photographs with
    annotations. For ``composite:...`` see :func:`load_composite`.

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
    elif kind == "composite":
        tracks = load_composite(rest)
    else:
        known = [n for n in DatasetCatalog.list() if MetadataCatalog.get(n).get("frame_range")]
        raise ValueError(
            f"no dataset {name!r}; use a registered name ({', '.join(known)}, ...), folder:PATH, "
            "coco:IMAGES_DIR:ANNOTATIONS_JSON, or composite:IMAGES_DIR:ANNOTATIONS_JSON"
        )
    if not tracks.num_visible().any():
        raise ValueError(f"dataset {name!r} has no usable box")
    return tracks


def _registered_coco(name: str) -> Optional[Tuple[str, str]]:
    """Folder of images and file of annotations, where they are known without reading them."""
    metadata = MetadataCatalog.get(name)
    if metadata.get("evaluator_type") == "coco" and metadata.get("json_file"):
        return metadata.image_root, metadata.json_file
    return None


def _registered_tracks(name: str) -> TrackList:
    coco = _registered_coco(name)
    if coco:
        # a large file is read once and kept as an index
        return load_coco(*coco)
    items = DatasetCatalog.get(name)
    if len(items) and "annotations" in items[0]:
        items = photograph_tracks(items, name)
    return TrackList.pack(items)


def load_composite(spec: str) -> TrackList:
    """Sequences of cut-outs over real backgrounds (see `composite`).

    Args:
        spec: ``[NxT:]PHOTOGRAPHS[+BACKGROUNDS]``. N tracks of T frames, 10000x64 if not given. The
            objects are cut from PHOTOGRAPHS, ``[coco:]IMAGES_DIR:ANNOTATIONS_JSON`` or the name of
            a registered detection data set. BACKGROUNDS is ``folder:...``, ``coco:...`` or a
            registered name; the other photographs if not given.

    Raises:
        ValueError: N or T is 0, the data set does not hold photographs, none of its boxes can be
            cut out, or all are of one photograph.
        FileNotFoundError: a folder or file is missing.
    """
    name = f"composite:{spec}"
    *counts, source = re.fullmatch(r"(?:(\d+)x(\d+):)?(?:coco:)?(.*)", spec, re.DOTALL).groups()
    number, length = (int(v or default) for v, default in zip(counts, COMPOSITE_TRACKS))
    if not number or not length:
        raise ValueError(
            f"dataset {name!r}: COUNT and LENGTH of composite:COUNTxLENGTH:... must be positive, "
            f"got {number}x{length}"
        )
    backgrounds, photographs, plus, other = None, *source.rpartition("+")
    # other plus signs belong to paths
    if plus and (other.startswith(("folder:", "coco:")) or other in DatasetCatalog.list()):
        source, backgrounds = photographs, get_tracks(other)
    images, _, annotations = source.rpartition(":")
    coco = (images, annotations) if images else None
    if source in DatasetCatalog.list():
        coco = _registered_coco(source)
    elif not coco:
        raise ValueError(
            f"dataset {name!r}: expected composite:IMAGES_DIR:ANNOTATIONS_JSON or "
            "composite:NAME of a registered set of photographs"
        )
    if coco:
        _check_coco(*coco)
        read = partial(_read_coco, *map(str, coco), cut_out_fields)
    else:
        items = DatasetCatalog.get(source)
        if not len(items) or "annotations" not in items[0]:
            raise ValueError(f"dataset {name!r}: {source} holds no photographs with annotations")
        read = partial(photograph_tracks, items, source, cut_out_fields)
    limit = max(MIN_CUT_OUTS, 2 * number)

    def choose() -> List[Dict]:
        return choose_cut_outs(read(), limit, name)

    if coco:
        tracks = cached_tracks(f"{source}:{limit} objects", [Source(name, coco, choose)], True)
    else:  # no file would tell that it has changed
        tracks = TrackList.pack(choose())
    if backgrounds is None:
        backgrounds = tracks
    found = composite_tracks(CutOuts(tracks), backgrounds, number, length, name)
    return TrackList.pack(tqdm(found, f"sequences of {name}", number, delay=2, mininterval=1))


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
    _check_coco(images_dir, annotations_json)
    read = partial(_read_coco, str(images_dir), str(annotations_json))
    source = Source(str(annotations_json), (str(annotations_json), str(images_dir)), read)
    return cached_tracks(f"coco:{images_dir}:{annotations_json}", [source], strict=True)


def _check_coco(images_dir, annotations_json) -> None:
    images, annotations = Path(images_dir).absolute(), Path(annotations_json).absolute()
    if not images.is_dir():
        raise FileNotFoundError(f"image folder {images} does not exist{_hint(images)}")
    if not annotations.is_file():
        raise FileNotFoundError(f"annotation file {annotations} does not exist{_hint(annotations)}")


def _hint(path: Path) -> str:
    """Where detectron2 looks for its own data sets, if that is where the path leads."""
    place = Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser()
    if place.absolute() not in path.parents:
        return ""
    return (
        f"; data sets are looked for in $DETECTRON2_DATASETS ({place}): set it to the folder that "
        f"holds {path.relative_to(place.absolute()).parts[0]}/, and see datasets/README.md"
    )


def _read_coco(
    images_dir: str, annotations_json: str, fields: Optional[Fields] = None
) -> List[Dict]:
    try:
        with tempfile.TemporaryDirectory() as folder:
            images = load_coco_json(_with_sound_polygons(annotations_json, folder), images_dir)
    except (AttributeError, TypeError, ValueError, KeyError, AssertionError) as e:
        raise ValueError(f"{annotations_json} is no COCO file: {type(e).__name__} {e}") from e
    return photograph_tracks(images, annotations_json, fields)


def _with_sound_polygons(annotations_json: str, folder: str) -> str:
    """The file; or, if it has polygons that are none, a copy in ``folder`` without them:
    detectron2's loader leaves out objects that have no others, though their boxes are good."""
    with open(annotations_json) as f:
        content = json.load(f)
    found_bad = False
    for annotation in content.get("annotations", []):
        polygons = annotation.get("segmentation")
        if isinstance(polygons, list) and not all(map(is_polygon, polygons)):
            annotation["segmentation"] = list(filter(is_polygon, polygons))
            found_bad = True
    if not found_bad:
        return annotations_json
    copy = Path(folder) / Path(annotations_json).name
    copy.write_text(json.dumps(content))
    return str(copy)


def photograph_tracks(
    images: Iterable[Dict], source: str, fields: Optional[Fields] = None
) -> List[Dict]:
    """Each object of photographs in detectron2's format as a track of one frame; crowds are left
    out, as are boxes without a positive size, whose number is logged.

    Args:
        images: dicts with ``file_name`` and ``annotations``, each with ``bbox`` and ``bbox_mode``.
        source: for the message.
        fields: makes further fields of a track from the image and the annotation, whose box is
            turned into XYWH.
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
            box = BoxMode.convert(box, mode, BoxMode.XYWH_ABS)
            track = make_track(name, frames, [box])
            if not track["visible"].all():
                bad.append(track)
                continue
            if fields:
                track.update(fields(image, {**annotation, "bbox": box}))
            tracks.append(track)
    if bad:
        _log_left_out(source, len(bad), [t["name"] for t in bad[:6]])
    return tracks


def _log_left_out(source: str, count: int, names: List[str]):
    """``names``: at least the first six."""
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    message = f"{source}: {count} boxes are absent or not positive and left out, in {shown}"
    # once, though loader and evaluator both read the set
    log_first_n(logging.WARNING, message, key="message", name=__name__)
