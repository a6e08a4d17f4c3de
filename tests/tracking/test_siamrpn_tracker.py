"""SiamRPN's proposal selection; what it shares with other trackers is in test_tracker.py."""

import numpy as np
import pytest
import torch

from sot.boxes import sides_of
from sot.tracking import SiamRPNTracker
from sot.tracking.online import OnlineLearner

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


class LearningNetwork(FakeNetwork):
    """Says the same of every crop, to the tracker and to its online model."""

    def detect_with_features(self, kernels, crops):
        outputs = tuple(t.expand(len(crops), *t.shape) for t in (self.boxes, self.scores))
        return outputs, torch.rand(len(crops), 4, 5, 5)


@pytest.mark.parametrize(
    "score, share, bias",
    [
        (0.9, 1.0, (1.5, 1.0)),
        (0.9, 0.5, (1.5**0.5, 1.0)),
        (0.9, 0.0, (1.0, 1.0)),
        (0.2, 1.0, (1.0, 1.0)),  # the network does not know the target
    ],
)
def test_the_bias_in_size_that_the_first_frame_shows_is_taken_off(score, share, bias):
    half = 31.75  # the target is 63.5 x 63.5 in the crop, the network says 1.5 times as wide
    boxes = [[127.5 - 1.5 * half, 127.5 - half, 127.5 + 1.5 * half, 127.5 + half]]
    boxes += [square(-100, 0, 20)]  # not on the target
    learner = OnlineLearner(stride=8, size_share=share, accept_above=(0.3, 2.0))
    network = LearningNetwork(boxes, [score, 0.1])
    tracker = SiamRPNTracker(network, online=learner, penalty_k=0.0, size_lr=1 / score)
    state = tracker.start(IMAGE, BOX)
    np.testing.assert_allclose(state.size_bias, bias, rtol=1e-6)
    size = sides_of(tracker.step(IMAGE, state).box)
    np.testing.assert_allclose(size, (60 / bias[0], 40), rtol=1e-6)


class TestLost:
    """What the tracker does while neither it nor the online model believe in a match."""

    class Network(LearningNetwork):
        def say(self, score, *later):
            """The scores of the next searches; the last one stays."""
            self.to_say = [score, *later]

        def detect_with_features(self, kernels, crops):
            self.scores = torch.tensor([self.to_say[0]])
            self.to_say = self.to_say[1:] or self.to_say
            return super().detect_with_features(kernels, crops)

    @pytest.fixture
    def tracker(self, monkeypatch):
        """A network that always sees the target 20 crop pixels to the right, and an online model
        that is as sure as the network. ``tracker.scales_seen`` are those of the search regions."""
        network = self.Network([square(20, 0, 63.5)], [0.9])
        network.say(0.9)
        learner = OnlineLearner(stride=8, lost_after=2, found_above=(0.6, 0.6), size_share=0.0)
        tracker = SiamRPNTracker(network, online=learner, window_influence=0.0, penalty_k=0.0)
        select, region, tracker.scales_seen = tracker._select, tracker.region, []

        def select_twice_as_sure(*args, **kwargs):
            match = select(*args, **kwargs)
            score = match.confidences[0]
            return match._replace(score=score, confidences=(score, score))

        def seen(box, size, scale=1.0):
            if size == tracker.search_size:
                tracker.scales_seen.append(scale)
            return region(box, size, scale)

        monkeypatch.setattr(tracker, "_select", select_twice_as_sure)
        monkeypatch.setattr(tracker, "region", seen)
        return tracker

    def steps(self, tracker, *scores):
        """The states after the first frame and after steps with these scores of the network."""
        states = [tracker.start(IMAGE, BOX)]
        for score in scores:
            tracker.model.say(score)
            states.append(tracker.step(IMAGE, states[-1]))
        return states[1:]

    def test_the_box_of_a_lost_target_stays(self, tracker):
        states = self.steps(tracker, 0.1, 0.1, 0.1, 0.1)
        assert [s.misses for s in states] == [1, 2, 3, 4]
        assert [s.status for s in states] == ["uncertain"] * 2 + ["lost"] * 2
        for state in states[2:]:
            assert state.box.tolist() == states[1].box.tolist()

    def test_wider_regions_are_searched_after_a_miss_alone(self, tracker):
        self.steps(tracker, 0.9, 0.1)
        assert tracker.scales_seen == [1, 1, 1.5, 2]

    @pytest.mark.parametrize(
        "wide, misses, to_the_right",
        [
            (0.55, 1, 0),  # not above FOUND_ABOVE: the best position stays, in the middle
            (0.65, 0, 20),
        ],
    )
    def test_a_target_that_left_its_region_is_found_in_the_same_frame(
        self, tracker, wide, misses, to_the_right
    ):
        before = self.steps(tracker, 0.9)[0]
        tracker.model.say(0.1, wide)
        state = tracker.step(IMAGE, before)
        assert state.misses == misses
        # a crop pixel is 80 / 127 frame pixels, and 1.5 times as many in the wider region
        moved = (state.box - before.box)[[0, 2]].mean()
        assert moved == pytest.approx(1.5 * to_the_right * 80 / 127)

    def test_a_match_in_a_wider_region_has_to_be_clearly_better(self, tracker):
        tracker.online.found_above = (0.2, 0.2)
        before = self.steps(tracker, 0.9)[0]
        for wide, misses in ((0.45, 1), (0.55, 0)):
            tracker.model.say(0.29, wide)
            assert tracker.step(IMAGE, before).misses == misses

    def test_it_takes_a_surer_match_to_find_the_target_again(self, tracker):
        states = self.steps(tracker, 0.1, 0.1, 0.5, 0.5, 0.7, 0.5)
        # 0.5 is enough for a target that is not lost, and not for one that is
        assert [s.misses for s in states] == [1, 2, 3, 4, 0, 0]
        assert [s.status for s in states[2:]] == ["lost", "lost", "tracked", "tracked"]

    def test_nothing_is_learned_from_a_match_that_is_not_believed(self, tracker):
        states = self.steps(tracker, 0.1, 0.1, 0.5)
        assert states[2].online is states[1].online

    def test_never_lost(self, tracker):
        tracker.online.lost_after = 0
        states = self.steps(tracker, 0.1, 0.1, 0.1, 0.5)
        assert [s.status for s in states[:3]] == ["uncertain"] * 3
        assert states[3].misses == 0
