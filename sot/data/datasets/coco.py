"""Reads files in the COCO format: photographs (``coco:IMAGES_DIR:ANNOTATIONS_JSON`` and the
datasets that detectron2 registers), and videos in its CocoVID form."""

import contextlib
import json
import os
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Tuple

import numpy as np
from detectron2.structures import BoxMode

from ...boxes import bounding_box, to_xywh
from ...utils.command_line import first_few
from ..frames import ImageFrames, Photograph
from .box_files import beyond_if_corners, read_text
from .builtin import where_to_put
from .cache import LeftOut, Source, cached_tracks, log_left_out, warn_once
from .tracks import TrackList, make_track

MAX_SIDE = 2**31  # of images, in pixels
# errors that a malformed entry may raise; NotImplementedError comes from BoxMode
BAD_ENTRY = (
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,
    OverflowError,
    NotImplementedError,
)

# makes further fields of a photograph's track from its annotation (in detectron2's format, the box
# XYWH), or None to leave it out
Fields = Callable[[Dict], Optional[Dict]]


def load_coco(images_dir, annotations_json) -> TrackList:
    """Read each object of a COCO file as a track of one frame. Crowds are left out.

    In a CocoVID file images have ``video_id`` and ``frame_id``, and annotations have
    ``instance_id`` or ``track_id``. Each object of a video is then a track over all frames of the
    video.

    FileNotFoundError: the folder, the file or all images are missing. ValueError: the file is not
    in the COCO format."""
    source = coco_source(images_dir, annotations_json)
    return cached_tracks(f"coco:{images_dir}:{annotations_json}", [source], strict=True)


def coco_source(images_dir, annotations_json, fields: Optional[Fields] = None) -> Source:
    """The sources of a COCO file. With ``fields`` only its photographs are read. For errors see
    load_coco."""
    images, annotations = Path(images_dir).absolute(), Path(annotations_json).absolute()
    if not images.is_dir():
        raise FileNotFoundError(f"image folder {images} does not exist{where_to_put(images)}")
    if not annotations.is_file():
        hint = where_to_put(annotations)
        raise FileNotFoundError(f"annotation file {annotations} does not exist{hint}")
    images_dir, annotations_json = str(images_dir), str(annotations_json)
    read = partial(_read_coco, images_dir, annotations_json, fields)
    return Source(annotations_json, (annotations_json, images_dir), read)


def read_registered(
    items: Iterable[Dict], name: str, fields: Optional[Fields] = None
) -> List[Dict]:
    """The tracks of detectron2's dicts, which have ``file_name`` and ``annotations`` with ``bbox``
    and ``bbox_mode``."""
    left_out, tracks = defaultdict(list), []
    for image in items:
        tracks += _objects(image, image["file_name"], image["annotations"], fields, left_out)
    log_left_out(name, left_out)
    return tracks


def _read_coco(root: str, path: str, fields: Optional[Fields]) -> List[Dict]:
    """The tracks of a COCO file, which is read once. A bad entry is left out."""
    content, left_out = _load_json(path), defaultdict(list)
    annotations = defaultdict(list)
    for i, annotation in enumerate(content["annotations"]):
        try:
            annotations[annotation["image_id"]].append(annotation)
        except (TypeError, KeyError):
            left_out["annotations without image_id"].append(f"number {i}")
    images = _images(content["images"], root, path, left_out)
    for key in annotations.keys() - images.keys():
        left_out["image_id that no image has"].append(key)
    tracks = []
    for key in sorted(images, key=lambda key: (isinstance(key, str), key)):
        image = images[key]
        if fields is None and "video_id" in image:
            continue
        tracks += _objects(image, image["path"], annotations[key], fields, left_out)
    _check_format(tracks, path)
    if fields is None:
        tracks += _video_tracks(images, annotations, content.get("videos"), left_out)
    log_left_out(path, left_out)
    return tracks


def _images(entries: List, root: str, source: str, left_out: LeftOut) -> Dict:
    """The images of a COCO file by their ids, with their ``path``. FileNotFoundError: none of them
    is there."""
    images, missing, find = {}, [], _finder(root)
    for i, image in enumerate(entries):
        try:
            if not isinstance(image["id"], (int, str)):
                raise TypeError
            place, is_there = find(image["file_name"])
            entry = {**image, "path": place}
            if image.get("video_id") is None:
                entry.pop("video_id", None)
            elif not isinstance(image["video_id"], (int, str)):
                raise TypeError
            int(image.get("frame_id", 0))
            if images.setdefault(image["id"], entry) is not entry:
                left_out["images with the id of another"].append(image["file_name"])
            elif not is_there:
                missing.append(place)
        except PermissionError as e:
            left_out[str(e)].append(image["file_name"])
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
            left_out["images without id or file_name"].append(f"number {i}")
    if missing:
        message = (
            f"{source}: {len(missing)} of {len(images)} images are missing: {first_few(missing)}"
        )
        if len(missing) == len(images):
            raise FileNotFoundError(f"{message}; they were looked for in {os.path.abspath(root)}")
        warn_once(message, __name__)
    return images


def _load_json(path: str) -> Dict:
    try:
        content = json.loads(read_text(path))
        if not all(isinstance(content[key], list) for key in ("images", "annotations")):
            raise ValueError("images and annotations must be lists")
    except (TypeError, ValueError, KeyError, RecursionError) as e:
        raise ValueError(f"{path} is not a COCO file: {type(e).__name__} {e}") from None
    return content


