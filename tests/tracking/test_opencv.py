import os

import cv2
import numpy as np
import pytest

from sot.data.datasets import make_track
from sot.evaluation import OnePass
from sot.tracking.opencv import OpenCVTracker, OpenCVWorker, make_opencv_tracker

IMAGE = np.zeros((60, 80, 3), np.uint8)


class Recorder:
    """Stands for an OpenCV tracker; says what the test says."""

    def __init__(self, answers=(), started=None):
        self.answers, self.started, self.given = iter(answers), started, None

    def init(self, image, box):
        self.given = box
        return self.started

    def update(self, image):
        return next(self.answers)


class Scorer(Recorder):
    def getTrackingScore(self):  # OpenCV's name
        return 0.25


@pytest.mark.parametrize(
    "box, given",
    [
        ((10.4, 9.6, 30.4, 19.5), (10, 10, 20, 10)),
        ((-5.0, -3.0, 20.0, 10.0), (0, 0, 20, 10)),
        ((70.0, 50.0, 95.0, 75.0), (70, 50, 10, 10)),
        ((10.1, 10.1, 10.4, 10.4), (10, 10, 1, 1)),
        ((79.6, 59.7, 90.0, 90.0), (79, 59, 1, 1)),
    ],
)
def test_opencv_is_given_whole_pixels_inside_of_the_image(box, given):
    recorder = Recorder()
    state = OpenCVTracker(lambda: recorder).start(IMAGE, box)
    assert recorder.given == given and all(type(v) is int for v in recorder.given)
    assert state.box.tolist() == list(box) and state.status == "init"


@pytest.mark.parametrize("box", [(10, 10, 10, 20), (100, 10, 120, 20), (np.nan, 1, 2, 3)])
def test_bad_boxes_do_not_reach_opencv(box):
    with pytest.raises(ValueError, match="box"):
        OpenCVTracker(Recorder).start(IMAGE, box)


def test_a_tracker_that_does_not_start():
    with pytest.raises(RuntimeError, match="cannot be started"):
        OpenCVTracker(lambda: Recorder(started=False)).start(IMAGE, (1, 1, 9, 9))


def test_a_lost_target_keeps_its_box_with_score_0():
    tracker = OpenCVTracker(lambda: Recorder([(True, (3, 4, 10, 20)), (False, (0, 0, 0, 0))]))
    found = tracker.step(IMAGE, tracker.start(IMAGE, (1, 1, 9, 9)))
    assert (found.box.tolist(), found.score, found.status) == ([3, 4, 13, 24], 1.0, "tracked")
    lost = tracker.step(IMAGE, found)
    assert (lost.box.tolist(), lost.score, lost.status) == ([3, 4, 13, 24], 0.0, "lost")


def test_the_score_is_the_trackers():
    tracker = OpenCVTracker(lambda: Scorer([(True, (3, 4, 10, 20))]))
    assert tracker.step(IMAGE, tracker.start(IMAGE, (1, 1, 9, 9))).score == 0.25


def test_mil_follows_a_square():
    def frame(x):
        image = np.random.default_rng(0).integers(0, 90, (120, 160, 3), np.uint8)
        image[40:80, x : x + 40] = np.random.default_rng(1).integers(90, 255, (40, 40, 3))
        return image

    cv2.setRNGSeed(0)  # MIL samples at random, and other tests may have drawn before
    boxes = [[30 + 6 * i, 40, 40, 40] for i in range(5)]
    track = make_track("square", [frame(x) for x, *_ in boxes], boxes)
    output = OnePass(OpenCVTracker(lambda: make_opencv_tracker("MIL", {}))).run(track)
    assert output["name"] == "square" and output["boxes"].shape == (5, 4)
    # the square moves 24 pixels; samples of several threads come in any order
    assert np.abs(output["boxes"] - track["boxes"]).max() <= 12


def test_an_error_of_opencv_is_told():
    class Broken(Recorder):
        def update(self, image):
            raise cv2.error("assertion failed")

    track = make_track("a", [IMAGE, IMAGE], [[1, 1, 9, 9]] * 2)
    (output,) = OnePass(OpenCVTracker(Broken))([track])
    assert output == {"name": "a", "error": "error: assertion failed"}


class Dying:
    """An experiment that takes its process down in the first sequence."""

    def run(self, track):
        if track["name"] == "a":
            os._exit(1)
        return {"name": track["name"]}


def test_a_process_that_ends_is_replaced():
    worker = OpenCVWorker(Dying())
    try:
        found = worker([{"name": "a"}, {"name": "b"}])
    finally:
        worker.close()
    assert found == [{"name": "a", "error": "the process of the tracker ended"}, {"name": "b"}]


def test_a_tracker_that_this_opencv_lacks(monkeypatch):
    monkeypatch.delattr(cv2, "TrackerKCF_create", raising=False)
    monkeypatch.delattr(cv2, "legacy", raising=False)
    with pytest.raises(ValueError, match="no tracker KCF.*opencv-contrib-python-headless"):
        make_opencv_tracker("KCF", {})


def test_trackers_of_the_contrib_build(monkeypatch):
    class Legacy:
        TrackerMOSSE_create = staticmethod(lambda: "mosse")

    monkeypatch.setattr(cv2, "legacy", Legacy, raising=False)
    monkeypatch.setattr(cv2, "TrackerCSRT_create", lambda: "csrt", raising=False)
    assert [make_opencv_tracker(name, {}) for name in ("MOSSE", "CSRT")] == ["mosse", "csrt"]


def test_model_files(monkeypatch, tmp_path):
    seen = {}

    def create(params):
        seen.update(vars(params))
        return "vit"

    class Params:
        pass

    file = tmp_path / "vit.onnx"
    with pytest.raises(ValueError, match="^ViT needs --model ViT.net=FILE; given: none"):
        make_opencv_tracker("ViT", {})
    with pytest.raises(ValueError, match="^MIL needs no --model; given: MIL.net"):
        make_opencv_tracker("MIL", {"net": file})
    with pytest.raises(FileNotFoundError, match="vit.onnx of ViT"):
        make_opencv_tracker("ViT", {"net": file})
    with pytest.raises(ValueError, match="no tracker 'TLD': there are MIL, KCF"):
        make_opencv_tracker("TLD", {})
    file.write_text("no network")
    monkeypatch.setattr(cv2, "TrackerVit_Params", Params, raising=False)
    monkeypatch.setattr(cv2, "TrackerVit_create", create, raising=False)
    assert make_opencv_tracker("ViT", {"net": file}) == "vit" and seen == {"net": str(file)}


def test_model_file_that_is_none(tmp_path):
    if not hasattr(cv2, "TrackerVit_create"):
        pytest.skip("this OpenCV has no ViT")
    file = tmp_path / "vit.onnx"
    file.write_text("no network")
    with pytest.raises(ValueError, match="cannot read the model of ViT.*vit.onnx"):
        make_opencv_tracker("ViT", {"net": file})
