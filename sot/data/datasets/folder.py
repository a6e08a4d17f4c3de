"""Own sequences, one folder each: ``folder:PATH``."""

import contextlib
from functools import partial
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np

from ..frames import FrameError, ImageFrames, VideoFrames, find_frames, frame_size
from .box_files import read_boxes
from .cache import Source, cached_tracks, warn_once
from .tracks import TrackList, make_track

TRUTH_NAMES = ("groundtruth_rect.txt", "groundtruth.txt")


def load_folder(path) -> TrackList:
    """One folder per sequence (or ``path`` itself is one): ``groundtruth_rect.txt`` beside
    ``img/0001.jpg ...``, image files, or one video file; FileNotFoundError if there is none.

    Boxes are read by :func:`read_boxes` and taken as they stand: pixels, 0-based, top-left origin.
    For files that count pixels from 1 (OTB) that is off by one, alike for training and scoring.
    """
    root = Path(path).resolve()  # "." has no name
    tracks = cached_tracks(f"folder:{root}", folder_sources(root), strict=True)
    absent = tracks.num_frames() - tracks.num_visible()
    if absent.any():
        names = [f"{tracks[i]['name']} ({absent[i]})" for i in np.flatnonzero(absent)[:6]]
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        message = f"{absent.sum()} boxes are absent or not positive and left out, in {shown}"
        warn_once(f"{root}: {message}", __name__)
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
    with contextlib.suppress(FrameError):  # to be reported when it is needed
        size = frame_size(frames)
    boxes = read_boxes(truth, size)
    if len(boxes) != len(frames):
        raise ValueError(
            f"{truth}: {len(frames)} frames but {len(boxes)} boxes; give each frame a line, blank "
            "where the target is absent"
        )
    return [make_track(folder.name, frames, boxes)]
