import cv2
import numpy as np
import pytest

from sot.data.datasets.composite_cut import (
    ROUNDED_BOX,
    UNIT,
    CutOuts,
    choose_cut_outs,
    cut_out_fields,
    fill_outline,
    find_outline,
    paint_cut_out,
)
from sot.data.datasets.tracks import TrackList, make_track
from sot.data.frames import ImageFrames

SQUARE = [10, 20, 30, 20, 30, 60, 10, 60]  # x, y of the corners of a 20 x 40 rectangle


def fields(**annotation):
    return cut_out_fields({"height": 90, "width": 160}, {"bbox": [10, 20, 20, 40], **annotation})


def track(photograph="a.jpg", box=(10, 20, 40, 80), **annotation):
    annotation = {"bbox": list(box), **annotation}
    return {
        **make_track("t", ImageFrames([photograph]), [box]),
        **cut_out_fields({}, annotation),
    }


class TestFields:
    def test_without_a_polygon(self):
        found = fields()
        assert found["category"].tolist() == [0] and found["boxes"].tolist() == [[10, 20, 30, 60]]
        assert found["outline"].shape == (1, 128, 2) and not found["outline"].any()
        assert not fields(segmentation={"size": [9, 9], "counts": "ab"})["outline"].any()

    def test_polygon_in_units_of_its_bounds(self):
        # a triangle that leaves 4 of the box free at the right
        found = fields(segmentation=[[10, 60, 18, 20, 26, 60]], category_id=7)
        assert found["outline"].dtype == np.int16
        expected = np.array([[-1, 1], [0, -1], [1, 1]]) * UNIT
        assert found["outline"].shape == (1, 128, 2)  # each of the three again and again
        assert (
            found["outline"][0, [0, 31, 32, 95, 96, 127]].tolist()
            == expected[[0, 0, 1, 1, 2, 2]].tolist()
        )
        assert found["boxes"].tolist() == [[10, 20, 26, 60]]
        assert found["category"].tolist() == [7]

    def test_outline_of_many_points(self):
        angle = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
        circle = np.stack([20 + 10 * np.cos(angle), 40 + 20 * np.sin(angle)], axis=1)
        found = fields(segmentation=[circle.reshape(-1).tolist()])
        np.testing.assert_allclose(found["boxes"], [[10, 20, 30, 60]], atol=0.5)
        radii = np.hypot(*(found["outline"][0] / UNIT).T)
        np.testing.assert_allclose(radii, 1, atol=0.05)

    def test_a_piece_of_the_object_is_not_its_outline(self):
        piece = [10, 20, 20, 20, 20, 60, 10, 60]  # 10 of 20 pixels wide
        found = fields(segmentation=[piece])
        assert not found["outline"].any() and found["boxes"].tolist() == [[10, 20, 30, 60]]

    @pytest.mark.parametrize("bad", [[], [1, 2, 3, 4], SQUARE[:-1], 7])
    def test_part_that_is_no_polygon(self, bad):
        assert not fields(segmentation=[bad])["outline"].any()
        both = fields(segmentation=[bad, SQUARE])["outline"]
        assert (both == fields(segmentation=[SQUARE])["outline"]).all()

    def test_the_largest_part_counts(self):
        sliver = [10, 20, 12, 20, 12, 60, 10, 60]
        both = fields(segmentation=[sliver, [14, 20, 30, 20, 30, 60, 14, 60]])
        assert both["boxes"].tolist() == [[14, 20, 30, 60]]


def test_fill_outline():
    square = np.array([[-0.5, -1], [1, -1], [1, 1], [-0.5, 1]])
    mask = fill_outline(square, (4, 8))
    assert mask.tolist() == [[0, 0, 255, 255, 255, 255, 255, 255]] * 4


