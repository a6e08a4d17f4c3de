import cv2
import numpy as np
import pytest
from detectron2.data import transforms as T

from sot.data.dataset_mapper import numpy_seed
from sot.data.transforms import (
    RandomWarp,
    SubwindowTransform,
    TargetCrop,
    WarpTransform,
    WholePixelTransform,
    target_rect,
)


def test_target_rect_template_and_search():
    box = (20, 30, 30, 40)
    # w = h = 10, p = 5 on each side: 20 x 20
    assert target_rect(box, 127, 127, 0.5) == pytest.approx((15, 25, 35, 45))
    assert target_rect(box, 127, 127, 0) == pytest.approx(box)
    # w = 30, h = 10: p = 10 -> sqrt(50 * 30)
    x0, _, x1, _ = target_rect((20, 30, 50, 40), 127, 127, 0.5)
    assert x1 - x0 == pytest.approx(1500**0.5)
    half = 20 * 255 / 127 / 2
    assert target_rect(box, 255, 127, 0.5) == pytest.approx(
        (25 - half, 35 - half, 25 + half, 35 + half)
    )


class TestSubwindow:
    def test_identity_is_exact(self):
        image = np.random.randint(0, 256, (6, 8, 3), np.uint8)
        t = SubwindowTransform((0, 0, 8, 6), (6, 8))
        assert np.array_equal(t.apply_image(image), image)

    def test_whole_pixel_crop_with_padding(self):
        image = np.arange(1, 10, dtype=np.uint8).reshape(3, 3, 1).repeat(3, axis=2)
        t = SubwindowTransform((-1, 1, 2, 4), (3, 3), (50, 60, 70))
        out = t.apply_image(image)
        assert out[..., 0].tolist() == [[50, 4, 5], [50, 7, 8], [50, 50, 50]]
        assert out[0, 0].tolist() == [50, 60, 70]

    def test_coordinates_by_hand_and_box(self):
        t = SubwindowTransform((10, 20, 30, 60), (20, 40))
        points = t.apply_coords(np.array([[10, 20], [30, 60], [15, 40]]))
        assert points.tolist() == [[0, 0], [40, 20], [10, 10]]
        assert t.apply_box(np.array([[12, 24, 20, 30]]))[0].tolist() == [4, 2, 20, 5]

    def test_image_and_coordinates_agree_when_enlarged(self):
        image = np.zeros((20, 20, 3), np.uint8)
        image[7, 11] = 255  # its centre is at (11.5, 7.5)
        t = SubwindowTransform((8.3, 4.1, 14.3, 10.1), (60, 60))
        weight = t.apply_image(image)[..., 0].astype(float)
        y, x = (np.mgrid[:60, :60] + 0.5) * weight / weight.sum()
        assert [x.sum(), y.sum()] == pytest.approx(
            t.apply_coords(np.array([[11.5, 7.5]]))[0].tolist(), abs=0.1
        )

    @pytest.mark.parametrize("side", [90.0, 300.0])  # the second leaves the image
    def test_image_and_coordinates_agree_when_reduced(self, side):
        image = np.zeros((200, 200, 3), np.uint8)
        image[100:110, 80:100] = 255  # centre (90, 105)
        rect = (60.4, 70.2, 60.4 + side, 70.2 + side)
        t = SubwindowTransform(rect, (30, 30))
        weight = t.apply_image(image)[..., 0].astype(float)
        y, x = (np.mgrid[:30, :30] + 0.5) * weight / weight.sum()
        assert [x.sum(), y.sum()] == pytest.approx(
            t.apply_coords(np.array([[90, 105]]))[0].tolist(), abs=0.1
        )

    def test_reduction_averages_pixels(self):
        stripes = np.zeros((80, 80, 3), np.uint8)
        stripes[:, ::2] = 200
        out = SubwindowTransform((0, 0, 80, 80), (20, 20)).apply_image(stripes)
        assert np.abs(out[2:-2, 2:-2].astype(int) - 100).max() <= 1

    def test_empty_rectangle(self):
        with pytest.raises(ValueError, match="positive sides"):
            SubwindowTransform((5, 5, 5, 9), (3, 3))


