import cv2
import numpy as np
import pytest
from detectron2.data.transforms import AugInput

from sot.data.corruptions import (
    ColorJitter,
    Compression,
    LowResolution,
    MotionBlur,
    Occlusion,
    SensorNoise,
    gray_transform,
)
from sot.data.dataset_mapper import numpy_seed

GRADIENT = np.tile(np.arange(0, 240, 4, dtype=np.uint8)[None, :, None], (40, 1, 3))  # 40 x 60
BOX = np.array([[20.0, 10.0, 40.0, 30.0]])


def applied(augmentation, image=GRADIENT, box=BOX, seed=3):
    """Image and boxes after the augmentation."""
    aug_input = AugInput(image.copy(), boxes=box)
    with numpy_seed(seed):
        augmentation(aug_input)
    return aug_input.image, aug_input.boxes


@pytest.mark.parametrize(
    "kind", [ColorJitter, Compression, LowResolution, MotionBlur, Occlusion, SensorNoise]
)
class TestAll:
    def test_same_seed_same_pixels(self, kind):
        noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
        once, again, other = (applied(kind(), noise, seed=s)[0] for s in (3, 3, 4))
        assert once.shape == noise.shape and once.dtype == np.uint8
        assert np.array_equal(once, again) and not np.array_equal(once, other)

    def test_box_stays_that_of_the_whole_target(self, kind):
        assert np.array_equal(applied(kind())[1], BOX)


def test_noise_is_gray_of_at_most_its_sigma():
    flat = np.full((100, 100, 3), 128, np.uint8)
    stds = []
    for seed in range(20):
        image = applied(SensorNoise(max_sigma=10.0), flat, seed=seed)[0].astype(int)
        assert np.array_equal(image[..., 0], image[..., 2])
        stds.append((image - 128)[..., 0].std())
    assert max(stds) < 10.5 and 3 < np.mean(stds) < 7


def test_low_resolution_loses_detail_and_keeps_the_mean():
    checkers = np.tile(np.kron([[0, 1], [1, 0]], np.ones((1, 1)))[..., None], (20, 30, 3))
    checkers = (checkers * 200).astype(np.uint8)
    image, _ = applied(LowResolution(max_factor=1000.0), checkers)
    assert image.mean() == pytest.approx(100, abs=2) and image.std() < 20 < checkers.std()


def test_compression_is_that_of_the_jpeg():
    image, _ = applied(Compression(quality=(20, 20)))
    data = cv2.imencode(".jpg", GRADIENT, [cv2.IMWRITE_JPEG_QUALITY, 20])[1]
    assert np.array_equal(image, cv2.imdecode(data, cv2.IMREAD_COLOR))


class TestOcclusion:
    def changed(self, seed, extent):
        """XYXY of the pixels that differ; each pixel of the image is unlike all others."""
        unique = np.arange(40 * 60, dtype=np.int64).reshape(40, 60)
        image = np.stack([unique % 256, unique // 256, unique % 7], axis=2).astype(np.uint8)
        y, x = np.nonzero((applied(Occlusion(extent), image, seed=seed)[0] != image).any(2))
        return x.min(), y.min(), x.max() + 1, y.max() + 1

    def test_covers_a_part_of_the_target_of_the_size_asked_for(self):
        for seed in range(10):
            x0, y0, x1, y1 = self.changed(seed, (0.5, 0.5))
            # half of 20 x 20 (where the source overlaps it, a row may happen to stay the same)
            assert (x1 - x0, y1 - y0) == (10, 10)
            assert x0 < 40 and x1 > 20 and y0 < 30 and y1 > 10

    def test_target_larger_than_the_picture(self):
        box = np.array([[-100.0, -100.0, 200.0, 200.0]])
        image, _ = applied(Occlusion((1.0, 1.0)), box=box)
        assert image.shape == GRADIENT.shape


def test_gray_has_equal_channels_with_bt601_luma():
    image = np.array([[[100, 0, 0], [0, 100, 0], [0, 0, 100]]], np.uint8)
    out = gray_transform().apply_image(image)
    assert out.tolist() == [[[11] * 3, [59] * 3, [30] * 3]]


def test_jitter_changes_colours_not_shape():
    image = np.random.randint(0, 256, (9, 9, 3), np.uint8)
    out = ColorJitter().get_transform(image).apply_image(image)
    assert out.shape == image.shape and out.dtype == np.uint8 and (out != image).any()


def test_motion_blur_keeps_the_mean_and_spreads():
    image = np.zeros((41, 41, 3), np.uint8)
    image[20, 20] = 255
    for _ in range(20):
        out = MotionBlur().get_transform(image).apply_image(image)
        assert (out[..., 0] > 0).sum() >= 3
        assert abs(int(out[..., 0].sum()) - 255) < 30


@pytest.mark.parametrize(
    "angle, offsets",
    [
        (0.0, [(0, x) for x in range(-7, 8)]),
        (np.pi / 2, [(y, 0) for y in range(-7, 8)]),
        (np.pi / 4, [(k, k) for k in range(-5, 6)]),
        (3 * np.pi / 4, [(k, -k) for k in range(-5, 6)]),
    ],
)
def test_motion_blur_is_along_a_line_of_at_most_15_pixels(monkeypatch, angle, offsets):
    monkeypatch.setattr(np.random, "randint", lambda low, high: high - 1)
    monkeypatch.setattr(np.random, "uniform", lambda low, high: angle)
    image = np.zeros((41, 41, 3), np.uint8)
    image[20, 20] = 255
    out = MotionBlur().get_transform(image).apply_image(image)[..., 0]
    assert sorted(map(tuple, np.argwhere(out) - 20)) == sorted(offsets)
