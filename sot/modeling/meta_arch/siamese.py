"""What the networks of all Siamese trackers have in common."""

from typing import Dict, List, Optional

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone, build_backbone
from torch import nn

from ..backbone.neck import build_neck


class SiameseNetwork(nn.Module):
    """Base of the registered meta-architectures: one backbone for template and search region.

    Subclasses add ``template`` (kernels of targets; runs once for each target), ``detect``
    (predictions for search crops; runs once for each frame), ``predict`` (the same from search
    features), ``online_feature``, ``inference`` and ``losses``. The module stores nothing about a
    target, so one set of weights follows any number of targets.
    """

    engine = "torch"

    def __init__(self, *, backbone: Backbone, neck: Optional[nn.Module], pixel_mean, pixel_std):
        """
        Args:
            backbone: gives the features of crops.
            neck: None, or a module that maps ``(features dict, is_template)`` to a features dict.
            pixel_mean, pixel_std: one number for each channel, in BGR order.
        """
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)

    @classmethod
    def from_config(cls, cfg):
        if cfg.INPUT.FORMAT != "BGR":
            raise ValueError(f"INPUT.FORMAT must be 'BGR', not {cfg.INPUT.FORMAT!r}")
        backbone = build_backbone(cfg)
        return {
            "backbone": backbone,
            "neck": build_neck(cfg, backbone.output_shape()),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
        }

    @property
    def device(self):
        return self.pixel_mean.device

    @staticmethod
    def feature_shapes(backbone: Backbone, neck: Optional[nn.Module]) -> Dict[str, ShapeSpec]:
        """The shapes of the features that :meth:`features` returns."""
        return (backbone if neck is None else neck).output_shape()

    def features(self, crops: torch.Tensor, is_template: bool) -> Dict[str, torch.Tensor]:
        """Backbone and neck features of crops (N, 3, S, S), uint8 or float in 0..255, BGR."""
        features = self.backbone(self._normalize(crops))
        return self.neck(features, is_template) if self.neck is not None else features

    def _normalize(self, crops: torch.Tensor) -> torch.Tensor:
        """Crops as floats on the network's device, minus the mean, divided by the standard
        deviation, in channels_last."""
        crops = (crops.to(self.device).float() - self.pixel_mean) / self.pixel_std
        return crops.contiguous(memory_format=torch.channels_last)

    def detect_with_features(self, kernels: List[torch.Tensor], crops: torch.Tensor):
        """The outputs of ``detect`` for search crops (N, 3, S, S), and the features (N, C, h, w)
        that a target model learned online reads."""
        features = self.features(crops, is_template=False)
        outputs = self.predict(kernels, features, crops.shape[-1])
        return outputs, features[self.online_feature]

    def forward(self, batched_inputs: List[Dict]):
        """The losses in training mode; otherwise the result of :meth:`inference`.

        Args:
            batched_inputs (list[dict]): pairs from SiameseDatasetMapper: ``template`` (3, 127, 127)
                and ``search`` (3, 255, 255) uint8 tensors; and, for training, ``instances``:
                Instances with ``gt_boxes`` (1, 4) in search-crop pixels and ``gt_negative`` (1,).
        """
        template = torch.stack([x["template"] for x in batched_inputs])
        search = torch.stack([x["search"] for x in batched_inputs])
        kernels = self.template(template)
        if not self.training:
            return self.inference(kernels, search)
        return self.losses(
            kernels, search, [x["instances"].to(self.device) for x in batched_inputs]
        )
