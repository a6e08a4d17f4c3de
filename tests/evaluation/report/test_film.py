import cv2
import numpy as np
import pytest

from sot.data.datasets.tracks import make_track
from sot.data.frames import FrameError
from sot.evaluation.report.film import choose_frames, film_frame
from sot.visualization import TRUTH_COLOR

SIDE = 20
BOXES = [[30, 30, SIDE, SIDE], [30, 30, SIDE, SIDE]]


class Frames:
    """A gray frame, and one that is missing."""

    def __len__(self):
        return 2

    def name(self, index):
        return str(index)

    def __getitem__(self, index):
        if index == 1:
            raise FrameError(f"frame {index} is missing")
        return np.full((90, 120, 3), 127, np.uint8)


def test_frames_with_the_first_loss():
    ious = np.ones(101)
    assert choose_frames(ious, 5) == [0, 25, 50, 75, 100]
    ious[60:] = 0
    assert choose_frames(ious, 5) == [0, 25, 60, 75, 100]
    assert choose_frames(np.ones(2), 5) == [0, 1]
    assert choose_frames(np.ones(1), 5) == [0]


def test_boxes_are_drawn_where_they_are():
    track = make_track("a", Frames(), BOXES)
    pred = np.tile([60.0, 30, 80, 50], (2, 1))
    image = film_frame(track, [pred], ["#ff0000"], 0)
    assert image.shape == (300, 400, 3)
    green, red = (np.argwhere((image == c).all(axis=2)) for c in (TRUTH_COLOR, (0, 0, 255)))
    # both boxes are of 20 px, 30 px apart
    sides = green.max(axis=0) - green.min(axis=0)
    scale = sides.mean() / SIDE
    assert abs(sides[0] - sides[1]) <= 1
    apart = red.mean(axis=0) - green.mean(axis=0)
    assert apart == pytest.approx([0, 30 * scale], abs=3)


def test_gray_around_a_frame_of_another_shape():
    track = make_track("a", [np.full((400, 100, 3), 255, np.uint8)], [[5, 5, 90, 390]])
    image = film_frame(track, [np.full((1, 4), np.nan)], ["#ff0000"], 0)
    assert (image[:, :100] == 96).all() and (image[:, -100:] == 96).all()
    assert (image[150, 200] == 255).all()


def test_missing_frame():
    track = make_track("a", Frames(), BOXES)
    image = film_frame(track, [track["boxes"]], ["#ff0000"], 1)
    assert image.shape == (300, 400, 3) and image.max() == 255  # the words


def test_image_far_larger_than_the_boxes():
    frame = np.zeros((2000, 3000, 3), np.uint8)
    cv2.rectangle(frame, (2900, 1900), (2919, 1919), (255, 255, 255), cv2.FILLED)
    track = make_track("a", [frame], [[2900, 1900, 20, 20]])
    image = film_frame(track, [track["boxes"]], ["#ff0000"], 0)
    assert (image > 0).any()  # inside of what is shown, though it is in the corner
