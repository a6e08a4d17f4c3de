"""Videos and images as :class:`.frame_source.FrameSource`, for the demo and for live use.

Frames of files are those of :mod:`.frames`, under the same numbers.
"""

import contextlib
import glob
import logging
import os
import re
import stat
import threading
import urllib.request
from functools import partial
from typing import List, Optional

import cv2
import numpy as np
from PIL import Image

from .decoding import FrameError, Picture, Video, bgr_image, to_uint8
from .frame_source import ALL, Frame, FrameSource, frame_of
from .frames import ImageFrames, VideoFrames, find_frames
from .image_files import IMAGE_SUFFIXES, natural_key
from .live import CameraSource, LiveSource, StreamSource

logger = logging.getLogger(__name__)

PAGED_FORMATS = ("WEBP", "PNG", "TIFF", "AVIF")  # of which one file may hold many images


def open_source(src: str, stop: Optional[threading.Event] = None, wanted: range = ALL):
    """Open a source of frames.

    Args:
        src: a video file, an image file, a folder of images (or with ``img/``, or with one video),
            a glob or printf pattern of images, a FIFO, "-" for standard input, a stream URL, or the
            number or the device of a camera.
        stop: an event that ends the iteration over a live source which waits for its next frame.
        wanted: numbers of the frames to give, with a step above 0; other frames are passed over.

    Returns:
        FrameSource: live sources (cameras, streams and pipes with their own pace) drop frames that
        are not fetched in time. Their frame numbers then have gaps. A live stream that ends or
        breaks off is opened again.

    Raises:
        OSError, ValueError: the source cannot be opened; the message is one line that names
        ``src``.
    """
    stop = stop or threading.Event()
    if src.startswith("file:"):
        src = urllib.request.url2pathname(re.sub("^file:(//(localhost)?)?", "", src))
    if not os.path.exists(src):
        src = os.path.expanduser(src)
    if src == "-" or os.path.exists(src):
        return _open_path(src, stop, wanted)
    if "://" in src:
        source = VideoSource(src, wanted)
        if not source.is_live:
            return source
        closing = threading.Event()
        stream = StreamSource(source, partial(VideoSource, src), closing, wanted)
        return LiveSource(stream, stop, wanted=wanted, closing=closing)
    if src.isdecimal():
        return LiveSource(CameraSource(int(src), wanted), stop, wanted=wanted)
    pattern = re.sub(r"%0?\d*d", "*", src)
    if glob.has_magic(pattern):
        numbers = re.compile(r"\d+".join(map(re.escape, re.split(r"%0?\d*d", src))))
        files = [f for f in glob.glob(pattern) if pattern == src or numbers.fullmatch(f)]
        files = sorted((f for f in files if _is_image(f) and os.path.isfile(f)), key=natural_key)
        if files:
            return _open_images(files, src, wanted)
        raise FileNotFoundError(f"no image matches {src}")
    raise FileNotFoundError(
        f"no such video, folder, glob of images, camera or stream: {public_name(src)}"
    )


def _open_path(src: str, stop: threading.Event, wanted: range):
    if src == "-" and stat.S_ISREG(os.fstat(0).st_mode):
        src = "/dev/stdin"  # a file, in which, unlike in a pipe, one can seek
    if os.path.isdir(src):
        return _open_folder(src, wanted)
    if src == "-" or not os.path.isfile(src):
        camera = re.fullmatch(r"/dev/video(\d+)", os.path.realpath(src))
        if camera:
            return LiveSource(CameraSource(int(camera[1]), wanted), stop, wanted=wanted)
        is_device = src != "-" and stat.S_ISCHR(os.stat(src).st_mode)
        return LiveSource(VideoSource(src, wanted), stop, is_device, wanted)
    return _open_images([src], src, wanted) if _is_image(src) else VideoSource(src, wanted)


def _open_folder(src: str, wanted: range):
    images, videos = find_frames(src)
    if images:
        return _open_images(images, src, wanted)
    if len(videos) != 1:
        found = f"{len(videos)} videos: name one of them" if videos else "no video either"
        raise FileNotFoundError(f"no images in folder {src}, and {found}")
    return VideoSource(videos[0], wanted)


