"""SiamRPN's proposal selection; what it shares with other trackers is in test_tracker.py."""

import numpy as np
import pytest
import torch

from sot.tracking import SiamRPNTracker

IMAGE = np.zeros((200, 300, 3), np.uint8)
BOX = (100.0, 60.0, 140.0, 100.0)  # 40 x 40 px, 63.5 x 63.5 in the crop


class FakeNetwork:
    """Boxes and scores as the test says."""

    device = torch.device("cpu")
    stride = 8

    def __init__(self, boxes, scores, num_anchors=1):
        self.boxes, self.scores = torch.tensor(boxes), torch.tensor(scores)
        self.num_anchors = num_anchors

    def template(self, crops):
        return [torch.zeros(len(crops), 1, 1, 1)]

    def detect(self, kernels, crops):
        return self.boxes[None], self.scores[None]


def square(x, y, size):
    """XYXY in crop pixels, from an offset to the middle and a side in crop pixels."""
    return [127.5 + x - size / 2, 127.5 + y - size / 2, 127.5 + x + size / 2, 127.5 + y + size / 2]


def step(boxes, scores, num_anchors=1, **kwargs):
    kwargs = {"window_influence": 0.0, "penalty_k": 0.0, **kwargs}
    tracker = SiamRPNTracker(FakeNetwork(boxes, scores, num_anchors), **kwargs)
    return tracker.step(IMAGE, tracker.start(IMAGE, BOX))


@pytest.mark.parametrize(
    "center_size, best",
    [(0, 0.9), (5, 0.9), (3, 0.8), (1, 0.7)],  # the whole 5 x 5 map, 3 x 3, its middle
)
def test_only_the_middle_of_the_map_competes(center_size, best):
    scores = np.full((5, 5), 0.1, np.float32)
    scores[0, 4], scores[1, 3], scores[2, 2] = 0.9, 0.8, 0.7
    boxes = [square(0, 0, 63.5)] * 25
    state = step(boxes, scores.reshape(-1), center_size=center_size)
    assert state.score == pytest.approx(best)


def test_all_anchors_of_a_middle_position_compete():
    scores = np.full((3, 3, 2), 0.1, np.float32)
    scores[1, 1, 1], scores[1, 2, 0] = 0.7, 0.9
    boxes = [square(0, 0, 63.5)] * 18
    assert step(boxes, scores.reshape(-1), 2, center_size=1).score == pytest.approx(0.7)
