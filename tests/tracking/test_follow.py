from dataclasses import dataclass, replace

import numpy as np
import pytest

from sot.data.frame_source import Frame
from sot.data.frames import FrameError
from sot.tracking import BothWays, Estimate, Target, blend, follow

IMAGE = np.zeros((80, 100, 3), np.uint8)


@dataclass(frozen=True)
class State:
    box: np.ndarray
    score: float
    status: str


class Drifting:
    """Moves each box by 2 pixels to the right in each step, whatever is in the image."""

    def __init__(self):
        self.together = []  # how many targets each step had

    def start(self, image, box):
        return State(np.asarray(box, float), 1.0, "init")

    def step_all(self, image, states):
        self.together.append(len(states))
        return [replace(s, box=s.box + [2, 0, 2, 0], score=0.5, status="tracked") for s in states]


def frames(*indices, broken=()):
    return [Frame(i, f"frame {i}", None if i in broken else IMAGE, "bad") for i in indices]


def lefts(steps):
    """{frame: {target: left border}}"""
    return {s.frame.index: {n: float(e.box[0]) for n, e in s.states.items()} for s in steps}


def box(left):
    return [left, 10, left + 20, 30]


class TestFollow:
    def test_targets_come_are_corrected_and_go(self):
        tracker = Drifting()
        targets = [Target({0: box(0), 3: box(50)}), Target({1: box(20)}, last=2)]
        steps = list(follow(tracker, frames(0, 1, 2, 3, 4), targets))
        assert lefts(steps) == {
            0: {0: 0},
            1: {0: 2, 1: 20},
            2: {0: 4, 1: 22},
            3: {0: 50},
            4: {0: 52},
        }
        assert [s.states[0].status for s in steps] == ["init", *["tracked"] * 2, "init", "tracked"]
        assert tracker.together == [1, 2, 1]  # all in one pass; none where there is nothing to do

    def test_reverse(self):
        targets = [Target({3: box(0)}), Target({1: box(50), 2: box(20)}, last=1)]
        found = lefts(follow(Drifting(), frames(3, 2, 1, 0), targets, reverse=True))
        assert found == {3: {0: 0}, 2: {0: 2, 1: 20}, 1: {0: 4, 1: 50}, 0: {0: 6}}

    def test_box_of_a_frame_that_a_live_source_left_out(self):
        found = lefts(follow(Drifting(), frames(0, 3, 6), [Target({0: box(0), 2: box(50)})]))
        assert found == {0: {0: 0}, 3: {0: 50}, 6: {0: 52}}

    def test_frame_without_image(self, caplog):
        steps = list(follow(Drifting(), frames(0, 1, 2, broken=[1]), [Target({0: box(0)})]))
        assert lefts(steps) == {0: {0: 0}, 1: {0: 0}, 2: {0: 2}}
        assert steps[1].seconds == 0 and "frame 1 skipped: bad" in caplog.text
        with pytest.raises(FrameError, match="bad"):
            list(follow(Drifting(), frames(0, 1, broken=[1]), [Target({1: box(0)})]))


class TestBlend:
    """Boxes are 20 x 10 at height 0, but for the sizes that are given."""

    @staticmethod
    def way(*rows):
        """Estimates of (left, width, score)."""
        status = {True: "tracked", False: "uncertain"}
        return [
            Estimate(np.array([x, 0.0, x + w, 10]), score, status[score > 0.5], score)
            for x, w, score in rows
        ]

    def test_linear_from_the_one_pass_to_the_other(self):
        # both passes arrive where the true box is, so nothing is taken back
        forward = self.way((0, 20, 1), (10, 20, 0.4), (20, 20, 0.8), (40, 20, 0.8), (50, 20, 1))
        backward = self.way((0, 20, 1), (14, 20, 0.8), (22, 20, 0.6), (40, 20, 0.8), (50, 20, 1))
        found = blend([3, 4, 5, 6, 7], forward, backward)
        assert [e.box[0] for e in found] == pytest.approx([0, 11, 21, 40, 50])
        assert [e.score for e in found] == pytest.approx([1, 0.5, 0.7, 0.8, 1])
        assert found[1].status == "tracked"  # of the surer one
        assert found[0].box is forward[0].box and found[-1].box is backward[-1].box

    def test_share_is_of_time_and_not_of_frames(self):
        forward = self.way((0, 20, 1), (10, 20, 1), (40, 20, 1))
        backward = self.way((0, 20, 1), (15, 20, 1), (40, 20, 1))
        assert blend([0, 1, 10], forward, backward)[1].box[0] == pytest.approx(10.5)

    def test_drift_is_taken_back(self):
        # the forward pass arrives 4 to the left of the true box: of that a half is taken back in
        # the middle, so it says 14 there; the backward one, which is right, says 18
        forward = self.way((0, 20, 1), (12, 20, 1), (36, 20, 1))
        backward = self.way((0, 20, 1), (18, 20, 1), (40, 20, 1))
        assert blend([0, 1, 2], forward, backward)[1].box[0] == pytest.approx(16)

    def test_end_of_a_lost_pass_is_no_drift(self):
        forward = self.way((0, 20, 1), (10, 20, 1), (20, 20, 1), (90, 20, 1), (90, 20, 1))
        backward = self.way((0, 20, 1), (10, 20, 1), (20, 20, 1), (30, 20, 0.9), (40, 20, 1))
        found = blend(range(5), forward, backward)
        # in frame 3 the backward pass is taken, which arrives where it should
        assert [e.box[0] for e in found] == pytest.approx([0, 10, 20, 30, 40])
        assert [e.status for e in found[2:4]] == ["tracked", "uncertain"]
        assert found[3].score == pytest.approx(0.45)  # a half, as the passes do not overlap

    def test_each_pass_until_it_is_lost(self):
        lost, away = (90, 20, 0.4), (200, 20, 0.3)
        forward = self.way((0, 20, 1), (10, 20, 0.5), (20, 20, 0.9), lost, lost, lost)
        backward = self.way(away, (200, 20, 0.6), away, (30, 20, 0.9), (40, 20, 0.3), (50, 20, 1))
        found = blend(range(6), forward, backward)
        # there is one change, although the other pass has the higher score in frames 1 and 4
        assert [e.box[0] for e in found] == pytest.approx([0, 10, 20, 30, 40, 50])
        assert [e.score for e in found[1:5]] == pytest.approx([0.25, 0.45, 0.45, 0.15])
        assert [e.raw_score for e in found[1:5]] == pytest.approx([0.5, 0.9, 0.9, 0.3])

    def test_between_the_blend_and_one_pass(self):
        # The backward pass ends 6 off, which is drift: in the middle it says 12 - 3. The overlap of
        # 8 / 32 is half of what agreement needs, so the result is halfway from the blend, 4.5, to
        # the forward pass, whose end is better.
        forward = self.way((0, 20, 1), (0, 20, 0.8), (0, 20, 1))
        backward = self.way((6, 20, 1), (12, 20, 0.8), (0, 20, 1))
        middle = blend([0, 1, 2], forward, backward)[1]
        assert middle.box[0] == pytest.approx(2.25) and middle.score == pytest.approx(0.6)

    @pytest.mark.parametrize(
        "shift, status, score", [(6, "tracked", 0.9), (7, "uncertain", 0.9 * (0.5 + 13 / 27))]
    )
    def test_disagreement(self, shift, status, score):
        # boxes of width 20 have an overlap of 14 / 26 or 13 / 27
        forward = self.way((0, 20, 1), (0, 20, 0.9), (0, 20, 1))
        backward = self.way((0, 20, 1), (shift, 20, 0.9), (0, 20, 1))
        found = blend([0, 1, 2], forward, backward)[1]
        assert found.status == status and found.score == pytest.approx(score)


