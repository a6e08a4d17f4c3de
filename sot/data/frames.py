"""Frames of a track by index, from image files or from a video.

The protocol that datasets, trackers and evaluators use: ``len(frames)``; ``frames[i]``, an image
(H, W, 3) uint8 BGR, raising :class:`FrameError` if it cannot be had; ``frames.name(i)``, for
messages. Objects are small, picklable, and open nothing before the first frame is asked for.
"""

import os
import re
from pathlib import Path
from typing import List

import cv2
import numpy as np

__all__ = ["FrameError", "ImageFrames", "VideoFrames", "list_images", "natural_key", "read_image"]

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
    """Frames of one video file. Reading in order is fast; a jump decodes from a key frame on."""

    def __init__(self, path):
        """
        Raises:
            FrameError: the file is missing or is no video.
        """
        self.path = str(path)
        self._capture, self._next = None, 0
        self._length = int(self._open().get(cv2.CAP_PROP_FRAME_COUNT))
        self._capture = None

    def _open(self):
        if self._capture is None:
            self._capture, self._next = cv2.VideoCapture(self.path), 0
            if not self._capture.isOpened():
                problem = "does not open as a video" if os.path.isfile(self.path) else "is missing"
                raise FrameError(f"video {self.path} {problem}")
        return self._capture

    def __getstate__(self):
        # a decoder belongs to one process
        return {**self.__dict__, "_capture": None, "_next": 0}

    def __len__(self):
        return self._length

    def name(self, index: int) -> str:
        return f"{self.path} frame {index}"

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < self._length:
            raise IndexError(index)
        capture = self._open()
        if index != self._next:
            capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        ok, frame = capture.read()
        self._next = index + 1
        if not ok:
            raise FrameError(f"{self.name(index)} does not decode")
        return frame
