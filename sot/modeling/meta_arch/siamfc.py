"""SiamFC: finds the position in the search region that looks most like the template."""

from typing import Dict, List

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage
from torch import nn

from ..anchor_generator import response_centers
from ..xcorr import xcorr
from .siamese import SiameseNetwork


@META_ARCH_REGISTRY.register()
class SiamFC(SiameseNetwork):
    """Fully-convolutional Siamese network (Bertinetto et al., ECCV-W 2016).

    The response map is the correlation of the template's features with those of the search
    region over all channels, times a fixed factor, plus a learned bias (Eq. 2). Each of its
    values is the logit of "the target's centre is here".
    """

    @configurable
    def __init__(
        self,
        *,
        in_feature: str,
        stride: int,
        out_scale: float = 0.001,
        pos_radius: float = 16.0,
        **kwargs,
    ):
        """
        Args:
            in_feature: name of the feature of backbone or neck that is correlated.
            stride: stride of that feature, in crop pixels.
            out_scale, pos_radius: see MODEL.SIAMFC in sot/config/keys.py.
        """
        super().__init__(**kwargs)
        self.in_feature = in_feature
        self.stride = stride
        self.out_scale = out_scale
        self.pos_radius = pos_radius
        self.bias = nn.Parameter(torch.zeros(1))

    @classmethod
    def from_config(cls, cfg):
        ret = super().from_config(cfg)
        shapes = cls.feature_shapes(ret["backbone"], ret["neck"])
        if len(shapes) != 1:
            raise ValueError(
                f"SiamFC correlates one feature, but the backbone gives {sorted(shapes)}; "
                "let it have one output (for a ResNet: MODEL.RESNETS.OUT_FEATURES)"
            )
        ((name, shape),) = shapes.items()
        return {
            **ret,
            "in_feature": name,
            "stride": shape.stride,
            "out_scale": cfg.MODEL.SIAMFC.OUT_SCALE,
            "pos_radius": cfg.MODEL.SIAMFC.POS_RADIUS,
        }

    def template(self, crops: torch.Tensor) -> List[torch.Tensor]:
        """Kernels [(N, C, Hz, Wz)] of N targets from template crops (N, 3, 127, 127)."""
        return [self.features(crops, is_template=True)[self.in_feature]]

    def detect(self, kernels: List[torch.Tensor], crops: torch.Tensor) -> torch.Tensor:
        """Response maps (N, H, W), logits, of search crops (N, 3, S, S). Their positions are the
        ``response_centers`` of sot/modeling/anchor_generator.py."""
        return self.predict(kernels, self.features(crops, is_template=False), crops.shape[-1])

    def predict(
        self, kernels: List[torch.Tensor], features: Dict[str, torch.Tensor], crop_size: int
    ) -> torch.Tensor:
        """The outputs of :meth:`detect`, from the features of search crops of side
        ``crop_size``."""
        (kernel,) = kernels
        response = xcorr(kernel, features[self.in_feature])
        return response[:, 0].float() * self.out_scale + self.bias

    @property
    def online_feature(self) -> str:
        """Name of the feature that a target model learned online reads."""
        return self.in_feature

    def inference(self, kernels, crops) -> List[Dict[str, torch.Tensor]]:
        """The response map of each pair: ``[{"response": (H, W) logits}]``."""
        return [{"response": response} for response in self.detect(kernels, crops)]

    def losses(self, kernels, crops, gt_instances: List[Instances]) -> Dict[str, torch.Tensor]:
        logits = self.detect(kernels, crops)
        positive = self.label_positions(logits.shape[1:], crops.shape[-1], gt_instances)
        get_event_storage().put_scalar(
            "siamfc/num_pos_positions", positive.sum().item() / len(positive)
        )
        return {"loss_response": balanced_logistic_loss(logits, positive)}

    @torch.no_grad()
    def label_positions(self, size, crop_size: int, gt_instances: List[Instances]) -> torch.Tensor:
        """Labels (N, H, W), bool, of the positions of a response map of ``size`` (H, W): a position
        is positive if it is at most ``pos_radius`` crop pixels away from the centre of ``gt_boxes``
        (Sec. 2.2). With ``gt_negative`` the box shows another object than the template, and all
        positions are negative."""
        y, x = response_centers(size, self.stride, crop_size, self.device)
        centers = torch.cat([i.gt_boxes.get_centers() for i in gt_instances])  # (N, 2)
        target = ~torch.cat([i.gt_negative for i in gt_instances])
        dx, dy = x - centers[:, :1], y - centers[:, 1:]  # (N, W), (N, H)
        distance = torch.hypot(dx[:, None, :], dy[:, :, None])
        return (distance <= self.pos_radius) & target[:, None, None]


def balanced_logistic_loss(logits: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """The logistic loss of maps (N, H, W), averaged over the maps (SiamFC, Sec. 2.2). The loss of a
    map is half the mean over its positive positions plus half the mean over its negative ones. The
    mean over no position is 0."""
    loss = F.binary_cross_entropy_with_logits(logits, positive.to(logits.dtype), reduction="none")
    # the counts are at least 1, since a negative pair has no positive position
    halves = [
        (loss * m).sum(dim=(1, 2)) / m.sum(dim=(1, 2)).clamp(min=1) for m in (positive, ~positive)
    ]
    return 0.5 * sum(halves).mean()
