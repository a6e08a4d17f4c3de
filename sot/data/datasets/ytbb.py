"""YouTube-BoundingBoxes, detection part (Real et al., CVPR 2017)."""

import csv
import os
from array import array
from collections import defaultdict
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import numpy as np
from PIL import Image

from ...boxes import to_xywh
from ..frames import ImageFrames
from .cache import Source, log_left_out
from .tracks import NumberedFiles, make_track

TREE = """\
yt_bb_detection_train.csv       # as published, unpacked
yt_bb_detection_train/          # frames that are annotated, as youtube-bb-utility saves them
  0/                            # class_id
    AAB6lO-XiKE_238000_0_0.jpg  # youtube_id, timestamp_ms, class_id, object_id
    ...
  ...
yt_bb_detection_validation.csv
yt_bb_detection_validation/
"""

# Boxes are fractions of the picture's width and height, 0 to 1.
PIXEL_ORIGIN = 0

Segment = Tuple[Tuple[str, str, str], np.ndarray, np.ndarray, np.ndarray]


def ytbb_sources(root: Path, split: str) -> List[Source]:
    """The sources of "train" or "validation". Each segment of a video is a track of its frames on
    the disk, one for each second. Segments without frames, whose videos are gone from YouTube, are
    left out, and the log counts them."""
    folder = root / f"yt_bb_detection_{split}"
    table = folder.with_suffix(".csv")
    for path in (table, folder):
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
    classes = sorted(p for p in folder.iterdir() if p.is_dir())
    read = partial(_read_segments, str(table), str(folder))
    return [Source(folder.name, (table, folder, *classes), read)]


def _read_segments(table: str, folder: str) -> Iterator[Dict]:
    left_out = defaultdict(list)
    for label, segments in groupby(_segments(table), key=lambda segment: segment[0][1]):
        place = os.path.join(folder, label)
        on_disk = set(os.listdir(place)) if os.path.isdir(place) else set()
        for segment in segments:
            try:
                track = _make_segment(segment, place, on_disk)
            except OSError as e:  # PIL's message names the file
                left_out["segments whose first frame cannot be read"].append(str(e))
                continue
            if track is None:
                left_out[f"segments without a frame in {folder}"].append("_".join(segment[0]))
            else:
                yield track
    log_left_out(table, left_out)


def _make_segment(segment: Segment, folder: str, on_disk: set):
    """The track of the frames that are on the disk, or None if there are none."""
    (video, label, target), times, boxes, present = segment
    suffix = f"_{label}_{target}.jpg"
    here = [f"{video}_{time}{suffix}" in on_disk for time in times]
    if not any(here):
        return None
    times = times[here].tolist()
    files = _number(os.path.join(folder, f"{video}_"), times, suffix)
    with Image.open(files[0]) as image:  # reads the header alone
        width, height = image.size
    x0, x1, y0, y1 = boxes[here].T
    xyxy = np.stack([x0 * width, y0 * height, x1 * width, y1 * height], axis=1)
    name = f"{video}_{label}_{target}"
    return make_track(name, ImageFrames(files), to_xywh(xyxy), visible=present[here])


def _number(prefix: str, times: List[int], suffix: str):
    """File names. They are not stored if they are equally spaced, as in most segments."""
    steps = {b - a for a, b in zip(times, times[1:])}
    if len(steps) == 1:
        return NumberedFiles(prefix, 1, times[0], steps.pop(), suffix, len(times))
    return [f"{prefix}{time}{suffix}" for time in times]


def _segments(path: str) -> Iterator[Segment]:
    """The rows of the table, sorted by class, segment and time: (youtube_id, class_id, object_id),
    time in ms (T,), xmin, xmax, ymin, ymax (T, 4), present (T,) bool."""
    # arrays and not lists: there are 5 million rows
    numbers, times, corners, presence = array("i"), array("i"), array("d"), array("b")
    known = {}
    with open(path, newline="") as file:
        for line, row in enumerate(csv.reader(file), start=1):
            try:
                video, time, label, _, target, present, *box = row
                x0, x1, y0, y1 = (float(v) for v in box)
                times.append(int(time))
            except ValueError:
                raise ValueError(
                    f"{path} line {line}: expected youtube_id, timestamp_ms, class_id, class_name, "
                    f"object_id, object_presence, xmin, xmax, ymin, ymax but found {row}"
                ) from None
            numbers.append(known.setdefault((video, label, target), len(known)))
            corners.extend((x0, x1, y0, y1))
            presence.append(present == "present")  # the other values are "absent" and "uncertain"
    keys = sorted(known, key=lambda key: (key[1], key))
    rank = np.empty(len(keys), dtype=np.int64)
    rank[[known[key] for key in keys]] = np.arange(len(keys))
    rank = rank[np.array(numbers)]
    order = np.lexsort((times, rank))
    ends = np.searchsorted(rank[order], np.arange(len(keys) + 1))
    times, presence = np.array(times)[order], np.array(presence, dtype=bool)[order]
    corners = np.array(corners).reshape(-1, 4)[order]
    for key, start, end in zip(keys, ends, ends[1:]):
        yield key, times[start:end], corners[start:end], presence[start:end]
