"""What a tracker learns of one target while it follows it."""

import dataclasses

import numpy as np
import pytest
import torch

from sot.api import build_tracker
from sot.tracking import SiamRPNTracker
from sot.tracking.adaptation import first_frame_views
from sot.tracking.online import OnlineLearner
from sot.tracking.state import Match

ON = ["TEST.TRACKER.ONLINE.ENABLED", True]
SIDE, SIZE = 13, 208  # of the features and of the crop: stride 16


def scene(*objects, side=SIDE):
    """Features (1, 8, side, side): channels 1 to 7 noise, and for each object (x, y, channel) a
    response of 5 at its place, the middle of a 2 x 2 patch."""
    torch.manual_seed(0)
    features = 0.3 * torch.randn(1, 8, side, side)
    for x, y, channel in objects:
        features[0, channel, y : y + 2, x : x + 2] += 5
    return features


def place(x, y):
    """Of the patch in crop pixels."""
    return np.array([(x - 5.5) * 16 + SIZE / 2, (y - 5.5) * 16 + SIZE / 2])


def match(x, y, *confidences):
    return Match(place(x, y), np.array([40.0, 40.0]), 1.0, 0.3, confidences)


def start(*objects, kernel_side=4, **kwargs):
    learner = OnlineLearner(stride=16, **kwargs)
    x, y, _ = objects[0]
    kernels = (torch.ones(1, 1, kernel_side, kernel_side),)
    sizes = np.array([[40.0, 40.0]])
    return learner, learner.start(scene(*objects), place(x, y)[None], sizes, SIZE, kernels)


def learn(learner, model, features, found):
    response = learner.respond([model], features)
    (model,) = learner.learn([model], response, response.maps.numpy(), [found], SIZE)
    return model


def test_views_of_the_first_frame():
    crop = np.zeros((300, 300, 3), np.uint8)
    crop[145:155, 145:155] = 200
    views, centers = first_frame_views(crop, 100, 50)
    for view, center in zip(views, centers):
        assert view.shape == (100, 100, 3)
        inside = np.argwhere(view[..., 0] > 90)[:, ::-1]
        assert inside.mean(axis=0) + 0.5 == pytest.approx(center, abs=0.01)
    assert centers[0].tolist() == [50, 50] and len({tuple(c) for c in centers}) == 6


def test_the_target_is_told_from_its_surroundings():
    learner, model = start((5, 5, 0), (9, 5, 1))
    found = learner.respond([model], scene((3, 7, 0), (8, 2, 1))).maps[0]
    assert divmod(int(found.argmax()), SIDE - 1) == (7, 3)
    assert found[7, 3] > 0.6 and found[2, 8] < 0.2


def test_a_distractor_that_comes_later_is_kept_apart():
    learner, model = start((5, 5, 0))
    # a look-alike: it has more of what the target has, and a channel of its own
    features = scene((5, 5, 0), (10, 5, 0), (10, 5, 0), (10, 5, 1))
    before = learner.respond([model], features).maps[0]
    assert before[5, 10] > 0.5 * before[5, 5]
    for _ in range(20):
        model = learn(learner, model, features, match(5, 5, 0.9, 0.8))
    after = learner.respond([model], features).maps[0]
    assert after[5, 10] < 0.1 and after[5, 5] > 0.45


@pytest.mark.parametrize("confidences", [(0.29, 0.9), (0.9, 0.24), ()])
def test_frames_that_are_not_trusted_teach_nothing(confidences):
    learner, model = start((5, 5, 0))
    assert learn(learner, model, scene((5, 5, 0)), match(5, 5, *confidences)) is model


def test_an_unusual_score_teaches_nothing():
    """As of a target that something hides."""
    learner, model = start((5, 5, 0))
    features = scene((5, 5, 0))
    for score in (0.8, 0.9):
        model = learn(learner, model, features, match(5, 5, score, 0.8))
    assert model.usual_score == pytest.approx(0.81) and model.age == 2
    # 85 % of 0.81 is 0.6885, and of 0.99 it is 0.8415
    due = dataclasses.replace(model, age=10, usual_score=0.99)
    assert learner.is_template_due(due, match(5, 5, 0.85, 0.8))
    assert not learner.is_template_due(due, match(5, 5, 0.83, 0.8))
    assert learn(learner, model, features, match(5, 5, 0.68, 0.8)) is model
    assert learn(learner, model, features, match(5, 5, 0.7, 0.8)).age == 3


def test_models_are_values_and_fork():
    learner, model = start((5, 5, 0))
    fields = ("first_gram", "first_moment", "gram", "moment", "filter")
    copies = [getattr(model, f).clone() for f in fields]
    features = scene((5, 5, 0), (9, 9, 0))
    forks = [learn(learner, model, features, match(5, 5, 0.9, 0.8)) for _ in range(2)]
    for field, copy in zip(fields, copies):
        assert torch.equal(getattr(model, field), copy)
        assert torch.equal(getattr(forks[0], field), getattr(forks[1], field))
    assert forks[0].age == 1 and not torch.equal(forks[0].filter, model.filter)
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.age = 3


