"""Frames of a track by index, from image files or from a video.

The protocol that datasets, trackers and evaluators use: ``len(frames)``; ``frames[i]``, an image
(H, W, 3) uint8 BGR, raising :class:`FrameError` if it cannot be had; ``frames.name(i)``, for
messages. Objects are small, picklable, and open nothing before the first frame is asked for.
Frames that can be had smaller or gray for less work also have ``frames.read(i, max_reduction,
gray)``: see :func:`read_frame`.
"""

import os
import re
from pathlib import Path
from typing import Dict, List, Tuple

import av
import cv2
import numpy as np
from PIL import Image

__all__ = [
    "FrameError",
    "ImageFrames",
    "Photograph",
    "VideoFrames",
    "find_frames",
    "frame_size",
    "list_images",
    "natural_key",
    "read_frame",
    "read_image",
    "upright_bgr",
]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg")


# glibc gives the memory of a large image back to the system as soon as it is freed, and to get it
# again page by page takes as long as to decode the next one. Freeing a block of this size makes it
# keep up to twice as much; other systems are not touched by it.
np.empty(16 << 20, dtype=np.uint8)


class FrameError(ValueError):
    """A frame is missing or does not decode; the message names it."""


def read_image(path) -> np.ndarray:
    """Image file -> (H, W, 3) uint8 BGR; gray, 4-channel and 16-bit files are converted, and
    photographs turned upright by their EXIF tag, as detectron2 does.

    Raises:
        FrameError: the file is missing or does not decode, as when it is cut off.
    """
    return _read_file(path, 1, False)[0]


def read_frame(frames, index: int, max_reduction: float = 1, gray: bool = False):
    """Frame ``index``, at less than its full size where that is less work.

    Args:
        frames: see above; those without ``read`` give the full size.
        max_reduction: >= 1.
        gray: without its colours.

    Returns:
        image: (h, w, 3) uint8 BGR, or (h, w) uint8.
        reduction r <= max_reduction: pixel (x, y) of the image is the mean of the pixels
        [r x, r (x + 1)) x [r y, r (y + 1)) of the frame, so that frame coordinates / r are its
        coordinates. The last ones reach over the edge where r does not divide the frame's size.

    Raises:
        FrameError: the frame cannot be had.
    """
    if hasattr(frames, "read"):
        return frames.read(index, max_reduction, gray)
    image = frames[index]
    return (cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if gray else image), 1


