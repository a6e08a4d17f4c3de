"""Draws boxes on frames, writes frames as a video, and shows them in a window."""

import os
import sys
from fractions import Fraction
from typing import Optional, Sequence

import av
import cv2
import numpy as np

TARGET_COLORS = (  # BGR
    (0, 215, 255),
    (255, 144, 30),
    (180, 105, 255),
    (0, 100, 255),
    (255, 255, 0),
    (226, 43, 138),
)
TRUTH_COLOR = (80, 220, 60)
CODEC_THREADS = 2


def target_color(target: int):
    """The BGR color of a target, by its number."""
    return TARGET_COLORS[target % len(TARGET_COLORS)]


def draw_target(image: np.ndarray, number: int, box: Sequence[float], score: float, status: str):
    """Draw the box of a target in its color, with its number and score. A question mark says that
    the tracker is not sure. A box of a lost target is dashed, and its label says so. For the image
    and the box see :func:`draw_box`, for the status TargetState."""
    doubt = {"uncertain": "?", "skipped": "?", "lost": " lost"}.get(status, "")
    label = f"{number}: {score:.2f}{doubt}"
    draw_box(image, box, target_color(number), label, dashed=status == "lost")


def draw_frame_number(image: np.ndarray, number: int):
    """Write the number of a frame into its lower left corner, in place."""
    draw_label(image, str(number), (0, len(image)), (255, 255, 255))


def draw_box(image: np.ndarray, box: Sequence[float], color, label: str = "", dashed: bool = False):
    """Draw a box, XYXY in pixels of the image (H, W, 3) uint8, with a label above it, in place. A
    part of the box may lie outside. A box that is not finite is not drawn. Line and letters grow
    with the image."""
    if not np.isfinite(box).all():
        return
    height, width = image.shape[:2]
    limit = (width, height, width, height)
    # continuous coordinates -> first and last pixel, at most one pixel out of the image
    x0, y0, x1, y1 = (int(np.clip(round(v), -1, m + 1)) for v, m in zip(box, limit))
    thickness = 1 + min(height, width) // 240
    (_draw_dashes if dashed else cv2.rectangle)(image, (x0, y0), (x1 - 1, y1 - 1), color, thickness)
    if label:
        draw_label(image, label, (x0, y0 - thickness), color)


def _draw_dashes(image, first, last, color, thickness):
    """Draw the outline of a rectangle in dashes, which are as long as the gaps between them.
    ``first`` and ``last`` are its upper left and its lower right pixel (x, y)."""
    (x0, y0), (x1, y1), dash = first, last, 5 * thickness
    for x in range(x0, x1 + 1, 2 * dash):
        for y in (y0, y1):
            cv2.line(image, (x, y), (min(x + dash - 1, x1), y), color, thickness)
    for y in range(y0, y1 + 1, 2 * dash):
        for x in (x0, x1):
            cv2.line(image, (x, y), (x, min(y + dash - 1, y1)), color, thickness)


def draw_label(image: np.ndarray, text: str, corner, color):
    """Write text on a filled rectangle with its bottom left corner at (x, y), moved into the
    image."""
    height, width = image.shape[:2]
    scale = max(0.4, min(height, width) / 900)
    weight = 1 + int(scale > 0.8)
    (w, h), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, weight)
    x = max(0, min(corner[0], width - w))
    y = max(h + base, min(corner[1], height))
    cv2.rectangle(image, (x, y - h - base), (x + w, y), color, cv2.FILLED)
    origin = (x, y - base)
    cv2.putText(
        image, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), weight, cv2.LINE_AA
    )


class VideoWriter:
    """Writes H.264 in MP4 as browsers play it (yuv420p). If the process is killed, the file plays
    up to the last frames, because each frame is a fragment of its own until the file is closed.

    The first frame sets the size, which is at most LARGEST pixels a side, because encoders and
    players have limits. Frames of another size are scaled to fit and padded with black. The format
    needs even sizes, so an odd width or height grows by one pixel at the right or bottom."""

    LARGEST = 4096
    TIME_BASE = Fraction(1, 90000)

    def __init__(self, path: str, fps, aspect=1):
        """
        Args:
            fps: frames per second, a Fraction for exact rates. Frames that are written with times
                of their own keep these times.
            aspect: width / height of a pixel, a Fraction.
        """
        self.rate = Fraction(fps).limit_denominator(100_000)
        self.aspect = Fraction(aspect).limit_denominator(10_000)
        # zerolatency: no frame waits in the encoder, where it would be lost if the process is
        # killed
        self.options = {"crf": "20", "preset": "veryfast", "tune": "zerolatency"}
        flags = {"movflags": "+hybrid_fragmented+frag_every_frame", "flush_packets": "1"}
        # "file:", since a name such as 12:30 would be taken for an address
        self.container = av.open(f"file:{path}", "w", format="mp4", options=flags)
        self.stream = self.size = None
        self.frames, self._last = 0, -1

    def write(self, image: np.ndarray, time: Optional[float] = None):
        """Append a frame (H, W, 3) uint8 BGR. ``time`` is in seconds, and later than that of the
        frame before. By default it follows from the rate."""
        if self.stream is None:
            self._start(*image.shape[:2])
        frame = av.VideoFrame.from_ndarray(_fit(image, *self.size), format="bgr24")
        time = self.frames / self.rate if time is None else Fraction(time)
        frame.time_base = self.TIME_BASE
        frame.pts = self._last = max(round(time / self.TIME_BASE), self._last + 1)
        self.frames += 1
        self.container.mux(self.stream.encode(frame))

    def _start(self, height: int, width: int):
        scale = min(1, self.LARGEST / max(height, width))
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
        self.size = height, width
        self.stream = self.container.add_stream("libx264", rate=self.rate, options=self.options)
        self.stream.width, self.stream.height = width + width % 2, height + height % 2
        self.stream.pix_fmt = "yuv420p"
        self.stream.time_base = self.stream.codec_context.time_base = self.TIME_BASE
        self.stream.codec_context.sample_aspect_ratio = self.aspect
        self.stream.codec_context.thread_count = CODEC_THREADS

    def close(self):
        if self.stream is not None:
            self.container.mux(self.stream.encode())
        self.container.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Window:
    """A window on the screen. ValueError: there is no screen, or this OpenCV has no windows."""

    def __init__(self, title: str):
        if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
            raise ValueError("no window: neither DISPLAY nor WAYLAND_DISPLAY is set")
        self.title = title
        try:
            cv2.namedWindow(title)
        except cv2.error:
            raise ValueError("no window: this OpenCV has none, install opencv-python") from None

    def show(self, image: np.ndarray) -> bool:
        """Show an image. False: the user has pressed q or Esc."""
        cv2.imshow(self.title, image)
        return cv2.waitKey(1) & 0xFF not in (ord("q"), 27)

    def ask_box(self, image: np.ndarray):
        """Let the user draw a box, and return it as (x, y, w, h). ValueError: the user drew
        none."""
        box = cv2.selectROI(self.title, image, showCrosshair=False)
        if not all(box[2:]):
            raise ValueError("no box was drawn")
        return box


def _fit(image, height, width):
    """Scale to fit into (height, width), pad with black to that size and on to an even one."""
    h, w = image.shape[:2]
    if (h, w) != (height, width):
        scale = min(height / h, width / w)
        h, w = max(1, round(h * scale)), max(1, round(w * scale))
        image = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    bottom, right = height + height % 2 - h, width + width % 2 - w
    if bottom or right:
        image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT)
    return np.ascontiguousarray(image)
