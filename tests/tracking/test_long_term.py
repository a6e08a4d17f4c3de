"""Lost targets are searched for in a larger region, by either tracker."""

import numpy as np
import pytest
import torch

from sot.api import build_tracker
from sot.tracking import SiamFCTracker, SiamRPNTracker

IMAGE = np.zeros((200, 300, 3), np.uint8)
BOX = (100.0, 60.0, 140.0, 100.0)
PER_PIXEL = 80 / 127  # frame px per crop px
LONG_TERM = {"lost_search_size": 831, "lost_below": 0.85, "found_above": 0.998}


class FakeNetwork:
    """Nine boxes of the target's size: the first, at the corner of the map, has the next score of
    the list and lies 20 frame pixels to the right; the others have score 0."""

    num_anchors = 1
    device = torch.device("cpu")
    stride = 8

    def __init__(self, scores):
        self.scores, self.sizes = list(scores), []

    def template(self, crops):
        return [torch.zeros(len(crops), 1, 1, 1)]

    def detect(self, kernels, crops):
        n, middle = len(crops), crops.shape[-1] / 2
        self.sizes.append(tuple(crops.shape[::3]))
        half, dx = 20 / PER_PIXEL, torch.zeros(9, 1)
        dx[0] = 20 / PER_PIXEL
        boxes = torch.cat([dx - half, -half + 0 * dx, dx + half, half + 0 * dx], dim=1) + middle
        scores = torch.zeros(n, 9)
        scores[:, 0] = torch.tensor([self.scores.pop(0) for _ in range(n)])
        return boxes.expand(n, -1, -1), scores


def make(*scores, **kwargs):
    kwargs = {"window_influence": 0.0, "size_lr": 0.0, **LONG_TERM, **kwargs}
    return SiamRPNTracker(FakeNetwork(scores), **kwargs)


def test_lost_and_found():
    tracker = make(0.9, 0.5, 0.9, 0.9985, 0.9)
    states = [tracker.start(IMAGE, BOX)]
    for _ in range(5):
        states.append(tracker.step(IMAGE, states[-1]))
    assert [s.status for s in states] == ["init", "tracked", "lost", "lost", "tracked", "tracked"]
    # lost at 0.5, the box stays; at 0.9 it moves, but only a score above 0.998 is a target found
    assert [round(s.box[0]) for s in states] == [100, 120, 120, 140, 160, 180]
    assert [s.score for s in states] == pytest.approx([1, 0.9, 0.5, 0.9, 0.9985, 0.9])
    assert tracker.model.sizes == [(1, 255), (1, 255), (1, 831), (1, 831), (1, 255)]


def test_a_lost_target_may_be_anywhere():
    # a window or a middle region that forbids the corner while the target is tracked
    for kwargs in ({"window_influence": 0.9}, {"center_size": 1}):
        tracker = make(0.999, 0.999, **kwargs)
        lost = tracker.step(IMAGE, tracker.start(IMAGE, BOX))
        assert lost.status == "lost" and lost.score == 0
        found = tracker.step(IMAGE, lost)
        assert found.status == "tracked" and found.box[0] == pytest.approx(120, abs=1e-3)


def test_targets_with_crops_of_both_sizes_equal_each_alone():
    tracker = make(0.9, 0.1, 0.95)
    tracker.targets_at_once = 3  # as on a GPU
    states = [tracker.step(IMAGE, tracker.start(IMAGE, BOX)) for _ in range(3)]
    assert [s.status for s in states] == ["tracked", "lost", "tracked"]
    # one pass for each size, the smaller first
    tracker.model.scores, tracker.model.sizes = [0.91, 0.93, 0.9995], []
    together = tracker.step_all(IMAGE, states)
    assert tracker.model.sizes == [(2, 255), (1, 831)]
    assert [s.score for s in together] == pytest.approx([0.91, 0.9995, 0.93])
    tracker.model.scores = [0.91, 0.9995, 0.93]
    for state, joint in zip(states, together):
        alone = tracker.step(IMAGE, state)
        assert alone.box.tolist() == joint.box.tolist() and alone.status == joint.status


def test_off_by_default():
    tracker = make(0.1, lost_search_size=0)
    state = tracker.step(IMAGE, tracker.start(IMAGE, BOX))
    assert state.status == "uncertain" and state.box[0] == pytest.approx(120, abs=1e-3)


@pytest.mark.parametrize("opts", [{"lost_search_size": 127}, {"lost_below": 0.9999}])
def test_settings_that_make_no_sense(opts):
    with pytest.raises(ValueError, match="LOST_SEARCH_SIZE.*LOST_BELOW"):
        make(**opts)


@pytest.mark.parametrize(
    "config, kind",
    [("SiamRPN/siamrpn_compact.yaml", SiamRPNTracker), ("SiamFC/siamfc_alex.yaml", SiamFCTracker)],
)
def test_by_config_with_a_network(config, kind):
    opts = ["MODEL.BACKBONE.NAME", "build_compact_backbone"]
    for key, value in (("LOST_SEARCH_SIZE", 447), ("LOST_BELOW", 1.0), ("FOUND_ABOVE", 1.0)):
        opts += [f"TEST.TRACKER.{key}", value]
    tracker = build_tracker(config, "", "cpu", opts)
    assert isinstance(tracker, kind)
    sizes, detect = [], tracker.model.detect
    tracker.model.detect = lambda k, crops: sizes.append(crops.shape[-1]) or detect(k, crops)
    tracker.init(IMAGE, (100, 60, 40, 40))
    results = [tracker.update(IMAGE) for _ in range(2)]
    assert sizes == [255, 447]
    assert results[0].status == "lost" and results[0].box == (100, 60, 40, 40)
