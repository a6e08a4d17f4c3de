"""How synthetic sequences move: the geometry of every item in every frame, and the annotation.

Shapes: T frames; matrices map column vectors (x, y, 1). Coordinates are continuous frame pixels: an
H x W frame spans [0, W] x [0, H]; sizes are (height, width).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Callable, List, Tuple

import numpy as np

from .synthetic_texture import Outline, outline_mask, random_outline

MIN_VISIBLE = 0.15  # below this fraction of its area, the target counts as not visible


@dataclass
class Item:
    """Something that moves in front of the background."""

    outline: Outline
    half_size: np.ndarray  # (2,) pixels of one unit of the outline
    pose: np.ndarray  # (T, 3, 3) outline units -> frame pixels
    look: Tuple[int, int]  # seeds of structure and of colours


@dataclass
class Plan:
    """The geometry of one sequence; `items` are in drawing order."""

    items: List[Item]
    target: int  # index in items
    camera: np.ndarray  # (T, 3, 3) world -> frame pixels


def _interpolate(knots: np.ndarray, period: float, length: int) -> np.ndarray:
    """Catmull-Rom spline through knots (K, D), one every `period` frames -> (T, D)."""
    t = np.arange(length) / period
    i = t.astype(int)
    u = (t - i)[:, None]
    a, b, c, d = (knots[i + k] for k in range(4))
    return 0.5 * (
        2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * (b - c) + d - a) * u**3
    )


def wander(rng, length: int, dims: int = 1, steps: bool = False) -> np.ndarray:
    """A smooth random path (T, dims): knots in [-1, 1], or a walk of such steps from 0."""
    period = rng.uniform(10, 30)
    knots = rng.uniform(-1, 1, (int(length / period) + 5, dims))
    if steps:
        knots *= rng.uniform(0.1, 1.0, (len(knots), 1))  # so the speed changes
        knots = np.cumsum(knots, axis=0) - knots[0]
    return _interpolate(knots, period, length)


def _fold(x: np.ndarray, low, high) -> np.ndarray:
    """Reflect x into [low, high] (a triangle wave)."""
    span = np.asarray(high) - low
    return low + span - np.abs((x - low) % (2 * span) - span)


def affine(a, b, c, d, x, y) -> np.ndarray:
    """Rows (a b x), (c d y), (0 0 1), broadcast -> (..., 3, 3)."""
    a, b, c, d, x, y = np.broadcast_arrays(*(np.asarray(v, float) for v in (a, b, c, d, x, y)))
    one, zero = np.ones_like(a), np.zeros_like(a)
    return np.stack([a, b, x, c, d, y, zero, zero, one], axis=-1).reshape(*a.shape, 3, 3)


def transform(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(T, 3, 3) applied to (N, 2) -> (T, N, 2)."""
    return points @ matrix[:, :2, :2].transpose(0, 2, 1) + matrix[:, None, :2, 2]


def _pose(rng, center: np.ndarray, half_size: np.ndarray, turn: float) -> np.ndarray:
    """Poses (T, 3, 3) around the centers (T, 2), with scale and aspect changing, and turning."""
    length = len(center)
    scale = np.exp(rng.choice([0.1, 0.3, 0.5]) * wander(rng, length)[:, 0])
    stretch = np.exp(0.12 * wander(rng, length)[:, 0])
    angle = turn * wander(rng, length, steps=True)[:, 0]
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = half_size[0] * scale * stretch, half_size[1] * scale / stretch
    return affine(cos * x, -sin * y, sin * x, cos * y, center[:, 0], center[:, 1])


def _random_half_size(rng, short_side: int) -> np.ndarray:
    size = short_side * rng.uniform(0.06, 0.17)
    aspect = np.exp(rng.uniform(-0.45, 0.45))
    return np.array([size * aspect, size / aspect])


def _mover(rng, length: int, size: Tuple[int, int], like: Item = None) -> Item:
    """An object that roams over the frame; `like`: one whose looks it shares, but for colour."""
    outline = like.outline if like else random_outline(rng)
    half_size = like.half_size if like else _random_half_size(rng, min(size))
    look, colours = rng.integers(1 << 31, size=2)
    if like:
        look = like.look[0]
        colours = like.look[1] if rng.random() < 0.4 else colours
    pose = roam(rng, half_size, length, size)
    return Item(outline, half_size, pose, (int(look), int(colours)))


def roam(rng, half_size: np.ndarray, length: int, size: Tuple[int, int]) -> np.ndarray:
    """Poses (T, 3, 3) of something that moves about in the frame, turns, and grows and shrinks."""
    extent = np.array([size[1], size[0]], float)
    step = half_size.mean() * rng.choice([1.0, 2.0, 4.0])
    walk = rng.uniform(0.15, 0.85, 2) * extent + step * wander(rng, length, 2, steps=True)
    margin = rng.choice([0.12, -0.05]) * extent  # a negative one lets it leave the frame in part
    turn = rng.choice([0.05, 0.2, 0.8])
    return _pose(rng, _fold(walk, margin, extent - margin), half_size, turn)


