"""From a pair of frames to the crops that the network sees."""

import logging
from typing import Dict, List, Optional

import numpy as np
import torch
from detectron2.config import configurable
from detectron2.data import transforms as T
from detectron2.structures import Boxes, Instances
from fvcore.transforms.transform import HFlipTransform

from .frames import FrameError
from .transforms import ColorJitter, MotionBlur, TargetCrop, gray_transform
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
        gray_prob: float = 0.0,
        flip_prob: float = 0.0,
    ):
        """
        Args:
            template_augmentations, search_augmentations: applied in order; the first is a
                TargetCrop.
            gray_prob, flip_prob: probability that both crops become gray, are mirrored.
        """
        self.template_augmentations = T.AugmentationList(template_augmentations)
        self.search_augmentations = T.AugmentationList(search_augmentations)
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
            return [crop, ColorJitter(aug.COLOR_PROB), MotionBlur(aug.BLUR_PROB)]

        return {
            "template_augmentations": augmentations(
                cfg.INPUT.TEMPLATE_SIZE, cfg.INPUT.TEMPLATE_AUG
            ),
            "search_augmentations": augmentations(
                cfg.INPUT.SEARCH_SIZE_TRAIN, cfg.INPUT.SEARCH_AUG
            ),
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
            ``gt_negative`` (1,) bool. None if a frame cannot be read.
        """
        template, search = pair["template"], pair["search"]
        try:
            image = template["frames"][template["index"]]
            same = search["frames"] is template["frames"] and search["index"] == template["index"]
            search_image = image if same else search["frames"][search["index"]]
        except FrameError as e:
            logging.getLogger(__name__).warning(f"pair left out: {e}")
            return None
        with numpy_seed(pair["seed"]):
            flip = np.random.uniform() < self.flip_prob
            gray = np.random.uniform() < self.gray_prob
            z, _ = self._crop(image, template["box"], self.template_augmentations, flip, gray)
            x, box = self._crop(search_image, search["box"], self.search_augmentations, flip, gray)
        instances = Instances(x.shape[-2:])
        instances.gt_boxes = Boxes(torch.as_tensor(box, dtype=torch.float32))
        instances.gt_negative = torch.tensor([pair["negative"]])
        return {"template": z, "search": x, "instances": instances}

    @staticmethod
    def _crop(image, box, augmentations, flip, gray):
        """Crop as a (3, S, S) uint8 tensor, and the box in it, (1, 4)."""
        aug_input = T.AugInput(image, boxes=np.asarray(box, dtype=np.float64)[None])
        augmentations(aug_input)
        if flip:
            aug_input.transform(HFlipTransform(aug_input.image.shape[1]))
        if gray:
            aug_input.transform(gray_transform())
        crop = np.ascontiguousarray(aug_input.image.transpose(2, 0, 1))
        return torch.from_numpy(crop), aug_input.boxes
