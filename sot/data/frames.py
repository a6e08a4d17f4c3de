"""Frames of a track by index, from image files or from a video.

Datasets, trackers and evaluators use this protocol: ``len(frames)``; ``frames[i]``, an image (H, W,
3) uint8 BGR, which raises :class:`FrameError` if the frame cannot be read; and ``frames.name(i)``,
for messages. The objects are small and picklable, and open nothing before the first frame is read.
If reading a smaller or a gray frame is less work, they also have ``frames.read(i, max_reduction,
gray)``: see :func:`read_frame`."""

import bisect
import contextlib
import itertools
import os
import threading
import zlib
from pathlib import Path
from typing import List, Optional, Tuple

import av
import cv2
import numpy as np
import torch
from PIL import Image

from .decoding import FrameError, Video, bgr_image
from .image_files import list_files, list_images, read_file, read_image

VIDEO_SUFFIXES = tuple(
    ".mp4 .avi .mkv .mov .webm .m4v .mpg .mpeg .ts .mts .m2ts .wmv .asf .flv .f4v .3gp .3g2 .gif "
    ".ogv .ogg .vob .mxf .dv .divx .m2v .mpv .mjpg .mjpeg .h264 .264 .h265 .265 .hevc .y4m .ivf "
    ".nut .rm .rmvb .qt .apng".split()
)
# In these codecs each packet is one picture. Unusual files, where this is not so, are recognized.
ONE_PICTURE_A_PACKET = ("h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg", "prores")
NEAR = 8  # frames that are decoded rather than sought past
FAR = 64  # frames before a key frame that seeking may end up at


def read_frame(frames, index: int, max_reduction: float = 1, gray: bool = False):
    """Read frame ``index``, at a reduced size if that is less work.

    Returns:
        image: (h, w, 3) uint8 BGR, or (h, w) uint8 if ``gray``.
        reduction r, 1 <= r <= max_reduction: pixel (x, y) of the image is the mean of the pixels
        [r x, r (x + 1)) x [r y, r (y + 1)) of the frame. So frame coordinates / r are coordinates
        of the image. If r does not divide the size of the frame, the last pixels reach over its
        edge.
    """
    if hasattr(frames, "read"):
        return frames.read(index, max_reduction, gray)
    image = frames[index]
    return (cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if gray else image), 1


def find_frames(folder) -> Tuple[List[str], List[str]]:
    """The images of a folder, in ``img/`` or in the folder itself, and its video files if it has no
    images. A tracked.mp4 that demo/track_video.py has written is left out. A single image beside a
    video counts as the cover of the video."""
    folder = Path(folder)
    inner = list_images(folder / "img") if (folder / "img").is_dir() else []
    if inner:
        return inner, []
    images, videos = list_images(folder), list_files(folder, VIDEO_SUFFIXES)
    if (folder / "boxes.csv").is_file() and len(images) + len(videos) > 1:
        videos = [v for v in videos if os.path.basename(v) != "tracked.mp4"]
    is_cover = len(images) == 1 and bool(videos)
    return ([], videos) if is_cover or not images else (images, [])


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
        return read_file(self.files[index], max_reduction, gray)


class VideoFrames:
    """Frames of one video file, numbered as in :mod:`.decoding`.

    Reading in order is fast. A jump decodes from the key frame before. The frame that is returned
    is always the one that was asked for. Files of reliable formats (MP4, Matroska) identify it by
    its time stamp. All other files are decoded once when they are opened, and identify it by its
    content."""

    def __init__(self, path):
        """FrameError: the file is missing or is no video."""
        self.path = str(path)
        if not self._index_by_stamps():
            self._index_by_content()

    def __len__(self):
        return len(self._ids)

    def name(self, index: int) -> str:
        return f"{self.path} frame {index}"

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index not in self._lost:
            image = _VideoReader.of(self).read(index)
            if image is not None:
                return image
            if self._by_stamps:  # the frame is not at its time stamp, so stamps cannot be trusted
                self._index_by_content()
                if index < len(self):
                    return self[index]
        raise FrameError(f"{self.name(index)} does not decode: {self._lost.get(index, 'damaged')}")

    def _index_by_stamps(self) -> bool:
        """Index the file without decoding it. False: its time stamps cannot be trusted."""
        with contextlib.closing(_open_video(self.path)) as video:
            codec = video.stream.codec_context.name
            if video.format not in ("mov", "matroska") or codec not in ONE_PICTURE_A_PACKET:
                return False
            packets = []
            for packet in video.packets():
                if packet.size:
                    if packet.pts is None or packet.is_discard or packet.is_corrupt:
                        return False
                    packets.append((packet.pts, packet.dts, packet.size, packet.is_keyframe))
        stamps = sorted(pts for pts, *_ in packets)
        if not stamps or video.problem or len(set(stamps)) < len(stamps):
            return False
        # The file must begin with a key frame. It must have no packet of less than 9 bytes, which
        # only repeats a picture.
        if not (packets[0][0] == stamps[0] and packets[0][3]) or min(p[2] for p in packets) < 9:
            return False
        with contextlib.closing(_open_video(self.path)) as video:
            first = itertools.islice(video.pictures(), 16)
            shown = [p.frame.pts if p.frame else None for p in first]
        if shown != stamps[: len(shown)] or not shown:
            return False
        place = {stamp: i for i, stamp in enumerate(stamps)}
        self._ids, self._by_stamps, self._lost = np.array(stamps), True, {}
        # files are sought by decoding time
        self._keys = sorted((place[p], p if d is None else d) for p, d, _, key in packets if key)
        return True

    def _index_by_content(self):
        """Index the file by decoding it."""
        ids, keys, lost = [], [], {}
        with contextlib.closing(_open_video(self.path)) as video:
            for index, picture in enumerate(video.pictures()):
                if picture.frame is None:
                    lost[index] = picture.reason
                elif picture.frame.key_frame:
                    stamp = picture.frame.pts
                    keys.append((index, picture.frame.dts if stamp is None else stamp))
                ids.append(-1 if picture.frame is None else _content(picture.frame))
        if not ids:
            raise FrameError(f"video {self.path} has no frame that decodes")
        self._ids, self._by_stamps, self._lost = np.array(ids), False, lost
        self._keys = [(index, stamp) for index, stamp in keys if stamp is not None]

    def state(self) -> dict:
        """Tensors and plain values, from which :meth:`from_state` makes these frames again without
        opening the file."""
        return {**vars(self), "_ids": torch.from_numpy(self._ids)}

    @classmethod
    def from_state(cls, state: dict) -> "VideoFrames":
        frames = cls.__new__(cls)
        vars(frames).update(state, _ids=state["_ids"].numpy())
        return frames

    def starts(self, index: int) -> List[Tuple[int, Optional[int]]]:
        """The places from which a frame can be decoded, in the order in which they are tried: the
        two key frames before it, then the start of the file. Each is (frame, stamp to seek to)."""
        before = self._keys[: bisect.bisect_right(self._keys, (index, np.inf))]
        return before[:-3:-1] + [(0, None)]

    def is_frame(self, index: int, picture: av.VideoFrame) -> bool:
        identity = picture.pts if self._by_stamps else _content(picture)
        return identity == self._ids[index] and not picture.is_corrupt

    def is_past(self, index: int, picture: av.VideoFrame) -> bool:
        return self._by_stamps and picture.pts is not None and picture.pts > self._ids[index]


