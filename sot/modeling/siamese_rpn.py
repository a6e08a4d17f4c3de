"""Region proposals for one target: detectron2's RPN with a template."""

from typing import Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.layers import cat
from detectron2.modeling.anchor_generator import build_anchor_generator
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.proposal_generator import PROPOSAL_GENERATOR_REGISTRY, RPN
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import get_event_storage
from fvcore.nn import giou_loss, smooth_l1_loss

from ..boxes import center_of, from_center, sides_of
from .distillation import distillation_losses
from .joint_batch import joint_sums


@PROPOSAL_GENERATOR_REGISTRY.register()
class SiameseRPN(RPN):
    """The RPN of SiamRPN. It inherits detectron2's labelling and sampling of anchors and coding of
    boxes, and differs in four points: the head takes template kernels; all boxes are returned
    without suppression, because the tracker ranks them; an anchor is positive only if its overlap
    is high enough (no low-quality matches); the losses are balanced differently."""

    @configurable
    def __init__(
        self, *, distillation_weight: float = 1.0, distillation_box_weight: float = 1.0, **kwargs
    ):
        """
        Args:
            distillation_weight: factor on the losses against a teacher's soft targets.
            distillation_box_weight: a further factor on the loss against the teacher's boxes.
            kwargs: as for detectron2's RPN.
        """
        super().__init__(**kwargs)
        self.distillation_weight = distillation_weight
        self.distillation_box_weight = distillation_box_weight
        if self.box_reg_loss_type not in ("smooth_l1", "giou"):
            raise ValueError(
                "MODEL.RPN.BBOX_REG_LOSS_TYPE must be 'smooth_l1' or 'giou', "
                f"not {self.box_reg_loss_type!r}"
            )
        weights = torch.tensor(self.box2box_transform.weights)
        self.register_buffer("delta_weights", weights, persistent=False)

    @classmethod
    def from_config(cls, cfg, input_shape):
        ret = super().from_config(cfg, input_shape)
        # a head on several levels gives one response map, so one level of anchors is enough
        ret["anchor_generator"] = build_anchor_generator(cfg, [input_shape[ret["in_features"][0]]])
        ret["anchor_matcher"] = Matcher(
            cfg.MODEL.RPN.IOU_THRESHOLDS, cfg.MODEL.RPN.IOU_LABELS, allow_low_quality_matches=False
        )
        ret["distillation_weight"] = cfg.MODEL.DISTILL.WEIGHT
        ret["distillation_box_weight"] = cfg.MODEL.DISTILL.BOX_WEIGHT
        return ret

    def template(self, features: Dict[str, torch.Tensor]) -> List[torch.Tensor]:
        """Kernels of the targets, batch first, from their template features (N, C, Hz, Wz)."""
        return self.rpn_head.template([features[f] for f in self.in_features])

    def predict(self, kernels: List[torch.Tensor], features: Dict[str, torch.Tensor]):
        """Logits [(N, A, H, W)] and deltas [(N, A*4, H, W)] of the head for search features."""
        return self.rpn_head(kernels, [features[f] for f in self.in_features])

    def forward(
        self,
        kernels: List[torch.Tensor],
        features: Dict[str, torch.Tensor],
        crop_size: int,
        gt_instances: Optional[List[Instances]] = None,
    ) -> Tuple[torch.Tensor, torch.Tensor, Dict[str, torch.Tensor]]:
        """
        Args:
            kernels (list[Tensor]): output of :meth:`template` for N targets.
            features (dict[str, Tensor]): search features, (N, C, Hx, Wx) each.
            crop_size (int): side of the search crops.
            gt_instances (list[Instances]): for training, N items with one ``gt_boxes`` each and
                ``gt_negative`` (bool), which says that the box shows another object than the
                template. With a teacher also ``gt_teacher`` (1, 5, H, W), see
                sot/modeling/distillation.py.

        Returns:
            Tensor: (N, R, 4) boxes, XYXY in crop pixels, neither clipped nor suppressed.
            Tensor: (N, R) logits.
            dict[str, Tensor]: losses; empty without ``gt_instances``.
        """
        logits, deltas = self.predict(kernels, features)
        anchors = self.anchor_generator(logits, crop_size)
        # (N, A, H, W) -> (N, H, W, A) -> (N, H*W*A)
        logits = [x.permute(0, 2, 3, 1).flatten(1).float() for x in logits]
        # (N, A*4, H, W) -> (N, A, 4, H, W) -> (N, H, W, A, 4) -> (N, H*W*A, 4)
        deltas = [
            x.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, -2).float() for x in deltas
        ]
        losses = {}
        if gt_instances is not None:
            gt_labels, gt_boxes = self.label_and_sample_anchors(anchors, gt_instances)
            losses = self.losses(anchors, logits, gt_labels, deltas, gt_boxes)
            if gt_instances[0].has("gt_teacher"):
                losses.update(self.teacher_losses(anchors, logits, deltas, gt_instances))
        boxes, logits = self._decode(anchors, deltas), cat(logits, dim=1)
        return boxes, logits, losses

    @torch.no_grad()
    def _decode(self, anchors: List[Boxes], deltas: List[torch.Tensor]) -> torch.Tensor:
        """The same as box2box_transform.apply_deltas, for all samples and both axes at once. A
        tracking step decodes few boxes, so its time is the number of operations, and this needs a
        fourth of them."""
        anchors, deltas = Boxes.cat(anchors).tensor, cat(deltas, dim=1)
        deltas = deltas / self.delta_weights
        sizes = sides_of(anchors)
        centers = center_of(anchors) + deltas[..., :2] * sizes
        scales = deltas[..., 2:].clamp(max=self.box2box_transform.scale_clamp).exp()
        return from_center(centers, scales * sizes)

    @torch.no_grad()
    def label_and_sample_anchors(self, anchors, gt_instances):
        """As in RPN. In a negative pair the anchors on the box are sampled in the same way and then
        labelled as background: they are the hard negatives (DaSiamRPN, Sec. 3.2)."""
        gt_labels, gt_boxes = super().label_and_sample_anchors(anchors, gt_instances)
        for labels, instances in zip(gt_labels, gt_instances):
            if instances.gt_negative.any():
                labels[labels == 1] = 0
        return gt_labels, gt_boxes

    def losses(self, anchors, pred_objectness_logits, gt_labels, pred_anchor_deltas, gt_boxes):
        """Balanced classification loss and per-image box loss, as in PySOT's recipe.

        ``loss_rpn_cls`` is half the mean binary cross-entropy over the positive anchors of the
        batch plus half the mean over the negative ones. ``loss_rpn_loc`` is the box loss summed
        over the four deltas, averaged over the positives of each image, and then over images.
        The means are over the joint batch of all processes, each of which must call this.

        Arguments are those of detectron2's ``RPN.losses``.
        """
        labels = torch.stack(gt_labels)  # (N, R)
        pos, neg = labels == 1, labels == 0
        logits, deltas = cat(pred_objectness_logits, dim=1), cat(pred_anchor_deltas, dim=1)
        num_images, num_pos = len(labels), pos.sum(dim=1)

        counts, num_ranks = joint_sums(num_pos.sum(), neg.sum())
        means = [count / (num_images * num_ranks) for count in counts.tolist()]
        get_event_storage().put_scalar("rpn/num_pos_anchors", means[0])
        get_event_storage().put_scalar("rpn/num_neg_anchors", means[1])

        bce = F.binary_cross_entropy_with_logits(logits, pos.to(logits.dtype), reduction="none")
        # the counts are at least 1, since a batch may have no positive anchor
        counts = counts.clamp(min=1) / num_ranks
        loss_cls = 0.5 * sum((bce * m).sum() / count for m, count in zip((pos, neg), counts))

        anchor_boxes = Boxes.cat(anchors).tensor.expand(num_images, -1, -1)[pos]
        target_boxes = torch.stack(gt_boxes)[pos]
        if self.box_reg_loss_type == "giou":
            boxes = self.box2box_transform.apply_deltas(deltas[pos], anchor_boxes)
            per_anchor = giou_loss(boxes, target_boxes, reduction="none")
        else:
            targets = self.box2box_transform.get_deltas(anchor_boxes, target_boxes)
            per_anchor = smooth_l1_loss(
                deltas[pos], targets, beta=self.smooth_l1_beta, reduction="none"
            ).sum(dim=1)
        weight = (1.0 / num_pos.clamp(min=1))[:, None].expand_as(labels)[pos]
        losses = {
            "loss_rpn_cls": loss_cls,
            "loss_rpn_loc": (per_anchor * weight).sum() / num_images,
        }
        return {k: v * self.loss_weight.get(k, 1.0) for k, v in losses.items()}

    def teacher_losses(self, anchors, logits, deltas, gt_instances) -> Dict[str, torch.Tensor]:
        """``loss_teacher_cls`` and ``loss_teacher_loc``, with the weights of :meth:`losses`."""
        losses = distillation_losses(
            Boxes.cat(anchors).tensor,
            cat(logits, dim=1),
            cat(deltas, dim=1),
            cat([x.gt_teacher for x in gt_instances]),
            self.box2box_transform,
        )
        losses["loss_teacher_loc"] = (
            losses["loss_teacher_loc"]
            * self.loss_weight.get("loss_rpn_loc", 1.0)
            * self.distillation_box_weight
        )
        return {k: v * self.distillation_weight for k, v in losses.items()}
