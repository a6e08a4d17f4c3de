"""Sequences made of cut-outs over real backgrounds: an object that is cut from a photograph moves
over the frames of a video, or over another photograph, among look-alikes and other objects, behind
occluders, and out of the frame.

A frame is made when it is asked for: a pure function of the data, (seed, length) and its index.
`composite_scene` says what moves where; this module draws it.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Dict, Iterator, List, Sequence, Tuple

import cv2
import numpy as np

from ..frames import read_frame
from ..transforms import SubwindowTransform
from .composite_cut import CutOuts, fill_outline, premultiply
from .composite_scene import Layer, annotate, arrange, drift

SIZES = [(240, 320), (240, 426), (270, 360), (270, 480), (320, 240)]  # of frames over photographs
SHORT_SIDE = 240  # pixels; backgrounds that are at least twice as large are read smaller


@dataclass(eq=False)
class CompositeFrames:
    """The frames of one sequence, and the annotation of its target."""

    cut_outs: CutOuts
    target: int  # number of the cut-out that is tracked
    # frames (see sot.data.frames): a video, which is played back and forth if it is too short; or
    # one photograph, of which a slowly moving part is shown
    background: Sequence
    seed: int  # non-negative; each is another sequence
    length: int
    size: Tuple[int, int]  # (height, width)
    reduction: int = 1  # factor by which the frames of a video are read smaller (see read_frame)

    def __len__(self) -> int:
        return self.length

    def name(self, i: int) -> str:
        return f"composite_{self.seed}/{i:04d}"

    def _layers(self) -> Tuple[List[Layer], int]:
        return arrange(self.cut_outs, self.target, self.seed, self.length, self.size)

    def annotation(self) -> Tuple[np.ndarray, np.ndarray]:
        """The boxes and the visibility of the target, see :func:`annotate`."""
        layers, place = self._layers()
        return annotate(layers[place], layers[place + 1 :], self.size)

    def track(self, name: str) -> Dict:
        boxes, visible = self.annotation()
        return {"name": name, "frames": self, "boxes": boxes, "visible": visible}

    def __getitem__(self, i: int) -> np.ndarray:
        """uint8 (H, W, 3) BGR."""
        if not 0 <= i < self.length:
            raise IndexError(f"frame {i} of {self.length} of composite sequence {self.seed}")
        background = self._background(i)
        frame = background.copy()
        light = cv2.resize(background, (12, 8), interpolation=cv2.INTER_AREA)
        blur = _blur_of(background)
        for layer in self._layers()[0]:
            _draw(frame, background, self.cut_outs, layer, i, light.mean(axis=2), blur)
        if np.ptp(light, axis=2).max() < 4:  # a gray video
            frame = cv2.merge([cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)] * 3)
        return frame

    def _background(self, i: int) -> np.ndarray:
        """Frame i without the layers."""
        count, rng = len(self.background), np.random.default_rng([self.seed, 1])
        if count > 1:
            # from a random frame on, and backward from the end
            first = rng.integers(max(1, count - self.length + 1))
            index = (first + i) % (2 * count - 2)
            index = min(index, 2 * count - 2 - index)
            image, _ = read_frame(self.background, index, self.reduction)
            return image if image.shape[:2] == self.size else cv2.resize(image, self.size[::-1])
        image, size = _read_photograph(self.background), np.array(self.size[::-1])
        limits = np.array(image.shape[1::-1])
        half = size / 2 * min(limits / size) * (0.8 + 0.15 * drift(rng, self.length)[i])
        center = half + (limits - 2 * half) * (0.5 + 0.5 * drift(rng, self.length, 2)[i])
        rect = np.concatenate([center - half, center + half])
        return SubwindowTransform(rect, self.size).apply_image(image)


@lru_cache(maxsize=4)
def _read_photograph(frames) -> np.ndarray:
    """The photograph, smaller where it is large."""
    image, _ = read_frame(frames, 0, 4)
    return image if min(image.shape[:2]) >= SHORT_SIDE else frames[0]


def _blur_of(image: np.ndarray) -> float:
    """The sigma of the Gaussian, in pixels, that blurs a sharp picture about as much as this one is
    blurred."""
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    edges, contrast = (cv2.meanStdDev(v)[1].item() for v in (cv2.Laplacian(gray, cv2.CV_16S), gray))
    # Measured on photographs that were reduced and blurred: edges are 0.45 of the contrast for
    # sigma 0.5, 0.24 for 0.8 and 0.15 for 1.2. A flat picture, which tells nothing, counts as 0.4.
    return min(0.18 * (contrast + 5) / (edges + 2), 1.5)


def _draw(frame, background, cut_outs: CutOuts, layer: Layer, i: int, light, blur: float) -> None:
    """Draw frame i of a layer over ``frame``, in place."""
    pose, limits = layer.pose[i], np.array(frame.shape[1::-1])
    extent = np.abs(pose[:, :2]).sum(axis=1)
    low = np.maximum(np.floor(pose[:, 2] - extent).astype(int) - 3, 0)
    high = np.minimum(np.ceil(pose[:, 2] + extent).astype(int) + 3, limits)
    if (low >= high).any():
        return
    sides = np.maximum(np.rint(2 * np.hypot(*pose[:, :2])), 1).astype(int)
    if layer.piece is None:
        sprite = _relight(cut_outs.sprite(layer.number), layer, light, pose[:, 2] / limits)
        sides = np.minimum(sides, sprite.shape[1::-1])
        sprite = cv2.resize(sprite, tuple(sides.tolist()), interpolation=cv2.INTER_AREA)
    else:
        sides = np.minimum(sides, limits)
        x, y = (np.array(layer.piece) * (limits - sides)).astype(int)
        piece = background[y : y + sides[1], x : x + sides[0]]
        sprite = premultiply(piece, fill_outline(layer.outline, piece.shape[:2]))
    # pixel centres of the sprite -> units of the outline -> pixel centres of the region
    scale = 2 / sides
    shift = pose[:, :2] @ (0.5 * scale - 1) + pose[:, 2] - low - 0.5
    matrix = np.concatenate([pose[:, :2] * scale, shift[:, None]], axis=1)
    sprite = cv2.warpAffine(sprite, matrix, tuple((high - low).tolist()))
    sprite = cv2.GaussianBlur(sprite, (0, 0), blur)
    region = frame[low[1] : high[1], low[0] : high[0]]
    through = cv2.merge([255 - sprite[..., 3]] * 3)
    region[:] = cv2.add(cv2.multiply(region, through, scale=1 / 255), sprite[..., :3])


def _relight(sprite: np.ndarray, layer: Layer, light: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The sprite in its colours and in the background's brightness at a place (x, y), 0 to 1."""
    x, y = np.clip(at * light.shape[::-1], 0, np.array(light.shape[::-1]) - 1).astype(int)
    blue, green, red, alpha = cv2.sumElems(sprite)
    own = 255 * (blue + green + red) / 3 / max(alpha, 1)
    gain = ((light[y, x] + 10) / (own + 10)) ** layer.adapts
    matrix = np.eye(4)
    matrix[:3, :3] = layer.colors * np.clip(gain, 0.4, 2.5)
    return cv2.transform(sprite, matrix)


