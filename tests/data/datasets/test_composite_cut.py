import cv2
import numpy as np
import pytest

from sot.data.datasets.composite_cut import CutOuts, cut_out_fields, find_outline
from sot.data.datasets.tracks import make_track
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
        assert found["category"].tolist() == [0] and found["image_size"].tolist() == [[90, 160]]
        assert found["outline"].shape == (1, 64, 2) and not found["outline"].any()
        assert not fields(segmentation={"size": [9, 9], "counts": "ab"})["outline"].any()
        assert cut_out_fields({}, {"bbox": [0, 0, 1, 1]})["image_size"].tolist() == [[0, 0]]

    def test_polygon_in_units_of_the_box(self):
        (outline,) = fields(segmentation=[SQUARE], category_id=7)["outline"]
        assert outline.dtype == np.int8 and outline[0].tolist() == [-127, -127]
        # the line is 120 long: point 16 of 64 is at 30, which is 10 below the second corner
        assert outline[16].tolist() == [127, -64]
        assert (np.abs(outline).max(axis=1) == 127).all()
        assert fields(category_id=7)["category"].tolist() == [7]

    @pytest.mark.parametrize("bad", [[], [1, 2, 3, 4], SQUARE[:-1], 7])
    def test_part_that_is_no_polygon(self, bad):
        assert not fields(segmentation=[bad])["outline"].any()
        both = fields(segmentation=[bad, SQUARE])["outline"]
        assert (both == fields(segmentation=[SQUARE])["outline"]).all()

    def test_the_largest_part_counts(self):
        sliver = [10, 20, 12, 20, 12, 60, 10, 60]
        both = fields(segmentation=[sliver, [14, 20, 30, 20, 30, 60, 14, 60]])["outline"][0]
        assert both[:, 0].min() == round(127 * (14 - 20) / 10) and both[:, 0].max() == 127


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
        outline = find_outline(photograph, np.array([50.0, 20, 110, 80]))
        radii = np.hypot(*outline.T.astype(float)) / 127
        assert radii.min() > 0.85 and radii.max() < 1.1
        np.testing.assert_array_equal(
            outline, find_outline(photograph, np.array([50.0, 20, 110, 80]))
        )

    def test_what_is_not_most_of_the_box_is_none(self, photograph):
        assert not find_outline(photograph, np.array([30.0, 5, 155, 95])).any()

    @pytest.mark.parametrize(
        "box", [[0, 0, 160, 100], [300, 200, 330, 240], [155, 95, 215, 155], [-50, 0, 5, 50]]
    )
    def test_box_that_is_all_of_the_picture_or_hardly_in_it(self, photograph, box):
        assert not find_outline(photograph, np.array(box, float)).any()

    def test_missing_photograph(self):
        assert not find_outline(ImageFrames(["gone.jpg"]), np.array([0.0, 0, 50, 50])).any()


class TestCutOuts:
    def test_boxes_that_can_be_cut_out(self):
        boxes = [(0, 0, 19, 50), (0, 0, 20, 100), (0, 0, 20, 101), (5, 5, 30, 30)]
        tracks = [track(f"{i}.jpg", box) for i, box in enumerate(boxes)]
        found = [cut.photograph.name(0) for cut in CutOuts(tracks, 10, "d")]
        assert sorted(found) == ["1.jpg", "3.jpg"]

    def test_limit(self):
        tracks = [track(f"{i}.jpg") for i in range(30)]
        found = [[cut.photograph.name(0) for cut in CutOuts(tracks, 5, "d")] for _ in range(2)]
        assert len(set(found[0])) == 5 and found[0] == found[1]
        assert sorted(found[0]) != sorted(f"{i}.jpg" for i in range(5))

    def test_alike_is_of_the_same_category(self):
        kinds = {"a.jpg": 2, "b.jpg": 1, "c.jpg": 2, "d.jpg": 3}
        cut_outs = CutOuts([track(name, category_id=k) for name, k in kinds.items()], 10, "d")
        names = [cut.photograph.name(0) for cut in cut_outs]
        rng = np.random.default_rng(0)
        drawn = {names[cut_outs.draw_alike(rng, names.index("a.jpg"))] for _ in range(20)}
        assert drawn == {"a.jpg", "c.jpg"}
        assert names[cut_outs.draw_alike(rng, names.index("d.jpg"))] == "d.jpg"

    def test_the_box_becomes_that_of_the_outline(self):
        # the annotated box is 40 x 80 from (10, 20); the polygon leaves 8 free at the left
        polygon = [18, 20, 50, 20, 50, 100, 18, 100]
        tracks = [track(segmentation=[polygon]), track("b.jpg")]
        cut, other = sorted(CutOuts(tracks, 10, "d"), key=lambda cut: cut.photograph.name(0))
        np.testing.assert_allclose(cut.box, [18, 20, 50, 100], atol=0.2)
        np.testing.assert_allclose(cut.outline[0].min(axis=0), [-1, -1])
        np.testing.assert_allclose(cut.outline[0].max(axis=0), [1, 1])
        assert other.outline is None and other.box.tolist() == [10, 20, 50, 100]

    def test_a_piece_of_the_object_is_not_its_outline(self):
        piece = [10, 20, 28, 20, 28, 100, 10, 100]  # 18 of 40 pixels wide
        cut, _ = CutOuts([track(segmentation=[piece]), track("b.jpg", category_id=1)], 10, "d")
        assert cut.outline is None and cut.box.tolist() == [10, 20, 50, 100]

    def test_nothing_to_cut_out(self):
        with pytest.raises(ValueError, match="'d': none of its 2 boxes can be cut out"):
            CutOuts([track(box=(0, 0, 5, 5))] * 2, 10, "d")
        with pytest.raises(ValueError, match="'d': all objects are of a.jpg"):
            CutOuts([track("a.jpg"), track("a.jpg")], 10, "d")
