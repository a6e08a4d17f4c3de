import json
import math

import numpy as np
import pytest
import torch
from test_tracker import BOX, IMAGE, fake

from sot.api import build_model, build_tracker
from sot.config import load_config, resource_dir
from sot.tracking.calibration import Calibration, next_status


class TestChance:
    def test_log_odds_of_the_network_and_the_others_as_they_are(self):
        calibration = Calibration((0.5, 2.0), -1.0)
        # log-odds of 0.8 are log 4, and half of that log 2
        odds = math.exp(-1.0 + math.log(2) + 2 * 0.3)
        assert calibration((0.8, 0.3)) == pytest.approx(odds / (1 + odds))

    def test_scores_of_0_and_1_stay_finite(self):
        calibration = Calibration((1.0,), 0.0)
        assert calibration((1.0,)) == pytest.approx(0.995)
        assert calibration((0.0,)) == pytest.approx(0.005)

    def test_a_tracker_with_other_confidences(self):
        assert Calibration((1.0, 1.0), 0.0)((0.9,)) is None


class TestFit:
    def frames(self, seed=0, count=4000):
        rng = np.random.default_rng(seed)
        confidences = rng.uniform(0.02, 0.98, (count, 2))
        log_odds = np.log(confidences[:, 0] / (1 - confidences[:, 0]))
        chance = 1 / (1 + np.exp(-(0.8 * log_odds + 3 * confidences[:, 1] - 1)))
        return confidences, rng.uniform(size=count) < chance, rng.integers(0, 20, count)

    def test_finds_what_made_the_data(self):
        confidences, right, videos = self.frames()
        calibration = Calibration.fit(confidences, right, videos)
        # the penalty pulls them from 0.8 and 3 towards 0
        assert calibration.weights == pytest.approx((0.538, 1.927), abs=0.002)
        found = np.array([calibration(c) for c in confidences])
        assert abs(found.mean() - right.mean()) < 0.01

    def test_each_video_counts_alike(self):
        # a long video of wrong boxes and a short one of right ones, with the same confidences
        right = np.array([False] * 900 + [True] * 100)
        calibration = Calibration.fit(np.full((1000, 1), 0.7), right, np.repeat([0, 1], [900, 100]))
        assert calibration((0.7,)) == pytest.approx(0.5, abs=1e-6)

    @pytest.mark.parametrize("right", [True, False])
    def test_nothing_to_tell_apart(self, right):
        with pytest.raises(ValueError, match="needs frames with right and with wrong boxes"):
            Calibration.fit(np.full((4, 1), 0.7), np.full(4, right), np.zeros(4))


class TestFile:
    def test_beside_the_weights(self, tmp_path):
        path = tmp_path / "lite_12345678.score.json"
        assert Calibration.path(str(tmp_path / "lite_12345678.pth")) == str(path)
        calibration = Calibration((0.5, 2.0), -1.0, {"frames": 3})
        path.write_text(calibration.to_json())
        assert Calibration.load(path) == calibration

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"weights": 3, "bias": 0}', "\xff"])
    def test_damaged(self, tmp_path, content):
        path = tmp_path / "a.score.json"
        path.write_text(content, encoding="latin-1")
        with pytest.raises(ValueError, match="a.score.json is not a calibration of a score: make"):
            Calibration.load(path)

    def test_of_the_default_weights(self):
        """Others need one of their own: tools/calibrate_score.py makes it."""
        weights = load_config("SiamRPN/siamrpn_lite.yaml").MODEL.WEIGHTS[len("sot://") :]
        calibration = Calibration.load(Calibration.path(str(resource_dir("weights") / weights)))
        assert len(calibration.weights) == 2 and min(calibration.weights) > 0
        assert calibration.about["frames"] > 1000


def test_status_has_hysteresis():
    scores = [0.55, 0.49, 0.55, 0.6, 0.5, 0.29, 0.55, 0.6, 0.3]
    status, seen = "init", []
    for score in scores:
        status = next_status(status, score)
        seen.append(status)
    tracked, uncertain, lost = "tracked", "uncertain", "lost"
    assert seen == [
        tracked, uncertain, uncertain, tracked, tracked, lost, lost, tracked, uncertain
    ]  # fmt: skip


class TestTracker:
    def test_score_status_and_raw_score(self):
        tracker = fake(score=0.8, calibration=Calibration((1.0,), -2.0))
        state = tracker.start(IMAGE, BOX)
        assert (state.score, state.raw_score, state.status) == (1.0, 1.0, "init")
        state = tracker.step(IMAGE, state)
        odds = 4 * math.exp(-2)
        assert state.score == pytest.approx(odds / (1 + odds), abs=1e-5)
        assert state.raw_score == pytest.approx(0.8) and state.confidences == (state.raw_score,)
        assert state.status == "uncertain"
        plain = fake(score=0.8)
        other = plain.step(IMAGE, plain.start(IMAGE, BOX))
        assert other.box.tolist() == state.box.tolist()
        assert (other.score, other.status) == (other.raw_score, "tracked")

    def test_long_term_goes_by_the_raw_score(self):
        options = {"lost_search_size": 255, "lost_below": 0.5, "found_above": 0.9}
        tracker = fake(score=0.6, calibration=Calibration((1.0,), -9.0), **options)
        state = tracker.step(IMAGE, tracker.start(IMAGE, BOX))
        assert state.status == "tracked" and state.score < 0.01


def test_build_tracker_finds_it_beside_the_weights(tmp_path):
    opts = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""]
    cfg = load_config("SiamRPN/siamrpn_compact.yaml", opts)
    weights = tmp_path / "mine.pth"
    torch.save({"model": build_model(cfg).state_dict()}, weights)
    assert build_tracker(cfg, weights, "cpu").calibration is None
    (tmp_path / "mine.score.json").write_text(json.dumps({"weights": [0.5], "bias": 1}))
    assert build_tracker(cfg, weights, "cpu").calibration == Calibration((0.5,), 1.0)
    assert build_tracker(cfg, "", "cpu").calibration is None
