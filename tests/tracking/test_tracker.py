import dataclasses
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from sot.api import build_tracker
from sot.tracking import SiamRPNTracker

IMAGE = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
BOX = (100.0, 60.0, 140.0, 100.0)  # 40 x 40, context square 80: 80 / 127 frame px per crop px
PER_PIXEL = 80 / 127


class FakeNetwork:
    """One anchor on a 3 x 3 response; ``boxes`` and ``scores`` are what the test says."""

    num_anchors = 1
    device = torch.device("cpu")
    stride = 8

    def __init__(self, boxes, scores):
        self.boxes, self.scores, self.crops = torch.tensor(boxes), torch.tensor(scores), []

    def eval(self):
        return self

    def template(self, crops):
        self.crops.append(crops)
        return [crops.float().mean(dim=(2, 3), keepdim=True)]

    def detect(self, kernels, crops):
        self.crops.append(crops)
        n = len(crops)
        assert len(kernels[0]) == n
        return self.boxes.expand(n, -1, -1), self.scores.expand(n, -1)


def crop_box(cx, cy, w, h):
    """XYXY in a crop of 255 from an offset to its middle and a size in frame pixels."""
    x, y, w, h = 127.5 + cx / PER_PIXEL, 127.5 + cy / PER_PIXEL, w / PER_PIXEL, h / PER_PIXEL
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def fake(best=4, box=(0, 0, 40, 40), score=0.9, **kwargs):
    boxes, scores = [crop_box(0, 0, 40, 40)] * 9, [0.01] * 9
    boxes[best], scores[best] = crop_box(*box), score
    return SiamRPNTracker(FakeNetwork(boxes, scores), **kwargs)


def test_box_is_carried_back_to_the_frame():
    tracker = fake(box=(10, -5, 40, 40))
    state = tracker.step(IMAGE, tracker.start(IMAGE, BOX))
    assert state.box.tolist() == pytest.approx([110, 55, 150, 95], abs=1e-3)
    assert state.score == pytest.approx(0.9) and state.status == "tracked"


def test_size_is_smoothed_by_penalty_score_and_rate():
    tracker = fake(box=(0, 0, 80, 80), score=0.5, penalty_k=0.1, size_lr=0.4)
    state = tracker.step(IMAGE, tracker.start(IMAGE, BOX))
    # both factors: scale change 2, so penalty exp(-0.1)
    side = 40 + np.exp(-0.1) * 0.5 * 0.4 * 40
    assert (state.box[2:] - state.box[:2]).tolist() == pytest.approx([side, side], abs=1e-3)


def test_window_prefers_the_middle_and_influence_0_does_not():
    near, far = 4, 0
    for influence, expected in ((0.4, near), (0.0, far)):
        tracker = fake(best=far, box=(30, 30, 40, 40), score=0.6, window_influence=influence)
        tracker.model.scores[near] = 0.5
        state = tracker.step(IMAGE, tracker.start(IMAGE, BOX))
        assert state.score == pytest.approx(0.5 if expected == near else 0.6)


def test_low_score_is_uncertain():
    tracker = fake(score=0.3)
    state = tracker.start(IMAGE, BOX)
    assert state.status == "init" and state.score == 1.0
    assert tracker.step(IMAGE, state).status == "uncertain"


def test_crops_show_the_target_in_the_middle():
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:100, 100:140] = 250
    tracker = fake()
    tracker.step(image, tracker.start(image, BOX))
    template, search = (c[0, 0].numpy() for c in tracker.model.crops)
    assert template.shape == (127, 127) and search.shape == (255, 255)
    for crop in (template, search):
        inside = np.argwhere(crop > 125)
        # 40 px at 127 / 80 crop px per frame px = 63.5
        assert np.ptp(inside, axis=0).tolist() in ([62, 62], [63, 63])
        assert np.allclose(inside.mean(axis=0), (len(crop) - 1) / 2, atol=0.6)


def test_states_are_values():
    tracker = fake(box=(10, 0, 40, 40))
    state = tracker.start(IMAGE, BOX)
    again = [tracker.step(IMAGE, state).box.tolist() for _ in range(2)]
    assert again[0] == again[1] and state.box.tolist() == list(BOX)
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.score = 0.0


def test_several_targets_in_one_pass_equal_each_alone():
    tracker = build_tracker("SiamRPN/siamrpn_compact.yaml", weights="", device="cpu")
    tracker.targets_at_once = 3  # as on a GPU
    boxes = [BOX, (10.0, 10.0, 40.0, 60.0), (200.0, 120.0, 290.0, 180.0)]
    states = [tracker.start(IMAGE, b) for b in boxes]
    together = tracker.step_all(IMAGE, states)
    for state, joint in zip(states, together):
        alone = tracker.step(IMAGE, state)
        assert np.allclose(alone.box, joint.box, atol=1e-2)
        assert alone.score == pytest.approx(joint.score, abs=1e-4)
    assert tracker.step_all(IMAGE, []) == []


