"""Sequences of textured objects over textured backgrounds, rendered on demand from a seed.

The target moves, turns, scales and is occluded, among distractors (some with the same look) and
under a moving camera, changing light, motion blur and sensor noise. Nothing is stored on disk: a
frame is a pure function of (seed, length, size, index), so that frames can be read in any order
and in any process. Coordinates are as in `synthetic_motion`.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Dict, List, Optional, Tuple

import cv2
import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from .synthetic_motion import Plan, affine, annotate, make_plan, transform, wander
from .synthetic_texture import fractal_noise, paint_background, paint_sprite

__all__ = ["SyntheticFrames", "load_synthetic", "register_synthetic"]

EXPOSURE = 0.5  # of the time between two frames; the length of motion blur

# first seed, number of sequences and length of each split
SPLITS = {"train": (0, 400, 100), "val": (1_000_000, 12, 100)}


@dataclass
class Scene:
    """The painted parts of one sequence; lists are parallel to the plan's items."""

    background: np.ndarray  # larger than the frame, centred on it
    sprites: List[np.ndarray]  # premultiplied BGRA
    alphas: List[np.ndarray]
    shadows: List[Optional[np.ndarray]]  # premultiplied BGRA
    light: np.ndarray  # uint8, 128 is neutral; larger than the frame
    light_path: np.ndarray  # (T, 2) its offset
    gain: np.ndarray  # (T,)
    noise: np.ndarray  # int8, larger than the frame
    sharpness: float  # sigma of the lens's blur, pixels


