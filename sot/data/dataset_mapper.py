"""Turns a pair of frames into the crops that the network sees."""

import contextlib
import functools
import logging
from typing import Dict, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
import torch
from detectron2.config import configurable
from detectron2.data import transforms as T
from detectron2.structures import Boxes, Instances

from ..boxes import center_of, from_center, sides_of
from .corruptions import (
    ColorJitter,
    Compression,
    LowResolution,
    MotionBlur,
    Occlusion,
    SensorNoise,
    gray_transform,
)
from .frames import FrameError, read_frame
from .transforms import RandomWarp, TargetCrop


class CropAugmentations(NamedTuple):
    """The augmentations that make one of the two crops of a pair, in the order of their use."""

    crop: TargetCrop  # cuts it out around the target
    warp: RandomWarp  # turns and tilts it
    pixels: List[T.RandomApply]  # change it and move nothing

    @classmethod
    def from_config(cls, cfg, key: str, size: int) -> "CropAugmentations":
        """The augmentations of crops of side ``size``, by the keys under INPUT.``key``, which is
        "TEMPLATE_AUG" or "SEARCH_AUG"."""
        aug, context = cfg.INPUT[key], cfg.INPUT.CONTEXT_AMOUNT
        return cls(
            TargetCrop(size, cfg.INPUT.TEMPLATE_SIZE, context, aug.SHIFT, aug.SCALE),
            RandomWarp(size, aug.WARP_PROB),
            [
                T.RandomApply(Occlusion(), aug.OCCLUSION_PROB),
                T.RandomApply(ColorJitter(), aug.COLOR_PROB),
                T.RandomApply(MotionBlur(), aug.BLUR_PROB),
                T.RandomApply(LowResolution(), aug.LOW_RESOLUTION_PROB),
                T.RandomApply(SensorNoise(), aug.NOISE_PROB),
                T.RandomApply(Compression(), aug.COMPRESSION_PROB),
            ],
        )

    def __str__(self) -> str:
        """The augmentations with their settings, for the log. Those of probability 0 are left
        out."""
        pixels = [f"{p.aug} with probability {p.prob:g}" for p in self.pixels if p.prob]
        return ", ".join([str(self.crop), str(self.warp), *pixels])


class SiameseDatasetMapper:
    """Reads the two frames of a pair, cuts and augments a template and a search crop.

    A pure function of the pair: all random draws come from its ``seed``.
    """

    @configurable
    def __init__(
        self,
        *,
        template: CropAugmentations,
        search: CropAugmentations,
        gray_prob: float = 0.0,
        flip_prob: float = 0.0,
    ):
        """``gray_prob`` and ``flip_prob`` are the probabilities that both crops of a pair are
        turned into gray, and are mirrored."""
        self.branches = template, search
        self.gray_prob = gray_prob
        self.flip_prob = flip_prob
        logger = logging.getLogger(__name__)
        logger.info(f"template crops: {template}")
        logger.info(f"search crops: {search}")
        logger.info(f"both crops of a pair: gray_prob {gray_prob:g}, flip_prob {flip_prob:g}")

    @classmethod
    def from_config(cls, cfg):
        size, search_size = cfg.INPUT.TEMPLATE_SIZE, cfg.INPUT.SEARCH_SIZE_TRAIN
        return {
            "template": CropAugmentations.from_config(cfg, "TEMPLATE_AUG", size),
            "search": CropAugmentations.from_config(cfg, "SEARCH_AUG", search_size),
            "gray_prob": cfg.INPUT.GRAY_PROB,
            "flip_prob": cfg.INPUT.FLIP_PROB,
        }

    def __call__(self, pair: Dict) -> Optional[Dict]:
        """Map an item of a PairDataset.

        Returns:
            dict: ``template`` (3, 127, 127) and ``search`` (3, 255, 255), uint8 BGR tensors;
            ``instances``, Instances with ``gt_boxes`` (1, 4), XYXY in pixels of the search crop,
            and ``gt_negative`` (1,) bool; ``name``, which names the two frames. None if a frame
            cannot be read.
        """
        frames = pair["template"], pair["search"]
        with numpy_seed(pair["seed"]):
            flip = np.random.uniform() < self.flip_prob
            gray = np.random.uniform() < self.gray_prob
            rects = [b.crop.draw_rect(f["box"]) for b, f in zip(self.branches, frames)]
            try:
                images = self._read(frames, rects, gray)
            except FrameError as e:
                logging.getLogger(__name__).warning(f"pair left out: {e}")
                return None
            (z, _), (x, box) = [
                _cut(branch, *image, rect, frame["box"], gray)
                for branch, image, rect, frame in zip(self.branches, images, rects, frames)
            ]
        if flip:
            z, x = z.flip(2), x.flip(2)
            box[:, [0, 2]] = x.shape[2] - box[:, [2, 0]]
        instances = Instances(x.shape[-2:])
        instances.gt_boxes = Boxes(torch.from_numpy(box.astype(np.float32)))
        instances.gt_negative = torch.tensor([pair["negative"]])
        name = " -> ".join(f"{f['name']} frame {f['index']}" for f in frames)
        return {"template": z, "search": x, "instances": instances, "name": name}

    def _read(self, frames, rects, gray) -> List[Tuple[np.ndarray, int]]:
        """The two images, no larger than the crops need them, and the factor by which each is
        smaller than its frame (see read_frame). If template and search are the same frame, it is
        read only once."""
        limits = [
            max(1.0, min(sides_of(rect)) / branch.crop.size)
            for branch, rect in zip(self.branches, rects)
        ]
        template, search = frames
        if search["frames"] is template["frames"] and search["index"] == template["index"]:
            return [read_frame(template["frames"], template["index"], min(limits), gray)] * 2
        return [read_frame(f["frames"], f["index"], k, gray) for f, k in zip(frames, limits)]


def _cut(branch: CropAugmentations, image, reduction, rect, box, gray):
    """The crop as a (3, S, S) uint8 tensor, and the box (1, 4) in the crop. ``rect`` and ``box``
    are in pixels of the frame; ``image`` is that frame at a reduced size."""
    crop, warp, pixels = branch
    rect, box = rect / reduction, np.asarray(box, dtype=np.float64)[None] / reduction
    aug_input = T.AugInput(image, boxes=box)
    if np.random.uniform() < warp.prob:
        rect = from_center(center_of(rect), sides_of(rect) * warp.input_size / crop.size)
        aug_input.transform(crop.transform_to(rect, image, warp.input_size))
        warp(aug_input)
    else:
        aug_input.transform(crop.transform_to(rect, image))
    if gray:
        aug_input.image = cv2.cvtColor(aug_input.image, cv2.COLOR_GRAY2BGR)
    for augmentation in pixels:
        augmentation(aug_input)
    if gray:  # a second time, because the white balance has given the gray image a tint
        aug_input.transform(gray_transform())
    return torch.from_numpy(np.stack(cv2.split(aug_input.image))), aug_input.boxes


@contextlib.contextmanager
def numpy_seed(seed: int):
    """Seed NumPy's global generator, from which detectron2's augmentations draw, for a ``with``
    block. The state of the generator is restored afterwards."""
    if hasattr(np.random, "set_bit_generator"):  # numpy 1.24; copying the state takes far longer
        restore = functools.partial(np.random.set_bit_generator, np.random.get_bit_generator())
        np.random.set_bit_generator(np.random.PCG64(seed))
    else:
        restore = functools.partial(np.random.set_state, np.random.get_state())
        np.random.seed(seed)
    try:
        yield
    finally:
        restore()
