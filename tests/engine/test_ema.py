import pytest
import torch
from torch import nn

from sot.api import build_model
from sot.checkpoint import SOTCheckpointer, read_checkpoint
from sot.checkpoint.checkpointer import averaged_weights
from sot.engine import Trainer
from sot.engine.ema import WeightAverage


def set_all(model, value):
    with torch.no_grad():
        for t in [*model.parameters(), *model.buffers()]:
            t.fill_(value)


class TestNumbers:
    def run(self, decay, values):
        """The average of one weight, of one running mean and of one counter after each value."""
        model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
        average = WeightAverage(model, decay)
        results = []
        for value in values:
            set_all(model, value)
            average.update_parameters(model)
            norm = average.module[1]
            counter = norm.num_batches_tracked.item()
            results.append([average.module[0].weight.item(), norm.running_mean.item(), counter])
        return results

    def test_weights_and_statistics_with_the_warm_up(self):
        # the first is copied, then d = 2/11, 3/12, 4/13
        first = 2 / 11 * 4
        second = 3 / 12 * first + 9 / 12 * 8
        third = 4 / 13 * second + 9 / 13 * 8
        results = self.run(0.999, [4, 0, 8, 8])
        assert [r[0] for r in results] == pytest.approx([4, first, second, third])
        assert [r[1] for r in results] == pytest.approx([4, first, second, third])
        assert [r[2] for r in results] == [4, 0, 8, 8]  # counters are copied

    def test_decay_is_the_limit(self):
        weights = [r[0] for r in self.run(0.2, [0, 1, 1])]
        assert weights == pytest.approx([0, 9 / 11, 1 - 0.2 * 2 / 11])

    @pytest.mark.parametrize("decay", [1.0, -0.1])
    def test_impossible_decay_is_named(self, decay):
        with pytest.raises(ValueError, match=f"SOLVER.EMA.DECAY .*{decay}"):
            WeightAverage(nn.Linear(1, 1), decay)

    def test_evaluation_mode_without_gradients(self):
        average = WeightAverage(nn.Linear(1, 1).train(), 0.9)
        assert not average.module.training
        assert not any(p.requires_grad for p in average.parameters())


class TestLoading:
    @pytest.fixture
    def saved(self, tmp_path):
        """Path of a checkpoint with weights of 1 and an average of 2."""
        model = nn.Linear(2, 1)
        average = WeightAverage(model, 0.9)
        set_all(model, 2.0)
        average.update_parameters(model)
        set_all(model, 1.0)
        SOTCheckpointer(model, str(tmp_path), ema=average, iteration=Counter(7)).save("model")
        return str(tmp_path / "model.pth")

    def load(self, path, checkpointables=None, **kwargs):
        model = nn.Linear(2, 1)
        SOTCheckpointer(model, **kwargs).load(path, checkpointables)
        return model.weight[0, 0].item()

    def test_weights_alone_are_the_averaged_ones(self, saved):
        assert self.load(saved) == 2
        assert self.load(saved, [], iteration=Counter(0)) == 2  # MODEL.WEIGHTS of a new training

    def test_training_goes_on_from_the_last_ones(self, saved):
        average = WeightAverage(nn.Linear(2, 1), 0.9)
        assert self.load(saved, ema=average, iteration=Counter(0)) == 1
        assert average.module.weight[0, 0] == 2 and average.n_averaged == 1
        assert self.load(saved, iteration=Counter(0)) == 1  # the average is off now

    def test_checkpoints_without_an_average(self, tmp_path):
        plain = {"model": {"w": torch.ones(1)}, "ema": None}
        assert averaged_weights(plain) is plain["model"]


class Counter:
    def __init__(self, value):
        self.value = value

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


class TestTraining:
    OPTS = ("SOLVER.EMA.ENABLED", True, "SOLVER.EMA.DECAY", 0.5, "TEST.EVAL_PERIOD", 2)

    @pytest.fixture
    def evaluated(self, monkeypatch):
        """Models that the trainer evaluates."""
        models = []
        monkeypatch.setattr(
            Trainer, "test", lambda cls, cfg, model, **_: models.append(model) or {}
        )
        return models

    def test_evaluates_and_saves_the_average(self, tiny_run, evaluated):
        _, trainer = tiny_run("run", *self.OPTS)
        assert len(evaluated) == 3 and all(m is trainer.average.module for m in evaluated)
        path = f"{trainer.cfg.OUTPUT_DIR}/model_final.pth"
        content = read_checkpoint(path)
        key = "backbone.stem.0.weight"
        assert not torch.equal(content["model"][key], content["ema"]["module." + key])
        assert content["ema"]["n_averaged"] == 6
        model = build_model(load_config_of(trainer, path))
        assert torch.equal(model.state_dict()[key], content["ema"]["module." + key])

    def test_resumed_average_is_that_of_the_uninterrupted_run(self, tiny_run, evaluated):
        whole, a = tiny_run("whole", *self.OPTS)
        tiny_run("parts", *self.OPTS, stop_at=4)
        second, b = tiny_run("parts", *self.OPTS, resume=True)
        assert second == pytest.approx(whole[-len(second) :], rel=1e-6)
        for (name, p), q in zip(a.average.state_dict().items(), b.average.state_dict().values()):
            assert torch.allclose(p.float(), q.float(), atol=1e-6), name


def load_config_of(trainer, weights):
    cfg = trainer.cfg.clone()
    cfg.defrost()
    cfg.MODEL.WEIGHTS = weights
    return cfg
