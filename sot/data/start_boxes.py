"""Reads boxes on which targets are started, from files of labelling tools, benchmarks and
detectors. The content of a file decides what its format is."""

import json
from typing import Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
from detectron2.structures import BoxMode

from ..boxes import check_box, from_center, is_present, to_xywh, to_xyxy
from .datasets.box_files import bounding_boxes, parse_numbers, read_text, split_lines
from .datasets.coco import BAD_ENTRY, annotation_box

# errors that a malformed file may raise besides ValueError, which has words of its own
BAD_FILE = tuple({KeyError, RecursionError, *BAD_ENTRY} - {ValueError})
SURE = 0.5  # score of a detection from which on it is a target


class StartBox(NamedTuple):
    """The first box of a target: x, y, w, h in pixels; its frame (None: the first one that is
    tracked); and its place in the file."""

    box: Tuple[float, ...]
    frame: Optional[int]
    place: str


Rows = List[Tuple[int, List[float]]]  # numbers of the lines, and what is in them


def read_start_boxes(path, size: Tuple[int, int]) -> List[StartBox]:
    """Read a file of boxes: JSON in the COCO format or of a detector's results, or text of YOLO,
    MOTChallenge or VOT.

    Args:
        size: (W, H) of the frames, in pixels.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has none of the formats, or a box that lies outside the frame. The message
            names file, line and reason.
    """
    starts = []
    try:
        text = read_text(path)
        is_json = text.lstrip()[:1] in ("{", "[")
        for start in _read_json(text) if is_json else _read_text(path, text, size):
            try:
                check_box(start.box, size[::-1], BoxMode.XYWH_ABS)
            except ValueError as error:
                raise ValueError(f"{start.place}: {error}") from None
            starts.append(start)
        if not starts:
            raise ValueError("has no box to start from")
    except ValueError as error:  # the error of a line without numbers names the file already
        named = str(error).startswith(f"{path} ")
        raise ValueError(str(error) if named else f"{path} {error}") from None
    return starts


def _read_json(text: str) -> List[StartBox]:
    try:
        content = json.loads(text)
        return list(coco(content) if isinstance(content, dict) else detections(content))
    except BAD_FILE as error:
        raise ValueError(
            "is neither COCO annotations nor a list of {image_id, category_id, bbox, score}: "
            f"{type(error).__name__} {error}"
        ) from None


def _read_text(path, text: str, size: Tuple[int, int]) -> Iterator[StartBox]:
    rows: Rows = []
    for number, words in enumerate(split_lines(text), start=1):
        if len(words) < 2:  # also VOT's 0 for a frame without the target
            continue
        if rows and len(words) != len(rows[0][1]):
            problem = f"{len(words)} columns, but {len(rows[0][1])} in line {rows[0][0]}"
            raise ValueError(f"line {number}: {problem}")
        rows.append((number, parse_numbers(path, number, words)))
    width = len(rows[0][1]) if rows else 4
    if width in (5, 6):
        return yolo(rows, size)
    if width in (7, 9, 10) or (width == 8 and _are_mot(rows)):
        return mot(rows)
    if width in (4, 8):
        return vot(rows)
    raise ValueError(
        f"line {rows[0][0]}: {width} columns; VOT has 4 or 8, YOLO 5 or 6, MOTChallenge 7 to 10"
    )


def _are_mot(rows: Rows) -> bool:
    """Whether rows of eight numbers are those of MOTChallenge without the last columns. In corners
    of polygons the first two numbers are hardly whole and the seventh one, which is the x of the
    last corner, is hardly within a pixel of the left edge in all rows."""
    return all(
        frame >= 1 and frame.is_integer() and target.is_integer() and -1 <= flag <= 1
        for _, (frame, target, *_, flag, _) in rows
    )


def coco(content: dict) -> Iterator[StartBox]:
    """COCO: the first box of each ``instance_id`` or ``track_id`` of a video, or all boxes of an
    image. Crowds are left out."""
    images, starts, sources = {image["id"]: image for image in content["images"]}, [], set()
    for i, annotation in enumerate(content["annotations"]):
        if annotation.get("iscrowd"):
            continue
        image, place = images[annotation["image_id"]], f"annotation {i}"
        in_video = image.get("video_id") is not None
        sources.add((in_video, image["video_id" if in_video else "id"]))
        frame = image["frame_id"] if in_video else 0
        if not (isinstance(frame, (int, float)) and frame >= 0 and frame == frame // 1):
            problem = f"frame_id {frame!r} of its image is not a whole number from 0 on"
            raise ValueError(f"{place}: {problem}")
        target = annotation.get("instance_id", annotation.get("track_id"))
        if target is None or not in_video:  # each annotation of one image is a target of its own
            target = place
        box = annotation_box(annotation)
        starts.append((frame, target, StartBox(box, int(frame) if in_video else None, place)))
    if len(sources) > 1:
        raise ValueError(f"has boxes of {len(sources)} videos or images: keep those of one")
    first = {}
    for _, target, start in sorted(starts, key=lambda entry: entry[0]):
        first.setdefault(target, start)
    yield from first.values()


def detections(content: list) -> Iterator[StartBox]:
    """A detector's results in COCO's form: the boxes of the first image that have a score of at
    least SURE."""
    for i, entry in enumerate(content):
        if entry["image_id"] == content[0]["image_id"] and entry["score"] >= SURE:
            yield StartBox(annotation_box(entry), None, f"entry {i}")


def yolo(rows: Rows, size: Tuple[int, int]) -> Iterator[StartBox]:
    """YOLO: all boxes of an image, as ``class cx cy w h`` in fractions of the frame."""
    for number, row in rows:
        box = np.array(row[1:5])
        if box.min() < 0 or box.max() > 1:
            raise ValueError(f"line {number}: class cx cy w h are not fractions of the frame")
        corners = from_center(box[:2], box[2:]) * np.tile(size, 2)
        yield StartBox(tuple(to_xywh(corners).tolist()), None, f"line {number}")


def mot(rows: Rows) -> Iterator[StartBox]:
    """MOTChallenge: the first row of each id. Frames, ids and pixels count from 1. A row whose
    seventh column is 0 is ignored: in the ground truth of the benchmark it is no target."""
    first, kept = {}, [entry for entry in rows if entry[1][6] != 0]
    for number, row in sorted(kept, key=lambda entry: entry[1][0]):
        frame, target, x, y, w, h = row[:6]
        if not (frame.is_integer() and target.is_integer() and min(frame, target) >= 1):
            problem = "both are whole numbers that count from 1"
            raise ValueError(f"line {number}: frame {frame:g} and id {target:g}; {problem}")
        first.setdefault(target, StartBox((x - 1, y - 1, w, h), int(frame) - 1, f"line {number}"))
    if not kept:
        raise ValueError(
            f"line {rows[0][0]}: the seventh column is 0 here and in all other lines, which means "
            "that the box is ignored; write 1 for a target"
        )
    yield from first.values()


def vot(rows: Rows) -> Iterator[StartBox]:
    """VOT: the first box or polygon of the one target. Each line is a frame. A line of zeros or NaN
    is a frame without the target."""
    if rows:
        boxes = bounding_boxes(np.array([row for _, row in rows]))
        # 0 if no line has a box: the error then names the first line
        first = int(is_present(to_xyxy(boxes)).argmax())
        number, box = rows[first][0], boxes[first]
        yield StartBox(tuple(box.tolist()), number - 1, f"line {number}")
