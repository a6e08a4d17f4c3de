"""Frames one after the other, for the demo and for live use.

:func:`open_source` opens a video file, a folder or glob of images, a camera or a stream, and gives
an iterable of :class:`Frame`. A frame that does not decode is passed on without an image but with
the reason, so that frame numbers stay those of the source and the caller decides what to do.

Videos are read with PyAV: there each packet succeeds or fails by itself, while OpenCV's reader
takes the first damaged packet for the end of the file. Cameras are read with OpenCV, which knows
them by number on every platform.

Images are (H, W, 3) uint8 BGR, turned upright where the file says how (EXIF, videos of phones).
"""

import glob
import itertools
import logging
import os
import threading
from typing import Iterator, List, NamedTuple, Optional

import av
import cv2
import numpy as np

from .frames import (
    IMAGE_SUFFIXES,
    find_frames,
    natural_key,
    read_image,
    upright_bgr,
)

__all__ = ["Frame", "open_source"]

logger = logging.getLogger(__name__)

DEFAULT_FPS = 25.0  # of image folders, and of videos that do not tell theirs
STREAM_TIMEOUT = 10.0  # seconds without data after which a stream counts as dead


class Frame(NamedTuple):
    """One frame of a source. ``image`` is None when it did not decode; ``error`` then says why."""

    index: int  # place in the source, from 0
    name: str  # file name, or "frame INDEX"
    image: Optional[np.ndarray]
    error: str = ""


def open_source(src: str):
    """Open a video file, an image file, a folder of images (or with ``img/``, or with one video),
    a glob of images, a stream URL, or a camera by its number.

    Returns:
        an iterable of :class:`Frame`, to be iterated once, with ``name``, ``fps``, ``total``
        (announced number of frames, None if unknown) and ``close()``. Cameras and live streams
        drop frames that are not fetched in time; their frame numbers then have gaps.

    Raises:
        OSError or ValueError with one line that names ``src``.
    """
    if os.path.isdir(src):
        return _open_folder(src)
    if os.path.isfile(src):
        return ImageSource([src], src) if _is_image(src) else VideoSource(src)
    if "://" in src:
        source = VideoSource(src)
        return LiveSource(source) if source.container.duration is None else source
    if src.isdecimal():
        return LiveSource(CameraSource(int(src)))
    if glob.has_magic(src):
        files = sorted(filter(_is_image, glob.glob(src)), key=natural_key)
        if not files:
            raise FileNotFoundError(f"no image matches {src}")
        return ImageSource(files, src)
    raise FileNotFoundError(f"no such video, folder, glob of images, camera or stream: {src}")


def _open_folder(src: str):
    images, videos = find_frames(src)
    if images:
        return ImageSource(images, src)
    if len(videos) != 1:
        found = f"{len(videos)} videos: name one of them" if videos else "no video either"
        raise FileNotFoundError(f"no images in folder {src}, and {found}")
    return VideoSource(videos[0])


class ImageSource:
    """Image files as a video. Each may have a size of its own."""

    fps = DEFAULT_FPS

    def __init__(self, files: List[str], name: str):
        self.files, self.name, self.total = files, name, len(files)

    def __iter__(self) -> Iterator[Frame]:
        for index, file in enumerate(self.files):
            try:
                yield Frame(index, os.path.basename(file), read_image(file))
            except ValueError as e:
                yield Frame(index, os.path.basename(file), None, str(e))

    def close(self):
        pass


