"""Frames of a track by index, from image files or from a video.

The protocol that datasets, trackers and evaluators use: ``len(frames)``; ``frames[i]``, an image
(H, W, 3) uint8 BGR, raising :class:`FrameError` if it cannot be had; ``frames.name(i)``, for
messages. Objects are small, picklable, and open nothing before the first frame is asked for.
"""

import os
import re
from pathlib import Path
from typing import List, Tuple

import av
import cv2
import numpy as np

__all__ = [
    "FrameError",
    "ImageFrames",
    "VideoFrames",
    "find_frames",
    "list_images",
    "natural_key",
    "read_image",
    "upright_bgr",
]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg")


class FrameError(ValueError):
    """A frame is missing or does not decode; the message names it."""


def read_image(path) -> np.ndarray:
    """Image file -> (H, W, 3) uint8 BGR; gray, 4-channel and 16-bit files are converted.

    Raises:
        FrameError: the file is missing or does not decode.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        problem = "does not decode" if os.path.isfile(path) else "is missing"
        raise FrameError(f"image {path} {problem}")
    return image


def natural_key(path: str):
    """Sort key that puts 2.jpg before 10.jpg."""
    return [int(t) if t.isdecimal() else t for t in re.split(r"(\d+)", path)]


def list_images(folder) -> List[str]:
    """Image files of a folder in natural order (2.jpg before 10.jpg)."""
    files = [str(p) for p in Path(folder).iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(files, key=natural_key)


def find_frames(folder) -> Tuple[List[str], List[str]]:
    """Images of a folder, in ``img/`` or right in it; and if there are none, its video files."""
    folder = Path(folder)
    for place in (folder / "img", folder):
        images = list_images(place) if place.is_dir() else []
        if images:
            return images, []
    return [], [str(p) for p in sorted(folder.iterdir()) if p.suffix.lower() in VIDEO_SUFFIXES]


class ImageFrames:
    """Frames that are image files."""

    def __init__(self, files: List[str]):
        self.files = files

    def __len__(self):
        return len(self.files)

    def name(self, index: int) -> str:
        return self.files[index]

    def __getitem__(self, index: int) -> np.ndarray:
        return read_image(self.files[index])


class VideoFrames:
    """Frames of one video file, in display order.

    Any frame is found by its time stamp, so that variable frame rates and damaged packets do not
    shift the others. Reading in order is fast; a jump decodes from the key frame before.
    """

    def __init__(self, path):
        """
        Raises:
            FrameError: the file is missing or is no video.
        """
        self.path = str(path)
        container = _open_video(self.path)
        with container:
            packets = container.demux(container.streams.video[0])
            self._stamps = np.array(sorted(_stamp(p) for p in packets if p.size))

    def __len__(self):
        return len(self._stamps)

    def name(self, index: int) -> str:
        return f"{self.path} frame {index}"

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(index)
        reader = _VideoReader.of(self.path)
        image = reader.read(int(self._stamps[index]))
        if image is None:
            raise FrameError(f"{self.name(index)} does not decode")
        return image


class _VideoReader:
    """An open video that decodes on from where it is, or seeks."""

    _open = None  # (process, path, reader): one open decoder per process, however many videos

    @classmethod
    def of(cls, path: str) -> "_VideoReader":
        key = (os.getpid(), path)
        if cls._open is None or cls._open[:2] != key:
            if cls._open is not None and cls._open[0] == key[0]:
                cls._open[2].container.close()
            cls._open = (*key, cls(path))
        return cls._open[2]

    def __init__(self, path: str):
        self.container = _open_video(path)
        self.stream = self.container.streams.video[0]
        self.stream.thread_count = 1  # loader workers are the parallelism
        self.pictures, self.at = iter(()), None

    def read(self, stamp: int):
        """The picture (H, W, 3) with that time stamp, or None if it does not decode."""
        if self.at is None or not self.at < stamp <= self.at + self._step():
            self.container.seek(stamp, stream=self.stream)
            self.pictures = self._decode()
        for picture in self.pictures:
            self.at = _stamp(picture)
            if self.at == stamp:
                return None if picture.is_corrupt else upright_bgr(picture)
            if self.at > stamp:
                break
        self.at = None  # what was passed is lost to this pass: seek for the next
        return None

    def _step(self) -> float:
        """About a second in units of the stream: decoding on beats seeking."""
        return float(1 / self.stream.time_base)

    def _decode(self):
        for packet in self.container.demux(self.stream):
            try:
                yield from packet.decode()
            except av.FFmpegError:
                continue  # the picture of this packet will be missing


def _open_video(path: str):
    if not os.path.isfile(path):
        raise FrameError(f"video {path} is missing")
    try:
        container = av.open(path)
    except av.FFmpegError as e:
        raise FrameError(f"video {path} does not open as a video: {e.strerror}") from None
    if not container.streams.video:
        container.close()
        raise FrameError(f"video {path} does not open as a video: no video stream")
    return container


def _stamp(item) -> int:
    """Display time of a packet or picture; files without (AVI) have no reordering either."""
    return item.pts if item.pts is not None else item.dts


def upright_bgr(picture: av.VideoFrame) -> np.ndarray:
    """Decoded picture -> (H, W, 3) uint8 BGR, turned as the file says (videos of phones)."""
    image = picture.to_ndarray(format="bgr24")
    quarter_turns = round(picture.rotation / 90)  # counterclockwise, as np.rot90 counts
    return np.ascontiguousarray(np.rot90(image, quarter_turns)) if quarter_turns else image
