import numpy as np
import pytest

from sot.evaluation.measures.metrics import (
    NORM_PRECISION_THRESHOLDS,
    PRECISION_THRESHOLDS,
    SUCCESS_THRESHOLDS,
    center_error,
    iou_xyxy,
    mean_area,
    normalized_center_error,
    precision_curve,
    success_curve,
    trapezoid_area,
)

NAN = float("nan")
BOX = [10.0, 20.0, 30.0, 60.0]  # 20 x 40
HALF = [10.0, 20.0, 30.0, 40.0]  # its upper half: IoU 0.5
ABSENT = [NAN] * 4


class TestIoU:
    @pytest.mark.parametrize(
        "a, b, expected",
        [
            ([0, 0, 10, 10], [0, 0, 10, 10], 1.0),
            ([0, 0, 10, 10], [5, 0, 15, 10], 50 / 150),
            ([0, 0, 10, 10], [5, 5, 15, 15], 25 / 175),
            ([0, 0, 10, 10], [2, 2, 4, 6], 8 / 100),  # inside
            ([0, 0, 10, 10], [10, 0, 20, 10], 0.0),  # touching: no pixel is added
            ([0, 0, 10, 10], [-30, -30, -20, -20], 0.0),  # apart in both: not (-)(-) = +
            ([0.5, 0, 1, 1], [0.75, 0, 1.25, 1], 0.25 / 0.75),  # not in whole pixels
        ],
    )
    def test_pairs(self, a, b, expected):
        assert iou_xyxy([a], [b])[0] == pytest.approx(expected, abs=1e-12)
        assert iou_xyxy([b], [a])[0] == pytest.approx(expected, abs=1e-12)

    def test_invalid_boxes_overlap_nothing(self):
        inverted, point = [30, 60, 10, 20], [10, 20, 10, 20]
        bad = [ABSENT, [10, NAN, 30, 60], [10, 20, np.inf, np.inf], inverted, point]
        np.testing.assert_array_equal(iou_xyxy(bad, [BOX] * 5), 0)
        np.testing.assert_array_equal(iou_xyxy(bad, bad), 0)

    def test_inputs_stay(self):
        a, b = np.array([BOX, ABSENT]), np.array([HALF, BOX])
        copies = a.copy(), b.copy()
        iou_xyxy(a, b), center_error(a, b), normalized_center_error(a, b)
        np.testing.assert_array_equal((a, b), copies)

    def test_shapes(self):
        assert iou_xyxy(np.zeros((0, 4)), np.zeros((0, 4))).shape == (0,)
        with pytest.raises(ValueError, match=r"shape \(T, 4\), not \(4,\)"):
            iou_xyxy(BOX, BOX)
        with pytest.raises(ValueError, match="boxes of 1 and of 2 frames"):
            iou_xyxy([BOX], [BOX, BOX])


class TestCenterError:
    def test_distance(self):
        moved = [13.0, 24.0, 33.0, 64.0]  # by (3, 4)
        grown = [0.0, 10.0, 40.0, 70.0]  # same centre
        np.testing.assert_allclose(center_error([BOX] * 3, [moved, grown, HALF]), [5, 0, 10])

    def test_nan_is_infinitely_far(self):
        assert center_error([ABSENT], [BOX])[0] == np.inf


class TestNormalizedCenterError:
    def test_in_true_sides(self):
        # 20 x 40: (3, 4) px are 0.15 and 0.1 of the sides
        moved = [13.0, 24.0, 33.0, 64.0]
        grown = [0.0, 10.0, 40.0, 70.0]
        expected = [np.hypot(0.15, 0.1), 0, 0.25]
        np.testing.assert_allclose(
            normalized_center_error([moved, grown, HALF], [BOX] * 3), expected
        )
        # of the upper half, 20 x 20, the same 10 px are 0.5
        assert normalized_center_error([BOX], [HALF])[0] == 0.5

    def test_no_box_is_infinitely_far(self):
        point = [10.0, 20.0, 10.0, 20.0]
        errors = normalized_center_error([ABSENT, BOX, BOX], [BOX, ABSENT, point])
        np.testing.assert_array_equal(errors, np.inf)

    def test_equal_boxes_are_not_apart(self):
        boxes = np.random.default_rng(0).uniform(0, 900, (200, 4))
        boxes[:, 2:] = boxes[:, :2] + 7.3
        np.testing.assert_array_equal(normalized_center_error(boxes, boxes), 0)


class TestSuccess:
    def test_thresholds(self):
        np.testing.assert_allclose(SUCCESS_THRESHOLDS[[0, 1, 10, 20]], [0, 0.05, 0.5, 1])
        assert len(SUCCESS_THRESHOLDS) == 21

    def test_strictly_above(self):
        assert success_curve([0.0, 0.5, 0.5, 1.0], [0, 0.4, 0.5, 1]).tolist() == [
            0.75,
            0.75,
            0.25,
            0,
        ]


class TestCurves:
    def test_thresholds(self):
        assert PRECISION_THRESHOLDS[[0, 20, 50]].tolist() == [0, 20, 50]
        assert NORM_PRECISION_THRESHOLDS[[0, 20, 50]].tolist() == [0, 0.2, 0.5]
        assert len(PRECISION_THRESHOLDS) == len(NORM_PRECISION_THRESHOLDS) == 51

    def test_precision_at_the_threshold_counts(self):
        assert precision_curve([0, 0.2, 0.3, np.inf], [0, 0.2, 0.5]).tolist() == [0.25, 0.5, 0.75]

    def test_areas(self):
        assert mean_area([1, 1, 0]) == pytest.approx(2 / 3)
        assert trapezoid_area([1, 1, 0]) == pytest.approx(0.75)
        assert trapezoid_area([1, 0.5, 0]) == pytest.approx(0.5)
