"""Sequences that need no data: painted objects that move over painted backgrounds.

They move and are drawn as in `composite`. A frame is drawn when it is read, and is a pure function
of (seed, length, size) and its index. Images are BGR uint8."""

from functools import lru_cache, partial
from typing import Dict, List, Tuple

import cv2
import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from .composite import CompositeFrames
from .composite_cut import fill_outline, premultiply

# first seed, number of sequences and length of each split
SPLITS = {"train": (0, 400, 100), "val": (1_000_000, 12, 100)}
LOOKS = 8  # colours in which an object comes


class PaintedObjects:
    """Painted objects by number, instead of `CutOuts`. LOOKS consecutive objects share outline and
    texture, and differ in colour."""

    def __len__(self):
        return 1 << 30

    def shape(self, number: int) -> Tuple[np.ndarray, np.ndarray]:
        """Width and height (2,) in pixels; and the outline (64, 2), whose bounds are -1 and 1."""
        rng = np.random.default_rng([number // LOOKS, 0])
        sides = rng.uniform(50, 120) * np.exp(rng.uniform(-0.4, 0.4) * np.array([1, -1]))
        return sides, _outline(rng)

    @lru_cache(maxsize=64)  # noqa: B019  these objects are small
    def sprite(self, number: int) -> np.ndarray:
        """uint8 (H, W, 4), colours premultiplied with alpha."""
        sides, outline = self.shape(number)
        structure, colors = (np.random.default_rng(s) for s in ([number // LOOKS, 1], [number, 2]))
        width, height = np.rint(sides).astype(int)
        cell = min(sides) * structure.uniform(0.2, 0.7)
        image = _texture(structure, colors, (height, width), cell)
        for _ in range(structure.integers(1, 4)):  # parts of another texture
            part = _texture(structure, colors, (height, width), cell / 2)
            _stamp(structure, image, part, min(sides) * structure.uniform(0.3, 0.7, 2))
        # brighter towards a light from above
        slope = np.linspace(1.2, 0.7, height)[:, None, None]
        image = np.clip(image * slope, 0, 255).astype(np.uint8)
        return premultiply(image, fill_outline(outline, (height, width)))

    def draw_alike(self, rng, number: int) -> int:
        """The number of a random object with the same outline and texture."""
        return number - number % LOOKS + int(rng.integers(LOOKS))


class PaintedBackground:
    """One large picture as frames (see sot.data.frames)."""

    def __init__(self, seed: int, size: Tuple[int, int]):
        self.seed, self.size = seed, size

    def __len__(self):
        return 1

    def name(self, i: int) -> str:
        return f"background {self.seed}"

    def __getitem__(self, i: int) -> np.ndarray:
        shape = tuple(int(1.4 * side) for side in self.size)
        return paint_background(np.random.default_rng([self.seed, 3]), shape)


class SyntheticFrames(CompositeFrames):
    """The frames of one sequence, and the annotation of its target. Each non-negative seed gives
    another sequence with another target. ``size`` is (height, width) in pixels."""

    def __init__(self, seed: int, length: int = 100, size: Tuple[int, int] = (240, 320)):
        background = PaintedBackground(seed, size)
        super().__init__(PaintedObjects(), LOOKS * seed, background, seed, length, tuple(size))

    def name(self, i: int) -> str:
        return f"synthetic_{self.seed}/{i:04d}"


def _outline(rng) -> np.ndarray:
    """(64, 2): an ellipse, a rounded box, or a blob with bays; its bounds are -1 and 1."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.sign(unit) * np.abs(unit) ** rng.choice([1.0, 0.6, 0.3])
    for k in range(2, 6):
        wave = rng.choice([0.0, 0.25]) / k * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
        points *= 1 + wave[:, None]
    low, high = points.min(axis=0), points.max(axis=0)
    return (2 * points - low - high) / (high - low)


def _noise(rng, shape: Tuple[int, int], cell: float) -> np.ndarray:
    """float32 (H, W) in [0, 1]; its coarsest structures have ``cell`` pixels."""
    noise = np.zeros(shape, np.float32)
    for octave in range(4):
        step = max(cell / 2**octave, 1.0)
        grid = rng.random((int(shape[0] / step) + 2, int(shape[1] / step) + 2), dtype=np.float32)
        noise += cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC) * 0.6**octave
    return cv2.normalize(noise, None, 0.0, 1.0, cv2.NORM_MINMAX)


def _texture(structure, colors, shape: Tuple[int, int], cell: float) -> np.ndarray:
    """uint8 (H, W, 3): noise, or stripes or checks that noise bends, in two to four colours, drawn
    from two generators; its structures have about ``cell`` pixels."""
    field = _noise(structure, shape, cell * structure.uniform(1, 3))
    kind, bend = structure.choice(["noise", "stripes", "checks"]), structure.uniform(0, 4) * field
    if kind != "noise":
        turn = np.exp(1j * structure.uniform(0, np.pi)) * np.pi / cell
        plane = turn * (np.arange(shape[1]) + 1j * np.arange(shape[0])[:, None])
        field = np.sin(plane.real + bend)
        field = 0.5 + 0.5 * field * (np.sin(plane.imag + bend) if kind == "checks" else 1)
    if structure.random() < 0.4:  # hard edges
        field = 0.5 + 0.5 * np.tanh((field - 0.5) * structure.uniform(4, 15))
    count = colors.integers(2, 5)
    hue = colors.uniform(0, 180) + colors.normal(0, colors.choice([6, 25]), count)
    saturation = colors.choice([40, 90, 160]) + colors.normal(0, 30, count)
    value = colors.uniform(60, 200) + colors.normal(0, 50, count)
    knots = np.stack([hue % 180, saturation.clip(0, 230), value.clip(20, 245)], axis=1)
    knots = cv2.cvtColor(knots[None].astype(np.uint8), cv2.COLOR_HSV2BGR)
    palette = cv2.resize(knots, (256, 1), interpolation=cv2.INTER_LINEAR)[0]
    grain = structure.standard_normal(shape, dtype=np.float32) * structure.uniform(2, 10)
    return palette[np.clip(field * 255 + grain, 0, 255).astype(np.uint8)]


def _stamp(rng, image: np.ndarray, part: np.ndarray, size) -> None:
    """Copy a shape of ``part`` onto the image, at a random place of both; size: (w, h) pixels."""
    width, height = np.maximum(np.rint(size), 2).astype(int)
    y, x = (int(rng.integers(max(1, a - b + 1))) for a, b in zip(image.shape, (height, width)))
    region = image[y : y + height, x : x + width]
    mask = fill_outline(_outline(rng), region.shape[:2])
    cv2.copyTo(part[y : y + height, x : x + width], mask, region)


def paint_background(rng, shape: Tuple[int, int]) -> np.ndarray:
    """Ground, patches of other ground, and clutter: uint8 (H, W, 3)."""
    ground, other = (_texture(rng, rng, shape, rng.uniform(10, 60)) for _ in range(2))
    patches = _noise(rng, shape, 0.5 * min(shape)) > rng.uniform(0.4, 0.8)
    cv2.copyTo(other, patches.astype(np.uint8), ground)
    for _ in range(rng.integers(0, 20)):
        part = other if rng.random() < 0.5 else np.roll(ground, shape[0] // 2, axis=0)
        _stamp(rng, ground, part, min(shape) * rng.uniform(0.05, 0.25, 2))
    return cv2.GaussianBlur(ground, (0, 0), rng.uniform(0.3, 1.2))


def load_synthetic(split: str) -> List[Dict]:
    """The tracks of "train" or "val", which share no seed. Their targets are visible in the first
    frame."""
    first, count, length = SPLITS[split]
    frames = [SyntheticFrames(first + k, length) for k in range(count)]
    return [f.track(f"{split}_{k:04d}") for k, f in enumerate(frames)]


def register_synthetic() -> None:
    """Register `synthetic_train` and `synthetic_val`."""
    for split in SPLITS:
        name = f"synthetic_{split}"
        DatasetCatalog.register(name, partial(load_synthetic, split))
        MetadataCatalog.get(name).set(evaluator_type="sot", frame_range=100)
