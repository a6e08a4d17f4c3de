"""SiamRPN, and with other configs SiamRPN++."""

import math
from typing import Dict, List, Tuple

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_proposal_generator
from detectron2.structures import Boxes, Instances

from .siamese import SiameseNetwork


@META_ARCH_REGISTRY.register()
class SiamRPN(SiameseNetwork):
    """Siamese network with a region proposal head (Li et al., CVPR 2018), a SiameseRPN."""

    @configurable
    def __init__(self, *, proposal_generator, **kwargs):
        super().__init__(**kwargs)
        self.proposal_generator = proposal_generator

    @classmethod
    def from_config(cls, cfg):
        ret = super().from_config(cfg)
        shapes = cls.feature_shapes(ret["backbone"], ret["neck"])
        ret["proposal_generator"] = build_proposal_generator(cfg, shapes)
        return ret

    @property
    def num_anchors(self) -> int:
        """A, the number of anchors at each position of the response map."""
        return self.proposal_generator.anchor_generator.num_anchors[0]

    @property
    def stride(self) -> int:
        """Stride of the response map, in crop pixels."""
        return self.proposal_generator.anchor_generator.strides[0]

    def template(self, crops: torch.Tensor) -> List[torch.Tensor]:
        """Kernels of N targets, batch first, from template crops (N, 3, 127, 127)."""
        return self.proposal_generator.template(self.features(crops, is_template=True))

    def search(
        self, kernels: List[torch.Tensor], crops: torch.Tensor
    ) -> Tuple[List[torch.Tensor], List[torch.Tensor]]:
        """Raw predictions for search crops (N, 3, S, S): logits [(N, A, H, W)] and deltas
        [(N, A*4, H, W)]."""
        return self.proposal_generator.predict(kernels, self.features(crops, is_template=False))

    def detect(
        self, kernels: List[torch.Tensor], crops: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """All boxes (N, R, 4), XYXY in crop pixels, and their scores (N, R) in 0..1."""
        return self.predict(kernels, self.features(crops, is_template=False), crops.shape[-1])

    def predict(
        self, kernels: List[torch.Tensor], features: Dict[str, torch.Tensor], crop_size: int
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """The outputs of :meth:`detect`, from the features of search crops of side
        ``crop_size``."""
        boxes, logits, _ = self.proposal_generator(kernels, features, crop_size)
        return boxes, logits.sigmoid()

    @property
    def online_feature(self) -> str:
        """Name of the feature that a target model learned online reads."""
        names = self.proposal_generator.in_features
        return names[len(names) // 2]

    def losses(self, kernels, crops, gt_instances: List[Instances]) -> Dict[str, torch.Tensor]:
        features = self.features(crops, is_template=False)
        return self.proposal_generator(kernels, features, crops.shape[-1], gt_instances)[2]

    def inference(self, kernels, crops) -> List[Dict]:
        """The best box of each pair, and the best logit of each position:
        ``[{"instances": Instances(pred_boxes, scores), "response": (H, W)}]``."""
        features = self.features(crops, is_template=False)
        boxes, logits, _ = self.proposal_generator(kernels, features, crops.shape[-1])
        side = math.isqrt(logits.shape[1] // self.num_anchors)
        responses = logits.unflatten(1, (side, side, -1)).amax(dim=3)
        results = []
        for boxes_i, logits_i, response in zip(boxes, logits, responses):
            best = logits_i.argmax(dim=0, keepdim=True)
            instances = Instances(tuple(crops.shape[-2:]))
            instances.pred_boxes = Boxes(boxes_i[best])
            instances.scores = logits_i[best].sigmoid()
            results.append({"instances": instances, "response": response})
        return results