class TestWholePixels:
    """PySOT's crop."""

    IMAGE = np.arange(1, 26, dtype=np.uint8).reshape(5, 5, 1).repeat(3, axis=2)

    @pytest.mark.parametrize(
        "rect, rows",
        [
            # centre 2.5, side 3: begins at floor(2.5 - 2) = 0, not at 1 where the rectangle does
            ((1, 1, 4, 4), [[1, 2, 3], [6, 7, 8], [11, 12, 13]]),
            # centre (3, 2.6), side 2: begins at (floor(1.5), floor(1.1))
            ((2, 1.6, 4, 3.6), [[7, 8], [12, 13]]),
            # side 2.4 is rounded; centre 0.2: begins at floor(0.2 - 1.5) = -2, two rows outside
            ((-1.0, 2.0, 1.4, 4.4), [[90, 90], [90, 90]]),
            # centre (5, 4), side 3: begins at (3, 2), and one column is outside
            ((3.5, 2.5, 6.5, 5.5), [[14, 15, 90], [19, 20, 90], [24, 25, 90]]),
        ],
    )
    def test_by_hand(self, rect, rows):
        side = len(rows)
        out = WholePixelTransform(rect, (side, side), (90.9, 91.0, 92.2)).apply_image(self.IMAGE)
        assert out[..., 0].tolist() == rows

    def test_pad_colour_is_truncated(self):
        t = WholePixelTransform((-3, -3, 0, 0), (3, 3), (90.9, 91.0, 92.2))
        out = t.apply_image(self.IMAGE)
        assert out[0, 0].tolist() == [90, 91, 92]

    def test_resized_by_opencv_without_averaging(self):
        image = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
        out = WholePixelTransform((10, 20, 70, 80), (20, 20)).apply_image(image)
        # centre (40, 50), side 60: begins at floor(40 - 30.5) = 9 and 19
        assert np.array_equal(out, cv2.resize(image[19:79, 9:69], (20, 20)))

    def test_coordinates_are_those_of_the_rectangle(self):
        t = WholePixelTransform((10.3, 20.3, 30.3, 40.3), (40, 40))
        points = t.apply_coords([[20.3, 25.3]])
        assert points[0].tolist() == pytest.approx([20, 10])


class TestTargetCrop:
    image = np.random.randint(0, 256, (120, 160, 3), np.uint8)
    box = np.array([[60.0, 40.0, 100.0, 80.0]])

    def crop(self, **kwargs):
        aug_input = T.AugInput(self.image, boxes=self.box.copy())
        TargetCrop(255, **kwargs)(aug_input)
        return aug_input

    def test_target_in_the_middle_at_template_scale(self):
        out = self.crop()
        # side 40 + 40 of context -> 127 px: scale 127 / 80
        half = 40 * 127 / 80 / 2
        assert out.image.shape == (255, 255, 3)
        assert out.boxes[0].tolist() == pytest.approx(
            [127.5 - half, 127.5 - half, 127.5 + half, 127.5 + half]
        )

    def test_shift_and_scale_reach_their_range_and_stay_in_it(self):
        centers, widths = [], []
        for _ in range(400):
            box = self.crop(shift=64, scale=0.18).boxes[0]
            centers.append((box[:2] + box[2:]) / 2 - 127.5)
            widths.append((box[2] - box[0]) / (40 * 127 / 80))
        centers = np.array(centers)
        assert np.abs(centers).max() <= 64 / (1 - 0.18) + 1e-6
        assert np.abs(centers).max() > 55 and abs(centers.mean()) < 5
        assert min(widths) >= 1 / 1.18 - 1e-6 and max(widths) <= 1 / 0.82 + 1e-6
        assert min(widths) < 0.88 and max(widths) > 1.18

    def test_pads_with_the_mean_colour(self):
        image = np.zeros((50, 50, 3), np.uint8)
        image[:, 25:] = (100, 200, 40)
        aug_input = T.AugInput(image, boxes=np.array([[0.0, 0.0, 50.0, 50.0]]))
        TargetCrop(127)(aug_input)
        for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
            assert aug_input.image[corner].tolist() == [50, 100, 20]

    def test_one_pixel_box_and_box_larger_than_the_image(self):
        for box in ((60.0, 40.0, 61.0, 41.0), (-500.0, -400.0, 700.0, 600.0)):
            aug_input = T.AugInput(self.image, boxes=np.array([box]))
            TargetCrop(255)(aug_input)
            w, h = box[2] - box[0], box[3] - box[1]
            scale = 127 / np.sqrt((w + (w + h) / 2) * (h + (w + h) / 2))
            half_w, half_h = w * scale / 2, h * scale / 2
            assert aug_input.image.shape == (255, 255, 3)
            assert aug_input.boxes[0].tolist() == pytest.approx(
                [127.5 - half_w, 127.5 - half_h, 127.5 + half_w, 127.5 + half_h]
            )

    def test_crop_inside_the_image_does_not_see_the_pad_colour(self):
        image = np.full((60, 60, 3), 200, np.uint8)
        for low, high in ((1.01, 58.99), (1.01, 20.3), (0.99, 30.0)):
            rect = np.array([low, low, high, high])
            assert (TargetCrop(127).transform_to(rect, image).apply_image(image) == 200).all()

    def test_scale_out_of_range(self):
        with pytest.raises(ValueError, match="scale"):
            TargetCrop(127, scale=1.0)