def test_several_targets_equal_each_alone():
    objects = ((5, 5, 0), (3, 6, 1), (8, 4, 2))
    learner = OnlineLearner(stride=16)
    models = [start(o)[1] for o in objects]
    features = torch.cat([scene(o, (10, 10, 7)) for o in objects])
    # the second is not trusted; the third has a distractor, and is solved for at once
    features[2, 2, 9:11, 2:4] += 5
    found = [match(*o[:2], 0.9, c) for o, c in zip(objects, (0.8, 0.1, 0.8))]
    for _ in range(2):
        response = learner.respond(models, features)
        together = learner.learn(models, response, response.maps.numpy(), found, SIZE)
        alone = [learn(learner, m, features[i : i + 1], found[i]) for i, m in enumerate(models)]
        for a, b in zip(together, alone):
            assert a.age == b.age
            for field in ("gram", "moment", "filter"):
                a_, b_ = getattr(a, field), getattr(b, field)
                assert torch.allclose(a_, b_, rtol=1e-4, atol=1e-4)
        models = together
    assert [m.age for m in models] == [2, 0, 2]


@pytest.mark.parametrize("kernel_side, k, n", [(4, 2, 12), (6, 2, 12), (5, 3, 11), (7, 3, 11)])
def test_the_filter_has_the_parity_of_the_template(kernel_side, k, n):
    # so that of maps of 13 - 6 + 1 = 8 and 12, or 13 - 7 + 1 = 7 and 11, the middles are the same
    learner, model = start((5, 5, 0), kernel_side=kernel_side)
    assert model.filter.shape == (1, 8, k, k) and model.moment.shape == (1, 8 * k * k)
    assert learner.respond([model], scene((5, 5, 0))).maps.shape == (1, n, n)


@pytest.mark.parametrize("template_side, columns", [(0, 64 * 2 * 2), (5, 32 * 3 * 3)])
def test_a_model_takes_at_most_a_megabyte(template_side, columns, monkeypatch):
    monkeypatch.setattr("sot.tracking.online.USUAL_SHARE", 0.0)  # every frame is trusted
    opts = [*ON, "MODEL.SIAMESE.TEMPLATE_FEATURE_SIZE", template_side]
    opts += ["TEST.TRACKER.ONLINE.ACCEPT_ABOVE", [-1.0, -1.0]]
    tracker = build_tracker("SiamRPN/siamrpn_lite.yaml", device="cpu", opts=opts)
    image = blobs((120, 80, 200))
    states = [tracker.start(image, box) for box in ((100, 60, 140, 100), (50, 60, 80, 90))]
    for state in tracker.step_all(image, tracker.step_all(image, states)):
        model = state.online
        assert model.age == 2 and model.moment.shape == (1, columns)
        tensors = [getattr(model, f.name) for f in dataclasses.fields(model)]
        tensors = [t for t in tensors if isinstance(t, torch.Tensor)] + list(model.kernels)
        memory = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
        assert sum(memory.values()) < 1e6


def blobs(*targets):
    """A frame of noise with blobs (x, y, colour)."""
    rng = np.random.default_rng(1)
    image = rng.integers(60, 120, (240, 320, 3), np.uint8)
    for x, y, colour in targets:
        image[y - 15 : y + 15, x - 15 : x + 15] = colour
        image[y - 5 : y + 5, x - 5 : x + 5] = 255
    return image


def test_states_of_the_tracker_fork_and_batch():
    red, blue = (20, 20, 220), (220, 60, 20)
    frames = [blobs((80 + 3 * t, 90, red), (240 - 3 * t, 150, blue)) for t in range(8)]
    tracker = build_tracker("SiamRPN/siamrpn_lite.yaml", device="cpu", opts=ON)
    tracker.targets_at_once = 2  # as on a GPU
    boxes = [(65.0, 75.0, 95.0, 105.0), (225.0, 135.0, 255.0, 165.0)]
    states = [tracker.start(frames[0], np.array(b)) for b in boxes]
    for frame in frames[1:]:
        together = tracker.step_all(frame, states)
        again = tracker.step_all([frame, frame], states)
        for state, one, two in zip(states, together, again):
            alone = tracker.step(frame, state)
            assert one.box.tolist() == two.box.tolist()
            assert one.box == pytest.approx(alone.box, abs=1e-2)
            assert one.score == pytest.approx(alone.score, abs=1e-4)
        states = together
    assert all(s.online.age > 0 for s in states)
    for state, (x, y) in zip(states, ((101, 90), (219, 150))):
        assert (state.box[:2] + state.box[2:]) / 2 == pytest.approx((x, y), abs=4)


@pytest.mark.parametrize(
    "config, weights",
    [("SiamRPN/siamrpn_lite.yaml", None), ("SiamFC/siamfc_alex.yaml", "")],
)
@pytest.mark.parametrize(
    "image, box",
    [
        (blobs((50, 50, 200)), (50, 50, 51, 51)),  # one pixel
        (blobs((0, 50, 200)), (-20, 40, 20, 60)),  # half outside
        (np.full((240, 320, 3), 90, np.uint8), (50, 50, 90, 90)),
        (np.zeros((240, 320, 3), np.uint8), (50, 50, 90, 90)),
        (np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8), (50, 50, 90, 90)),
        (np.full((1, 1, 3), 90, np.uint8), (0, 0, 1, 1)),
    ],
)
def test_degenerate_targets(config, weights, image, box):
    opts = [*ON, "TEST.TRACKER.ONLINE.ACCEPT_ABOVE", [-1.0, -1.0]]  # learn from everything
    tracker = build_tracker(config, weights, "cpu", opts)
    state = tracker.start(image, box)
    for _ in range(4):
        state = tracker.step(image, state)
        assert np.isfinite(state.box).all() and np.isfinite(state.score)
        assert torch.isfinite(state.online.filter).all()
    assert state.online.age == 4


def test_a_network_without_features_is_refused():
    with pytest.raises(ValueError, match="ONLINE.ENABLED False"):
        SiamRPNTracker(object(), online=OnlineLearner(stride=8))
