"""Losses against the soft targets of a teacher (MODEL.DISTILL).

A teacher's map has five channels on the positions of the response map: the probability that the
target is there, and the box that the teacher sees there, XYXY in pixels of the search crop.
"""

from typing import Dict, Tuple

import torch
import torch.nn.functional as F
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes
from detectron2.structures.boxes import matched_pairwise_iou
from fvcore.nn import giou_loss

from .joint_batch import joint_sums

# IoU of an anchor with the teacher's box at its position. Above the second value the target of the
# anchor is the teacher's probability, below the first it is 0. Between the two the anchor is
# ignored, unless the teacher is sure that the target is not there.
IOU_THRESHOLDS = (0.3, 0.5)
SURELY_BACKGROUND = 0.1  # probability of the teacher
FOREGROUND = 0.3  # target above which an anchor learns the teacher's box


def soft_targets(anchors: torch.Tensor, teacher: torch.Tensor) -> Tuple[torch.Tensor, ...]:
    """The targets of the anchors by a teacher.

    Args:
        anchors: (R, 4) XYXY in pixels of the search crop, in the order (H, W, A).
        teacher: (N, 5, H, W), the teacher's maps.

    Returns:
        Tensor: (N, R) target probability of each anchor.
        Tensor: (N, R) bool, whether the anchor takes part in the classification loss.
        Tensor: (N, R, 4) the teacher's box at each anchor's position.
    """
    n, _, h, w = teacher.shape
    per_position = teacher.flatten(2).transpose(1, 2)  # (N, H*W, 5)
    per_anchor = per_position.repeat_interleave(len(anchors) // (h * w), dim=1)
    probability, boxes = per_anchor[..., 0], per_anchor[..., 1:]
    tiled = Boxes(anchors.expand(n, -1, -1).reshape(-1, 4))
    iou = matched_pairwise_iou(tiled, Boxes(boxes.reshape(-1, 4))).view(n, -1)
    low, high = IOU_THRESHOLDS
    used = (iou > high) | (iou < low) | (probability < SURELY_BACKGROUND)
    return probability * (iou > high), used, boxes


def distillation_losses(
    anchors: torch.Tensor,
    logits: torch.Tensor,
    deltas: torch.Tensor,
    teacher: torch.Tensor,
    box2box_transform: Box2BoxTransform,
) -> Dict[str, torch.Tensor]:
    """Losses of the anchors' logits (N, R) and deltas (N, R, 4) against a teacher. For ``anchors``
    and ``teacher`` see soft_targets.

    ``loss_teacher_cls`` is half the mean binary cross-entropy weighted by the targets plus half the
    mean weighted by their complements. ``loss_teacher_loc`` is the mean GIoU loss against the
    teacher's box over the anchors whose target is above FOREGROUND, weighted by the target. The
    means are over the joint batch of all processes, each of which must call this function."""
    targets, used, boxes = soft_targets(anchors, teacher)
    positive, negative = targets * used, (1 - targets) * used
    learned = targets > FOREGROUND
    sums, ranks = joint_sums(positive.sum(), negative.sum(), targets[learned].sum())
    positive_sum, negative_sum, learned_sum = sums.clamp(min=1) / ranks
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    found = box2box_transform.apply_deltas(
        deltas[learned], anchors.expand(len(deltas), -1, -1)[learned]
    )
    giou = giou_loss(found, boxes[learned], reduction="none") * targets[learned]
    return {
        "loss_teacher_cls": 0.5
        * ((bce * positive).sum() / positive_sum + (bce * negative).sum() / negative_sum),
        "loss_teacher_loc": giou.sum() / learned_sum,
    }
