import pickle
from itertools import islice

import numpy as np
import pytest

from sot.data.datasets.synthetic import SPLITS, SyntheticFrames, load_synthetic
from sot.data.datasets.synthetic_motion import Item, Plan, affine, annotate
from sot.data.datasets.synthetic_texture import random_outline

SQUARE = [np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])]


def item(*poses):
    """A square; poses are (center x, center y, half width, half height), one per frame."""
    matrices = [affine(half_w, 0, 0, half_h, x, y) for x, y, half_w, half_h in poses]
    return Item(SQUARE, np.array([10.0, 10.0]), np.stack(matrices), (0, 0))


def plan_of(target, *above):
    return Plan([target, *above], 0, np.tile(np.eye(3), (len(target.pose), 1, 1)))


def mask_bounds(mask):
    """XYXY of the pixels that are at least half covered."""
    y, x = np.nonzero(mask > 127)
    return np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])


class TestAnnotate:
    def test_box_is_the_bounds_clipped_to_the_image(self):
        target = item((50, 40, 10, 20), (5, 40, 10, 20), (98, 79, 10, 20))
        boxes, visible = annotate(plan_of(target), (100, 100))
        np.testing.assert_allclose(boxes, [[40, 20, 60, 60], [0, 20, 15, 60], [88, 59, 100, 99]])
        assert visible.all()

    def test_box_bounds_only_what_is_inside(self):
        # a square on its tip, with corners (50, 70) (70, 90) (50, 110) (30, 90), in 100 x 100
        tip = Item(SQUARE, None, affine(10, -10, 10, 10, 50, 90)[None], (0, 0))
        np.testing.assert_allclose(annotate(plan_of(tip), (100, 100))[0], [[30, 70, 70, 100]])
        # its centre 15 lower, 105: the widest part, 30..70 at y = 105, is outside; at y = 100 it
        # spans 35..65
        tip.pose[0, 1, 2] = 105
        np.testing.assert_allclose(annotate(plan_of(tip), (100, 100))[0], [[35, 85, 65, 100]])

    def test_turned_square(self):
        turned = Item(SQUARE, None, affine(0, -10, 10, 0, 50, 40)[None], (0, 0))
        turned.pose[0, :2, :2] *= [[1, 2], [1, 2]]  # half extents: 20 along x, 10 along y
        boxes, _ = annotate(plan_of(turned), (100, 100))
        np.testing.assert_allclose(boxes, [[30, 30, 70, 50]])

    def test_occlusion_does_not_shrink_the_box(self):
        target = item((50, 50, 20, 20))
        boxes, visible = annotate(plan_of(target, item((60, 50, 20, 40))), (100, 100))
        np.testing.assert_allclose(boxes, [[30, 30, 70, 70]])
        assert visible.all()

    @pytest.mark.parametrize(
        "left_edge, expected",
        [(40, False), (42, False), (44, True), (50, True)],  # shows 0.0, 0.1, 0.2, 0.5 of it
    )
    def test_visible_means_15_percent(self, left_edge, expected):
        target, cover = item((50, 50, 10, 10)), item((left_edge + 20, 50, 20, 30))
        boxes, visible = annotate(plan_of(target, cover), (100, 100))
        assert visible.tolist() == [expected]
        assert np.isfinite(boxes).all() == expected

    def test_out_of_view_is_not_visible(self):
        boxes, visible = annotate(plan_of(item((50, 50, 10, 10), (-50, 50, 10, 10))), (100, 100))
        assert visible.tolist() == [True, False]
        assert np.isnan(boxes[1]).all() and np.isfinite(boxes[0]).all()


class TestSyntheticFrames:
    def test_frame(self):
        frames = SyntheticFrames(seed=5, length=4, size=(60, 80))
        assert len(frames) == 4
        assert frames[3].shape == (60, 80, 3) and frames[3].dtype == np.uint8
        assert frames[3].std() > 5
        assert "5" in frames.name(3) and frames.name(3) != frames.name(2)

    def test_index_beyond_the_end(self):
        frames = SyntheticFrames(seed=5, length=4, size=(60, 80))
        with pytest.raises(IndexError, match="frame 4 of 4"):
            frames[4]
        assert len(list(islice(frames, 10))) == 4  # so that it can be iterated over

    def test_pure_function_of_its_arguments(self):
        state = np.random.get_state()[1].copy()
        frames = [SyntheticFrames(3, 10)[i] for i in range(3)]
        for seed in range(100, 110):  # push it out of the cache
            SyntheticFrames(seed, 2)[0]
        copy = pickle.loads(pickle.dumps(SyntheticFrames(3, 10)))
        for i in (2, 0, 1):
            np.testing.assert_array_equal(copy[i], frames[i])
        assert (np.random.get_state()[1] == state).all()
        assert (SyntheticFrames(4, 10)[0] != frames[0]).any()

    def test_small_when_pickled(self):
        frames = SyntheticFrames(3, 10)
        frames[0]
        assert len(pickle.dumps(frames)) < 500

    @pytest.mark.parametrize("seed", range(12))
    def test_box_bounds_the_mask(self, seed):
        frames = SyntheticFrames(seed, length=20)
        boxes, visible = frames.annotation()
        assert visible[0]
        for i in np.flatnonzero(visible)[::6]:
            np.testing.assert_allclose(boxes[i], mask_bounds(frames.target_alpha(i)), atol=1)

    def test_target_is_drawn_where_the_mask_is(self):
        plain = SyntheticFrames(7, length=1)
        alpha = plain.target_alpha(0)
        inside, box = alpha == 255, plain.annotation()[0][0].astype(int)
        # the same scene without its target differs inside the mask, not far from the object
        plan, scene = plain._parts()
        without = np.zeros_like(scene.sprites[plan.target])
        sprites, shadows = scene.sprites[plan.target], scene.shadows[plan.target]
        shown = plain[0].astype(int)
        scene.sprites[plan.target], scene.shadows[plan.target] = without, shadows * 0
        try:
            hidden = plain[0].astype(int)
        finally:
            scene.sprites[plan.target], scene.shadows[plan.target] = sprites, shadows
        changed = np.abs(shown - hidden).max(axis=2) > 0
        assert changed[inside].mean() > 0.9
        changed[max(box[1] - 40, 0) : box[3] + 40, max(box[0] - 40, 0) : box[2] + 40] = False
        assert not changed.any()


class TestLoadSynthetic:
    def test_tracks(self):
        tracks = load_synthetic("val", num_sequences=3, length=15)
        assert [t["name"] for t in tracks] == ["val_0000", "val_0001", "val_0002"]
        for track in tracks:
            assert len(track["frames"]) == 15
            assert track["boxes"].shape == (15, 4) and track["boxes"].dtype == np.float32
            assert track["visible"].shape == (15,) and track["visible"].dtype == bool
            assert (np.isfinite(track["boxes"]).all(axis=1) == track["visible"]).all()
            assert track["visible"][0]

    def test_splits_share_no_seed(self):
        (train, many, _), (val, _, _) = SPLITS["train"], SPLITS["val"]
        assert val >= train + many

    def test_unknown_split(self):
        with pytest.raises(ValueError, match="'test' is not one of train, val"):
            load_synthetic("test")


def test_outlines_fill_the_unit_box():
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = np.concatenate(random_outline(rng))
        np.testing.assert_allclose(points.min(axis=0), [-1, -1])
        np.testing.assert_allclose(points.max(axis=0), [1, 1])