def _open_images(files: List[str], name: str, wanted: range):
    if len(files) == 1:
        with contextlib.suppress(Exception):  # what PIL cannot read may be an image for OpenCV
            source = PageSource(files[0], wanted)
            if source.image.format in PAGED_FORMATS and len(source) > 1:
                return source
            source.close()
    return ImageSource(files, name, wanted)


def public_name(src: str) -> str:
    """The address without its password and keys."""
    src = re.sub(r"://(?:[^/?#]*|[^/@:]*:[^@]*)@", "://***@", src)
    return re.sub(
        r"(?i)([?&;][\w-]*(?:pass|pwd|token|key|secret|auth|sig)[\w-]*=)[^&;#]*", r"\1***", src
    )


class ImageSource(FrameSource):
    """Image files as a video. The images may differ in size."""

    def __init__(self, files: List[str], name: str, wanted: range = ALL):
        self.files, self.name, self.wanted = files, name, wanted
        self.total = self.num_wanted(len(files))

    def _all(self):
        return (partial(self._show, index) for index in range(len(self.files)))

    def _show(self, index: int) -> Frame:
        name, now = os.path.basename(self.files[index]), index / float(self.fps)
        return frame_of(self.indexed(), index)._replace(name=name, time=now, file=name)

    def indexed(self):
        return ImageFrames(self.files)


class PageSource(ImageSource):
    """An image file of many pages, or an animation."""

    def __init__(self, file: str, wanted: range = ALL):
        super().__init__([file], file)
        self.image, self.wanted = Image.open(file), wanted
        try:
            self.length = getattr(self.image, "n_frames", 1)
        except Exception:  # PIL raises many kinds of errors if the file ends too early
            self.length = self.image.tell()
            self.problem = f"is cut off after {self.length} pages"
        self.total = self.num_wanted(len(self))

    def __len__(self):
        return self.length

    def __getitem__(self, index: int) -> np.ndarray:
        """The image of a frame; see :mod:`.frames`."""
        try:
            self.image.seek(index)
            return self._read()
        except (OSError, EOFError, SyntaxError, ValueError) as e:
            raise FrameError(str(e)) from None

    def _all(self):
        now = 0.0
        for index in range(len(self)):
            frame = frame_of(self, index)  # all of them: an image file tells times one by one
            yield partial(frame._replace, time=now)
            now += (self.image.info.get("duration") or 1000 / self.fps) / 1000

    def indexed(self):
        return self

    def _read(self) -> np.ndarray:
        if self.image.mode in ("I", "F") or self.image.mode.startswith("I;16"):
            return cv2.cvtColor(to_uint8(np.asarray(self.image)), cv2.COLOR_GRAY2BGR)
        return np.asarray(self.image.convert("RGB"))[..., ::-1].copy()

    def close(self):
        self.image.close()


class VideoSource(Video, FrameSource):
    """The main video stream of a file, pipe or URL."""

    def __init__(self, url: str, wanted: range = ALL):
        super().__init__(url, public_name(url))
        self.files = [] if "://" in url or url == "-" else [url]
        self.wanted, self.total = wanted, self.num_announced
        if self.total is not None:
            self.total = self.num_wanted(self.total) or None

    def _all(self):
        for index, picture in enumerate(self.pictures()):
            if index == 0 and self.left_out:
                lost = self.left_out
                logger.warning(
                    f"{self.name}: frame 0 is the first one that decodes; {lost} before it do not"
                )
            yield partial(self._show, index, picture)

    @staticmethod
    def _show(index: int, picture: Picture) -> Frame:
        image = None if picture.frame is None else bgr_image(picture.frame)
        return Frame(index, f"frame {index}", image, picture.reason, picture.time)

    def indexed(self):
        return VideoFrames(self.files[0]) if self.files and os.path.isfile(self.files[0]) else None


def _is_image(path: str) -> bool:
    return path.lower().endswith(IMAGE_SUFFIXES)