class _VideoReader:
    """An open video. It goes on decoding from its present position, or seeks."""

    # .open: (process, path, reader); each thread has one open decoder, whatever the number of
    # videos
    _thread = threading.local()
    # Readers that the parent process opened before this process was forked. Freeing one would wait
    # forever for the threads of its decoder, which a fork does not have.
    _inherited: List = []

    @classmethod
    def of(cls, frames: VideoFrames) -> "_VideoReader":
        key, before = (os.getpid(), frames.path), getattr(cls._thread, "open", None)
        if before is None or before[:2] != key:
            if before is not None and before[0] == key[0]:
                before[2].video.close()
            elif before is not None:
                cls._inherited.append(before)
            cls._thread.open = (*key, cls(frames))
        reader = cls._thread.open[2]
        reader.frames = frames
        return reader

    def __init__(self, frames: VideoFrames):
        self._reopen(frames.path)

    def _reopen(self, path):
        self.video = _open_video(path)
        self.pictures, self.at = self._decode(), -1  # at: the last frame that was read

    def read(self, index: int) -> Optional[np.ndarray]:
        """The frame (H, W, 3), or None if it is not found."""
        starts = self.frames.starts(index)
        key = starts[0][0]
        if self.at is not None and self.at < index and (key <= self.at or index - self.at <= NEAR):
            image = self._look_for(index, index - self.at)
            if image is not None:
                return image
        for key, stamp in starts:
            if stamp is None:
                self.video.close()
                self._reopen(self.frames.path)
            elif not self._seek(stamp):
                continue
            image = self._look_for(index, None if stamp is None else index - key + FAR)
            if image is not None:
                return image
        return None

    def _seek(self, stamp: int) -> bool:
        try:
            self.video.container.seek(stamp, stream=self.video.stream)
        except av.FFmpegError:  # the format cannot
            return False
        self.pictures = self._decode()
        return True

    def _look_for(self, index: int, limit: Optional[int]) -> Optional[np.ndarray]:
        """The frame, if it is among the next ``limit`` pictures."""
        self.at = None  # pictures that are passed over cannot be read again in this pass
        try:
            for picture in itertools.islice(self.pictures, limit):
                if self.frames.is_frame(index, picture):
                    self.at = index
                    return bgr_image(picture)
                if self.frames.is_past(index, picture):
                    break
        except av.FFmpegError:
            pass  # the file breaks off
        return None

    def _decode(self):
        for packet in self.video.container.demux(self.video.stream):
            try:
                yield from packet.decode()
            except av.FFmpegError:
                continue  # the picture of this packet will be missing


def _open_video(path: str) -> Video:
    if not os.path.isfile(path):
        raise FrameError(f"video {path} is missing")
    return Video(path)


def _content(picture: av.VideoFrame) -> int:
    """Checksum of the pixels of a picture."""
    # in some widths the rows of the array do not follow each other in memory
    return zlib.crc32(np.ascontiguousarray(picture.to_ndarray(format="gray")))


class Photograph(ImageFrames):
    """One photograph whose annotations give its ``size`` (W, H). The size shows whether the
    annotations refer to the picture as it is stored or as its EXIF tag turns it."""

    def __init__(self, file: str, size: Tuple[int, int]):
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
    """The size (W, H) of a frame as it is read. For an image file its header is enough."""
    if isinstance(frames, ImageFrames):
        try:
            with Image.open(frames.name(index)) as image:
                # PIL turns TIFF files by itself
                turned = image.format != "TIFF" and image.getexif().get(0x0112, 1) >= 5
                size = image.size
        except Exception:  # the file is missing, damaged, or in a format that only OpenCV knows
            pass
        else:
            stored = isinstance(frames, Photograph) and frames.size == size
            return size[::-1] if turned and not stored else size
    return frames[index].shape[1::-1]