def paint_shadow(alpha: np.ndarray) -> np.ndarray:
    """A soft black sprite, premultiplied BGRA, with the margin that its blur needs."""
    sigma = 0.08 * min(alpha.shape)
    pad = int(2 * sigma) + 1
    padded = cv2.copyMakeBorder(alpha, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    soft = cv2.GaussianBlur(padded, (0, 0), sigma) // 2
    return cv2.merge([np.zeros_like(soft)] * 3 + [soft])


@lru_cache(maxsize=1)
def _unit_noise(shape: Tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.standard_normal((*shape, 3), dtype=np.float32)


@lru_cache(maxsize=8)
def _scene(seed: int, length: int, size: Tuple[int, int]) -> Scene:
    rng = np.random.default_rng([seed, 1])
    h, w = size
    sprites, alphas = [], []
    for item in make_plan(seed, length, size).items:
        look = (np.random.default_rng(s) for s in item.look)
        sprite, alpha = paint_sprite(*look, item.outline, item.half_size)
        sprites.append(sprite)
        alphas.append(alpha)
    margin = int(0.35 * min(size))
    light = fractal_noise(rng, (2 * h, 2 * w), 0.8 * min(size), octaves=1)
    contrast = rng.uniform(0, 80)
    return Scene(
        background=paint_background(rng, (h + 2 * margin, w + 2 * margin)),
        sprites=sprites,
        alphas=alphas,
        shadows=[paint_shadow(alpha) for alpha in alphas],
        light=(128 + contrast * (light - 0.5)).astype(np.uint8),
        light_path=(0.5 + 0.5 * wander(rng, length, 2)).clip(0, 1) * (w, h),
        gain=np.exp(rng.choice([0.0, 0.1, 0.3]) * wander(rng, length)[:, 0]),
        noise=(_unit_noise((h + 32, w + 32)) * np.float32(rng.uniform(0, 6))).astype(np.int8),
        sharpness=rng.choice([0.0, 0.5, 0.9]),
    )


def _warp(image: np.ndarray, matrix: np.ndarray, size: Tuple[int, int], border: int) -> np.ndarray:
    """Warp by a (3, 3) matrix on continuous coordinates; OpenCV's are those of pixel centres."""
    matrix = matrix[:2].copy()
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(
        image, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderMode=border, borderValue=0
    )


def _centered(image: np.ndarray, half_size) -> np.ndarray:
    """(3, 3): pixels of a sprite -> outline units, the sprite's centre being the origin."""
    h, w = image.shape[:2]
    x, y = half_size
    return affine(1 / x, 0, 0, 1 / y, -w / 2 / x, -h / 2 / y)


def _motion_kernel(velocity: np.ndarray) -> Optional[np.ndarray]:
    """The line kernel of a motion (2,) in pixels per frame, or None if it is too slow to blur."""
    dx, dy = np.clip(velocity * EXPOSURE / 2, -7, 7)
    radius = int(np.ceil(max(abs(dx), abs(dy))))
    if max(abs(dx), abs(dy)) < 0.75:
        return None
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
    for step in np.linspace(-1, 1, 4 * radius + 1):
        kernel[int(round(radius + step * dy)), int(round(radius + step * dx))] += 1
    return kernel / kernel.sum()


def _composite(frame: np.ndarray, sprite: np.ndarray, matrix: np.ndarray, kernel) -> None:
    """Draw a premultiplied BGRA sprite over the frame, in place."""
    h, w = sprite.shape[:2]
    corners = transform(matrix[None], np.array([[0, 0], [w, 0], [w, h], [0, h]], float))[0]
    pad = 1 if kernel is None else 1 + len(kernel) // 2
    x0, y0 = np.maximum(np.floor(corners.min(axis=0)).astype(int) - pad, 0)
    x1, y1 = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + pad, frame.shape[1::-1])
    if x0 >= x1 or y0 >= y1:
        return
    matrix = affine(1, 0, 0, 1, -x0, -y0) @ matrix
    layer = _warp(sprite, matrix, (y1 - y0, x1 - x0), cv2.BORDER_CONSTANT)
    if kernel is not None:
        layer = cv2.filter2D(layer, -1, kernel)
    region = frame[y0:y1, x0:x1]
    through = cv2.cvtColor(255 - layer[..., 3], cv2.COLOR_GRAY2BGR)
    region[:] = cv2.add(cv2.multiply(region, through, scale=1 / 255), layer[..., :3])


class SyntheticFrames:
    """
    The frames of one synthetic sequence, and the annotation of its target.

    Args:
        seed: non-negative; each seed is another sequence.
        length: number of frames.
        size: (height, width) in pixels.
    """

    def __init__(self, seed: int, length: int = 100, size: Tuple[int, int] = (240, 320)):
        self.seed, self.length, self.size = int(seed), int(length), tuple(size)

    def __len__(self) -> int:
        return self.length

    def name(self, i: int) -> str:
        return f"synthetic_{self.seed}/{i:04d}"

    def annotation(self) -> Tuple[np.ndarray, np.ndarray]:
        """
        Returns:
            boxes: float32 (T, 4) XYXY frame pixels: the bounds of all of the target that is inside
                the frame, also where something occludes it; NaN where it is not visible.
            visible: bool (T,): at least MIN_VISIBLE of the target can be seen.
        """
        return annotate(self._plan(), self.size)

    def target_alpha(self, i: int) -> np.ndarray:
        """uint8 (H, W): the target's coverage of frame i without occlusion and motion blur."""
        plan, scene = self._parts()
        item, alpha = plan.items[plan.target], scene.alphas[plan.target]
        matrix = item.pose[i] @ _centered(alpha, item.half_size)
        return _warp(alpha, matrix, self.size, cv2.BORDER_CONSTANT)

    def __getitem__(self, i: int) -> np.ndarray:
        """uint8 (H, W, 3) BGR. Raises IndexError beyond the last frame."""
        if not 0 <= i < self.length:
            raise IndexError(f"frame {i} of {self.length} of synthetic sequence {self.seed}")
        plan, scene = self._parts()
        frame = self._background(plan, scene, i)
        for item, sprite, shadow in zip(plan.items, scene.sprites, scene.shadows):
            kernel = _motion_kernel(_velocity(item.pose[:, :2, 2], i))
            if shadow is not None:
                drop = affine(1, 0, 0, 1, *(0.15 * item.half_size.mean() * np.array([1.0, 1.2])))
                to_frame = item.pose[i] @ _centered(shadow, item.half_size)
                _composite(frame, shadow, drop @ to_frame, None)
            to_frame = item.pose[i] @ _centered(sprite, item.half_size)
            _composite(frame, sprite, to_frame, kernel)
        return self._expose(scene, frame, i)

    def _parts(self) -> Tuple[Plan, Scene]:
        return self._plan(), _scene(self.seed, self.length, self.size)

    def _plan(self) -> Plan:
        return make_plan(self.seed, self.length, self.size)

    def _background(self, plan: Plan, scene: Scene, i: int) -> np.ndarray:
        (h, w), (full_h, full_w) = self.size, scene.background.shape[:2]
        centre = affine(1, 0, 0, 1, (w - full_w) / 2, (h - full_h) / 2)
        border = cv2.BORDER_REFLECT_101
        frame = _warp(scene.background, plan.camera[i] @ centre, self.size, border)
        middle = transform(plan.camera, np.array([[w / 2, h / 2]]))[:, 0]
        kernel = _motion_kernel(_velocity(middle, i))
        return frame if kernel is None else cv2.filter2D(frame, -1, kernel)

    def _expose(self, scene: Scene, frame: np.ndarray, i: int) -> np.ndarray:
        """Light, lens and sensor."""
        h, w = self.size
        x, y = scene.light_path[i].astype(int)
        light = cv2.cvtColor(scene.light[y : y + h, x : x + w], cv2.COLOR_GRAY2BGR)
        frame = cv2.multiply(frame, light, scale=scene.gain[i] / 128)
        if scene.sharpness:
            frame = cv2.GaussianBlur(frame, (5, 5), scene.sharpness)
        x, y = np.random.default_rng([self.seed, 2, i]).integers(0, 32, 2)
        return cv2.add(frame, scene.noise[y : y + h, x : x + w], dtype=cv2.CV_8U)


def _velocity(path: np.ndarray, i: int) -> np.ndarray:
    """Pixels per frame (2,) at frame i of a path (T, 2)."""
    before, after = max(i - 1, 0), min(i + 1, len(path) - 1)
    return (path[after] - path[before]) / max(after - before, 1)


def load_synthetic(
    split: str, num_sequences: Optional[int] = None, length: Optional[int] = None
) -> List[Dict]:
    """
    Args:
        split: "train" or "val"; they share no seed.
        num_sequences, length: the split's own when not given.

    Returns:
        track dicts. The target is visible in the first frame of each.
    """
    if split not in SPLITS:
        raise ValueError(f"synthetic split '{split}' is not one of {', '.join(SPLITS)}")
    first, count, frames_each = SPLITS[split]
    tracks = []
    for k in range(num_sequences or count):
        frames = SyntheticFrames(first + k, length or frames_each)
        boxes, visible = frames.annotation()
        tracks.append(
            {"name": f"{split}_{k:04d}", "frames": frames, "boxes": boxes, "visible": visible}
        )
    return tracks


def register_synthetic() -> None:
    """Register `synthetic_train` and `synthetic_val`."""
    for split in SPLITS:
        name = f"synthetic_{split}"
        DatasetCatalog.register(name, lambda split=split: load_synthetic(split))
        MetadataCatalog.get(name).set(evaluator_type="sot", frame_range=100)
