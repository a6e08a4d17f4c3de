import pickle
from itertools import islice

import numpy as np
import pytest

from sot.data.datasets.synthetic import (
    LOOKS,
    SPLITS,
    PaintedObjects,
    SyntheticFrames,
    load_synthetic,
    paint_background,
)


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
        assert len(pickle.dumps(frames)) < 700

    def test_something_moves_in_the_box(self):
        """The inside of the target's box follows it: shifted back, it looks the same."""
        frames = SyntheticFrames(2, 30)
        boxes, visible = frames.annotation()
        assert visible.all()
        crops = []
        for i in (0, 29):
            x, y = boxes[i].reshape(2, 2).mean(axis=0).astype(int)
            crops.append(frames[i][y - 12 : y + 12, x - 12 : x + 12].astype(float))
        assert np.corrcoef(crops[0].ravel(), crops[1].ravel())[0, 1] > 0.7
        assert np.abs(boxes[29] - boxes[0]).max() > 3


def test_objects():
    objects = PaintedObjects()
    for number in range(0, 20 * LOOKS, LOOKS):
        sides, outline = objects.shape(number)
        np.testing.assert_allclose([outline.min(axis=0), outline.max(axis=0)], [[-1] * 2, [1] * 2])
        sprite = objects.sprite(number)
        assert sprite.shape == (*np.rint(sides[::-1]), 4) and sprite.dtype == np.uint8
        assert (sprite[..., :3] <= sprite[..., 3:]).all()
    sides, outline = objects.shape(7)
    other = objects.draw_alike(np.random.default_rng(1), 7)
    assert 0 <= other < LOOKS and (objects.shape(other)[1] == outline).all()
    assert (objects.sprite(0)[..., 3] == objects.sprite(1)[..., 3]).all()
    assert (objects.sprite(0) != objects.sprite(1)).any()


def test_background():
    image = paint_background(np.random.default_rng(0), (70, 90))
    assert image.shape == (70, 90, 3) and image.dtype == np.uint8 and image.std() > 5


def test_splits():
    tracks = load_synthetic("val")
    assert [t["name"] for t in tracks[::5]] == ["val_0000", "val_0005", "val_0010"]
    assert len(tracks) == 12
    for track in tracks:
        assert len(track["frames"]) == 100
        assert track["boxes"].shape == (100, 4) and track["visible"].shape == (100,)
        assert track["visible"][0]
    (train, many, _), (val, _, _) = SPLITS["train"], SPLITS["val"]
    assert val >= train + many  # they share no seed