class TestBothWays:
    def run(self, targets, direction="between", indices=range(7)):
        """{frame: {target: left border}}, and the frames of the passes."""
        passes = BothWays(Drifting(), [IMAGE] * 7, targets, direction, indices)
        order = [step.frame.index for step in passes]
        assert len(order) == passes.total
        found = passes.estimates()
        lefts = {i: {n: float(e.box[0]) for n, e in found[i].items()} for i in sorted(found)}
        return lefts, order, found

    def test_between_two_boxes(self):
        target = Target({1: [0, 10, 60, 30], 5: [4, 10, 64, 30]})
        lefts, order, found = self.run([target])
        # forward 0, 2, 4, 6, 8 and 4 too far; backward 4, 6, 8, 10, 12 and 12 too far
        there = [0, 2 - 1, 4 - 2, 6 - 3]
        back = [None, 10 - 9, 8 - 6, 6 - 3]
        assert there[1:] == back[1:] == [1, 2, 3]
        assert lefts == {i: {0: pytest.approx(x)} for i, x in zip(range(1, 7), [0, 1, 2, 3, 4, 6])}
        assert order == [1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1]
        status = [found[i][0].status for i in range(1, 7)]
        assert status == ["init", *["tracked"] * 3, "init", "tracked"]

    def test_one_way(self):
        targets = [Target({3: box(10), 5: box(50)})]
        assert self.run(targets, "forward")[:2] == (
            {3: {0: 10}, 4: {0: 12}, 5: {0: 50}, 6: {0: 52}},
            [3, 4, 5, 6],
        )
        assert self.run(targets, "backward", range(1, 7))[:2] == (
            {1: {0: 14}, 2: {0: 12}, 3: {0: 10}, 4: {0: 52}, 5: {0: 50}},
            [5, 4, 3, 2, 1],
        )

    def test_both_ways_and_several_targets(self):
        targets = [Target({3: box(10)}), Target({4: box(50)}, last=5)]
        lefts, order, _ = self.run(targets, "both", range(2, 7))
        assert lefts == {
            2: {0: 12, 1: 54},
            3: {0: 10, 1: 52},
            4: {0: 12, 1: 50},
            5: {0: 14, 1: 52},
            6: {0: 16},
        }
        assert order == [3, 4, 5, 6, 4, 3, 2]

    def test_stride(self):
        lefts, order, _ = self.run([Target({3: box(0), 5: box(40)})], indices=range(1, 7, 2))
        assert lefts == {3: {0: 0}, 5: {0: 40}} and order == [3, 5, 5, 3]
        lefts, order, _ = self.run([Target({2: box(0)}, last=5)], indices=range(0, 7, 2))
        assert lefts == {2: {0: 0}, 4: {0: 2}} and order == [2, 4]

    def test_no_states_are_kept(self):
        found = self.run([Target({0: box(0), 5: box(40)})], "both")[2]
        assert {type(e) for of_frame in found.values() for e in of_frame.values()} == {Estimate}

    def test_unknown_direction(self):
        with pytest.raises(ValueError, match="no direction 'up'; there are between, forward"):
            self.run([Target({0: box(0)})], "up")
