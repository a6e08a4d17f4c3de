"""Sequences made from photographs: an object that is cut from one of them moves over another, among
look-alikes and other objects, behind occluders, under a moving camera and changing light.

They move as the synthetic sequences do (see `synthetic_motion`), and are rendered like them when a
frame is asked for: a frame is a pure function of the photographs, (seed, length, size) and its
index. Coordinates are continuous pixels. The truth is exact: the bounds of the shape that was cut.
"""

from functools import lru_cache
from typing import Dict, Iterator, Tuple

import cv2
import numpy as np
from detectron2.data import transforms as T

from ..corruptions import Compression, LowResolution
from ..frames import read_frame
from ..transforms import SubwindowTransform
from ..utils import numpy_seed
from .composite_cut import CutOut, CutOuts
from .synthetic import Scene, SyntheticFrames, paint_shadow
from .synthetic_motion import Item, Plan, affine, arrange, camera_path, roam, wander
from .synthetic_texture import sprite_mask, superellipse

__all__ = ["CompositeFrames", "composite_tracks"]

SIZES = [(240, 320), (240, 426), (270, 360), (270, 480), (320, 240), (360, 480)]  # of frames
TARGET_SIZE = (0.09, 0.4)  # root of its area, in short sides of the frame
MAX_ENLARGEMENT = 1.5  # of a cut-out

_DAMAGE = T.AugmentationList([LowResolution(0.2, 3.0), Compression(0.3, (20, 70))])


def _mover(rng, cut_outs: CutOuts, number: int, length: int, size: Tuple[int, int]) -> Item:
    """A cut-out that roams over the frame; its look is its number and the seed of its colours."""
    cut_out = cut_outs[number]
    outline = cut_out.outline or [superellipse((0, 0), (1, 1), rng.uniform(2.2, 6))]
    half_size = (cut_out.box[2:] - cut_out.box[:2]) / 2
    wanted = min(size) * np.exp(rng.uniform(*np.log(TARGET_SIZE))) / 2
    half_size *= min(MAX_ENLARGEMENT, wanted / np.sqrt(half_size.prod()))
    pose = roam(rng, half_size, length, size)
    # seen from the side, roughly: a shear; and mirrored
    shear = rng.choice([0.0, 0.2]) * wander(rng, length)[:, 0]
    pose = pose @ affine(rng.choice([-1, 1]), shear, 0, 1, 0, 0)
    return Item(outline, half_size, pose, (number, int(rng.integers(1 << 31))))


@lru_cache(maxsize=64)
def _make_plan(
    cut_outs: CutOuts, target: int, seed: int, length: int, size: Tuple[int, int]
) -> Plan:
    """The geometry of a sequence, as make_plan of `synthetic_motion`."""
    rng = np.random.default_rng([seed, 0])
    camera = camera_path(rng, length, size)
    item = _mover(rng, cut_outs, target, length, size)

    def distractor():
        kind = rng.choice(["copy", "alike", "any"], p=[0.15, 0.35, 0.5])
        if kind == "any":
            number = int(rng.integers(len(cut_outs)))
        else:
            number = target if kind == "copy" else cut_outs.draw_alike(rng, target)
        return _mover(rng, cut_outs, number, length, size)

    return arrange(rng, camera, item, distractor, size)


def _paint_cut_out(cut_out: CutOut, item: Item) -> Tuple[np.ndarray, np.ndarray]:
    """Sprite and alpha as of paint_sprite: what is in the box, in the item's outline and size."""
    rng = np.random.default_rng(item.look[1])
    alpha = sprite_mask(item.outline, item.half_size)
    alpha = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.3, 1.0))
    sides = cut_out.box[2:] - cut_out.box[:2]
    limit = max(1.0, (sides / 2 / item.half_size).min())
    image, reduction = read_frame(cut_out.photograph, 0, limit)
    center = (cut_out.box[:2] + cut_out.box[2:]) / 2
    half = sides / 2 * (alpha.shape[::-1] / (2 * item.half_size))
    rect = np.concatenate([center - half, center + half]) / reduction
    color = SubwindowTransform(rect, alpha.shape, image.shape[:2]).apply_image(image)
    color = _change_light(rng, color, rng.choice([0.0, 0.1, 0.2]))
    color = cv2.multiply(color, cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR), scale=1 / 255)
    return cv2.merge([color, alpha]), alpha


def _change_light(rng, image: np.ndarray, amount: float) -> np.ndarray:
    """Another exposure, and a lesser tint."""
    gain = np.exp(amount * (rng.standard_normal() + 0.3 * rng.standard_normal(3)))
    table = np.clip(np.outer(np.arange(256), gain), 0, 255).astype(np.uint8)
    return cv2.LUT(image, table[None])


