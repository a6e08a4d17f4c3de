"""Sequences that are followed side by side."""

import threading

import numpy as np
import pytest
from test_experiments import Frames, track

from sot.config import load_config
from sot.data import build as data_build
from sot.evaluation import OnePass
from sot.tracking import TargetState


class Counting:
    """Moves each box by the mean of the image, and notes how many it was asked for at once."""

    def __init__(self, limit=100):
        self.limit, self.asked, self.threads = limit, [], set()

    def start(self, image, box):
        self.threads.add(threading.get_ident())
        return TargetState((), np.array(box), 1.0, "init", (0, 0, 0), image.shape[:2])

    def step_all(self, images, states):
        if isinstance(images, np.ndarray):  # one for all
            images = [images] * len(states)
        if len(states) > self.limit:
            raise MemoryError(f"{len(states)} are too many")
        self.asked.append(len(states))
        return [
            TargetState((), s.box + image.mean(), 0.5, "tracked", (0, 0, 0), image.shape[:2])
            for image, s in zip(images, states)
        ]


class Short(Frames):
    def __init__(self, length, bad=()):
        super().__init__(bad)
        self.images = self.images[:length]


def sequences():
    tracks = []
    for name, length, bad in (("a", 5, ()), ("b", 3, ()), ("c", 5, (2,)), ("d", 4, ())):
        item = track()
        frames = Short(length, bad)
        tracks.append({**item, "name": name, "frames": frames, "boxes": item["boxes"][:length]})
    return tracks


def test_results_are_those_of_each_alone(caplog):
    tracker = Counting()
    together = OnePass(tracker)(sequences())
    assert tracker.asked == [4, 3, 3, 2]  # "c" has no frame 2; "b" ends after 3 frames, "d" after 4
    for item, found in zip(sequences(), together):
        (alone,) = OnePass(Counting())([item])
        assert found["name"] == item["name"] and found["status"] == alone["status"]
        assert np.array_equal(found["boxes"], alone["boxes"])
        assert np.array_equal(found["scores"], alone["scores"])
        assert (found["times"] > 0).tolist() == (alone["times"] > 0).tolist()
    assert together[2]["status"][2] == "skipped"
    assert tracker.threads == {threading.get_ident()}  # the network is asked by one thread


def test_too_many_at_once_are_halved(caplog):
    tracker = Counting(limit=2)
    found = OnePass(tracker)(sequences())
    assert "4 sequences at once failed, trying 2 at once: 4 are too many" in caplog.text
    assert [f["name"] for f in found] == ["a", "b", "c", "d"] and max(tracker.asked) == 2
    assert found[0]["status"] == ["init"] + 4 * ["tracked"]


def test_a_failure_of_one_ends_that_one_alone():
    tracks = sequences()
    tracks[1]["frames"] = Short(3, bad=(0,))
    found = OnePass(Counting())(tracks)
    assert found[1] == {"name": "b", "error": "FrameError: frame 0 does not decode"}
    assert all("error" not in found[i] for i in (0, 2, 3))


def test_batches_of_the_loader_are_of_like_lengths(monkeypatch):
    lengths = [5, 9, 2, 7, 3]
    tracks = [
        {"name": str(n), "boxes": np.ones((n, 4)), "visible": np.ones(n, bool)} for n in lengths
    ]
    entry = type("Entry", (), {"tracks": staticmethod(lambda: list(tracks))})
    monkeypatch.setattr(data_build, "resolve", lambda name: entry)
    cfg = load_config("SiamRPN/siamrpn_compact.yaml", ["TEST.TRACKER.BATCH_SEQUENCES", 2])
    loader = data_build.build_siamese_test_loader(cfg, "any")
    assert [[t["name"] for t in batch] for batch in loader] == [["2", "3"], ["5", "7"], ["9"]]
    # two ranks: each has short ones and long ones
    monkeypatch.setattr(data_build.comm, "get_world_size", lambda: 2)
    assert [[t["name"] for t in b] for b in data_build.build_siamese_test_loader(cfg, "any")] == [
        ["2", "5"],
        ["9"],
    ]


def test_not_below_one():
    with pytest.raises(ValueError, match="BATCH_SEQUENCES is 0: it must be at least 1"):
        load_config("SiamRPN/siamrpn_compact.yaml", ["TEST.TRACKER.BATCH_SEQUENCES", 0])