def _finder(root: str) -> Callable[[str], Tuple[str, bool]]:
    """A function of a file_name, which may be written as in Windows: the path of the image, and
    whether it is there. PermissionError: the path leads out of the folder."""
    inside, listed = os.path.join(os.path.abspath(root), ""), {}

    def is_there(path: str) -> bool:
        folder, name = os.path.split(path)
        if folder not in listed:
            listed[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        return name in listed[folder]

    def find(name: str) -> Tuple[str, bool]:
        if "\0" in name:
            raise ValueError("no file has such a name")
        paths = [os.path.join(root, spelling) for spelling in (name, name.replace("\\", "/"))]
        if not all(os.path.abspath(path).startswith(inside) for path in paths):
            raise PermissionError(f"images whose file_name leads out of {root}")
        found = next(filter(is_there, paths), None)
        return found or paths[0], found is not None

    return find


def _objects(
    image: Dict, path: str, annotations: List[Dict], fields: Optional[Fields], left_out: LeftOut
) -> Iterator[Dict]:
    """The objects of a photograph as tracks of one frame. Crowds and boxes without a positive size
    are left out."""
    size = (image.get("width"), image.get("height"))
    known = all(type(side) is int and 0 < side < MAX_SIDE for side in size)  # not bool
    frames = Photograph(path, size) if known else ImageFrames([path])
    for i, annotation in enumerate(annotations):
        name = f"{os.path.basename(path)}#{i}"
        try:
            box = None if annotation.get("iscrowd", 0) else annotation_box(annotation)
            if box is None:
                continue
            track = make_track(name, frames, [box])
            if not track["visible"].all():
                left_out["boxes that are absent or not positive"].append(name)
                continue
            more = fields({**annotation, "bbox": box}) if fields else {}
            if more is None:
                continue
        except BAD_ENTRY as e:
            left_out["annotations that cannot be read"].append(f"{name}: {e}")
            continue
        yield {**track, **more}


def _check_format(tracks: List[Dict], path: str) -> None:
    """ValueError if the boxes of photographs are fractions of their sides; a warning if they look
    like x0, y0, x1, y1."""
    known = [t for t in tracks if isinstance(t["frames"], Photograph)]
    if not known:
        return
    boxes = to_xywh(np.concatenate([t["boxes"] for t in known]))
    sizes = np.array([t["frames"].size for t in known])
    if (boxes <= 1).all():
        raise ValueError(
            f"{path}: all boxes are smaller than a pixel; if they are fractions of the pictures, "
            "multiply them by width and height: bbox is x, y, w, h in pixels"
        )
    beyond = int(beyond_if_corners(boxes, sizes).sum())
    if beyond:
        message = "boxes end outside of their pictures, and all would fit as x0, y0, x1, y1"
        warn_once(f"{path}: {beyond} {message}; bbox is x, y, w, h", __name__)


def annotation_box(annotation: Dict) -> List[float]:
    """The box x, y, w, h of an annotation. Without a box it is that around the polygons; NaN if
    there are none."""
    box = annotation.get("bbox")
    polygons = annotation.get("segmentation")
    if not box and polygons and isinstance(polygons, list):
        points = np.concatenate([np.reshape(p, (-1, 2)) for p in polygons]).astype(float)
        return to_xywh(bounding_box(points)).tolist()
    box = [float(v) for v in box or [np.nan] * 4]
    return BoxMode.convert(box, annotation.get("bbox_mode", BoxMode.XYWH_ABS), BoxMode.XYWH_ABS)


def _video_tracks(images: Dict, annotations: Dict, videos, left_out: LeftOut) -> Iterator[Dict]:
    """The objects of CocoVID's videos as tracks over all their frames."""
    names = {}
    for video in videos if isinstance(videos, list) else ():
        with contextlib.suppress(TypeError, KeyError):  # without a name the video has its id
            names[video["id"]] = video["name"]
    frames_of = defaultdict(list)
    for key, image in images.items():
        if "video_id" in image:
            number = int(image.get("frame_id", 0))
            frames_of[image["video_id"]].append((number, image["path"], key))
    for video in sorted(frames_of, key=lambda key: (isinstance(key, str), key)):
        frames, boxes = sorted(frames_of[video], key=lambda entry: entry[:2]), {}
        for t, (_, path, key) in enumerate(frames):
            for annotation in annotations[key]:
                try:
                    target = annotation.get("instance_id", annotation.get("track_id"))
                    table = boxes.setdefault(target, np.full((len(frames), 4), np.nan))
                    if not annotation.get("iscrowd", 0):
                        if not np.isnan(table[t]).all():
                            left_out["further boxes of one object in an image"].append(path)
                            continue
                        table[t] = annotation_box(annotation)
                except BAD_ENTRY as e:
                    left_out["annotations that cannot be read"].append(f"{path}: {e}")
        files = ImageFrames([path for _, path, _ in frames])
        for target, table in boxes.items():
            name = f"{names.get(video) or video}#{target}"
            if target is None:
                left_out["videos with boxes without instance_id and track_id"].append(name)
            else:
                yield make_track(name, files, table)
