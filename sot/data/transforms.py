"""Crops around a target, as detectron2 transforms.

A crop shows one rectangle of the frame, which is resampled once. Training draws the rectangle at
random (:class:`TargetCrop`), the tracker computes it (:func:`target_rect`), and both apply the same
:class:`SubwindowTransform`. In training a :class:`RandomWarp` may follow.
"""

import math
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import cv2
import numpy as np
from detectron2.data.transforms import Augmentation
from fvcore.transforms.transform import Transform


def target_rect(
    box: Sequence[float], crop_size: int, template_size: int, context: float
) -> Tuple[float, float, float, float]:
    """The square of the frame that a crop of side ``crop_size`` shows. It is centred on ``box``
    (both XYXY), and shows the target at the scale of the template crop. The template crop shows the
    box with its context: a square of side sqrt((w + 2p)(h + 2p)) with p = context * (w + h) / 2
    (SiamFC, Sec. 2.3)."""
    x0, y0, x1, y1 = (float(v) for v in box)
    pad = context * (x1 - x0 + y1 - y0)
    context_side = math.sqrt((x1 - x0 + pad) * (y1 - y0 + pad))
    half = context_side * crop_size / template_size / 2
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    return cx - half, cy - half, cx + half, cy + half


@dataclass(eq=False)
class SubwindowTransform(Transform):
    """Resamples a rectangle of an image to a given size. The rectangle may reach over the border of
    the image. Coordinates are continuous: an (H, W) image spans [0, W] x [0, H]."""

    rect: Sequence[float]  # XYXY in pixels of the image
    output_size: Tuple[int, int]  # (H, W)
    pad_value: Sequence[float] = (0.0, 0.0, 0.0)  # colour outside of the image

    def __post_init__(self):
        if not (self.rect[2] > self.rect[0] and self.rect[3] > self.rect[1]):
            raise ValueError(f"the rectangle {self.rect} has no positive sides")

    def _scale(self) -> np.ndarray:
        """Output pixels per image pixel, (x, y)."""
        x0, y0, x1, y1 = self.rect
        return np.array([self.output_size[1] / (x1 - x0), self.output_size[0] / (y1 - y0)])

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """(H, W[, C]) -> output_size. If the image shrinks by a factor of 2 or more, its pixels are
        averaged first."""
        # plain numbers, because calls on arrays of two numbers take longer than the arithmetic
        x, y, x1, y1 = self.rect
        scale = self.output_size[1] / (x1 - x), self.output_size[0] / (y1 - y)
        shrink = int(1 / max(scale))
        if shrink >= 2:
            img, (x, y), scale = self._reduce(img, np.array([x, y]), np.array(scale), shrink)
        # pixel i covers [i, i + 1], so its centre is at i + 0.5 in either frame
        shift = x + 0.5 / scale[0] - 0.5, y + 0.5 / scale[1] - 0.5
        matrix = np.array([[1 / scale[0], 0, shift[0]], [0, 1 / scale[1], shift[1]]])
        return cv2.warpAffine(
            img,
            matrix,
            (self.output_size[1], self.output_size[0]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=tuple(float(v) for v in self.pad_value),
        )

    def _reduce(self, img, origin, scale, factor):
        """Cut the part of ``img`` that the rectangle covers and shrink it by an integer factor,
        because linear interpolation alone would skip pixels. Returns the new image, and the origin
        and scale of the rectangle in it."""
        h, w = img.shape[:2]
        lo = np.clip(np.floor(origin) - factor, 0, [w - 1, h - 1]).astype(int)
        hi = np.clip(np.ceil(self.rect[2:]) + factor, lo + 1, [w, h]).astype(int)
        reduced = np.maximum(np.rint((hi - lo) / factor), 1).astype(int)
        part = img[lo[1] : hi[1], lo[0] : hi[0]]
        part = cv2.resize(part, tuple(int(v) for v in reduced), interpolation=cv2.INTER_AREA)
        ratio = (hi - lo) / reduced
        return part, (origin - lo) / ratio, scale * ratio

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """Points (N, 2), (x, y) in the image -> points in the output."""
        return (np.asarray(coords, dtype=float) - self.rect[:2]) * self._scale()


@dataclass(eq=False)
class WholePixelTransform(SubwindowTransform):
    """The square crop that PySOT's trackers cut: whole pixels near ``rect``, resized by OpenCV.

    The patch has the rounded side of ``rect`` and begins at floor(c - (side + 1) / 2), where c is
    the centre of ``rect``. Colours outside of the image are truncated to integers. Coordinates are
    still those of ``rect``, as PySOT reads them. Source: pysot/tracker/base_tracker.py,
    get_subwindow, of github.com/STVIR/pysot, whose pixel i lies at i and not at i + 0.5.
    """

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """(H, W[, C]) -> output_size."""
        x0, y0, x1, y1 = self.rect
        side = max(round(x1 - x0), 1)
        # 1e-6: the centre of a box of whole pixels must not fall below its pixel by rounding
        left, top = (
            math.floor(center - (side + 1) / 2 + 1e-6) for center in ((x0 + x1) / 2, (y0 + y1) / 2)
        )
        right, bottom = left + side, top + side
        h, w = img.shape[:2]
        part = img[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        if left < 0 or top < 0 or right > w or bottom > h:
            outside = [max(-top, 0), max(bottom - h, 0), max(-left, 0), max(right - w, 0)]
            color = [int(v + 1e-6) for v in self.pad_value]
            part = cv2.copyMakeBorder(part, *outside, cv2.BORDER_CONSTANT, value=color)
        return cv2.resize(part, (self.output_size[1], self.output_size[0]))


@dataclass(eq=False)
class WarpTransform(Transform):
    """A perspective map of a square image around its centre. The result is cut to a given size."""

    # (3, 3) from (x, y, 1) of the input to the output, both relative to their centres, in pixels
    matrix: np.ndarray
    input_size: int  # side
    output_size: int  # side

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        def center(side, sign):
            # pixel i has its centre at i + 0.5
            offset = sign * (side / 2 - 0.5)
            return np.array([[1, 0, offset], [0, 1, offset], [0, 0, 1]])

        matrix = center(self.output_size, 1) @ self.matrix @ center(self.input_size, -1)
        size = (self.output_size, self.output_size)
        return cv2.warpPerspective(img, matrix, size, borderMode=cv2.BORDER_REPLICATE)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """Points (N, 2), (x, y) in the input -> points in the output."""
        points = np.asarray(coords, dtype=float) - self.input_size / 2
        points = np.c_[points, np.ones(len(points))] @ self.matrix.T
        return points[:, :2] / points[:, 2:] + self.output_size / 2

    def apply_box(self, box: np.ndarray) -> np.ndarray:
        """Boxes (N, 4) XYXY -> boxes in the output. A new box bounds the image of the ellipse in
        the old box: objects rarely fill the corners of their boxes, and bounds of the turned
        corners would be too large. The map is treated as linear within a box."""
        boxes = np.asarray(box, dtype=float).reshape(-1, 2, 2)
        center, half = boxes.mean(axis=1), (boxes[:, 1] - boxes[:, 0]) / 2
        moved = self.apply_coords(center)
        # the half axes after the map: rows of the Jacobian times the half sides
        axes = [
            self.apply_coords(center + half * e) - self.apply_coords(center - half * e)
            for e in np.eye(2)
        ]
        extent = np.hypot(axes[0], axes[1]) / 2
        return np.concatenate([moved - extent, moved + extent], axis=1)


@dataclass
class RandomWarp(Augmentation):
    """A random rotation, shear and change of perspective around the centre of a crop. The crop is
    larger than the result, so that nothing is missing at the borders."""

    output_size: int  # side of the result
    prob: float  # of a warp; the caller draws, because it has to cut a larger crop for a warp
    rotate: float = 15.0  # largest angle in degrees
    shear: float = 0.1  # largest tangent of the shear
    tilt: float = 0.1  # largest change of scale from the centre to a border, as a fraction

    @property
    def input_size(self) -> int:
        return round(self.output_size * 1.25)

    def get_transform(self, image: np.ndarray) -> WarpTransform:
        angle = np.deg2rad(np.random.uniform(-self.rotate, self.rotate))
        shear = np.random.uniform(-self.shear, self.shear)
        tilt = np.random.uniform(-self.tilt, self.tilt, 2) / (self.output_size / 2)
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        sheared = np.array([[1, shear, 0], [0, 1, 0], [*tilt, 1]])
        return WarpTransform(turn @ sheared, self.input_size, self.output_size)


@dataclass
class TargetCrop(Augmentation):
    """A square crop around the first box, with random shift and scale (spatial-aware sampling,
    SiamRPN++ Sec. 3.1). Outside the image it has the mean colour of the image, as in published
    trackers."""

    size: int  # side of the crop
    template_size: int = 127  # this and the next: see target_rect
    context: float = 0.5
    shift: float = 0.0  # the target's centre moves by up to this many crop pixels along x and y
    scale: float = 0.0  # width and height of the crop are each multiplied by 1 +- up to this

    def __post_init__(self):
        if not 0 <= self.scale < 1:
            raise ValueError(f"scale must be at least 0 and below 1, not {self.scale}")

    def draw_rect(self, box: Sequence[float]) -> np.ndarray:
        """The rectangle (4,) of the frame that the crop shows for ``box``, both XYXY in frame
        pixels."""
        x0, y0, x1, y1 = target_rect(box, self.size, self.template_size, self.context)
        side = x1 - x0
        sx, sy = side * (1 + np.random.uniform(-self.scale, self.scale, 2))
        dx, dy = side / self.size * np.random.uniform(-self.shift, self.shift, 2)
        # the target moves by +d in the crop when the crop moves by -d
        cx, cy = (x0 + x1) / 2 - dx, (y0 + y1) / 2 - dy
        return np.array([cx - sx / 2, cy - sy / 2, cx + sx / 2, cy + sy / 2])

    def transform_to(self, rect, image: np.ndarray, size: Optional[int] = None):
        """The SubwindowTransform that cuts ``rect`` (XYXY in image pixels) out of ``image``. The
        result has the side ``size``, which is by default that of the crop."""
        h, w = image.shape[:2]
        inside = rect[0] > 1 and rect[1] > 1 and rect[2] < w - 1 and rect[3] < h - 1
        # the mean takes a while, and every fourth row is enough for it
        pad = (0.0, 0.0, 0.0) if inside else cv2.mean(image[::4])[:3]
        size = size or self.size
        return SubwindowTransform(rect, (size, size), pad)

    def get_transform(self, image: np.ndarray, boxes: np.ndarray) -> SubwindowTransform:
        return self.transform_to(self.draw_rect(boxes[0]), image)
