"""From a pair of frames to the crops that the network sees."""

import logging
from typing import Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
from detectron2.config import configurable
from detectron2.data import transforms as T
from detectron2.structures import Boxes, Instances

from ..boxes import center_of, from_center, sides_of
from .corruptions import Compression, LowResolution, Occlusion, SensorNoise
from .frames import FrameError, read_frame
from .transforms import ColorJitter, MotionBlur, RandomWarp, TargetCrop, gray_transform
from .utils import numpy_seed

__all__ = ["SiameseDatasetMapper"]


class SiameseDatasetMapper:
    """Reads the two frames of a pair, cuts and augments a template and a search crop.

    A pure function of the pair: all random draws come from its ``seed``.
    """

    @configurable
    def __init__(
        self,
        *,
        template_augmentations: List[T.Augmentation],
        search_augmentations: List[T.Augmentation],
        warps: Sequence[Tuple[Optional[RandomWarp], float]] = ((None, 0.0), (None, 0.0)),
        gray_prob: float = 0.0,
        flip_prob: float = 0.0,
    ):
        """
        Args:
            template_augmentations, search_augmentations: a TargetCrop, and then what changes
                colours but moves nothing, in this order.
            warps: of template and search: a RandomWarp and its probability.
            gray_prob, flip_prob: probability that both crops become gray, are mirrored.
        """
        self.crops = template_augmentations[0], search_augmentations[0]
        self.warps = warps
        self.augmentations = [
            T.AugmentationList(augs[1:]) for augs in (template_augmentations, search_augmentations)
        ]
        self.gray_prob = gray_prob
        self.flip_prob = flip_prob
        logging.getLogger(__name__).info(
            f"template: {template_augmentations}, search: {search_augmentations}, "
            f"gray_prob: {gray_prob}, flip_prob: {flip_prob}"
        )

    @classmethod
    def from_config(cls, cfg):
        def augmentations(size, aug):
            crop = TargetCrop(
                size, cfg.INPUT.TEMPLATE_SIZE, cfg.INPUT.CONTEXT_AMOUNT, aug.SHIFT, aug.SCALE
            )
            return [
                crop,
                Occlusion(aug.OCCLUSION_PROB),
                ColorJitter(aug.COLOR_PROB),
                MotionBlur(aug.BLUR_PROB),
                LowResolution(aug.LOW_RESOLUTION_PROB),
                SensorNoise(aug.NOISE_PROB),
                Compression(aug.COMPRESSION_PROB),
            ]

        def warp(size, aug):
            return RandomWarp(size, aug.ROTATE, aug.SHEAR, aug.TILT), aug.WARP_PROB

        return {
            "template_augmentations": augmentations(
                cfg.INPUT.TEMPLATE_SIZE, cfg.INPUT.TEMPLATE_AUG
            ),
            "search_augmentations": augmentations(
                cfg.INPUT.SEARCH_SIZE_TRAIN, cfg.INPUT.SEARCH_AUG
            ),
            "warps": [
                warp(cfg.INPUT.TEMPLATE_SIZE, cfg.INPUT.TEMPLATE_AUG),
                warp(cfg.INPUT.SEARCH_SIZE_TRAIN, cfg.INPUT.SEARCH_AUG),
            ],
            "gray_prob": cfg.INPUT.GRAY_PROB,
            "flip_prob": cfg.INPUT.FLIP_PROB,
        }

    def __call__(self, pair: Dict) -> Optional[Dict]:
        """
        Args:
            pair: item of a PairDataset.

        Returns:
            dict: ``template`` (3, 127, 127) and ``search`` (3, 255, 255) uint8 BGR tensors;
            ``instances``: Instances with ``gt_boxes`` (1, 4), XYXY in search-crop pixels, and
            ``gt_negative`` (1,) bool; ``name``, which frames these are. None if a frame cannot
            be read.
        """
        frames = pair["template"], pair["search"]
        with numpy_seed(pair["seed"]):
            flip = np.random.uniform() < self.flip_prob
            gray = np.random.uniform() < self.gray_prob
            rects = [crop.draw_rect(f["box"]) for crop, f in zip(self.crops, frames)]
            try:
                images = self._read(frames, rects, gray)
            except FrameError as e:
                logging.getLogger(__name__).warning(f"pair left out: {e}")
                return None
            (z, _), (x, box) = [
                self._crop(branch, *images[branch], rects[branch], frames[branch]["box"], gray)
                for branch in (0, 1)
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
        """The two images, no larger than the crops need, and how much smaller than the frames
        they are (see read_frame); both are one where template and search are the same frame."""
        limits = [
            max(1.0, min(sides_of(rect)) / crop.size) for crop, rect in zip(self.crops, rects)
        ]
        template, search = frames
        if search["frames"] is template["frames"] and search["index"] == template["index"]:
            return [read_frame(template["frames"], template["index"], min(limits), gray)] * 2
        return [read_frame(f["frames"], f["index"], k, gray) for f, k in zip(frames, limits)]

    def _crop(self, branch, image, reduction, rect, box, gray):
        """Crop as a (3, S, S) uint8 tensor, and the box (1, 4) in it; ``rect`` and ``box`` are in
        pixels of the frame, which ``image`` shows reduced."""
        crop, (warp, warp_prob) = self.crops[branch], self.warps[branch]
        rect, box = rect / reduction, np.asarray(box, dtype=np.float64)[None] / reduction
        aug_input = T.AugInput(image, boxes=box)
        if np.random.uniform() < warp_prob:
            rect = from_center(center_of(rect), sides_of(rect) * warp.input_size / crop.size)
            aug_input.transform(crop.transform_to(rect, image, warp.input_size))
            warp(aug_input)
        else:
            aug_input.transform(crop.transform_to(rect, image))
        if gray:
            aug_input.image = cv2.cvtColor(aug_input.image, cv2.COLOR_GRAY2BGR)
        self.augmentations[branch](aug_input)
        if gray:  # again, as the white balance gives it a tint
            aug_input.transform(gray_transform())
        return torch.from_numpy(np.stack(cv2.split(aug_input.image))), aug_input.boxes