class TestWarp:
    def turned(self, angle=90, input_size=8, output_size=4):
        c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        return WarpTransform(
            np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]), input_size, output_size
        )

    def test_no_change_cuts_the_middle(self):
        image = np.arange(64, dtype=np.uint8).reshape(8, 8)
        assert np.array_equal(self.turned(0).apply_image(image), image[2:6, 2:6])

    def test_quarter_turn_moves_pixels_and_points_alike(self):
        image = np.arange(64, dtype=np.uint8).reshape(8, 8)
        warp = self.turned(90)
        # to the right becomes down
        assert np.array_equal(warp.apply_image(image), np.rot90(image[2:6, 2:6], -1))
        np.testing.assert_allclose(warp.apply_coords([[4, 4], [6, 4]]), [[2, 2], [2, 4]])

    def test_quarter_turn_swaps_the_sides_of_a_box(self):
        # 4 x 2 around the centre
        np.testing.assert_allclose(self.turned(90).apply_box([2, 3, 6, 5]), [[1, 0, 3, 4]])

    def test_box_bounds_the_ellipse(self):
        # half axes 3 and 1 turned by 45 degrees: sqrt((9 + 1) / 2)
        box = self.turned(45, 20, 20).apply_box([7, 9, 13, 11])
        np.testing.assert_allclose(box, [[10 - 5**0.5] * 2 + [10 + 5**0.5] * 2])

    def test_tilt_shrinks_one_side(self):
        matrix = np.array([[1, 0, 0], [0, 1, 0], [0.05, 0, 1]])
        points = WarpTransform(matrix, 20, 20).apply_coords([[10, 10], [20, 10], [0, 10]])
        np.testing.assert_allclose(points[:, 0], [10, 10 + 10 / 1.5, 10 - 10 / 0.5])

    def test_random_warp_keeps_the_centre_and_its_ranges(self):
        warp = RandomWarp(100, prob=1.0, rotate=20.0, shear=0.0, tilt=0.0)
        assert warp.input_size == 125
        angles = []
        with numpy_seed(0):
            for _ in range(50):
                moved = warp.get_transform(None).apply_coords([[62.5, 62.5], [72.5, 62.5]])
                np.testing.assert_allclose(moved[0], [50, 50])
                angles.append(np.rad2deg(np.arctan2(*(moved[1] - moved[0])[::-1])))
        assert -20 <= min(angles) < -15 and 15 < max(angles) <= 20
