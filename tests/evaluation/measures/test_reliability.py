import math

import numpy as np
import pytest

from sot.evaluation.measures.reliability import (
    absence,
    expected_calibration_error,
    reliability,
    roc_auc,
    trust,
)

CHANCES = np.array([0.05, 0.15, 0.95, 0.95, 0.85, 1.0])
RIGHT = np.array([False, True, True, False, True, True])


def test_reliability():
    curve = reliability(CHANCES, RIGHT)
    assert curve.shape == (10, 3)
    assert curve[0].tolist() == [0.05, 0, 1] and curve[1].tolist() == [0.15, 1, 1]
    np.testing.assert_allclose(curve[9], [2.9 / 3, 2 / 3, 3])  # a chance of 1 is in the last bin
    assert curve[5].tolist()[2] == 0 and np.isnan(curve[5, :2]).all()


def test_expected_calibration_error():
    # |0.05 - 0|, |0.15 - 1|, |0.85 - 1| once each and |2.9 / 3 - 2 / 3| three times
    expected = (0.05 + 0.85 + 0.15 + 3 * 0.3) / 6
    assert expected_calibration_error(CHANCES, RIGHT) == pytest.approx(expected)
    assert expected_calibration_error([0.5, 0.5], [True, False]) == 0


def test_roc_auc():
    assert roc_auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == 0.75
    assert roc_auc([0.5, 0.5, 0.5], [True, False, True]) == 0.5  # ties
    assert math.isnan(roc_auc([0.5, 0.6], [True, True]))


def test_trust():
    found = trust([0.95, 0.2, 0.6, 0.8], [0.4, 0.0, 0.51, 0.9])
    assert found["auroc"] == 0.5  # of the four pairs two
    assert found["auroc_on_target"] == 1
    assert found["failed_sure"] == 0.5 and found["right"] == 0.5 and found["frames"] == 4


def test_absence():
    lost, absent, right = (
        np.array([c == "1" for c in row]) for row in ("0111000110", "0011000100", "1000001001")
    )
    videos = np.array([0] * 9 + [1])  # the box that is right in the last frame is another video's
    assert absence(lost, absent, right, videos) == {
        "absence_precision": 0.6,
        "absence_recall": 1.0,
        "absence_f": pytest.approx(0.75),
        "redetected": 0.5,  # in frame 6, after the return in frame 4, but not after that in frame 8
        "returns": 2,
    }
    assert absence(lost, np.zeros(10, bool), right, videos) == {}
