from types import SimpleNamespace

import numpy as np
import pytest

from sot.data.datasets import make_track
from sot.data.frames import FrameError
from sot.evaluation.experiments import Restarts
from sot.evaluation.protocols import PROTOCOLS

TRUTH = [10, 10, 20, 20]  # x, y, w, h
AWAY = [60, 10, 80, 30]
NAN = float("nan")


class Frames:
    """The level of grey of a frame is its number."""

    def __init__(self, length, broken=()):
        self.length, self.broken = length, broken

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index in self.broken:
            raise FrameError(f"frame {index} is broken")
        return np.full((60, 80, 3), index, np.uint8)


class Scripted:
    """Has the true box but in the frames of `boxes`; keeps where it was started."""

    def __init__(self, boxes):
        self.boxes, self.starts = boxes, []

    def start(self, image, box):
        self.starts.append((int(image[0, 0, 0]), np.asarray(box).tolist()))
        return self._state([10, 10, 30, 30])

    def step_all(self, image, states):
        return [self._state(self.boxes.get(int(image[0, 0, 0]), [10, 10, 30, 30]))]

    def _state(self, box):
        return SimpleNamespace(box=np.array(box, float), score=0.5, status="tracked")


def track_of(length, broken=(), **fields):
    return make_track("a", Frames(length, broken), [TRUTH] * length, **fields)


def marks(boxes, track):
    tracker = Scripted(boxes)
    output = Restarts(tracker).run(track)
    return "".join(map(str, output["marks"])), [at for at, _ in tracker.starts]


def test_started_again_five_frames_after_a_failure():
    #                                                        0, 1, 2: see measures.vot
    assert marks({3: AWAY}, track_of(14)) == ("13320000133333", [0, 8])
    assert marks({1: AWAY, 7: AWAY}, track_of(14)) == ("12000012000013", [0, 6, 12])


def test_no_start_beyond_the_end():
    assert marks({9: AWAY}, track_of(14)) == ("13333333320000", [0])
    assert marks({9: AWAY}, track_of(15)) == ("133333333200001", [0, 14])
    assert marks({}, track_of(1)) == ("1", [0])


def test_regions_that_only_touch_have_failed():
    assert marks({1: [30, 10, 50, 30]}, track_of(3))[0] == "120"
    assert marks({1: [29, 10, 50, 30]}, track_of(3))[0] == "133"
    # outside of the image there is no overlap
    outside = make_track("a", Frames(3), [TRUTH, [80, 10, 20, 20], TRUTH])
    assert marks({1: [80, 10, 100, 30]}, outside)[0] == "120"


def test_the_polygon_decides_and_its_bounds_start():
    diamond = [20, 10, 30, 20, 20, 30, 10, 20]
    track = track_of(8, polygons=np.tile(diamond, (8, 1)).astype(float))
    tracker = Scripted({1: [27, 27, 30, 30]})
    assert Restarts(tracker).run(track)["marks"].tolist() == [1, 2, 0, 0, 0, 0, 1, 3]
    assert tracker.starts == [(0, [10, 10, 30, 30]), (6, [10, 10, 30, 30])]


def test_output_of_each_frame():
    output = Restarts(Scripted({2: AWAY})).run(track_of(8))
    box, none = [10, 10, 30, 30], [NAN] * 4
    np.testing.assert_array_equal(output["boxes"], [none, box, *[none] * 6])
    np.testing.assert_array_equal(output["scores"], [NAN, 0.5, 0.5, *[NAN] * 5])
    assert output["status"] == ["init", "tracked", "failed", *["passed_over"] * 4, "init"]
    assert (output["times"] > 0).tolist() == [True] * 3 + [False] * 4 + [True]


def test_a_frame_without_truth_is_a_failure_and_no_start():
    boxes = [TRUTH] * 2 + [[NAN] * 4] + [TRUTH] * 4 + [[NAN] * 4] + [TRUTH] * 2
    track = make_track("a", Frames(10), boxes)
    assert marks({}, track) == ("1320000013", [0, 8])


def test_an_unreadable_frame_has_the_box_before():
    output = Restarts(Scripted({1: [12, 12, 32, 32]})).run(track_of(4, broken=[2]))
    assert output["boxes"][2].tolist() == [12, 12, 32, 32]
    assert output["status"] == ["init", "tracked", "skipped", "tracked"]


def test_a_start_needs_a_frame_and_a_box():
    with pytest.raises(FrameError, match="frame 6 is broken"):
        Restarts(Scripted({1: AWAY})).run(track_of(8, broken=[6]))
    with pytest.raises(ValueError, match="sequence a: no box in the first frame"):
        Restarts(Scripted({})).run(make_track("a", Frames(2), [[NAN] * 4, TRUTH]))


def test_a_perfect_tracker_has_the_best_scores():
    track = track_of(120)
    output = Restarts(Scripted({})).run(track)
    protocol = PROTOCOLS["vot2018"]
    scores = protocol.score_runs([(output["boxes"], output["marks"])], track)
    summary = protocol.summarize({"a": scores})
    assert [summary[m] for m in ("accuracy", "eao", "failures")] == [1, 1, 0]


def test_failures_at_once_after_every_start_are_scored():
    track = track_of(13)
    output = Restarts(Scripted({1: AWAY, 7: AWAY})).run(track)
    assert "".join(map(str, output["marks"])) == "1200001200001"
    protocol = PROTOCOLS["vot2018"]
    scores = protocol.score_runs([(output["boxes"], output["marks"])], track)
    assert (scores["failures"], scores["accuracy"], scores["frames_scored"]) == (2, 0, 0)
    assert protocol.summarize({"a": scores})["robustness"] == 2
