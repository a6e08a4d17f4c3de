"""Pictures of training pairs."""

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sot.engine.vis import VisualizePairs, draw_predictions
from sot.modeling.meta_arch import SiamRPN
from sot.visualization import TRUTH_COLOR, target_color

GREEN, BEST, RED = (c[::-1] for c in (TRUTH_COLOR, target_color(0), (32, 32, 224)))  # RGB


def pair(box, negative=False, gray=100):
    """A template of 15 and a search crop of 47 pixels, of one gray."""
    instances = Instances((47, 47))
    instances.gt_boxes = Boxes(torch.tensor([box], dtype=torch.float32))
    instances.gt_negative = torch.tensor([negative])
    template, search = (torch.full((3, s, s), gray, dtype=torch.uint8) for s in (15, 47))
    return {"template": template, "search": search, "instances": instances}


def peak(row, column, size=5):
    """Logits that are 0 but for one position."""
    response = torch.full((size, size), -20.0)
    response[row, column] = 20.0
    return response


def parts(picture):
    """Template, search crop and response map of a picture of one pair, each (H, W, 3)."""
    return np.split(picture.transpose(1, 2, 0), [15, 62], axis=1)


def extent(image, color):
    """XYXY of the pixels of a color, behind the last one."""
    y, x = np.nonzero((image == color).all(axis=2))
    return x.min(), y.min(), x.max() + 1, y.max() + 1


class TestDrawing:
    def test_boxes_in_their_places(self):
        instances = Instances((47, 47))
        instances.pred_boxes = Boxes(torch.tensor([[20.0, 25.0, 30.0, 40.0]]))
        result = {"instances": instances, "response": peak(2, 2)}
        picture = draw_predictions([pair((5, 6, 15, 20))], [result], stride=4)
        assert picture.shape == (3, 47, 15 + 47 + 47) and picture.dtype == np.uint8
        template, search, response = parts(picture)
        assert (template[:15] == 100).all() and not template[15:].any()
        assert extent(search, GREEN) == (5, 6, 15, 20)
        assert extent(response, GREEN) == (5, 6, 15, 20)
        assert extent(search[25:], BEST)[2:] == (30, 15)  # above it is the score
        assert not (response == BEST).all(axis=2).any()

    def test_response_is_centred_on_the_crop(self):
        # of 5 positions 4 px apart the first lies at 23.5 - 2 * 4 = 15.5, in the middle of pixel 15
        result = {"response": peak(0, 3)}
        _, _, heat = parts(draw_predictions([pair((5, 40, 9, 44), gray=0)], [result], stride=4))
        y, x = np.unravel_index(heat[:35].astype(int).sum(axis=2).argmax(), (35, 47))
        assert (y, x) == (15, 15 + 3 * 4)
        assert heat[30:35, :10].max() < 5  # no response: black

    def test_siamfc_has_a_box_of_the_true_size_at_the_peak(self):
        result = {"response": peak(3, 1)}  # at x 19.5, y 27.5
        _, search, _ = parts(draw_predictions([pair((0, 0, 7, 5))], [result], stride=4))
        assert extent(search[25:], BEST) == (16, 0, 23, 5)

    def test_other_object_of_a_negative_pair(self):
        result = {"response": peak(0, 0)}
        _, search, _ = parts(draw_predictions([pair((5, 26, 15, 40), True)], [result], stride=4))
        assert extent(search, RED) == (5, 26, 15, 40)
        assert not (search == GREEN).all(axis=2).any()

    def test_one_row_a_pair(self):
        results = [{"response": peak(0, 0)}] * 3
        assert draw_predictions([pair((5, 6, 15, 20))] * 3, results, 4).shape == (3, 141, 109)


OPTS = ("DATASETS.TEST", (), "SOLVER.MAX_ITER", 3)


@pytest.mark.parametrize("network", ["SiamRPN", "SiamFC"])
def test_training_is_the_same_with_pictures(network, tiny_run):
    opts = (*OPTS, "MODEL.META_ARCHITECTURE", network)
    without, alone = tiny_run("without", *opts)
    losses, watched = tiny_run("with", *opts, "VIS_PERIOD", 2)
    assert losses == without and len(set(losses)) == 3
    for (name, a), b in zip(alone.model.state_dict().items(), watched.model.state_dict().values()):
        assert torch.equal(a, b), name  # norms' statistics too
    assert tensorboard_images(alone) == {} and tensorboard_images(watched) == {"pairs": [1]}


def tensorboard_images(trainer):
    """Iterations of the images in a run's TensorBoard file, by name."""
    events = EventAccumulator(trainer.cfg.OUTPUT_DIR)
    events.Reload()
    return {name: [e.step for e in events.Images(name)] for name in events.Tags()["images"]}


def test_pairs_are_those_of_the_batch(tiny_run, monkeypatch):
    batches, drawn = [], []
    monkeypatch.setattr(
        "sot.engine.vis.draw_predictions",
        lambda pairs, results, stride: drawn.append(pairs) or np.zeros((3, 2, 2), np.uint8),
    )
    forward = SiamRPN.forward

    def note(self, pairs):
        if self.training:
            batches.append(pairs)
        return forward(self, pairs)

    monkeypatch.setattr(SiamRPN, "forward", note)
    tiny_run("run", *OPTS, "VIS_PERIOD", 1)
    assert len(batches) == len(drawn) == 3
    for batch, pairs in zip(batches, drawn):
        assert len(batch) == len(pairs) == 2
        for a, b in zip(batch, pairs):
            assert torch.equal(a["search"], b["search"])
            assert torch.equal(a["template"], b["template"])


def test_never():
    hook = VisualizePairs(0)
    hook.trainer = None  # nothing is asked of it
    hook.after_step()


def test_response_of_siamrpn_is_the_best_logit_of_each_position(tiny_run):
    _, trainer = tiny_run("run", *OPTS[:2], "SOLVER.MAX_ITER", 1)
    model, item = trainer.model.eval(), trainer.data_loader.dataset[0]
    with torch.no_grad():
        (result,) = model([item])
        kernels = model.template(item["template"][None])
        ((logits,), _) = model.search(kernels, item["search"][None])
    assert torch.equal(result["response"], logits[0].amax(dim=0))
    assert result["instances"].scores.item() == pytest.approx(logits.max().sigmoid().item())
    assert model.stride == 8
