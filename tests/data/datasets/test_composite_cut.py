import cv2
import numpy as np
import pytest

from sot.data.datasets.cache import Source
from sot.data.datasets.composite_cut import (
    UNIT,
    CutOuts,
    cut_out_fields,
    fill_outline,
    load_cut_outs,
)
from sot.data.datasets.tracks import make_track
from sot.data.frames import ImageFrames

SQUARE = [10, 20, 30, 20, 30, 60, 10, 60]  # x, y of the corners of a 20 x 40 rectangle


def fields(**annotation):
    return cut_out_fields({"bbox": [10, 20, 20, 40], **annotation})


def rectangle(x0, y0, x1, y1):
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def cut_outs(tracks, limit=10):
    return CutOuts(load_cut_outs(Source("p", (), lambda: tracks), limit, "d"))


def track(photograph="a.jpg", box=(10, 20, 40, 80), polygon=None, **annotation):
    """Box and polygon: corners XYXY, and a list; by default the box is the polygon."""
    x0, y0, x1, y1 = box
    box = [x0, y0, x1 - x0, y1 - y0]
    annotation = {"bbox": box, "segmentation": [polygon or rectangle(x0, y0, x1, y1)], **annotation}
    more = cut_out_fields(annotation)
    return {**make_track("t", ImageFrames([photograph]), [box]), **more}


class TestFields:
    def test_without_a_polygon(self):
        assert fields() is None
        assert fields(segmentation={"size": [9, 9], "counts": "ab"}) is None

    def test_polygon_in_units_of_its_bounds(self):
        # a triangle that does not reach the right side of the box
        found = fields(bbox=[10, 20, 24, 40], segmentation=[[10, 60, 20, 20, 30, 60]])
        assert found["outline"].dtype == np.int16
        expected = np.array([[-1, 1], [0, -1], [1, 1]]) * UNIT
        assert found["outline"].shape == (1, 128, 2)  # each of the three again and again
        assert (
            found["outline"][0, [0, 31, 32, 95, 96, 127]].tolist()
            == expected[[0, 0, 1, 1, 2, 2]].tolist()
        )
        assert found["boxes"].tolist() == [[10, 20, 30, 60]]
        assert found["category"].tolist() == [0]

    def test_outline_of_many_points(self):
        angle = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
        circle = np.stack([30 + 20 * np.cos(angle), 60 + 40 * np.sin(angle)], axis=1)
        found = fields(segmentation=[circle.reshape(-1).tolist()], category_id=7)
        np.testing.assert_allclose(found["boxes"], [[10, 20, 50, 100]], atol=0.5)
        radii = np.hypot(*(found["outline"][0] / UNIT).T)
        np.testing.assert_allclose(radii, 1, atol=0.05)
        assert found["category"].tolist() == [7]

    def test_a_piece_of_the_object_is_not_its_outline(self):
        assert fields(bbox=[10, 20, 40, 40], segmentation=[SQUARE]) is None
        assert fields(bbox=[10, 20, 39, 40], segmentation=[SQUARE]) is not None

    @pytest.mark.parametrize("bad", [[], [1, 2, 3, 4], SQUARE[:-1], 7])
    def test_part_that_is_no_polygon(self, bad):
        assert fields(segmentation=[bad]) is None
        both = fields(segmentation=[bad, SQUARE])["outline"]
        assert (both == fields(segmentation=[SQUARE])["outline"]).all()

    def test_the_largest_part_counts(self):
        sliver = [10, 20, 12, 20, 12, 60, 10, 60]
        both = fields(segmentation=[sliver, rectangle(14, 20, 34, 60)])
        assert both["boxes"].tolist() == [[14, 20, 34, 60]]

    @pytest.mark.parametrize("sides, is_cut", [((19, 50), 0), ((20, 100), 1), ((20, 101), 0)])
    def test_smallest_and_thinnest(self, sides, is_cut):
        found = fields(bbox=[0, 0, *sides], segmentation=[rectangle(0, 0, *sides)])
        assert (found is not None) == is_cut


def test_fill_outline():
    square = np.array([[-0.5, -1], [1, -1], [1, 1], [-0.5, 1]])
    mask = fill_outline(square, (4, 8))
    assert mask.tolist() == [[0, 0, 255, 255, 255, 255, 255, 255]] * 4


class TestCutOuts:
    def test_limit(self):
        tracks = [track(f"{i}.jpg") for i in range(30)]
        found = [[t["frames"].name(0) for t in cut_outs(tracks, 5).tracks] for _ in range(2)]
        assert len(set(found[0])) == 5 and found[0] == found[1]
        assert sorted(found[0]) != sorted(f"{i}.jpg" for i in range(5))

    def test_alike_is_of_the_same_category(self):
        kinds = {"a.jpg": 2, "b.jpg": 1, "c.jpg": 2, "d.jpg": 3}
        found = cut_outs([track(name, category_id=k) for name, k in kinds.items()])
        names = [found.tracks[i]["frames"].name(0) for i in range(4)]
        rng = np.random.default_rng(0)
        drawn = {names[found.draw_alike(rng, names.index("a.jpg"))] for _ in range(20)}
        assert drawn == {"a.jpg", "c.jpg"}
        assert names[found.draw_alike(rng, names.index("d.jpg"))] == "d.jpg"

    def test_sprite_of_a_triangle(self, tmp_path):
        image = np.full((100, 100, 3), 255, np.uint8)
        image[20:60, 10:50] = (10, 20, 200)
        cv2.imwrite(str(tmp_path / "a.png"), image)
        polygon = [10, 20, 50, 20, 10, 60]  # the upper left half of the red square
        sprite = cut_outs([track(str(tmp_path / "a.png"), (10, 20, 50, 60), polygon)]).sprite(0)
        assert sprite.shape == (40, 40, 4)
        assert sprite[5, 5].tolist() == [10, 20, 200, 255] and not sprite[35, 35].any()

    def test_large_one_is_reduced(self, tmp_path):
        cv2.imwrite(str(tmp_path / "a.png"), np.full((640, 800, 3), 90, np.uint8))
        found = cut_outs([track(str(tmp_path / "a.png"), (0, 0, 800, 640))])
        assert found.sprite(0).shape == (128, 160, 4)
        assert found.shape(0)[0].tolist() == [800, 640]
