"""Sequences made of cut-outs over real backgrounds: an object that is cut from a photograph moves
over the frames of a video, or over another photograph, among look-alikes and other objects, behind
occluders, and out of the frame.

A frame is made when it is asked for: a pure function of the data, (seed, length) and its index.
Coordinates are continuous pixels: an H x W frame spans [0, W] x [0, H]. T is the number of frames;
a pose (2, 3) maps column vectors (x, y, 1) in units of an outline to frame pixels.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import cv2
import numpy as np

from ..frames import read_frame
from ..transforms import SubwindowTransform
from .composite_cut import CutOuts, fill_outline, premultiply

SIZES = [(240, 320), (240, 426), (270, 360), (270, 480), (320, 240)]  # of frames over photographs
SHORT_SIDE = 240  # pixels; backgrounds that are at least twice as large are read smaller
TARGET_SIZE = (0.05, 0.35)  # root of its box's area, in short sides of the frame
MAX_ENLARGEMENT = 1.5  # of a cut-out
MIN_VISIBLE = 0.25  # below this fraction of its area, the target counts as not visible


@dataclass
class Layer:
    """A moving layer over the background: a cut-out, or a piece of the background with its
    shape."""

    outline: np.ndarray  # (N, 2), its bounds are -1 and 1
    pose: np.ndarray  # (T, 2, 3)
    number: int  # of the cut-out
    colors: np.ndarray = field(default_factory=lambda: np.eye(3))  # from BGR to BGR
    adapts: float = 0.0  # to the background's brightness: 0 not at all, 1 fully
    piece: Optional[Tuple[float, float]] = None  # where in the frame a piece is from, 0 to 1

    def roots(self) -> np.ndarray:
        """The square root (T,) of the area of its box before it is rotated, in pixels."""
        return 2 * np.sqrt(np.abs(np.linalg.det(self.pose[:, :, :2])))

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) in units of the outline -> points (T, N, 2) in frame pixels."""
        return points @ self.pose[:, :, :2].transpose(0, 2, 1) + self.pose[:, None, :, 2]

    def inner_points(self) -> np.ndarray:
        """A grid of points inside the outline, (T, N, 2) in frame pixels."""
        y, x = np.nonzero(fill_outline(self.outline, (16, 16)) > 127)
        return self.to_frame((np.stack([x, y], axis=1) + 0.5) / 8 - 1)

    def covers(self, points: np.ndarray) -> np.ndarray:
        """Which of the points (T, N, 2) the layer covers, (T, N) bool. T may be less than its
        number of frames."""
        mask = np.pad(fill_outline(self.outline, (32, 32)) > 127, 1)
        pose = self.pose[: len(points)]
        points = (points - pose[:, None, :, 2]) @ np.linalg.inv(pose[:, :, :2]).transpose(0, 2, 1)
        x, y = np.clip(np.floor(points * 16 + 17), 0, 33).astype(int).transpose(2, 0, 1)
        return mask[y, x]


def _drift(rng, length: int, dims: int = 1) -> np.ndarray:
    """A smooth random path (T, dims) in [-1, 1]: three waves of 25 to 200 frames."""
    period = np.exp(rng.uniform(*np.log([25, 200]), (3, 1, dims)))
    phase = rng.uniform(0, 2 * np.pi, (3, 1, dims))
    weight = rng.dirichlet(np.ones(3), dims).T[:, None]
    return (weight * np.sin(2 * np.pi * np.arange(length)[:, None] / period + phase)).sum(axis=0)


def _roam(rng, length: int, size: Tuple[int, int]) -> np.ndarray:
    """Centres (T, 2) of a moving object. In some sequences it leaves the frame; in the first frame
    it is inside."""
    margin = rng.choice([0.2, 0.1, -0.15], p=[0.5, 0.35, 0.15])
    drift = _drift(rng, length, 2) * rng.choice([0.3, 1.0, 2.0])
    angle = rng.uniform(-0.7, 0.7, 2) + drift - drift[0]
    return np.array(size[::-1]) * (0.5 + (0.5 - margin) * np.sin(angle))


def _pose(rng, center: np.ndarray, sides: np.ndarray, root: np.ndarray, turn: float) -> np.ndarray:
    """Poses (T, 2, 3) around the centres (T, 2), mirrored or not. The shape changes gradually
    around the ratio of the ``sides`` (2,). ``root`` (T,) is the square root of the area in pixels.
    The rotation is at most ``turn`` radians."""
    stretch, angle = (_drift(rng, len(center), 2) * (0.15, turn)).T
    stretch = np.exp(np.stack([stretch, -stretch], axis=1))
    half = root[:, None] / 2 * stretch * sides / np.sqrt(sides.prod())
    half[:, 0] *= rng.choice([-1, 1])
    cos, sin = np.cos(angle), np.sin(angle)
    axes = np.stack([cos, -sin, sin, cos], axis=1).reshape(-1, 2, 2) * half[:, None]
    return np.concatenate([axes, center[:, :, None]], axis=2)


