import math

import numpy as np
import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone

from sot.api import build_tracker
from sot.modeling import SiamFC
from sot.tracking import SiamFCTracker

IMAGE = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
BOX = (100.0, 60.0, 140.0, 100.0)  # 40 x 40, context square 80: 80 / 127 frame px per crop px
PER_PIXEL = 80 / 127
STEP = 1.0375


class FakeNetwork:
    """17 x 17 responses, one for each scale, as the test says."""

    stride = 8
    device = torch.device("cpu")

    def __init__(self, responses):
        self.responses, self.crops = torch.stack(responses), []

    def template(self, crops):
        return [crops.float().mean(dim=(2, 3), keepdim=True)]

    def detect(self, kernels, crops):
        self.crops.append(crops)
        assert len(kernels[0]) == len(crops)
        return self.responses.repeat(len(crops) // len(self.responses), 1, 1)


def flat(value):
    return torch.full((17, 17), value)


def peak(row, column, value=1.0):
    response = torch.zeros(17, 17)
    response[row, column] = value
    return response


def step(*responses, state=None, **kwargs):
    tracker = SiamFCTracker(FakeNetwork(responses), num_scales=len(responses), **kwargs)
    return tracker.step(IMAGE, state or tracker.start(IMAGE, BOX))


def center(state):
    return ((state.box[:2] + state.box[2:]) / 2).tolist()


def side(state):
    assert state.box[2] - state.box[0] == pytest.approx(state.box[3] - state.box[1])
    return state.box[2] - state.box[0]


def test_peak_is_found_between_16_times_finer_positions():
    # row 5 is at 16 * 5 + 7.5 of 272, and the peak's two nearest pixels are equal: the first, 87,
    # is 87 - 135.5 = -48.5 steps of half a crop pixel from the middle; column 11: 183 - 135.5
    state = step(peak(5, 11), window_influence=0.0)
    expected = [120 + 23.75 * PER_PIXEL, 80 - 24.25 * PER_PIXEL]
    assert center(state) == pytest.approx(expected, abs=1e-4)
    assert side(state) == pytest.approx(40)


def test_peak_between_two_positions():
    response = peak(8, 8) + peak(8, 9)
    x, y = center(step(response, window_influence=0.0))
    # half way, 4 crop pixels right of the middle, to within half a finer pixel
    assert (x - 120) / PER_PIXEL == pytest.approx(4, abs=0.26)
    assert (y - 80) / PER_PIXEL == pytest.approx(0, abs=0.26)


@pytest.mark.parametrize("best, factor", [(0, 1 / STEP), (1, 1.0), (2, STEP)])
def test_highest_peak_selects_the_scale_and_the_size_is_damped(best, factor):
    responses = [flat(0.5), flat(0.5), flat(0.5)]
    responses[best] = flat(0.9)
    assert side(step(*responses, size_lr=0.5)) == pytest.approx(40 * (1 + 0.5 * (factor - 1)))


@pytest.mark.parametrize(
    "middle, larger, grows",
    [
        (1.0, 1.02, False),  # 1.02 * 0.9745 = 0.99399
        (1.0, 1.03, True),  # 1.00374
        (-1.0, -0.99, False),  # -0.99 / 0.9745 = -1.0159
        (-1.0, -0.97, True),  # -0.99538
    ],
)
def test_change_of_scale_is_penalised(middle, larger, grows):
    state = step(flat(-9.0), flat(middle), flat(larger))
    assert (side(state) > 40.1) == grows


def test_displacement_is_measured_in_the_selected_crop():
    state = step(peak(8, 4), flat(0.0), peak(8, 12, 2.0), window_influence=0.0, size_lr=0.0)
    # column 12 is at 199 of 272, in a crop whose pixels are larger
    assert center(state)[0] == pytest.approx(120 + (199 - 135.5) / 2 * STEP * PER_PIXEL, abs=1e-4)


def test_window_prefers_the_middle_and_influence_0_does_not():
    response = peak(8, 8, 1.0) + peak(2, 2, 1.01)
    near, far = (center(step(response, window_influence=w)) for w in (0.176, 0.0))
    assert math.dist(near, (120, 80)) < 1
    assert math.dist(far, (120, 80)) > 40


@pytest.mark.parametrize(
    "logit, score, status", [(2.0, 0.880797, "tracked"), (-1.0, 0.268941, "uncertain")]
)
def test_score_is_the_sigmoid_of_the_response(logit, score, status):
    state = step(flat(logit))
    assert state.score == pytest.approx(score, abs=1e-5) and state.status == status
    assert center(state) == pytest.approx([120, 80], abs=0.26)  # the window decides


def test_each_scale_is_its_own_crop():
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:100, 100:140] = 250
    tracker = SiamFCTracker(FakeNetwork([flat(0.0)] * 5), num_scales=5, scale_step=1.1)
    tracker.step(image, tracker.start(image, BOX))
    (crops,) = tracker.model.crops
    assert crops.shape == (5, 3, 255, 255)
    for crop, factor in zip(crops[:, 0].numpy(), (1.1**-2, 1.1**-1, 1.0, 1.1, 1.1**2)):
        inside = np.argwhere(crop > 125)
        # 40 px at 127 / 80 crop px per frame px = 63.5, divided by the factor
        assert np.ptp(inside, axis=0) + 1 == pytest.approx(63.5 / factor, abs=1)
        assert inside.mean(axis=0) == pytest.approx(127, abs=0.6)


