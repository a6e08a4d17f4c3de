"""Frames one after the other, for the demo and for live use.

:func:`open_source` opens a video file, a folder or glob of images, a camera or a stream, and gives
an iterable of :class:`Frame`. A frame that does not decode is passed on without an image but with
the reason, so that frame numbers stay those of the source and the caller decides what to do.

Cameras are read with OpenCV, which knows them by number on every platform; all else as in
:mod:`.frames`, with the same frames under the same numbers.

Images are (H, W, 3) uint8 BGR, turned upright where the file says how (EXIF, videos of phones).
"""

import collections
import contextlib
import glob
import itertools
import logging
import os
import re
import stat
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Iterable, Iterator, List, NamedTuple, Optional

import cv2
import numpy as np
from PIL import Image

from .decoding import FrameError, Video, bgr_image, to_uint8
from .frames import ImageFrames, VideoFrames, find_frames
from .image_files import IMAGE_SUFFIXES, natural_key, read_image

logger = logging.getLogger(__name__)

IMAGE_FPS = Fraction(25)  # of image folders, and of cameras that do not tell theirs
PAGED_FORMATS = ("WEBP", "PNG", "TIFF", "AVIF")  # of which one file may hold many images
ALL = range(sys.maxsize)  # frames
HELD_BYTES = 2**28  # of frames that are kept while a video is read backwards
HELD = 12  # frames of a pipe that are kept until its pace is known


class Frame(NamedTuple):
    """One frame of a source. ``image`` is None when it did not decode; ``error`` then says why."""

    index: int  # place in the source, from 0
    name: str  # file name, or "frame INDEX"
    image: Optional[np.ndarray]
    error: str = ""
    time: Optional[float] = None  # seconds since frame 0; None: one step of the source's rate
    file: str = ""  # name of the image file, if it is one