def test_network_outputs_of_a_batch_differ_by_rounding_only():
    tracker = build_tracker("SiamRPN/siamrpn_lite.yaml", device="cpu")
    size = tracker.search_size
    crops = torch.randint(0, 256, (5, 3, size, size), dtype=torch.uint8)
    with torch.inference_mode():
        kernels = tracker.model.template(crops[:, :, :111, :111])
        boxes, scores = tracker.model.detect(kernels, crops)
        for i in range(5):
            alone = tracker.model.detect([k[i : i + 1] for k in kernels], crops[i : i + 1])
            assert (alone[0][0] - boxes[i]).abs().max() < 1e-2  # pixels of the crop
            assert (alone[1][0] - scores[i]).abs().max() < 1e-4


@pytest.mark.parametrize("online", [False, True])
def test_other_targets_make_no_difference_on_a_cpu(online):
    """Rounding alone would part them within these frames, and whether a target is lost may depend
    on it."""
    opts = ["TEST.TRACKER.ONLINE.ENABLED", online, "TEST.TRACKER.ONLINE.ACCEPT_ABOVE", [0.0, 0.0]]
    tracker = build_tracker("SiamRPN/siamrpn_lite.yaml", device="cpu", opts=opts)
    boxes = [BOX, (10.0, 10.0, 40.0, 60.0), (200.0, 120.0, 290.0, 180.0)]
    alone, *others = [tracker.start(IMAGE, b) for b in boxes]
    together = [others[0], alone, others[1]]
    for shift in range(1, 5):
        image = np.roll(IMAGE, (2 * shift, 3 * shift), axis=(0, 1))
        alone, together = tracker.step(image, alone), tracker.step_all(image, together)
        assert together[1].box.tolist() == alone.box.tolist()
        assert together[1].score == alone.score


def test_many_targets_take_several_passes():
    tracker = fake(box=(10, 0, 40, 40))
    assert tracker.targets_at_once == 1
    tracker.targets_at_once = 32  # as on a GPU
    states = [tracker.start(IMAGE, BOX)] * 40
    tracker.model.crops.clear()
    new = tracker.step_all(IMAGE, states)
    assert [len(c) for c in tracker.model.crops] == [32, 8]
    assert all(s.box.tolist() == pytest.approx([110, 60, 150, 100], abs=1e-3) for s in new)


def test_an_image_for_each_state():
    dark, bright = np.zeros_like(IMAGE), np.full_like(IMAGE, 200)
    tracker = fake()
    states = [tracker.start(dark, BOX)] * 2
    tracker.model.crops.clear()
    assert len(tracker.step_all([dark, bright], states)) == 2
    crops = torch.cat(tracker.model.crops).float()
    assert crops.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0, 200], abs=30)
    with pytest.raises(ValueError, match="1 images for 2 states"):
        tracker.step_all([dark], states)


def test_the_box_follows_the_size_of_the_frame():
    tracker = fake(size_lr=0.0)
    state = tracker.start(IMAGE, BOX)
    assert state.frame_size == (200, 300)
    # twice as wide and three times as high
    state = tracker.step(np.zeros((600, 600, 3), np.uint8), state)
    assert state.frame_size == (600, 600)
    assert state.box.tolist() == pytest.approx([200, 180, 280, 300], abs=1e-3)


def test_the_box_of_a_state_is_its_own():
    tracker, box = fake(), np.array(BOX)
    state = tracker.start(IMAGE, box)
    box += 50
    assert state.box.tolist() == list(BOX)


def test_shell_uses_xywh():
    tracker = fake(box=(10, -5, 40, 40))
    with pytest.raises(RuntimeError, match="init"):
        tracker.update(IMAGE)
    tracker.init(IMAGE, (100, 60, 40, 40))
    result = tracker.update(IMAGE)
    assert result.box == pytest.approx((110, 55, 40, 40), abs=1e-3)
    assert result.status == "tracked"


@pytest.mark.parametrize(
    "box, message",
    [
        ((10, 10, 0, 5), "no positive size"),
        ((10, 10, 5, -5), "no positive size"),
        ((300, 10, 5, 5), "outside the 300x200 image"),
        ((-20, 10, 20, 5), "outside"),
        ((10, float("nan"), 5, 5), "finite"),
        ((10, 10, 5), "four"),
        ((10, 10, 1e300, 5), "too large"),
        ((10, 10, 1e-300, 5), "no positive size"),
    ],
)
def test_bad_boxes(box, message):
    with pytest.raises(ValueError, match=message):
        fake().init(IMAGE, box)