def test_an_even_number_of_scales_is_refused():
    with pytest.raises(ValueError, match="NUM_SCALES must be odd, not 2"):
        step(flat(0.0), flat(0.0))


def test_several_targets_in_one_pass_equal_each_alone():
    opts = ["MODEL.BACKBONE.NAME", "build_compact_backbone"]
    tracker = build_tracker("SiamFC/siamfc_alex.yaml", "", "cpu", opts)
    tracker.targets_at_once = 3  # as on a GPU
    boxes = [BOX, (10.0, 10.0, 40.0, 60.0), (200.0, 120.0, 290.0, 180.0)]
    states = [tracker.start(IMAGE, b) for b in boxes]
    calls, detect = [], tracker.model.detect
    tracker.model.detect = lambda kernels, crops: calls.append(len(crops)) or detect(kernels, crops)
    together = tracker.step_all(IMAGE, states)
    assert calls == [9]  # three targets, three scales
    for state, joint in zip(states, together):
        alone = tracker.step(IMAGE, state)
        assert np.allclose(alone.box, joint.box, atol=1e-2)
        assert alone.score == pytest.approx(joint.score, abs=1e-4)


class MeanColour(Backbone):
    """Mean colour of 15 x 15 windows, 8 px apart: features that need no training."""

    def output_shape(self):
        return {"mean": ShapeSpec(channels=3, stride=8)}

    def forward(self, x):
        return {"mean": torch.nn.functional.avg_pool2d(x, 15, 8)}


def test_follows_a_moving_patch():
    model = SiamFC(
        backbone=MeanColour(), neck=None, in_feature="mean", stride=8, out_scale=1e-5,
        pixel_mean=[60.0] * 3, pixel_std=[1.0] * 3,
    ).eval()  # fmt: skip
    # without smoothing of the size: a plain correlation has no idea of the scale
    tracker = SiamFCTracker(model, size_lr=0.0)

    def frame(x, y):
        image = np.full((240, 320, 3), 60, np.uint8)
        image[y - 20 : y + 20, x - 20 : x + 20] = (20, 110, 240)
        image[y - 10 : y, x - 10 : x + 10] = (240, 30, 10)
        return image

    state = tracker.start(frame(100, 90), (80, 70, 120, 110))
    for x, y in ((108, 96), (118, 100), (126, 110), (132, 112)):
        state = tracker.step(frame(x, y), state)
        assert math.dist(center(state), (x, y)) < 2
        assert state.status == "tracked"
