import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sot.api import build_model
from sot.config import load_config
from sot.data.frames import FrameError
from sot.evaluation import Corrected, OnePass, tracker_fingerprint
from sot.tracking import build_siamese_tracker


class Frames:
    def __init__(self, bad=()):
        self.images = np.random.default_rng(0).integers(0, 256, (5, 90, 120, 3), np.uint8)
        self.bad = bad

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        if i in self.bad:
            raise FrameError(f"frame {i} does not decode")
        return self.images[i]


@pytest.fixture(scope="module", params=["SiamRPN/siamrpn_compact.yaml", "SiamFC/siamfc_alex.yaml"])
def cfg(request):
    small = ["MODEL.BACKBONE.NAME", "build_compact_backbone"]
    return load_config(request.param, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", *small])


@pytest.fixture(scope="module")
def run(cfg):
    return OnePass(build_siamese_tracker(cfg, build_model(cfg)))


def track(bad=()):
    boxes = np.full((5, 4), np.nan, np.float32)
    boxes[0] = [40, 30, 70, 60]  # the truth of later frames must not matter
    return {"name": "s", "frames": Frames(bad), "boxes": boxes, "visible": np.ones(5, bool)}


def test_output(run):
    (out,) = run([track()])
    assert out["name"] == "s" and out["boxes"].shape == (5, 4)
    assert out["boxes"][0].tolist() == [40, 30, 70, 60]
    assert out["status"][0] == "init" and len(out["scores"]) == 5
    assert (out["times"] > 0).all() and "skipped" not in out["status"]


def test_unreadable_frame_is_said_and_keeps_the_last_box(run, caplog):
    with caplog.at_level(logging.WARNING):
        (out,) = run([track(bad=(2, 3))])
    assert "s: frame 2 skipped: frame 2 does not decode" in caplog.text
    assert out["status"][2:4] == ["skipped", "skipped"] and out["status"][4] != "skipped"
    assert out["boxes"][3].tolist() == out["boxes"][1].tolist()
    assert out["times"][2] == 0


def test_sequence_that_fails_is_said_and_the_others_go_on(run, caplog):
    bad = track(bad=(0,))  # nothing to start from
    outside = track()
    outside["boxes"] = outside["boxes"] + 1000
    first, second, third = run([bad, outside, track()])
    assert first == {"name": "s", "error": "FrameError: frame 0 does not decode"}
    assert second["error"].startswith("ValueError: box x=1040 y=1030")
    assert "s: tracking failed" in caplog.text and "Traceback" in caplog.text
    assert third["boxes"].shape == (5, 4)


class Still:
    """A tracker that keeps its boxes."""

    def start(self, image, box):
        return SimpleNamespace(box=np.asarray(box, float), score=1.0, status="init")

    def step_all(self, image, states):
        return [SimpleNamespace(box=s.box, score=0.5, status="tracked") for s in states]


def test_corrected():
    boxes = [[i, 0.0, i + 20, 10] for i in range(34)]
    boxes[6] = [np.nan] * 4  # where the third box would be: the next one has it
    frames = np.zeros((34, 20, 50, 3), np.uint8)
    out = Corrected(Still()).run({"name": "s", "frames": frames, "boxes": np.array(boxes)})
    given = [i for i, status in enumerate(out["status"]) if status == "init"]
    assert given == [0, 3, 7, 9, 12, 15, 18, 21, 24, 27, 30, 33]
    # each pass stands still, and what it lacks at its end is spread over the time: a line
    np.testing.assert_allclose(out["boxes"][:, 0], np.arange(34), atol=1e-5)
    assert out["scores"][:4].tolist() == [1, 0.5, 0.5, 1] and (out["times"] > 0).all()
    with pytest.raises(ValueError, match="no box in the first frame"):
        Corrected(Still()).run({"name": "s", "frames": frames, "boxes": np.array(boxes[6:])})


def test_fingerprint(cfg):
    first, again = build_model(cfg), build_model(cfg)
    again.load_state_dict(first.state_dict())
    assert tracker_fingerprint(cfg, again) == tracker_fingerprint(cfg, first)
    with torch.no_grad():
        next(again.parameters()).view(-1)[0] += 1e-3
    assert tracker_fingerprint(cfg, again) != tracker_fingerprint(cfg, first)
    other = cfg.clone()
    other.merge_from_list(["TEST.TRACKER.SIZE_LR", 0.123])
    assert tracker_fingerprint(other, first) != tracker_fingerprint(cfg, first)
    other = cfg.clone()
    other.merge_from_list(["MODEL.WEIGHTS", "elsewhere.pth", "OUTPUT_DIR", "elsewhere"])
    assert tracker_fingerprint(other, first) == tracker_fingerprint(cfg, first)
