import importlib
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

import sot.adapters
from sot.adapters import Got10kTracker, OpenCVStyleTracker
from sot.api import build_tracker
from sot.tracking import TrackResult

BLUE = (255, 0, 0)  # BGR


class Recorder:
    """Stands for a SiameseTracker."""

    def __init__(self, *results):
        self.results, self.seen = iter(results), []

    def init(self, image, box):
        self.seen.append((image, list(box)))

    def update(self, image):
        self.seen.append((image, None))
        return next(self.results)


def test_got10k_gives_rgb_and_boxes_pass_through():
    recorder = Recorder(TrackResult((1.5, 2.5, 3.0, 4.0), 0.9, "tracked"))
    tracker = Got10kTracker(recorder, "ours")
    blue = np.full((4, 6, 3), BLUE[::-1], np.uint8)
    tracker.init(Image.fromarray(blue), np.array([1, 2, 3, 4]))
    box = tracker.update(Image.fromarray(blue))
    assert isinstance(box, np.ndarray) and box.tolist() == [1.5, 2.5, 3.0, 4.0]
    assert recorder.seen[0][1] == [1, 2, 3, 4]
    for image, _ in recorder.seen:
        assert image.shape == (4, 6, 3) and image.dtype == np.uint8 and image.flags.c_contiguous
        assert (image == BLUE).all()
    assert (tracker.name, tracker.is_deterministic) == ("ours", True)


def test_got10k_takes_images_without_colour_and_arrays():
    recorder = Recorder()
    tracker = Got10kTracker(recorder, "ours")
    tracker.init(Image.fromarray(np.full((4, 6), 7, np.uint8)), (0, 0, 2, 2))
    tracker.init(np.full((4, 6, 3), BLUE[::-1], np.uint8), (0, 0, 2, 2))
    assert (recorder.seen[0][0] == 7).all() and recorder.seen[0][0].shape == (4, 6, 3)
    assert (recorder.seen[1][0] == BLUE).all()


def test_got10k_experiment_runs_it(tmp_path):
    experiments = pytest.importorskip("got10k.experiments")
    rng = np.random.default_rng(0)
    sequence = tmp_path / "data" / "val" / "s"
    sequence.mkdir(parents=True)
    (tmp_path / "data" / "val" / "list.txt").write_text("s\n")
    for i in range(3):
        image = rng.integers(0, 255, (90, 120, 3), np.uint8)
        cv2.imwrite(str(sequence / f"{i + 1:08d}.jpg"), image)
    (sequence / "groundtruth.txt").write_text("40,30,30,20\n" * 3)
    for label, value in (("absence", 0), ("cover", 8), ("cut_by_image", 0)):
        (sequence / f"{label}.label").write_text(f"{value}\n" * 3)
    experiment = experiments.ExperimentGOT10k(
        str(tmp_path / "data"), subset="val", result_dir=str(tmp_path / "results"),
        report_dir=str(tmp_path / "report"),
    )  # fmt: skip
    tracker = build_tracker("SiamRPN/siamrpn_compact.yaml", "", "cpu")
    experiment.run(Got10kTracker(tracker, "ours"))
    (result,) = (tmp_path / "results").rglob("s_001.txt")
    boxes = np.loadtxt(result, delimiter=",")
    assert boxes.shape == (3, 4) and boxes[0].tolist() == [40, 30, 30, 20]


def test_got10k_is_not_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "got10k.trackers", None)
    try:
        module = importlib.reload(sot.adapters)
        assert module.Got10kTracker.__mro__[1] is object
        module.Got10kTracker(Recorder(), "ours").init(Image.new("RGB", (6, 4)), (0, 0, 2, 2))
    finally:
        monkeypatch.undo()
        importlib.reload(sot.adapters)


def test_opencv_style():
    recorder = Recorder(
        TrackResult((1.6, 2.4, 3.0, 4.2), 0.9, "tracked"),
        TrackResult((2.0, 2.0, 3.0, 4.0), 0.2, "uncertain"),
        TrackResult((2.0, 2.0, 3.0, 4.0), 0.1, "lost"),
    )
    tracker, image = OpenCVStyleTracker(recorder), np.full((4, 6, 3), BLUE, np.uint8)
    assert tracker.init(image, (1, 2, 3, 4)) is None and tracker.getTrackingScore() == 1
    found, box = tracker.update(image)
    assert found is True and box == (2, 2, 3, 4) and all(type(v) is int for v in box)
    assert tracker.getTrackingScore() == 0.9
    assert tracker.update(image)[0] is False and tracker.update(image)[0] is False
    assert all((seen == BLUE).all() for seen, _ in recorder.seen)


def test_opencv_style_has_the_methods_of_opencv_and_the_errors_of_ours():
    public = {name for name in dir(cv2.Tracker) if not name.startswith("_")}
    assert public <= set(dir(OpenCVStyleTracker))
    tracker = OpenCVStyleTracker(build_tracker("SiamRPN/siamrpn_compact.yaml", "", "cpu"))
    image = np.zeros((60, 80, 3), np.uint8)
    with pytest.raises(RuntimeError, match="init"):
        tracker.update(image)
    with pytest.raises(ValueError, match="no positive size"):
        tracker.init(image, (10, 10, 0, 5))
    tracker.init(image=image, boundingBox=(10, 10, 20, 20))
    assert len(tracker.update(image)[1]) == 4
