import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sot.deploy import NanoTrack
from sot.tracking import SiamRPNTracker

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


class Backbone(nn.Module):
    """Means over 16 x 16 pixels in place of features."""

    def forward(self, x):
        x = nn.functional.avg_pool2d(x, 16, 16, ceil_mode=True)
        return x.repeat(1, 32, 1, 1)


class Head(nn.Module):
    """Is sure of the position three to the right of the middle, 20 px left and 30 px right of
    which, and 10 px above and below, the box ends."""

    def forward(self, z, x):
        nothing = 0 * (z.mean() + x.mean())
        logits = torch.zeros(1, 2, 15, 15)
        logits[0, 1, 7, 10] = 5.0
        sides = torch.tensor([20.0, 10.0, 30.0, 10.0]).view(1, 4, 1, 1).expand(1, 4, 15, 15)
        return logits + nothing, sides + nothing


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nanotrack")
    names = [str(folder / name) for name in ("backbone.onnx", "head.onnx")]
    torch.onnx.export(
        Backbone(),
        (torch.zeros(1, 3, 255, 255),),
        names[0],
        input_names=["x"],
        dynamic_axes={"x": {0: "n", 2: "h", 3: "w"}},
        dynamo=False,
    )
    args = (torch.zeros(1, 96, 8, 8), torch.zeros(1, 96, 16, 16))
    torch.onnx.export(Head(), args, names[1], input_names=["z", "x"], dynamo=False)
    return names


def test_boxes_lie_about_the_positions(files):
    network = NanoTrack(*files)
    crops = torch.zeros(2, 3, 255, 255, dtype=torch.uint8)
    boxes, scores = network.detect(network.template(crops[..., :127, :127]), crops)
    assert boxes.shape == (2, 225, 4) and scores.shape == (2, 225)
    best = scores.argmax(dim=1)
    assert best.tolist() == [7 * 15 + 10] * 2
    # the middle of 255 px, three positions of 16 px to the right
    x, y = 127.5 + 48, 127.5
    assert boxes[0, best[0]].tolist() == [x - 20, y - 10, x + 30, y + 10]
    assert scores[0, best[0]].item() == pytest.approx(1 / (1 + np.exp(-5)))


def test_crops_of_another_size(files):
    network = NanoTrack(*files)
    crops = torch.zeros(1, 3, 510, 510, dtype=torch.uint8)
    boxes, _ = network.detect(network.template(crops[..., :254, :254]), crops)
    assert boxes[0, 7 * 15 + 10].tolist() == [311.0, 235.0, 411.0, 275.0]


def test_the_tracker_follows_it(files):
    tracker = SiamRPNTracker(NanoTrack(*files), window_influence=0.0, penalty_k=0.0, size_lr=0.0)
    image = np.zeros((200, 300, 3), np.uint8)
    state = tracker.start(image, (100.0, 60.0, 140.0, 100.0))  # 63.5 x 63.5 of the crop
    state = tracker.step(image, state)
    # the box's middle is 48 + 5 crop pixels to the right of the target's
    assert np.allclose(state.box, [100 + 53 * 40 / 63.5, 60, 140 + 53 * 40 / 63.5, 100])


def test_it_goes_to_another_process(files):
    network = pickle.loads(pickle.dumps(NanoTrack(*files)))
    assert network.files == tuple(files)


def test_files_that_are_missing_or_of_another_network(files, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.onnx"):
        NanoTrack(files[0], "nothing.onnx")
    with pytest.raises(ValueError, match="not NanoTrack V3"):
        NanoTrack(*reversed(files))
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(Path(files[1]).read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot read .*damaged.onnx"):
        NanoTrack(files[0], damaged)
