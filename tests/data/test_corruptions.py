import cv2
import numpy as np
import pytest
from detectron2.data.transforms import AugInput

from sot.data.corruptions import Compression, LowResolution, Occlusion, SensorNoise
from sot.data.utils import numpy_seed

GRADIENT = np.tile(np.arange(0, 240, 4, dtype=np.uint8)[None, :, None], (40, 1, 3))  # 40 x 60
BOX = np.array([[20.0, 10.0, 40.0, 30.0]])


def applied(augmentation, image=GRADIENT, box=BOX, seed=3):
    """Image and boxes after the augmentation."""
    aug_input = AugInput(image.copy(), boxes=box)
    with numpy_seed(seed):
        augmentation(aug_input)
    return aug_input.image, aug_input.boxes


@pytest.mark.parametrize("kind", [Compression, LowResolution, Occlusion, SensorNoise])
class TestAll:
    def test_never_at_probability_0(self, kind):
        assert np.array_equal(applied(kind(0.0))[0], GRADIENT)

    def test_same_seed_same_pixels(self, kind):
        noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
        once, again, other = (applied(kind(1.0), noise, seed=s)[0] for s in (3, 3, 4))
        assert once.shape == noise.shape and once.dtype == np.uint8
        assert np.array_equal(once, again) and not np.array_equal(once, other)

    def test_box_stays_that_of_the_whole_target(self, kind):
        assert np.array_equal(applied(kind(1.0))[1], BOX)


def test_noise_is_gray_of_at_most_its_sigma():
    flat = np.full((100, 100, 3), 128, np.uint8)
    stds = []
    for seed in range(20):
        image = applied(SensorNoise(1.0, max_sigma=10.0), flat, seed=seed)[0].astype(int)
        assert np.array_equal(image[..., 0], image[..., 2])
        stds.append((image - 128)[..., 0].std())
    assert max(stds) < 10.5 and 3 < np.mean(stds) < 7


def test_low_resolution_loses_detail_and_keeps_the_mean():
    checkers = np.tile(np.kron([[0, 1], [1, 0]], np.ones((1, 1)))[..., None], (20, 30, 3))
    checkers = (checkers * 200).astype(np.uint8)
    image, _ = applied(LowResolution(1.0, max_factor=1000.0), checkers)
    assert image.mean() == pytest.approx(100, abs=2) and image.std() < 20 < checkers.std()


def test_compression_is_that_of_the_jpeg():
    image, _ = applied(Compression(1.0, quality=(20, 20)))
    data = cv2.imencode(".jpg", GRADIENT, [cv2.IMWRITE_JPEG_QUALITY, 20])[1]
    assert np.array_equal(image, cv2.imdecode(data, cv2.IMREAD_COLOR))


class TestOcclusion:
    def changed(self, seed, extent):
        """XYXY of the pixels that differ; each pixel of the image is unlike all others."""
        unique = np.arange(40 * 60, dtype=np.int64).reshape(40, 60)
        image = np.stack([unique % 256, unique // 256, unique % 7], axis=2).astype(np.uint8)
        y, x = np.nonzero((applied(Occlusion(1.0, extent), image, seed=seed)[0] != image).any(2))
        return x.min(), y.min(), x.max() + 1, y.max() + 1

    def test_covers_a_part_of_the_target_of_the_size_asked_for(self):
        for seed in range(10):
            x0, y0, x1, y1 = self.changed(seed, (0.5, 0.5))
            # half of 20 x 20 (where the source overlaps it, a row may happen to stay the same)
            assert (x1 - x0, y1 - y0) == (10, 10)
            assert x0 < 40 and x1 > 20 and y0 < 30 and y1 > 10

    def test_target_larger_than_the_picture(self):
        box = np.array([[-100.0, -100.0, 200.0, 200.0]])
        image, _ = applied(Occlusion(1.0, (1.0, 1.0)), box=box)
        assert image.shape == GRADIENT.shape
