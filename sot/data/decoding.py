"""The pictures of a video in display order. Only this module decides which picture is frame k.

Frame k is the k-th picture that the decoder gives. Time stamps and packet numbers are not reliable:
edit lists hide pictures, recorders write packets without a picture, and stamps start again or are
missing. A damaged picture keeps its place, so that the frames after it keep their numbers. Pictures
before the first one that decodes are left out, as players do.

PyAV reads the videos, because there each packet succeeds or fails by itself. OpenCV's reader takes
the first damaged packet for the end of the file.
"""

import os
from fractions import Fraction
from typing import Iterator, NamedTuple, Optional, Tuple

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition

DEFAULT_FPS = Fraction(25)  # for videos that do not state their rate
STREAM_TIMEOUT = 10.0  # seconds without data after which a stream counts as dead
# The headers of these formats hold the length of the whole file. For other formats it is estimated.
TELLS_LENGTH = ("mov", "matroska", "avi", "flv", "asf")
# A file that is complete has these bytes near its end.
END_MARKS = {"gif": b"\0;", "apng": b"IEND\xaeB`\x82"}


class FrameError(ValueError):
    """A frame or a video is missing or does not decode. The message names it."""


class Picture(NamedTuple):
    """One picture of a video. If it does not decode, ``frame`` is None and ``reason`` says why."""

    frame: Optional[av.VideoFrame]
    time: float  # seconds since the first picture; grows from each picture to the next
    reason: str = ""


class Video:
    """An open video: its main stream, facts about it, and its pictures.

    Attributes:
        fps: Fraction, pictures per second; the average if the rate varies.
        aspect: Fraction, width / height of a pixel. It is that of the upright picture once the
            first picture has been read.
        problem: after all pictures have been read, what was wrong with the end of the video, or "".
        left_out: number of pictures before the first one that decodes.
    """

    def __init__(self, url: str, name: str = ""):
        """Open the path of a file, FIFO or device, "-" for standard input, or an address. Messages
        use ``name``. FrameError: it does not open, or has no video stream."""
        self.name = name or url
        remote = "://" in url
        options = {"rtsp_transport": "tcp"} if url.startswith("rtsp:") else {}
        try:
            # "file:", since a name such as 12:30.mp4 would be taken for an address
            self.container = av.open(
                url if remote else "pipe:0" if url == "-" else f"file:{url}",
                options=options,
                timeout=STREAM_TIMEOUT if remote else None,
                metadata_errors="replace",
            )
        except (av.FFmpegError, OSError) as e:
            raise FrameError(f"cannot open video {self.name}: {_reason(e)}") from None
        streams = self.container.streams
        main = streams.best("video")
        if main is None or main.disposition & Disposition.attached_pic:  # the cover of a record
            self.container.close()
            raise FrameError(f"cannot open video {self.name}: it has no video stream")
        self.stream = main
        # one thread, because the result of several threads for a damaged picture differs from run
        # to run
        self.stream.codec_context.thread_count = 1
        self.format = self.container.format.name.split(",")[0]
        self.fps = _fps(main)
        self.aspect = Fraction(main.sample_aspect_ratio or 1) or Fraction(1)
        self.problem, self.left_out = "", 0
        self._end = 0.0  # time of the last packet of any stream

    @property
    def num_announced(self) -> Optional[int]:
        """About how many pictures there are, or None if the file does not say it."""
        counts = [self.stream.frames or 0]
        if self.container.duration and self.format in TELLS_LENGTH:
            counts.append(round(self.container.duration / av.time_base * self.fps))
        return min((n for n in counts if n > 0), default=None)

    @property
    def is_live(self) -> bool:
        """Whether the pictures come at their own pace and without an end. That is so for an address
        that tells neither a duration nor a size."""
        if "://" not in self.container.name or self.container.duration is not None:
            return False
        return self.format in ("hls", "dash", "rtsp", "sdp") or not self.container.size > 0

    def pictures(self) -> Iterator[Picture]:
        """Yield each picture from the first one that decodes. It can be iterated only once."""
        begun, now, zero = False, None, None
        for frame, stamp, reason in self._decoded():
            if frame is not None and frame.is_corrupt:
                frame, reason = None, "damaged picture"
            if frame is None and not begun:
                self.left_out += 1
                continue
            if not begun and _orientation(frame)[0]:
                self.aspect = 1 / self.aspect
            begun = True
            # stamps that are missing or go back count as one step
            at = None if stamp is None else float(stamp * self.stream.time_base)
            if None not in (at, zero) and at - zero > now:
                now = at - zero
            else:
                now = 0.0 if now is None else now + float(1 / self.fps)
                zero = zero if at is None else at - now
            yield Picture(frame, now, reason if frame is None else "")
        self.problem = self.problem or self._cut_off()

    def _decoded(self):
        """Yield (frame, stamp, "") or (None, stamp, reason).

        A damaged packet loses its own picture and the pictures that are predicted from it, which
        the decoder drops without an error. Time stamps reveal both: when a picture comes out, older
        packets that still wait for their pictures will never get them. Intact files have packets
        without a picture, too. So this counts only from the first error on, and only while pictures
        come in the order of their stamps."""
        waiting, reason, last = set(), "", None
        in_order = self.format != "avi"  # AVI stores no display times
        for packet in self.packets():
            if packet.pts is not None and not packet.is_discard:
                waiting.add(packet.pts)
            try:
                frames = packet.decode()
            except av.FFmpegError as e:
                frames, reason = [], _reason(e)
                if packet.pts is None or not in_order:
                    yield None, None, reason
            for frame in frames:
                in_order = in_order and frame.pts is not None and (last is None or frame.pts > last)
                if in_order:
                    last = frame.pts
                    late = sorted(pts for pts in waiting if pts < last)
                    waiting.difference_update(late, [last])
                    yield from [(None, stamp, reason) for stamp in late if reason]
                yield frame, frame.pts if in_order else frame.dts, ""
        yield from [(None, stamp, reason) for stamp in sorted(waiting) if reason and in_order]

    def packets(self):
        """Yield the packets of the stream, and at the end the empty packet that flushes the
        decoder."""
        try:
            for packet in self.container.demux():
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is not None and packet.time_base:
                    end = float((stamp + (packet.duration or 0)) * packet.time_base)
                    self._end = max(self._end, end)
                if packet.stream_index == self.stream.index:
                    yield packet
        except av.FFmpegError as e:
            timed_out = isinstance(e, av.error.ExitError)
            reason = f"no data for {STREAM_TIMEOUT:g} s" if timed_out else _reason(e)
            self.problem = f"broke off: {reason}"
            flush = av.Packet()
            flush.stream = self.stream
            yield flush

    def _cut_off(self) -> str:
        """The part of the announced duration that is missing, in words; "" if nothing is
        missing."""
        announced = (self.container.duration or 0) / av.time_base
        if self.format in TELLS_LENGTH and self._end < announced - max(2.5 / self.fps, 0.1):
            return f"is cut off: it ends at {self._end:.2f} of {announced:.2f} s"
        if self.format == "avi" and os.path.isfile(self.name):
            with open(self.name, "rb") as f:
                size = 8 + int.from_bytes(f.read(8)[4:], "little")
            if size > os.path.getsize(self.name):
                return f"is cut off: {os.path.getsize(self.name)} of {size} bytes are there"
        if self.format in END_MARKS and os.path.isfile(self.name):
            with open(self.name, "rb") as f:
                f.seek(max(0, os.path.getsize(self.name) - 1000))
                if END_MARKS[self.format] not in f.read():
                    return "is cut off: it has no end mark"
        return ""

    def close(self):
        self.container.close()