def _mover(rng, cut_outs: CutOuts, number: int, center: np.ndarray, short: int, root=None) -> Layer:
    """A layer of a cut-out that moves along the centres (T, 2). Its size is around ``root``, the
    square root of its area, or random."""
    sides, outline = cut_outs.shape(number)
    low, high = short * np.array(TARGET_SIZE)
    high = max(low, min(high, MAX_ENLARGEMENT * np.sqrt(sides.prod())))
    change = np.exp(rng.choice([0.1, 0.3, 0.6]) * _drift(rng, len(center))[:, 0])
    roots = np.clip((rng.uniform(low, high) if root is None else root) * change, low, high)
    pose = _pose(rng, center, sides, roots, rng.choice([0.05, 0.25, 0.8]))
    colors = np.diag(np.exp(rng.choice([0.0, 0.15]) * rng.standard_normal(3)))
    return Layer(outline, pose, number, colors, adapts=rng.uniform(0, 0.7))


def _distractor(rng, cut_outs: CutOuts, target: Layer, size: Tuple[int, int]) -> Layer:
    """A distractor: a copy of the target in other colours, an object of its category, or another
    object; near the target or anywhere."""
    kind = rng.choice(["copy", "alike", "any"], p=[0.3, 0.3, 0.4])
    number = int(rng.integers(len(cut_outs)))
    if kind != "any":
        number = target.number if kind == "copy" else cut_outs.draw_alike(rng, target.number)
    length, roots = len(target.pose), target.roots()
    if rng.random() < 0.5:
        offset = rng.uniform(-2.5, 2.5, 2) + _drift(rng, length, 2)
        center = target.pose[:, :, 2] + roots.mean() * offset
    else:
        center = _roam(rng, length, size)
    root = None if kind == "any" else roots.mean() * np.exp(rng.normal(0, 0.2))
    layer = _mover(rng, cut_outs, number, center, min(size), root)
    if kind == "copy":  # other colours, and another brightness, which distinguishes gray objects
        order = [[1, 2, 0], [2, 0, 1], [2, 1, 0]][rng.integers(3)]
        layer.colors = target.colors[order] * rng.choice([0.5, 0.65, 1.4])
    return layer


def _occluder(rng, cut_outs: CutOuts, target: Layer) -> Layer:
    """An occluder: it hardly moves, and the target passes behind it."""
    length = len(target.pose)
    when = rng.integers(length // 6, length)
    root = target.roots()[when]
    offset = rng.uniform(-0.4, 0.4, 2) + 0.3 * _drift(rng, length, 2)
    center = target.pose[when, :, 2] + root * offset
    sides = rng.uniform(0.6, 1.5, 2) * (1, 3 if rng.random() < 0.4 else 1)  # a post, or not
    roots = np.full(length, root * np.sqrt(sides.prod()))
    pose = _pose(rng, center, sides, roots, 0.1)
    piece = tuple(rng.uniform(0, 1, 2)) if rng.random() < 0.6 else None
    number = int(rng.integers(len(cut_outs)))
    return Layer(cut_outs.shape(number)[1], pose, number, piece=piece)


def annotate(
    target: Layer, above: Sequence[Layer], size: Tuple[int, int]
) -> Tuple[np.ndarray, np.ndarray]:
    """
    Returns:
        boxes: float32 (T, 4) XYXY, the bounds of the whole outline of the target, including covered
            parts and parts beyond the border; NaN if all of it is outside the frame.
        visible: bool (T,), whether at least MIN_VISIBLE of its area is inside and not covered.
    """
    limits, points = np.array(size[::-1]), target.to_frame(target.outline)
    low, high = points.min(axis=1), points.max(axis=1)
    boxes = np.concatenate([low, high], axis=1).astype(np.float32)
    boxes[((high <= 0) | (low >= limits)).any(axis=1)] = np.nan
    points = target.inner_points()
    seen = ((points >= 0) & (points < limits)).all(axis=2)
    for layer in above:
        seen &= ~layer.covers(points)
    return boxes, (seen.mean(axis=1) >= MIN_VISIBLE) & np.isfinite(boxes[:, 0])


@lru_cache(maxsize=64)
def _arrange(frames: "CompositeFrames") -> Tuple[List[Layer], int]:
    """All layers in the order of drawing, and the index of the target. In the first frame nothing
    covers the target, because trackers start there."""
    rng, size, cut_outs = np.random.default_rng([frames.seed, 0]), frames.size, frames.cut_outs
    path = _roam(rng, len(frames), size)
    target = _mover(rng, cut_outs, frames.target, path, min(size))
    points = target.inner_points()[:1]
    below, above = [], []
    for _ in range(rng.choice(5, p=[0.2, 0.25, 0.25, 0.2, 0.1])):
        layer = _distractor(rng, cut_outs, target, size)
        hides = layer.covers(points).any()
        (below if hides or rng.random() < 0.5 else above).append(layer)
    for _ in range(rng.choice(3, p=[0.5, 0.35, 0.15])):
        layer = _occluder(rng, cut_outs, target)
        if not layer.covers(points).any():
            above.append(layer)
    return below + [target] + above, len(below)


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
    reduction: int = 1  # of a video, how much smaller its frames are read (see read_frame)

    def __len__(self) -> int:
        return self.length

    def name(self, i: int) -> str:
        return f"composite_{self.seed}/{i:04d}"

    def annotation(self) -> Tuple[np.ndarray, np.ndarray]:
        """The boxes and the visibility of the target, see :func:`annotate`."""
        layers, place = _arrange(self)
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
        for layer in _arrange(self)[0]:
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
        half = size / 2 * min(limits / size) * (0.8 + 0.15 * _drift(rng, self.length)[i])
        center = half + (limits - 2 * half) * (0.5 + 0.5 * _drift(rng, self.length, 2)[i])
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
        """Frames, their size, and how much smaller they are read; no size of a photograph."""
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
