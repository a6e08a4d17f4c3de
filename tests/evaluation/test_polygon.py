import numpy as np
import pytest

from sot.evaluation.polygon import as_corners, polygon_area, polygon_iou, raster_overlap

NAN = float("nan")
SQUARE = [0, 0, 10, 0, 10, 10, 0, 10]
DIAMOND = [5, 0, 10, 5, 5, 10, 0, 5]  # half of the square
CHEVRON = [0, 0, 10, 0, 4, 4, 0, 10]  # not convex: a corner is pushed in
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


class TestExact:
    @pytest.mark.parametrize(
        "a, b, expected",
        [
            (SQUARE, SQUARE, 1),
            (SQUARE, DIAMOND, 0.5),
            ([0, 0, 10, 10], SQUARE, 1),  # a box is its corners
            ([0, 0, 10, 10], [5, 0, 15, 10], 50 / 150),
            (SQUARE, [20, 0, 30, 0, 30, 10, 20, 10], 0),
            (SQUARE, [10, 0, 20, 0, 20, 10, 10, 10], 0),  # touching
            ([0, 0, 5, 10], DIAMOND, 25 / 75),
            (CHEVRON, CHEVRON, 1),
            (CHEVRON, SQUARE, 0.4),  # its area is 40
            (CHEVRON, [5, 5, 10, 10], 0),  # in the dent
        ],
    )
    def test_pairs(self, a, b, expected):
        for first, second in ((a, b), (b, a)):
            assert polygon_iou([first], [second])[0] == pytest.approx(expected, abs=1e-12)

    def test_direction_and_first_corner_do_not_matter(self):
        corners = np.array(CHEVRON, float).reshape(4, 2)
        turned = [np.roll(c, k, axis=0).ravel() for c in (corners, corners[::-1]) for k in range(4)]
        box = [2, 1, 8, 5]
        ious = polygon_iou(turned, [box] * 8)
        np.testing.assert_allclose(ious, ious[0], atol=1e-12)
        assert 0.2 < ious[0] < 0.5

    def test_no_region(self):
        bad = [[NAN] * 8, [0, 0, 5, 5, 10, 10, 5, 5], [*SQUARE[:7], np.inf]]
        np.testing.assert_array_equal(polygon_iou(bad, [SQUARE] * 3), 0)

    def test_far_from_the_origin(self):
        shifted = np.array([SQUARE, DIAMOND]) + 1e6
        assert polygon_iou(shifted[:1], shifted[1:])[0] == pytest.approx(0.5, abs=1e-9)

    def test_agrees_with_shapely(self):
        shapely = pytest.importorskip("shapely.geometry")
        for a, b in random_pairs(200):
            p, q = (shapely.Polygon(as_corners([r])[0]) for r in (a, b))
            if p.is_valid and q.is_valid:
                expected = p.intersection(q).area / p.union(q).area
                assert polygon_iou([a], [b])[0] == pytest.approx(expected, abs=1e-9)

    def test_area(self):
        assert polygon_area(np.array(SQUARE, float).reshape(4, 2)) == 100
        assert polygon_area(np.array(SQUARE, float).reshape(4, 2)[::-1]) == -100


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

    def test_differs_from_the_exact_one(self):
        box, polygon = [20, 10, 40, 30], [15, 12, 33, 8, 37, 26, 19, 30]
        exact, pixels = polygon_iou([box], [polygon])[0], raster_overlap([box], [polygon], SIZE)[0]
        assert 0.001 < abs(exact - pixels) < 0.05


def test_bad_shapes():
    for function in (polygon_iou, lambda a, b: raster_overlap(a, b, SIZE)):
        with pytest.raises(ValueError, match=r"shape \(T, 4\) or \(T, 2K\), not \(1, 5\)"):
            function([[0, 0, 1, 1, 2]], [SQUARE])
        with pytest.raises(ValueError, match="1 and 2 regions cannot be compared"):
            function([SQUARE], [SQUARE] * 2)
