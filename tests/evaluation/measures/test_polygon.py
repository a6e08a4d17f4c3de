import numpy as np
import pytest

from sot.evaluation.measures.polygon import raster_overlap

NAN = float("nan")
SQUARE = [0, 0, 10, 0, 10, 10, 0, 10]
DIAMOND = [5, 0, 10, 5, 5, 10, 0, 5]  # half of the square
SIZE = (64, 48)


def random_pairs(count, seed=0):
    """Boxes XYXY and rotated or bent quadrilaterals, near each other."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        centre = rng.uniform(-5, 70, 2)
        pair = []
        for _ in range(2):
            size, angle = rng.uniform(2, 40, 2), rng.uniform(0, 6.3)
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size / 2 @ turn.T
            corners = corners + centre + rng.normal(0, 6, 2)
            if rng.random() < 0.4:
                pair.append(np.concatenate([corners.min(axis=0), corners.max(axis=0)]))
            else:
                pair.append((corners + rng.normal(0, 1, (4, 2))).ravel())
        yield pair


class TestRaster:
    @pytest.mark.parametrize(
        "a, b, expected",
        [
            ([0, 0, 10, 10], [0, 0, 10, 10], 1),
            ([0, 0, 10, 10], [5, 0, 15, 10], 50 / 150),
            ([0, 0, 10, 10], [0.4, 0, 10.4, 10], 1),  # rounded
            ([0, 0, 10, 10], [0.5, 0, 10.5, 10], 1),  # half to even
            ([0, 0, 10, 10], SQUARE, 100 / 121),  # a polygon has its last row and column, too
            (SQUARE, SQUARE, 1),
            ([54, 0, 64, 10], [54, 0, 90, 10], 1),  # outside of the image nothing counts
            ([-20, 0, -10, 10], [-20, 0, -10, 10], 0),
            ([3, 3, 4, 20], [3, 9, 4, 12], 1),  # one pixel wide together
            # of the diamond in rows 0 ... 10: 1, 3, 5, 7, 9, 11, 9, 7, 5, 3, 1 pixels
            (SQUARE, DIAMOND, 61 / 121),
        ],
    )
    def test_pairs(self, a, b, expected):
        for first, second in ((a, b), (b, a)):
            assert raster_overlap([first], [second], SIZE)[0] == pytest.approx(expected, abs=1e-12)

    def test_no_region(self):
        assert raster_overlap([[NAN] * 4], [SQUARE], SIZE)[0] == 0

    def test_numbers_of_the_vot_toolkit(self):
        # vot.region.calculate_overlap of vot-toolkit 0.7.2 on these regions, image 64 x 48
        expected = [0.401763224, 0, 0, 0.590108969, 0, 0.016393443, 0, 0.085572139, 0, 0]
        expected += [0.171568627, 0.431506849]
        ours = [raster_overlap([a], [b], SIZE)[0] for a, b in random_pairs(12, seed=2)]
        np.testing.assert_allclose(ours, expected, atol=1e-6)

    def test_a_box_among_polygons_stays_a_box(self):
        box = [0, 0, 10, 10, *[NAN] * 4]
        assert raster_overlap([box], [SQUARE], SIZE)[0] == pytest.approx(100 / 121)
        assert raster_overlap([box], [[0, 0, 10, 10]], SIZE)[0] == 1

    def test_no_rows(self):
        for width in (4, 8):
            assert raster_overlap(np.zeros((0, width)), np.zeros((0, width)), SIZE).shape == (0,)


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"shape \(T, 4\) or \(T, 2K\), not \(1, 5\)"):
        raster_overlap([[0, 0, 1, 1, 2]], [SQUARE], SIZE)
    with pytest.raises(ValueError, match="1 and 2 regions cannot be compared"):
        raster_overlap([SQUARE], [SQUARE] * 2, SIZE)