def test_gray_images_and_alpha_channels():
    gray, opaque = IMAGE[..., 0], np.dstack([IMAGE, np.full((200, 300), 7, np.uint8)])
    tracker = build_tracker("SiamRPN/siamrpn_lite.yaml", device="cpu")
    for image, bgr in (
        (gray, np.dstack([gray] * 3)),
        (gray[..., None], np.dstack([gray] * 3)),
        (opaque, IMAGE),
    ):
        found, expected = (
            tracker.step(i, tracker.start(i, (100, 60, 140, 100))) for i in (image, bgr)
        )
        assert found.box.tolist() == expected.box.tolist() and found.score == expected.score


@pytest.mark.parametrize("image", [IMAGE[..., :2], IMAGE.astype(float), IMAGE[:0], "image.jpg"])
def test_bad_images(image):
    with pytest.raises(ValueError, match="image must be"):
        fake().init(image, (1, 1, 5, 5))


@pytest.mark.parametrize(
    "image, given", [(torch.zeros(48, 64, 3), "Tensor"), (None, "cannot read")]
)
def test_bad_image_of_a_later_frame(image, given):
    tracker = fake()
    tracker.init(IMAGE, (1, 1, 5, 5))
    with pytest.raises(ValueError, match=f"image must be .* not .*{given}"):
        tracker.update(image)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.parametrize("threads, word", [(2, "spawn"), (1, "tracked")])
def test_a_fork_is_told_to_spawn_instead_of_waiting_for_ever(threads, word):
    tracker, (here, there) = fake(), multiprocessing.Pipe(duplex=False)
    state = tracker.start(IMAGE, BOX)

    def step():
        torch.set_num_threads(threads)
        try:
            there.send(tracker.step(IMAGE, state).status)
        except RuntimeError as error:
            there.send(str(error))

    process = multiprocessing.get_context("fork").Process(target=step, daemon=True)
    process.start()
    try:
        assert here.poll(60) and word in here.recv()
    finally:
        process.kill()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_what_a_fork_is_told_to_do_works():
    """Although several threads of its parent have run the network."""
    before, (here, there) = torch.get_num_threads(), multiprocessing.Pipe(duplex=False)
    torch.set_num_threads(2)
    tracker = build_tracker("SiamRPN/siamrpn_lite.yaml", device="cpu")
    state = tracker.step(IMAGE, tracker.start(IMAGE, BOX))

    def follow_the_advice():
        torch.set_num_threads(1)
        there.send([s.status for s in tracker.step_all(IMAGE, [state, state])])

    process = multiprocessing.get_context("fork").Process(target=follow_the_advice, daemon=True)
    process.start()
    try:
        assert here.poll(60) and len(here.recv()) == 2
    finally:
        process.kill()
        torch.set_num_threads(before)


def test_a_tracker_that_is_sent_to_another_process_runs_there(monkeypatch):
    data = pickle.dumps(fake())
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert pickle.loads(data).start(IMAGE, BOX).status == "init"


MEMORY_OF_TARGETS = """
import dataclasses, resource, sys
import numpy as np, torch, sot

def copy(x):
    if isinstance(x, torch.Tensor):
        return x.clone()
    if isinstance(x, tuple):
        return tuple(map(copy, x))
    if dataclasses.is_dataclass(x):
        fields = dataclasses.fields(x)
        return dataclasses.replace(x, **{f.name: copy(getattr(x, f.name)) for f in fields})
    return x

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

before = peak()
learn_from_all = ["TEST.TRACKER.ONLINE.ACCEPT_ABOVE", [-1.0, -1.0]]
tracker = sot.build_tracker("SiamRPN/siamrpn_lite.yaml", device="cpu", opts=learn_from_all)
image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
states = [tracker.start(image, (100, 60, 140, 100))]
states = [copy(states[0]) for _ in range(int(sys.argv[1]))]
for _ in range(2):
    states = tracker.step_all(image, states)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory otherwise")
def test_memory_of_many_targets():
    """At most 0.2 GB beside the libraries, and 1 MB for each target."""
    for targets in (1, 200):
        run = [sys.executable, "-c", MEMORY_OF_TARGETS, str(targets)]
        done = subprocess.run(run, capture_output=True, text=True, check=True)
        assert float(done.stdout) < 200 + targets