def frames_of(frames, indices: Optional[range] = None, prefix: str = "") -> Iterator[Frame]:
    """The frames of these indices, by default all, of what has frames by index (see
    :mod:`.frames`); ``prefix`` goes before their names. Indices that go down are read in runs that
    go up, of HELD_BYTES at most: to read a video backwards frame by frame would decode it from a
    key frame each time."""
    indices = range(len(frames)) if indices is None else indices
    if indices.step > 0:
        for i in indices:
            yield _frame_of(frames, i, prefix)
        return
    length = 1  # of a run; the first one tells how large frames are
    while indices:
        held = [_frame_of(frames, i, prefix) for i in reversed(indices[:length])]
        size = max(0 if f.image is None else f.image.nbytes for f in held)
        indices, length = indices[length:], max(1, HELD_BYTES // max(size, 1))
        while held:
            yield held.pop()


def _frame_of(frames, index: int, prefix: str = "") -> Frame:
    name = f"{prefix}frame {index}"
    try:
        return Frame(index, name, frames[index])
    except FrameError as e:
        return Frame(index, name, None, str(e))


def read_ahead(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The same frames. A thread reads the next one while the present one is in use."""
    frames = iter(frames)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, frames, None)
        while (frame := coming.result()) is not None:
            coming = thread.submit(next, frames, None)
            yield frame


def open_source(src: str, stop: Optional[threading.Event] = None, wanted: range = ALL):
    """Open a video file, an image file, a folder of images (or with ``img/``, or with one video),
    a glob or printf pattern of images, a FIFO, "-" for standard input, a stream URL, or a camera
    by its number or device.

    Args:
        stop: ends the iteration over a live source that waits for its next frame.
        wanted: numbers of the frames to give, with a step above 0; others are passed over.

    Returns:
        an iterable of :class:`Frame`, to be iterated once, with ``name``; ``fps`` and ``aspect``
        (of the pixels of its images), both Fractions; ``total`` (about how many frames it gives,
        None if unknown); ``files``, paths it reads; ``live``; ``close()``; ``indexed()``, all its
        frames by number (see :mod:`.frames`), None if it can be read only once; and ``problem``,
        which says after the iteration how it ended if not in order, else "". Live sources (cameras,
        streams and pipes that come at their own pace) drop frames that are not fetched in time;
        their frame numbers then have gaps.

    Raises:
        OSError or ValueError with one line that names ``src``.
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
        return LiveSource(source, stop, wanted=wanted) if source.is_live else source
    if src.isdecimal():
        return LiveSource(CameraSource(int(src), wanted), stop, wanted=wanted)
    pattern = re.sub(r"%0?\d*d", "*", src)
    if glob.has_magic(pattern):
        numbers = re.compile(r"\d+".join(map(re.escape, re.split(r"%0?\d*d", src))))
        files = [f for f in glob.glob(pattern) if pattern == src or numbers.fullmatch(f)]
        files = sorted((f for f in files if _is_image(f) and os.path.isfile(f)), key=natural_key)
        if files:
            return ImageSource(files, src)
        raise FileNotFoundError(f"no image matches {src}")
    raise FileNotFoundError(
        f"no such video, folder, glob of images, camera or stream: {public_name(src)}"
    )


def _open_path(src: str, stop: threading.Event, wanted: range):
    if src == "-" and stat.S_ISREG(os.fstat(0).st_mode):
        src = "/dev/stdin"  # a file: unlike a pipe, it can be sought
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
    """An address without its password and keys."""
    src = re.sub(r"://(?:[^/?#]*|[^/@:]*:[^@]*)@", "://***@", src)
    return re.sub(
        r"(?i)([?&;][\w-]*(?:pass|pwd|token|key|secret|auth|sig)[\w-]*=)[^&;#]*", r"\1***", src
    )


class ImageSource:
    """Image files as a video. Each may have a size of its own."""

    fps, aspect, live, problem = IMAGE_FPS, Fraction(1), False, ""

    def __init__(self, files: List[str], name: str, wanted: range = ALL):
        self.files, self.name = files, name
        self.indices = range(len(files))[wanted.start : wanted.stop : wanted.step]
        self.total = len(self.indices)

    def __iter__(self) -> Iterator[Frame]:
        for index in self.indices:
            file = self.files[index]
            image, error, name = None, "", os.path.basename(file)
            try:
                image = read_image(file)
            except ValueError as e:
                error = str(e)
            yield Frame(index, name, image, error, index / float(self.fps), name)

    def indexed(self):
        return ImageFrames(self.files)

    def close(self):
        pass


class PageSource(ImageSource):
    """An image file of many pages, or an animation."""

    def __init__(self, file: str, wanted: range = ALL):
        super().__init__([file], file)
        self.image, self.wanted = Image.open(file), wanted
        try:
            self.length = getattr(self.image, "n_frames", 1)
        except Exception:  # of PIL's readers, behind the last page that is there
            self.length = self.image.tell()
            self.problem = f"is cut off after {self.length} pages"
        self.total = len(range(len(self))[wanted.start : wanted.stop : wanted.step])

    def __len__(self):
        return self.length

    def __getitem__(self, index: int) -> np.ndarray:
        """As in :mod:`.frames`."""
        try:
            self.image.seek(index)
            return self._read()
        except (OSError, EOFError, SyntaxError, ValueError) as e:
            raise FrameError(str(e)) from None

    def __iter__(self) -> Iterator[Frame]:
        now = 0.0
        for index in range(min(len(self), self.wanted.stop)):
            frame = _frame_of(self, index)  # all of them: an image file tells times one by one
            if index in self.wanted:
                yield frame._replace(time=now)
            now += (self.image.info.get("duration") or 1000 / self.fps) / 1000

    def indexed(self):
        return self

    def _read(self) -> np.ndarray:
        if self.image.mode in ("I", "F") or self.image.mode.startswith("I;16"):
            return cv2.cvtColor(to_uint8(np.asarray(self.image)), cv2.COLOR_GRAY2BGR)
        return np.asarray(self.image.convert("RGB"))[..., ::-1].copy()

    def close(self):
        self.image.close()


class VideoSource(Video):
    """The main video stream of a file, pipe or URL."""

    live = False

    def __init__(self, url: str, wanted: range = ALL):
        super().__init__(url, public_name(url))
        self.files = [] if "://" in url or url == "-" else [url]
        self.wanted, self.total = wanted, self.num_announced
        if self.total is not None:
            self.total = len(range(self.total)[wanted.start : wanted.stop : wanted.step]) or None

    def __iter__(self) -> Iterator[Frame]:
        for index, picture in enumerate(self.pictures()):
            if index == 0 and self.left_out:
                lost = self.left_out
                logger.warning(f"{self.name}: frame 0 comes after {lost} that do not decode")
            if index >= self.wanted.stop:
                return
            if index not in self.wanted:
                continue
            image = None if picture.frame is None else bgr_image(picture.frame)
            yield Frame(index, f"frame {index}", image, picture.reason, picture.time)

    def indexed(self):
        return VideoFrames(self.files[0]) if self.files and os.path.isfile(self.files[0]) else None


class CameraSource:
    """The camera with the given number."""

    aspect, files, total = Fraction(1), [], None

    def __init__(self, number: int, wanted: range = ALL):
        self.wanted = wanted
        self.capture = cv2.VideoCapture(number)
        if not self.capture.isOpened():
            raise OSError(f"cannot open camera {number}")
        self.name, self.problem = f"camera {number}", ""
        fps = self.capture.get(cv2.CAP_PROP_FPS)
        self.fps = Fraction(fps).limit_denominator(1001) if 0 < fps < 1e6 else IMAGE_FPS

    def __iter__(self) -> Iterator[Frame]:
        begin = time.monotonic()
        for index in itertools.count():
            ok, image = self.capture.read()
            if not ok:
                return
            begin = begin if index else time.monotonic()
            if index >= self.wanted.stop:
                return
            if index in self.wanted:
                yield Frame(index, f"frame {index}", image, time=time.monotonic() - begin)

    def close(self):
        self.capture.release()


class LiveSource:
    """The newest frames of a source that does not wait.

    A thread fetches every frame and keeps the last one: a slow consumer loses frames instead of
    falling behind. Frame numbers count the lost ones too. A pipe that is filled faster than its
    frames are meant to be shown comes from a file: such a one waits, and nothing is lost.
    """

    total, live = None, True

    def __init__(
        self,
        source,
        stop: Optional[threading.Event] = None,
        endless: bool = True,
        wanted: range = ALL,
    ):
        """endless: the source has a pace of its own and no end but by a fault, or that of the
        frames that are wanted; else a pipe."""
        self.source, self.endless, self.wanted, self.problem = source, endless, wanted, ""
        self.name, self.fps, self.files = source.name, source.fps, source.files
        self._keeps_pace = endless or None  # None: not known yet
        self._frames, self._ended = collections.deque(), False
        self._next = 0  # number of the frame that is to come
        self._stop, self._closing = stop or threading.Event(), False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._fetch, daemon=True)

    @property
    def aspect(self) -> Fraction:
        return self.source.aspect

    def __iter__(self) -> Iterator[Frame]:
        self._thread.start()
        while not self._stop.is_set():
            with self._news:
                if self._frames:
                    frame = self._frames.popleft()
                    self._news.notify_all()
                elif self._ended:
                    break
                else:
                    self._news.wait(0.1)  # and look for the stop
                    continue
            yield frame
        else:
            return
        broke_off = self.endless and self._next < self.wanted.stop
        self.problem = self.problem or self.source.problem or ("ended" if broke_off else "")

    def _fetch(self):
        try:
            begin = None
            for frame in self.source:
                begin = time.monotonic() if begin is None else begin
                with self._news:
                    if self._keeps_pace is None and frame.index >= HELD:
                        self._keeps_pace = time.monotonic() - begin > frame.time / 2
                    if self._keeps_pace:
                        self._frames.clear()
                    self._news.wait_for(lambda: self._closing or len(self._frames) <= HELD)
                    self._frames.append(frame)
                    self._next = frame.index + self.wanted.step
                    self._news.notify_all()
                if self._closing:
                    break
        except Exception as e:  # of any library below: it is said where the frames are used
            self.problem = f"broke off: {e}"
        finally:
            with self._news:
                self._ended = True
                self._news.notify_all()

    def indexed(self):
        return None

    def close(self):
        """Leaves a read that still waits for data to the end of the process."""
        with self._news:
            self._closing = True
            self._news.notify_all()
        if self._thread.is_alive():
            self._thread.join(0.5)
        if not self._thread.is_alive():
            self.source.close()


def _is_image(path: str) -> bool:
    return path.lower().endswith(IMAGE_SUFFIXES)
