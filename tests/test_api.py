import re
from pathlib import Path

import numpy as np
import pytest
import torch

from sot.api import build_tracker, track
from sot.config import load_config, resource_dir
from sot.data.datasets import make_track, read_boxes
from sot.data.frames import VideoFrames
from sot.evaluation import OnePass
from sot.evaluation.protocols import PROTOCOLS
from sot.tracking import (
    SiamFCTracker,
    SiamRPNTracker,
    build_siamese_tracker,
)

CONFIG = "SiamRPN/siamrpn_compact.yaml"
DEMO = Path(__file__).resolve().parent.parent / "demo"


def test_shipped_weights_follow_the_demo_clip():
    boxes = read_boxes(DEMO / "clip_groundtruth.txt")
    track = make_track("clip", VideoFrames(DEMO / "clip.mp4"), boxes)
    out = OnePass(build_tracker(CONFIG, device="cpu")).run(track)
    assert PROTOCOLS["otb"].score(out["boxes"], track)["success_auc"] > 0.5


def test_shipped_weights_are_small_and_named_by_their_hash():
    import hashlib

    weights = load_config(CONFIG).MODEL.WEIGHTS
    path = resource_dir("weights") / weights[len("sot://") :]
    assert path.stat().st_size < 12e6
    (digest,) = re.findall(r"_([0-9a-f]{8})\.pth$", path.name)
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith(digest)


def test_missing_shipped_file_is_named():
    with pytest.raises(FileNotFoundError, match="no_such_file.pth"):
        build_tracker(CONFIG, weights="sot://no_such_file.pth", device="cpu")


def test_device_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="MODEL.DEVICE 'xyz' is not available: write cpu or cuda"):
        build_tracker(CONFIG, device="xyz")
    assert build_tracker(CONFIG, device=torch.device("cpu")).model.device.type == "cpu"


def test_overrides_reach_the_tracker_and_typos_are_named():
    tracker = build_tracker(CONFIG, "", "cpu", ["TEST.TRACKER.SIZE_LR", 0.125])
    assert tracker.size_lr == 0.125
    with pytest.raises(ValueError, match="SIZE_RL"):
        build_tracker(CONFIG, "", "cpu", ["TEST.TRACKER.SIZE_RL", 0.125])


def test_the_meta_architecture_decides_on_the_tracker():
    assert type(build_tracker(CONFIG, "", "cpu")) is SiamRPNTracker
    tracker = build_tracker(
        "SiamFC/siamfc_alex.yaml", "", "cpu",
        ["TEST.TRACKER.NUM_SCALES", 5, "TEST.TRACKER.SCALE_STEP", 1.5],
    )  # fmt: skip
    assert type(tracker) is SiamFCTracker
    assert tracker.scales == pytest.approx((1 / 2.25, 1 / 1.5, 1, 1.5, 2.25))
    # the config's, not those of SiamRPN
    assert (tracker.window_influence, tracker.size_lr) == (0.176, 0.59)


def test_a_network_without_a_tracker_is_named():
    cfg = load_config(CONFIG, ["MODEL.META_ARCHITECTURE", "RetinaNet"])
    with pytest.raises(ValueError, match="RetinaNetTracker.*SiamFCTracker, SiamRPNTracker"):
        build_siamese_tracker(cfg, None)


def test_a_config_node_is_left_as_it_was():
    cfg = load_config(CONFIG)
    cfg.freeze()
    before = cfg.dump()
    tracker = build_tracker(cfg, weights="", device="cpu")
    assert cfg.dump() == before
    tracker.init(np.zeros((60, 80, 3), np.uint8), (10, 10, 20, 20))
    assert tracker.update(np.zeros((60, 80, 3), np.uint8)).status in ("tracked", "uncertain")


class TestTrack:
    """With random weights: where the boxes go does not matter."""

    OPTIONS = {"config": CONFIG, "weights": "", "device": "cpu"}

    def images(self, count=3):
        return list(np.random.default_rng(0).integers(0, 256, (count, 60, 80, 3), np.uint8))

    def test_images_and_several_targets(self):
        boxes = [(10, 10, 20, 20), (40, 20, 15, 30)]
        steps = list(track(iter(self.images()), boxes, **self.OPTIONS))
        assert [frame.index for frame, _ in steps] == [0, 1, 2]
        assert [r.box for r in steps[0][1]] == boxes
        assert [r.status for r in steps[0][1]] == ["init", "init"]
        assert all(len(results) == 2 and results[1].box[2] > 0 for _, results in steps)

    def test_target_that_appears_later_and_is_corrected(self):
        late = {1: (40, 20, 15, 30), 2: (44, 20, 15, 30)}
        found = [
            results for _, results in track(self.images(), [(10, 10, 20, 20), late], **self.OPTIONS)
        ]
        assert found[0][1] is None and found[0][0].box == (10, 10, 20, 20)
        assert found[1][1] == (late[1], 1.0, "init") and found[2][1] == (late[2], 1.0, "init")
        alone = [results for _, results in track(self.images(), late, **self.OPTIONS)]
        assert alone == [[None], [found[1][1]], [found[2][1]]]

    def test_folder_and_one_target(self, tmp_path):
        import cv2

        for i, image in enumerate(self.images()):
            cv2.imwrite(str(tmp_path / f"{i}.png"), image)
        (tmp_path / "1.png").write_bytes(b"broken")
        found = list(track(tmp_path, (10, 10, 20, 20), **self.OPTIONS))
        assert [frame.image is None for frame, _ in found] == [False, True, False]
        assert found[1][1] == found[0][1]
        assert [len(results) for _, results in found] == [1, 1, 1]

    @pytest.mark.parametrize(
        "video, boxes, words",
        [
            ([], (1, 1, 9, 9), "no frame of the video can be read"),
            ("none.mp4", (1, 1, 9, 9), "none.mp4"),
            ("ok", (1, 1, 0, 9), "no positive size"),
            ("ok", (90, 1, 9, 9), "outside"),
            ("ok", (1, 1, 9), "four finite numbers"),
            (
                "ok",
                [(1, 1, 9, 9), {3: (1, 1, 9, 9)}],
                "target 1 has a box in frame 3, but the last",
            ),
            ("ok", [(1, 1, 9, 9), {}], "target 1 has no box"),
            ("ok", {1: (90, 1, 9, 9)}, "outside"),
            ("ok", {-1: (1, 1, 9, 9)}, "target 0 has a box in frame -1: frames are whole numbers"),
            ("ok", {"1": (1, 1, 9, 9)}, "target 0 has a box in frame '1': frames are whole"),
        ],
    )
    def test_errors(self, video, boxes, words):
        video = self.images() if video == "ok" else video
        with pytest.raises((ValueError, OSError), match=words):
            list(track(video, boxes, **self.OPTIONS))
