import math

import numpy as np
import pytest

from sot.tracking.geometry import (
    central_positions,
    change_penalty,
    clip_box,
    cosine_window,
    smooth_size,
)


def test_cosine_window_peaks_in_the_middle():
    window = cosine_window(3, 5)
    assert window.shape == (3, 5)
    assert window[1, 2] == pytest.approx(1.0)
    assert window[1].tolist() == pytest.approx([0, 0.5, 1, 0.5, 0], abs=1e-6)
    assert window[0].abs().max() < 1e-6


def test_central_positions():
    assert central_positions(5, 3).nonzero().tolist() == [
        [i, j] for i in (1, 2, 3) for j in (1, 2, 3)
    ]
    # 3 of 4 cannot be symmetric: 2
    assert central_positions(4, 3).nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert central_positions(17, 7).sum() == 49 and central_positions(3, 9).all()


def test_penalty_by_hand():
    previous = np.array([10.0, 10.0])
    # same; twice as large; half as large; 20 x 10 (overall sqrt(35 * 25) against 20)
    sizes = np.array([[10.0, 10], [20, 20], [5, 5], [20, 10]])
    overall = math.sqrt(35 * 25) / 20
    expected = [1, math.exp(-0.1), math.exp(-0.1), math.exp(-0.1 * (2 * overall - 1))]
    assert change_penalty(sizes, previous, 0.1).tolist() == pytest.approx(expected)


def test_smooth_size():
    assert smooth_size(np.array([10.0, 20]), np.array([20.0, 10]), 0.25).tolist() == [12.5, 17.5]


def test_clip_box():
    def clip(center, size):
        return clip_box(np.array(center, float), np.array(size, float), (100, 200)).tolist()

    assert clip([50, 50], [20, 10]) == [40, 45, 60, 55]
    assert clip([-30, 150], [20, 10]) == [-10, 95, 10, 105]  # centre in the image, box over it
    assert clip([50, 50], [1, 500]) == [48, 0, 52, 100]


def test_penalty_of_a_box_without_a_size_is_a_number():
    penalty = change_penalty(np.array([[0.0, 0.0], [0.0, 5.0]]), np.array([10.0, 10.0]), 0.1)
    assert penalty.tolist() == [0.0, 0.0]