class TestFindOutline:
    @pytest.fixture
    def photograph(self, tmp_path):
        """A red disc of radius 30 about (80, 50) on green grass."""
        image = np.random.default_rng(0).integers(0, 50, (100, 160, 3), dtype=np.uint8)
        image[..., 1] += 120
        cv2.circle(image, (80, 50), 30, (30, 30, 220), -1)
        cv2.imwrite(str(tmp_path / "disc.png"), image)
        return ImageFrames([str(tmp_path / "disc.png")])

    def test_finds_a_disc(self, photograph):
        box = np.array([50.0, 20, 110, 80])
        outline = find_outline(photograph, box)
        radii = np.hypot(*(outline - (80, 50)).T)
        assert radii.min() > 27 and radii.max() < 32
        np.testing.assert_array_equal(outline, find_outline(photograph, box))

    def test_what_is_not_most_of_the_box_is_none(self, photograph):
        assert find_outline(photograph, np.array([30.0, 5, 155, 95])) is None

    @pytest.mark.parametrize("box", [[300, 200, 330, 240], [155, 95, 215, 155], [-50, 0, 5, 50]])
    def test_box_that_is_hardly_in_the_picture(self, photograph, box):
        assert find_outline(photograph, np.array(box, float)) is None

    def test_missing_photograph(self):
        assert find_outline(ImageFrames(["gone.jpg"]), np.array([0.0, 0, 50, 50])) is None


class TestCutOuts:
    def test_boxes_that_can_be_cut_out(self):
        boxes = [(0, 0, 19, 50), (0, 0, 20, 100), (0, 0, 20, 101), (5, 5, 30, 30)]
        tracks = [track(f"{i}.jpg", box) for i, box in enumerate(boxes)]
        found = [t["frames"].name(0) for t in choose_cut_outs(tracks, 10, "d")]
        assert sorted(found) == ["1.jpg", "3.jpg"]

    def test_limit(self):
        tracks = [track(f"{i}.jpg") for i in range(30)]
        found = [[t["frames"].name(0) for t in choose_cut_outs(tracks, 5, "d")] for _ in range(2)]
        assert len(set(found[0])) == 5 and found[0] == found[1]
        assert sorted(found[0]) != sorted(f"{i}.jpg" for i in range(5))

    def test_alike_is_of_the_same_category(self):
        kinds = {"a.jpg": 2, "b.jpg": 1, "c.jpg": 2, "d.jpg": 3}
        tracks = [track(name, category_id=k) for name, k in kinds.items()]
        cut_outs = CutOuts(TrackList.pack(choose_cut_outs(tracks, 10, "d")))
        names = [cut_outs.tracks[i]["frames"].name(0) for i in range(4)]
        rng = np.random.default_rng(0)
        drawn = {names[cut_outs.draw_alike(rng, names.index("a.jpg"))] for _ in range(20)}
        assert drawn == {"a.jpg", "c.jpg"}
        assert names[cut_outs.draw_alike(rng, names.index("d.jpg"))] == "d.jpg"

    def test_sprite_of_a_triangle(self, tmp_path):
        image = np.full((100, 100, 3), 255, np.uint8)
        image[20:60, 10:50] = (10, 20, 200)
        cv2.imwrite(str(tmp_path / "a.png"), image)
        polygon = [10, 20, 50, 20, 10, 60]  # the upper left half of the red square
        found = [track(str(tmp_path / "a.png"), (10, 20, 40, 40), segmentation=[polygon])]
        sprite = paint_cut_out(CutOuts(TrackList.pack(choose_cut_outs(found, 1, "d"))), 0)
        assert sprite.shape == (40, 40, 4)
        assert sprite[5, 5].tolist() == [10, 20, 200, 255] and not sprite[35, 35].any()

    def test_large_one_is_reduced(self, tmp_path):
        cv2.imwrite(str(tmp_path / "a.png"), np.full((640, 800, 3), 90, np.uint8))
        polygon = [0, 0, 800, 0, 800, 640, 0, 640]
        found = [track(str(tmp_path / "a.png"), (0, 0, 800, 640), segmentation=[polygon])]
        cut_outs = CutOuts(TrackList.pack(choose_cut_outs(found, 1, "d")))
        assert paint_cut_out(cut_outs, 0).shape == (128, 160, 4)
        assert cut_outs.shape(0)[0].tolist() == [800, 640]

    def test_without_an_outline_it_is_a_rounded_box(self):
        cut_outs = CutOuts(TrackList.pack(choose_cut_outs([track("gone.jpg")], 1, "d")))
        sides, outline = cut_outs.shape(0)
        np.testing.assert_array_equal(outline, ROUNDED_BOX)
        assert sides.tolist() == [40, 80]
