"""Reads your own sequences, one folder for each: ``folder:PATH``."""

import contextlib
from functools import partial
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np

from ...utils.command_line import first_few
from ..frames import FrameError, ImageFrames, VideoFrames, find_frames, frame_size
from .box_files import read_boxes
from .cache import Source, cached_tracks, warn_once
from .tracks import TrackList, make_track

TRUTH_NAMES = ("groundtruth_rect.txt", "groundtruth.txt")


def load_folder(path) -> TrackList:
    """Read a folder of sequences, which has a folder for each sequence; or ``path`` is itself the
    folder of one. A sequence has ``groundtruth_rect.txt`` beside ``img/0001.jpg ...``, beside image
    files, or beside one video file. FileNotFoundError: there is no sequence.

    :func:`read_boxes` reads the boxes. Their pixels count from 0 at the top left corner. In files
    that count pixels from 1 (OTB) all boxes are off by one pixel, in training and scoring alike.
    """
    root = Path(path).resolve()  # "." has no name
    tracks = cached_tracks(f"folder:{root}", folder_sources(root), strict=True)
    absent = tracks.num_frames() - tracks.num_visible()
    if absent.any():
        names = [f"{tracks[i]['name']} ({absent[i]})" for i in np.flatnonzero(absent)[:6]]
        shown = first_few(names)
        message = f"{absent.sum()} boxes are absent or not positive and left out, in {shown}"
        warn_once(f"{root}: {message}", __name__)
    return tracks


def folder_sources(root: Path) -> List[Source]:
    """The sources of :func:`load_folder`, with the same errors."""
    if not root.is_dir():
        raise FileNotFoundError(f"dataset folder {root} does not exist")
    folders = [root] if _truth_file(root) else sorted(p for p in root.iterdir() if p.is_dir())
    sources = []
    for folder in folders:
        truth = _truth_file(folder)
        if truth:
            # adding or removing a frame changes the time stamp of its folder
            files = (truth, folder, *folder.glob("img/"))
            sources.append(Source(folder.name, files, partial(_read_sequence, folder, truth)))
    if not sources:
        raise FileNotFoundError(
            f"no sequence in {root}: expected {root}/NAME/groundtruth_rect.txt beside img/*.jpg "
            "or one video file"
        )
    return sources


def _truth_file(folder: Path) -> Optional[Path]:
    return next((folder / n for n in TRUTH_NAMES if (folder / n).is_file()), None)


def _read_sequence(folder: Path, truth: Path) -> List[Dict]:
    images, videos = find_frames(folder)
    if not images and len(videos) != 1:
        raise FileNotFoundError(
            f"sequence {folder}: expected images in img/, or one video file, found {len(videos)}"
        )
    frames = ImageFrames(images) if images else VideoFrames(videos[0])
    size = None
    with contextlib.suppress(FrameError):  # a damaged first frame is reported when it is read
        size = frame_size(frames)
    boxes = read_boxes(truth, size)
    if len(boxes) != len(frames):
        raise ValueError(
            f"{truth}: {len(frames)} frames but {len(boxes)} boxes; give each frame a line, blank "
            "where the target is absent"
        )
    return [make_track(folder.name, frames, boxes)]