class VideoSource:
    """The first video stream of a file or URL, in display order.

    Pictures before the first that decodes are not counted as frames, as players do not show them:
    recordings and streams may begin between two key frames.
    """

    def __init__(self, url: str):
        options = {"rtsp_transport": "tcp"} if url.startswith("rtsp:") else {}
        timeout = STREAM_TIMEOUT if "://" in url else None
        try:
            self.container = av.open(url, options=options, timeout=timeout)
        except av.FFmpegError as e:
            raise OSError(f"cannot open video {url}: {e.strerror}") from None
        if not self.container.streams.video:
            self.container.close()
            raise ValueError(f"cannot open video {url}: it has no video stream")
        self.stream = self.container.streams.video[0]
        self.name = url
        self.fps = _plausible_fps(self.stream.average_rate)
        self.total = self.stream.frames or None

    def __iter__(self) -> Iterator[Frame]:
        index = lost = 0
        for picture, error in self._pictures():
            if picture is None and index == 0:
                lost += 1
                continue
            if lost and index == 0:
                logger.warning(f"{self.name}: frame 0 comes after {lost} that do not decode")
            image = upright_bgr(picture) if picture is not None else None
            yield Frame(index, f"frame {index}", image, error)
            index += 1

    def _pictures(self):
        """Yield (av.VideoFrame, "") or (None, reason) for each picture, in display order.

        A damaged packet costs its own picture, and then those predicted from it, which the decoder
        withholds without an error. Both show in the time stamps: when a picture comes out, older
        packets still waiting for theirs will never get it. Healthy files have packets without a
        picture as well (edit lists, invisible pictures), so this counts from the first error on.
        """
        waiting, reason = set(), ""
        for packet in self._packets():
            if packet.pts is not None:
                waiting.add(packet.pts)
            try:
                pictures = packet.decode()
            except av.FFmpegError as e:
                pictures, reason = [], e.strerror
                if packet.pts is None:
                    yield None, reason
            for picture in pictures:
                if picture.pts is not None:
                    late = {pts for pts in waiting if pts < picture.pts}
                    waiting -= late | {picture.pts}
                    yield from [(None, reason)] * (len(late) if reason else 0)
                yield (None, "damaged picture") if picture.is_corrupt else (picture, "")
        yield from [(None, reason)] * (len(waiting) if reason else 0)

    def _packets(self):
        """Yield the packets of the stream, last the empty one that flushes the decoder."""
        try:
            yield from self.container.demux(self.stream)
        except av.FFmpegError as e:
            timed_out = isinstance(e, av.error.ExitError)
            reason = f"no data for {STREAM_TIMEOUT:g} s" if timed_out else e.strerror
            logger.warning(f"{self.name} broke off: {reason}")
            flush = av.Packet()
            flush.stream = self.stream
            yield flush

    def close(self):
        self.container.close()


class CameraSource:
    """The camera with the given number."""

    def __init__(self, number: int):
        self.capture = cv2.VideoCapture(number)
        if not self.capture.isOpened():
            raise OSError(f"cannot open camera {number}")
        self.name = f"camera {number}"
        self.fps = _plausible_fps(self.capture.get(cv2.CAP_PROP_FPS))

    def __iter__(self) -> Iterator[Frame]:
        for index in itertools.count():
            ok, image = self.capture.read()
            if not ok:
                return
            yield Frame(index, f"frame {index}", image)

    def close(self):
        self.capture.release()


class LiveSource:
    """The newest frames of a source that does not wait.

    A thread fetches every frame and keeps the last one: a slow consumer loses frames instead of
    falling behind. Frame numbers count the lost ones too.
    """

    total = None

    def __init__(self, source):
        self.source, self.name, self.fps = source, source.name, source.fps
        self._newest, self._ended, self._closing = None, False, False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._fetch, daemon=True)

    def __iter__(self) -> Iterator[Frame]:
        self._thread.start()
        while True:
            with self._news:
                self._news.wait_for(lambda: self._newest is not None or self._ended)
                frame, self._newest = self._newest, None
            if frame is None:
                return
            yield frame

    def _fetch(self):
        try:
            for frame in self.source:
                with self._news:
                    self._newest = frame
                    self._news.notify()
                if self._closing:
                    break
        finally:
            with self._news:
                self._ended = True
                self._news.notify()

    def close(self):
        """Waits for the read in progress: at most ``STREAM_TIMEOUT``."""
        self._closing = True
        if self._thread.is_alive():
            self._thread.join()
        self.source.close()


def _plausible_fps(fps) -> float:
    fps = float(fps or 0)
    return fps if 1 <= fps <= 1000 else DEFAULT_FPS


def _is_image(path: str) -> bool:
    return path.lower().endswith(IMAGE_SUFFIXES)
