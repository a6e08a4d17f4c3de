import math

import pytest
import torch
from detectron2.modeling.box_regression import Box2BoxTransform

from sot.modeling.distillation import distillation_losses, soft_targets

# one position with two anchors, a square and one twice as high
ANCHORS = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, -5.0, 10.0, 15.0]])
TRANSFORM = Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0))


def teacher(probability, box):
    """Map (1, 5, 1, 1)."""
    return torch.tensor([probability, *box]).view(1, 5, 1, 1)


@pytest.mark.parametrize(
    "probability, box, targets, used",
    [
        # IoU 1 and 0.5: the second is not above 0.5, and is ignored
        (0.8, (0, 0, 10, 10), [0.8, 0.0], [True, False]),
        # the same, but the teacher is sure that this is background
        (0.05, (0, 0, 10, 10), [0.05, 0.0], [True, True]),
        # 10 x 16: IoU 10/16 and 16/20
        (0.8, (0, -3, 10, 13), [0.8, 0.8], [True, True]),
        # far away: IoU 0
        (0.8, (50, 50, 60, 60), [0.0, 0.0], [True, True]),
        # 2 x 10: IoU 0.2 and 0.1
        (0.8, (0, 0, 2, 10), [0.0, 0.0], [True, True]),
    ],
)
def test_targets_need_the_overlap(probability, box, targets, used):
    found, is_used, boxes = soft_targets(ANCHORS, teacher(probability, box))
    assert torch.allclose(found, torch.tensor([targets]))
    assert is_used.tolist() == [used]
    assert torch.allclose(boxes[0, 0], torch.tensor(box, dtype=torch.float))


def test_anchors_take_the_map_at_their_own_position():
    # two positions side by side, 20 px apart, two anchors each
    anchors = torch.cat([ANCHORS, ANCHORS + torch.tensor([20.0, 0.0, 20.0, 0.0])])
    maps = torch.zeros(1, 5, 1, 2)
    maps[0, :, 0, 0] = torch.tensor([0.9, 0, 0, 10, 10])
    maps[0, :, 0, 1] = torch.tensor([0.6, 20, -5, 30, 15])
    targets, _, _ = soft_targets(anchors, maps)
    assert torch.allclose(targets, torch.tensor([[0.9, 0.0, 0.0, 0.6]]))


def test_losses_of_hand():
    # logits 0: each cross-entropy is log 2, whatever the target; the second anchor is ignored
    maps = teacher(0.8, (0, 0, 10, 10))
    losses = distillation_losses(ANCHORS, torch.zeros(1, 2), torch.zeros(1, 2, 4), maps, TRANSFORM)
    # the sums of weights, 0.8 and 0.2, are less than 1, which is what they are divided by
    expected = 0.5 * (0.8 + 0.2) * math.log(2)
    assert losses["loss_teacher_cls"].item() == pytest.approx(expected, rel=1e-5)
    assert losses["loss_teacher_loc"].item() == pytest.approx(
        0.0, abs=1e-5
    )  # the anchor is the box
    # a box half as high: GIoU = IoU = 0.55, weighted by 0.8 of at least 1
    maps = teacher(0.8, (0, 0, 10, 5.5))
    losses = distillation_losses(ANCHORS, torch.zeros(1, 2), torch.zeros(1, 2, 4), maps, TRANSFORM)
    assert losses["loss_teacher_loc"].item() == pytest.approx(0.8 * 0.45, rel=1e-4)


def test_agreement_with_the_teacher_is_the_minimum():
    maps = teacher(0.8, (0, -3, 10, 13)).expand(3, -1, -1, -1)
    target = torch.full((3, 2), 0.8).logit()
    deltas = TRANSFORM.get_deltas(ANCHORS, torch.tensor([[0.0, -3, 10, 13]]).expand(2, -1))

    def loss(logits, deltas):
        found = distillation_losses(ANCHORS, logits, deltas.expand(3, -1, -1), maps, TRANSFORM)
        return sum(found.values()).item()

    # The weights 0.8 and 0.2 turn the optimum of the cross-entropy: positives count more often.
    best = loss(target, deltas)
    assert best < loss(target - 2, deltas)
    assert best < loss(target, deltas + 0.3)


def test_without_any_target_the_losses_are_finite():
    maps = teacher(0.0, (0, 0, 0, 0))
    logits, deltas = torch.zeros(1, 2, requires_grad=True), torch.zeros(1, 2, 4, requires_grad=True)
    losses = distillation_losses(ANCHORS, logits, deltas, maps, TRANSFORM)
    sum(losses.values()).backward()
    assert torch.isfinite(logits.grad).all() and (deltas.grad == 0).all()