def _fps(stream) -> Fraction:
    """The average rate; or the rate that the file means, if the two differ by less than 20 %,
    because the average of few pictures depends on how long the last one is shown. An average of one
    picture for each tick of the clock is a placeholder (raw DV) and is not used."""
    average, meant = stream.average_rate, stream.guessed_rate
    if not average or average <= 0 or average * (stream.time_base or 0) >= 1:
        return meant if meant and meant > 0 else DEFAULT_FPS
    return meant if meant and abs(meant / average - 1) < 0.2 else average


def _reason(error) -> str:
    return error.strerror or str(error)


def _orientation(frame: av.VideoFrame) -> Tuple[bool, bool, bool]:
    """How the file says to turn a picture before it is shown (videos of phones): whether to
    transpose it, then to mirror it left to right, and then upside down."""
    data = frame.side_data.get(SideData.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    # the pixel (x, y) is shown at (a x + c y, b x + d y)
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5].tolist()
    return (True, c < 0, b < 0) if abs(b) > abs(a) else (False, a < 0, d < 0)


def bgr_image(frame: av.VideoFrame) -> np.ndarray:
    """Decoded picture -> (H, W, 3) uint8 BGR, turned and mirrored as the file says; gray ones of
    more than 8 bits as in :func:`to_uint8`."""
    if frame.format.name.startswith("gray") and frame.format.components[0].bits > 8:
        gray = to_uint8(frame.to_ndarray(format="gray16le"))
        image = np.repeat(gray[..., None], 3, axis=2)
    else:
        image = frame.to_ndarray(format="bgr24")
    transposed, mirrored, upside_down = _orientation(frame)
    image = image.transpose(1, 0, 2) if transposed else image
    return np.ascontiguousarray(image[:: -1 if upside_down else 1, :: -1 if mirrored else 1])


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Pixels of another type -> uint8, stretched from the 0.1th to the 99.9th percentile of the
    image's own values: thermal cameras and microscopes use a small part of 16 bits."""
    if image.dtype == np.uint8:
        return image
    values = np.nan_to_num(image.astype(np.float32), posinf=0, neginf=0)
    low, high = np.percentile(values[:: 1 + values.shape[0] // 512], [0.1, 99.9])
    if high <= low:  # one value: what an image of full range would show
        low, high = 0, np.iinfo(image.dtype).max if image.dtype.kind in "ui" else 1
    return np.clip((values - low) * (255 / (high - low)), 0, 255).round().astype(np.uint8)
