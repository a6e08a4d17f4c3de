"""Writes the boxes of a tracked video in the formats of benchmarks and labelling tools.

In this project boxes are (x, y, w, h) in continuous pixels, and frames and targets count from 0.
The docstring of each writer says how its format counts."""

import json
from pathlib import Path, PurePath
from typing import Callable, Dict, List, NamedTuple, Sequence, Set
from xml.etree import ElementTree

import numpy as np

from ..utils.files import write_text

CATEGORY = "object"  # the class of targets without a class of their own
# The largest deviation of the corners that CVAT interpolates: pixels, or a share of the root of the
# box's area, whichever is larger.
MAX_DEVIATION = 0.5, 0.02


class Label(NamedTuple):
    """A target in a frame. Score and status are those of a TargetState. ``name`` is the image file,
    or "" if the frame is none."""

    frame: int
    target: int
    x: float
    y: float
    w: float
    h: float
    score: float
    status: str
    name: str


class Labels(NamedTuple):
    """A video, the size of its frames in pixels, the labels in it in the order of the frames, and
    the class of its targets. The video has at least ``min_frames`` frames."""

    source: str
    width: int
    height: int
    fps: float
    labels: List[Label]
    category: str = CATEGORY
    min_frames: int = 0

    @property
    def num_frames(self) -> int:
        """Number of frames up to the last one with a label."""
        return 1 + max((label.frame for label in self.labels), default=-1)

    @property
    def targets(self) -> List[int]:
        return sorted({label.target for label in self.labels})