def occluder(rng, target: Item, camera: np.ndarray, size: Tuple[int, int]) -> Item:
    """Something that the target passes behind: fixed in the world, or crossing its path."""
    length = len(camera)
    when = rng.integers(length // 5, max(length, length // 5 + 1))
    meeting = target.pose[when, :2, 2] + rng.uniform(-0.7, 0.7, 2) * target.half_size
    half_size = target.half_size.mean() * rng.uniform(0.5, 1.4, 2)
    if rng.random() < 0.5:  # a post
        half_size[1] *= 3
    if rng.random() < 0.6:
        place = np.linalg.inv(camera[when]) @ np.append(meeting, 1)
        pose = camera @ affine(half_size[0], 0, 0, half_size[1], place[0], place[1])
    else:
        velocity = rng.uniform(-0.2, 0.2, 2) * half_size.mean()
        center = meeting + velocity * (np.arange(length) - when)[:, None]
        pose = _pose(rng, center, half_size, 0.1)
    look = rng.integers(1 << 31, size=2)
    return Item(random_outline(rng), half_size, pose, (int(look[0]), int(look[1])))


def camera_path(rng, length: int, size: Tuple[int, int]) -> np.ndarray:
    """Shift, zoom and roll about the frame's center: (T, 3, 3)."""
    h, w = size
    amount = rng.choice([0.0, 0.3, 1.0])
    shift = amount * 0.25 * min(size) * wander(rng, length, 2, steps=True)
    shift = shift + rng.choice([0.0, 0.5]) * rng.standard_normal((length, 2))  # hand shake
    shift = _fold(shift, -0.3 * min(size), 0.3 * min(size))
    zoom = np.exp(0.08 * amount * wander(rng, length)[:, 0])
    roll = 0.05 * amount * wander(rng, length)[:, 0]
    cos, sin = zoom * np.cos(roll), zoom * np.sin(roll)
    about = affine(1, 0, 0, 1, -w / 2, -h / 2)
    return affine(cos, -sin, sin, cos, w / 2 + shift[:, 0], h / 2 + shift[:, 1]) @ about


def _inner_points(outline: Outline) -> np.ndarray:
    """A grid of points (N, 2) inside an outline, in its units."""
    mask = outline_mask(outline, (12, 12), (24, 24)) > 0
    y, x = np.nonzero(mask)
    return (np.stack([x, y], axis=1) + 0.5) / 12 - 1


def _covers(item: Item, points: np.ndarray, frames: slice = slice(None)) -> np.ndarray:
    """Which of the points (T, N, 2), in frame pixels, the item covers: bool (T, N)."""
    mask = np.pad(outline_mask(item.outline, (32, 32), (64, 64)) > 0, 1)
    inverse = np.linalg.inv(item.pose[frames])
    index = np.clip(np.floor(transform(inverse, points) * 32 + 33), 0, 65).astype(int)
    return mask[index[..., 1], index[..., 0]]


@lru_cache(maxsize=64)
def make_plan(seed: int, length: int, size: Tuple[int, int]) -> Plan:
    """The geometry of the sequence of a seed."""
    rng = np.random.default_rng([seed, 0])
    camera = camera_path(rng, length, size)
    target = _mover(rng, length, size)

    def distractor():
        return _mover(rng, length, size, target if rng.random() < 0.4 else None)

    return arrange(rng, camera, target, distractor, size)


def arrange(
    rng, camera: np.ndarray, target: Item, distractor: Callable[[], Item], size: Tuple[int, int]
) -> Plan:
    """
    Put distractors and occluders around a target, none of which hides it in the first frame.

    Args:
        distractor: makes another one each time.
    """
    # the first frame, which gives a tracker its target, shows all of it
    first = slice(0, 1)
    points = transform(target.pose[first], _inner_points(target.outline))
    below, above = [], []
    for _ in range(rng.integers(0, 5)):
        other = distractor()
        hides = _covers(other, points, first).any()
        (below if hides or rng.random() < 0.5 else above).append(other)
    for _ in range(rng.integers(0, 4)):
        other = occluder(rng, target, camera, size)
        if not _covers(other, points, first).any():
            above.append(other)
    return Plan(below + [target] + above, len(below), camera)


def _clip_polygon(polygon: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """The part of a polygon (N, 2) that is inside the frame (Sutherland-Hodgman): (M, 2)."""
    h, w = size
    for axis, sign, offset in ((0, 1, 0), (0, -1, w), (1, 1, 0), (1, -1, h)):
        depth = sign * polygon[:, axis] + offset
        if (depth >= 0).all():
            continue
        following, next_depth = np.roll(polygon, -1, axis=0), np.roll(depth, -1)
        inside, crosses = depth >= 0, (depth >= 0) != (next_depth >= 0)
        part = depth / np.where(crosses, depth - next_depth, 1)
        crossing = polygon + part[:, None] * (following - polygon)
        both = np.stack([polygon, crossing], axis=1)
        polygon = both[np.stack([inside, crosses], axis=1)]
    return polygon


def _bounds(item: Item, size: Tuple[int, int]) -> np.ndarray:
    """XYXY (T, 4) of what of the item is inside the frame; NaN where nothing is."""
    h, w = size
    points = transform(item.pose, np.concatenate(item.outline))
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    for i in np.flatnonzero((boxes[:, :2] < 0).any(axis=1) | (boxes[:, 2:] > (w, h)).any(axis=1)):
        parts = [transform(item.pose[i : i + 1], part)[0] for part in item.outline]
        inside = np.concatenate([_clip_polygon(part, size) for part in parts])
        boxes[i] = [*inside.min(axis=0), *inside.max(axis=0)] if len(inside) else np.nan
    return boxes


def annotate(plan: Plan, size: Tuple[int, int]) -> Tuple[np.ndarray, np.ndarray]:
    """Boxes (T, 4) float32 XYXY, NaN where not visible, and visible (T,) bool."""
    h, w = size
    target = plan.items[plan.target]
    boxes = _bounds(target, size)
    points = transform(target.pose, _inner_points(target.outline))
    seen = ((points >= 0) & (points < (w, h))).all(axis=2)
    for item in plan.items[plan.target + 1 :]:
        seen &= ~_covers(item, points)
    visible = (seen.mean(axis=1) >= MIN_VISIBLE) & (boxes[:, 2:] - boxes[:, :2] >= 2).all(axis=1)
    boxes[~visible] = np.nan
    return boxes.astype(np.float32), visible