# libjpeg's smaller inverse transforms give the means of 2x2, 4x4 and 8x8 pixels
_FLAGS = {
    1: (cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE),
    2: (cv2.IMREAD_REDUCED_COLOR_2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
    4: (cv2.IMREAD_REDUCED_COLOR_4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
    8: (cv2.IMREAD_REDUCED_COLOR_8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
}


def _read_file(path, max_reduction: float, gray: bool) -> Tuple[np.ndarray, int]:
    """See :func:`read_frame`."""
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        problem = f"cannot be read: {e.strerror}" if os.path.exists(path) else "is missing"
        raise FrameError(f"image {path} {problem}") from None
    reduction = 1
    if data.startswith(b"\xff\xd8"):  # JPEG, the one format that decodes smaller for less
        if data.rfind(b"\xff\xd9", len(data) // 2) < 0:  # OpenCV would fill up with gray
            raise FrameError(f"image {path} does not decode: it is cut off")
        # EXIF may turn it about a corner that is not on the grid of the reduced pixels
        if b"Exif" not in data[:4096]:
            reduction = max(r for r in _FLAGS if r <= max_reduction)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS[reduction][gray])
    except cv2.error:
        image = None
    if image is None:
        raise FrameError(f"image {path} does not decode")
    return image, reduction


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

    def read(self, index: int, max_reduction: float, gray: bool) -> Tuple[np.ndarray, int]:
        return _read_file(self.files[index], max_reduction, gray)


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
        stamps, keys = [], []
        with container:
            try:
                for packet in container.demux(container.streams.video[0]):
                    if packet.size:
                        stamps.append(_stamp(packet))
                        if packet.is_keyframe:
                            start = packet.dts if packet.dts is not None else packet.pts
                            keys.append((stamps[-1], start))
            except av.FFmpegError as e:
                raise FrameError(f"{self.name(len(stamps))}: the file breaks off: {e}") from None
        if None in stamps:
            raise FrameError(
                f"{self.name(stamps.index(None))} has no time stamp: put the video into another "
                f"container, as with ffmpeg -i {self.path} -c copy NEW.mkv"
            )
        self._stamps = np.array(sorted(stamps))
        self._keys = np.array(sorted(keys), dtype=np.int64).reshape(-1, 2)

    def state(self) -> Dict:
        """What :meth:`from_state` makes the same frames from, without opening the file."""
        return {"path": self.path, "stamps": self._stamps.tolist(), "keys": self._keys.tolist()}

    @classmethod
    def from_state(cls, state: Dict) -> "VideoFrames":
        frames = cls.__new__(cls)
        frames.path = state["path"]
        frames._stamps = np.array(state["stamps"])
        frames._keys = np.array(state["keys"], dtype=np.int64).reshape(-1, 2)
        return frames

    def __len__(self):
        return len(self._stamps)

    def name(self, index: int) -> str:
        return f"{self.path} frame {index}"

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(index)
        stamp = int(self._stamps[index])
        # files are sought by decoding time: that of the key frame which is shown before
        before = self._keys[self._keys[:, 0] <= stamp]
        start = int(before[-1, 1]) if len(before) else stamp
        image = _VideoReader.of(self.path).read(stamp, start)
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

    def read(self, stamp: int, start: int):
        """The picture (H, W, 3) shown at ``stamp``, or None if it does not decode; ``start`` is
        where to seek to if it does not come soon."""
        try:
            if self.at is None or not self.at < stamp <= self.at + self._step():
                self.container.seek(start, stream=self.stream)
                self.pictures = self._decode()
            for picture in self.pictures:
                self.at = _stamp(picture)
                if self.at == stamp:
                    return None if picture.is_corrupt else upright_bgr(picture)
                if self.at > stamp:
                    break
        except av.FFmpegError:
            pass  # the file breaks off, or cannot be sought
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


class Photograph(ImageFrames):
    """One photograph whose annotations tell its size, and so whether they are about the picture as
    it is stored or as its EXIF tag turns it."""

    def __init__(self, file: str, size: Tuple[int, int]):
        """
        Args:
            size: (W, H) that the annotations tell.
        """
        super().__init__([file])
        self.size = tuple(size)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.read(index, 1, False)[0]

    def read(self, index: int, max_reduction: float, gray: bool) -> Tuple[np.ndarray, int]:
        image, reduction = super().read(index, max_reduction, gray)
        size = image.shape[1::-1]
        if reduction == 1 and size != self.size and size == self.size[::-1]:
            data = np.fromfile(self.files[index], np.uint8)
            flags = cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR
            stored = cv2.imdecode(data, flags | cv2.IMREAD_IGNORE_ORIENTATION)
            image = stored if stored.shape[1::-1] == self.size else image
        return image, reduction


def frame_size(frames, index: int = 0) -> Tuple[int, int]:
    """(W, H) of a frame as it is read; of an image file, from its header alone.

    Raises:
        FrameError: the frame cannot be had.
    """
    if isinstance(frames, ImageFrames):
        try:
            with Image.open(frames.name(index)) as image:
                turned = image.getexif().get(0x0112, 1) >= 5
                size = image.size
        except Exception:  # missing, damaged, or in a format that OpenCV alone knows
            pass
        else:
            stored = isinstance(frames, Photograph) and frames.size == size
            return size[::-1] if turned and not stored else size
    return frames[index].shape[1::-1]
