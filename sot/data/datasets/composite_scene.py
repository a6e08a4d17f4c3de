"""What moves where in a sequence of `composite`: the layers over its background, and the annotation
of the target.

Coordinates are continuous pixels: an H x W frame spans [0, W] x [0, H]. T is the number of frames;
a pose (2, 3) maps column vectors (x, y, 1) in units of an outline to frame pixels.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import List, Optional, Sequence, Tuple

import numpy as np

from .composite_cut import CutOuts, fill_outline

TARGET_SIZE = (0.05, 0.35)  # root of its box's area, in short sides of the frame
MAX_ENLARGEMENT = 1.5  # largest factor on the size of a cut-out
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


def drift(rng, length: int, dims: int = 1) -> np.ndarray:
    """A smooth random path (T, dims) in [-1, 1]: three waves of 25 to 200 frames."""
    period = np.exp(rng.uniform(*np.log([25, 200]), (3, 1, dims)))
    phase = rng.uniform(0, 2 * np.pi, (3, 1, dims))
    weight = rng.dirichlet(np.ones(3), dims).T[:, None]
    return (weight * np.sin(2 * np.pi * np.arange(length)[:, None] / period + phase)).sum(axis=0)


def _roam(rng, length: int, size: Tuple[int, int]) -> np.ndarray:
    """Centres (T, 2) of a moving object. In some sequences it leaves the frame; in the first frame
    it is inside."""
    margin = rng.choice([0.2, 0.1, -0.15], p=[0.5, 0.35, 0.15])
    path = drift(rng, length, 2) * rng.choice([0.3, 1.0, 2.0])
    angle = rng.uniform(-0.7, 0.7, 2) + path - path[0]
    return np.array(size[::-1]) * (0.5 + (0.5 - margin) * np.sin(angle))


def _pose(rng, center: np.ndarray, sides: np.ndarray, root: np.ndarray, turn: float) -> np.ndarray:
    """Poses (T, 2, 3) around the centres (T, 2), mirrored or not. The shape changes gradually
    around the ratio of the ``sides`` (2,). ``root`` (T,) is the square root of the area in pixels.
    The rotation is at most ``turn`` radians."""
    stretch, angle = (drift(rng, len(center), 2) * (0.15, turn)).T
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
    change = np.exp(rng.choice([0.1, 0.3, 0.6]) * drift(rng, len(center))[:, 0])
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
        offset = rng.uniform(-2.5, 2.5, 2) + drift(rng, length, 2)
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
    offset = rng.uniform(-0.4, 0.4, 2) + 0.3 * drift(rng, length, 2)
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
def arrange(
    cut_outs: CutOuts, target: int, seed: int, length: int, size: Tuple[int, int]
) -> Tuple[List[Layer], int]:
    """All layers of a sequence of ``length`` frames of the size (H, W) in the order of drawing, and
    the index of the target, which is the cut-out with this number. In the first frame nothing
    covers the target, because trackers start there."""
    rng = np.random.default_rng([seed, 0])
    path = _roam(rng, length, size)
    target = _mover(rng, cut_outs, target, path, min(size))
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