def _paint_background(rng, cut_out: CutOut, shape: Tuple[int, int]) -> np.ndarray:
    """A part of a photograph in another size, (H, W, 3) uint8; stretched a little where its
    aspect ratio is another."""
    part = rng.uniform(0.7, 1.0)
    limit = part * min(np.divide(cut_out.photograph_size, shape))
    image, _ = read_frame(cut_out.photograph, 0, max(1.0, limit))
    sides = np.array(image.shape[1::-1], dtype=float)
    scale = part * np.minimum(sides / shape[::-1], 1.4 * min(sides / shape[::-1]))
    low = rng.uniform(0, 1, 2) * (sides - scale * shape[::-1])
    rect = np.concatenate([low, low + scale * shape[::-1]])
    background = SubwindowTransform(rect, shape, image.shape[:2]).apply_image(image)
    return cv2.flip(background, 1) if rng.random() < 0.5 else background


@lru_cache(maxsize=4)
def _noise(sigma: int) -> np.ndarray:
    """int8, larger than any frame."""
    side = np.max(SIZES) + 32
    noise = sigma * np.random.default_rng(0).standard_normal((side, side, 3), dtype=np.float32)
    return np.rint(noise).astype(np.int8)


@lru_cache(maxsize=4)
def _make_scene(
    cut_outs: CutOuts, target: int, seed: int, length: int, size: Tuple[int, int]
) -> Scene:
    rng = np.random.default_rng([seed, 1])
    h, w = size
    sprites, alphas, shadows = [], [], []
    has_shadows = rng.random() < 0.3
    for item in _make_plan(cut_outs, target, seed, length, size).items:
        # an occluder's look is any number
        sprite, alpha = _paint_cut_out(cut_outs[item.look[0] % len(cut_outs)], item)
        sprites.append(sprite)
        alphas.append(alpha)
        shadows.append(paint_shadow(alpha) if has_shadows else None)
    own = place = cut_outs[target]
    while place.photograph.name(0) == own.photograph.name(0):
        place = cut_outs[int(rng.integers(len(cut_outs)))]
    margin = int(0.35 * min(size))
    light = (128 + rng.choice([0, 20, 40]) * rng.uniform(-1, 1, (5, 6))).astype(np.uint8)
    for scale, smooth in ((16, cv2.INTER_CUBIC), (1, cv2.INTER_LINEAR)):  # the first costs more
        light = cv2.resize(light, (2 * w // scale, 2 * h // scale), interpolation=smooth)
    return Scene(
        background=_paint_background(rng, place, (h + 2 * margin, w + 2 * margin)),
        sprites=sprites,
        alphas=alphas,
        shadows=shadows,
        light=light,
        light_path=(0.5 + 0.5 * wander(rng, length, 2)).clip(0, 1) * (w, h),
        gain=np.exp(rng.choice([0.0, 0.1, 0.3]) * wander(rng, length)[:, 0]),
        noise=_noise(int(rng.choice([0, 2, 5]))),
        sharpness=rng.choice([0.0, 0.5, 0.9]),
    )


class CompositeFrames(SyntheticFrames):
    """The frames of one sequence, and the annotation of its target."""

    def __init__(
        self, cut_outs: CutOuts, target: int, seed: int, length: int, size: Tuple[int, int]
    ):
        """
        Args:
            cut_outs: the objects to draw from.
            target: number of the one that is tracked.
            seed, length, size: as of SyntheticFrames.
        """
        super().__init__(seed, length, size)
        self.cut_outs, self.target = cut_outs, target

    def name(self, i: int) -> str:
        return f"composite_{self.seed}/{i:04d}"

    def __getitem__(self, i: int) -> np.ndarray:
        """As of SyntheticFrames. Raises FrameError if a photograph cannot be read."""
        frame = T.AugInput(super().__getitem__(i))
        with numpy_seed(self.seed):  # the same for all frames
            _DAMAGE(frame)
        return frame.image

    def _plan(self) -> Plan:
        return _make_plan(self.cut_outs, self.target, self.seed, self.length, self.size)

    def _parts(self) -> Tuple[Plan, Scene]:
        scene = _make_scene(self.cut_outs, self.target, self.seed, self.length, self.size)
        return self._plan(), scene


def composite_tracks(cut_outs: CutOuts, count: int, length: int) -> Iterator[Dict]:
    """As many tracks of ``length`` frames, each with another target until all had their turn.

    The target is visible in the first frame of each.
    """
    targets = np.random.default_rng(0).permutation(len(cut_outs))
    for number in range(count):
        size = SIZES[np.random.default_rng([number, 2]).integers(len(SIZES))]
        target = int(targets[number % len(targets)])
        frames = CompositeFrames(cut_outs, target, number, length, size)
        boxes, visible = frames.annotation()
        name = f"composite_{number:05d}"
        yield {"name": name, "frames": frames, "boxes": boxes, "visible": visible}