def composite_tracks(
    cut_outs: CutOuts, backgrounds: Sequence[Dict], count: int, length: int, name: str
) -> Iterator[Dict]:
    """Make a number of tracks of ``length`` frames, each with another target and over another of
    the tracks ``backgrounds``, until all have been used. ValueError, with the ``name`` of the
    dataset: the only background of an object is its own photograph."""
    rng = np.random.default_rng(0)
    targets, places = rng.permutation(len(cut_outs)), rng.permutation(len(backgrounds))
    first_names = [track["frames"].name(0) for track in backgrounds]

    @lru_cache(maxsize=None)
    def background(place):
        """The frames, their size (None for a photograph), and the factor by which they are read
        smaller."""
        frames = backgrounds[place]["frames"]
        if len(frames) == 1:
            return frames, None, 1
        limit = max(1.0, min(frames[0].shape[:2]) / SHORT_SIDE)
        image, reduction = read_frame(frames, 0, limit)
        return frames, image.shape[:2], reduction

    for seed in range(count):
        target, place = int(targets[seed % len(targets)]), int(places[seed % len(places)])
        own = cut_outs.tracks[target]["frames"].name(0)
        if all(other == own for other in first_names):
            raise ValueError(
                f"dataset {name!r}: all objects are of {own}; another photograph is needed for "
                "the background"
            )
        while first_names[place] == own:
            place = int(rng.integers(len(places)))
        frames, size, reduction = background(place)
        size = size or SIZES[rng.integers(len(SIZES))]
        frames = CompositeFrames(cut_outs, target, frames, seed, length, size, reduction)
        yield frames.track(f"composite_{seed:05d}")