def read_labels(path) -> Labels:
    """Read a boxes.json of demo/track_video.py. ValueError: the file is no such file."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        labels = [Label(**{k: row[k] for k in Label._fields}) for row in content["boxes"]]
        video = (content[key] for key in ("source", "width", "height", "fps"))
        category, min_frames = content.get("label", CATEGORY), content.get("frames", 0)
        return Labels(*video, labels, category, min_frames)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a boxes.json of demo/track_video.py: {error}") from error


def mot(video: Labels) -> Dict[str, str]:
    """MOTChallenge: a line ``frame, id, left, top, w, h, confidence, -1, -1, -1`` for each box.
    Frames, targets and pixels count from 1."""
    lines = [
        f"{b.frame + 1},{b.target + 1},{b.x + 1:.3f},{b.y + 1:.3f},{b.w:.3f},{b.h:.3f},"
        f"{b.score:.4f},-1,-1,-1\n"
        for b in video.labels
    ]
    return {"mot.txt": "".join(lines)}


def vot(video: Labels) -> Dict[str, str]:
    """VOT: a file for each target, with a line ``x,y,w,h`` for each frame from 0 on. The line is
    ``0`` if the target was not followed in that frame. Pixels count from 0."""
    files = {}
    for target in video.targets:
        lines = ["0"] * video.num_frames
        for b in video.labels:
            if b.target == target:
                lines[b.frame] = f"{b.x:.3f},{b.y:.3f},{b.w:.3f},{b.h:.3f}"
        files[f"vot/target_{target}.txt"] = "\n".join(lines) + "\n"
    return files


def yolo(video: Labels) -> Dict[str, str]:
    """YOLO: a file for each frame with a line ``target cx cy w h`` for each box, in fractions of
    the frame. The targets are classes, from 0 on. Boxes are cut at the border of the frame. Boxes
    outside the frame are left out."""
    files: Dict[str, str] = {}
    for index in range(video.num_frames):
        files[f"yolo/labels/frame_{index:06d}.txt"] = ""
    for b in video.labels:
        left, top = max(b.x, 0), max(b.y, 0)
        right, bottom = min(b.x + b.w, video.width), min(b.y + b.h, video.height)
        if left < right and top < bottom:
            center = (left + right) / 2 / video.width, (top + bottom) / 2 / video.height
            size = (right - left) / video.width, (bottom - top) / video.height
            line = " ".join(f"{v:.6f}" for v in (*center, *size))
            files[f"yolo/labels/frame_{b.frame:06d}.txt"] += f"{b.target} {line}\n"
    names = "".join(f"  {target}: target_{target}\n" for target in video.targets)
    files["yolo/data.yaml"] = f"path: .\ntrain: images\nval: images\nnames:\n{names}"
    return files


def coco(video: Labels) -> Dict[str, str]:
    """COCO with videos, as in BDD100K and MMTracking: ``videos``, ``images`` with ``video_id`` and
    ``frame_id``, and ``annotations`` with ``instance_id`` and ``score``. Ids count from 1, frames
    and pixels from 0."""
    names = {b.frame: b.name for b in video.labels}
    images = [
        {
            "id": index + 1,
            "video_id": 1,
            "frame_id": index,
            "file_name": names.get(index) or f"frame_{index:06d}.jpg",
            "width": video.width,
            "height": video.height,
        }
        for index in range(video.num_frames)
    ]
    annotations = [
        {
            "id": i + 1,
            "image_id": b.frame + 1,
            "video_id": 1,
            "category_id": 1,
            "instance_id": b.target + 1,
            "bbox": [b.x, b.y, b.w, b.h],
            "area": b.w * b.h,
            "iscrowd": 0,
            "score": b.score,
        }
        for i, b in enumerate(video.labels)
    ]
    content = {
        "videos": [{"id": 1, "name": video.source}],
        "images": images,
        "categories": [{"id": 1, "name": video.category}],
        "annotations": annotations,
    }
    return {"coco.json": json.dumps(content) + "\n"}


def cvat(video: Labels) -> Dict[str, str]:
    """CVAT for video 1.1: a track for each target, with the attributes ``score`` and ``status``.
    CVAT reads the key frames alone and interpolates between them. They are the frames with a given
    box, those in which the status changes, and as many others as keep the interpolated corners
    within MAX_DEVIATION of the tracked ones, so that a person has few of them to correct. A target
    is outside where it is lost, and in the frame after its last box, if the video surely has that
    frame: CVAT refuses a file with a frame that its task does not have. Frames and pixels count
    from 0."""
    root = ElementTree.Element("annotations")
    _add(root, "version", "1.1")
    task = _add(_add(root, "meta"), "task")
    _add(task, "name", PurePath(video.source).name or video.source)
    _add(task, "size", video.num_frames)
    _add(task, "mode", "interpolation")
    size = _add(task, "original_size")
    _add(size, "width", video.width)
    _add(size, "height", video.height)
    _add(_add(_add(task, "labels"), "label"), "name", video.category)
    for target in video.targets:
        track = _add(root, "track", id=target, label=video.category)
        boxes = [b for b in video.labels if b.target == target]
        keys = _key_frames(boxes)
        for i, b in enumerate(boxes):
            _add_box(track, b, b.frame, outside=b.status == "lost", keyframe=i in keys)
        end = boxes[-1].frame + 1
        if end < max(video.num_frames, video.min_frames):
            _add_box(track, boxes[-1], end, outside=True, keyframe=True)
    ElementTree.indent(root)
    return {"cvat.xml": ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"}


def _key_frames(boxes: Sequence[Label]) -> Set[int]:
    """The places of the key frames among the boxes of a target, see :func:`cvat`."""
    frames = np.array([b.frame for b in boxes])
    corners = np.array([(b.x, b.y, b.x + b.w, b.y + b.h) for b in boxes])
    changes = (i for i in range(1, len(boxes)) if boxes[i].status != boxes[i - 1].status)
    areas = np.array([b.w * b.h for b in boxes])
    limits = np.maximum(MAX_DEVIATION[0], MAX_DEVIATION[1] * np.sqrt(areas))
    given = (i for i, b in enumerate(boxes) if b.status == "init")
    keys = {0, len(boxes) - 1, *changes, *given}
    ends = sorted(keys)
    # the boxes of a lost target are not shown
    spans = [(i, j) for i, j in zip(ends, ends[1:]) if boxes[i].status != "lost"]
    while spans:
        first, last = spans.pop()
        inside = slice(first, last + 1)
        share = (frames[inside] - frames[first]) / (frames[last] - frames[first])
        line = corners[first] + share[:, None] * (corners[last] - corners[first])
        deviation = np.abs(corners[inside] - line).max(axis=1) / limits[inside]
        if deviation.max() > 1:
            worst = first + int(deviation.argmax())
            keys.add(worst)
            spans += [(first, worst), (worst, last)]
    return keys


def _add(parent, tag: str, text="", **attributes):
    """Add an element to another one."""
    element = ElementTree.SubElement(parent, tag, {k: str(v) for k, v in attributes.items()})
    element.text = str(text)
    return element


def _add_box(track, b: Label, frame: int, outside: bool, keyframe: bool) -> None:
    corners = zip(("xtl", "ytl", "xbr", "ybr"), (b.x, b.y, b.x + b.w, b.y + b.h))
    corners = {name: f"{value:.3f}" for name, value in corners}
    flags = {"outside": int(outside), "occluded": 0, "keyframe": int(keyframe)}
    box = _add(track, "box", frame=frame, **flags, **corners, z_order=0)
    _add(box, "attribute", b.score, name="score")
    _add(box, "attribute", b.status, name="status")


FORMATS: Dict[str, Callable[[Labels], Dict[str, str]]] = {
    "mot": mot,
    "coco": coco,
    "yolo": yolo,
    "vot": vot,
    "cvat": cvat,
}


# what the writers may leave in a folder
FILES = (
    *("mot.txt", "vot/target_*.txt", "yolo/data.yaml", "yolo/labels/frame_*.txt"),
    *("coco.json", "cvat.xml"),
)


def save_labels(video: Labels, formats: Sequence[str], folder) -> None:
    """Write the labels into a folder, in formats that are keys of FORMATS. Labels of an earlier run
    are removed. OSError: a file cannot be written; the message names it."""
    for pattern in FILES:
        for path in Path(folder).glob(pattern):
            path.unlink()
    for name in formats:
        for relative, text in FORMATS[name](video).items():
            write_text(Path(folder, relative), text)
