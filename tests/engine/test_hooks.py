import json
from pathlib import Path

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.engine import HookBase, SimpleTrainer, hooks
from detectron2.solver.build import maybe_add_gradient_clipping
from detectron2.utils.events import JSONWriter
from torch import nn

from sot.checkpoint.checkpointer import averaged_weights, read_checkpoint
from sot.engine import Trainer
from sot.engine.hooks import (
    BestCheckpointer,
    ScalarPrinter,
    WatchTraining,
    gradient_norm,
    learning_rates,
)


class Slope(nn.Module):
    """A loss with the gradients (3, 4) and 12, whose norm is 13."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, _batch):
        return {"loss": (self.a * torch.tensor([3.0, 4.0])).sum() + 12 * self.b.sum()}


def slope_trainer(optimizer_class=torch.optim.SGD, **options):
    model = Slope()
    optimizer = optimizer_class(model.parameters(), lr=0.5, **options)
    return SimpleTrainer(model, iter([None] * 100), optimizer)


def clipping_sgd():
    cfg = get_cfg()
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE, cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = "norm", 0.1
    return maybe_add_gradient_clipping(cfg, torch.optim.SGD)


class TestWatchTraining:
    @pytest.mark.parametrize("clips", [False, True])
    def test_norm_is_that_before_clipping(self, clips):
        # a plain one before: its step, inside of the clipping one's, then calls the hooks too
        torch.optim.SGD([torch.zeros(1)], lr=1.0)
        trainer = slope_trainer(clipping_sgd() if clips else torch.optim.SGD)
        trainer.register_hooks([WatchTraining(8, period=1)])
        trainer.train(0, 2)
        assert trainer.storage.history("grad_norm").values() == [(13.0, 0), (13.0, 1)]
        assert trainer.model.b.item() == (pytest.approx(-0.1) if clips else -12)

    def test_norm_is_without_the_scale_of_mixed_precision(self):
        if not hasattr(torch.amp, "GradScaler"):
            pytest.skip("this torch scales on CUDA only")
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

        class Scaled(SimpleTrainer):
            def run_step(self):
                scaler.scale(self.model(None)["loss"]).backward()
                self.storage.put_scalar("data_time", 0.0)
                scaler.step(self.optimizer)
                scaler.update()

        model = Slope()
        trainer = Scaled(model, iter([]), torch.optim.SGD(model.parameters(), lr=0.5))
        trainer.register_hooks([WatchTraining(8, period=1)])
        trainer.train(0, 1)
        assert trainer.storage.latest()["grad_norm"] == (13.0, 0)

    def test_no_norm_of_an_update_that_was_left_out(self):
        trainer = slope_trainer()
        trainer.register_hooks([WatchTraining(8, period=1)])
        trainer.optimizer.step = lambda: None
        trainer.train(0, 1)
        assert "grad_norm" not in trainer.storage.latest()
        assert "pairs_per_second" in trainer.storage.latest()

    def test_every_period_and_in_the_end(self):
        trainer = slope_trainer()
        trainer.register_hooks([WatchTraining(8, period=3)])
        trainer.train(2, 8)
        for name in ("grad_norm", "pairs_per_second", "data_share", "lr/0"):
            assert [i for _, i in trainer.storage.history(name).values()] == [2, 5, 7], name

    def test_pairs_are_counted_over_the_time_of_training_alone(self, monkeypatch):
        now = [0.0]
        monkeypatch.setattr("sot.engine.hooks.time.perf_counter", lambda: now[0])

        class Steps(SimpleTrainer):
            def run_step(self):
                now[0] += 0.5
                self.storage.put_scalar("data_time", 0.125)

        class Evaluation(HookBase):
            def after_step(self):
                now[0] += 1000

        model = Slope()
        trainer = Steps(model, iter([]), torch.optim.SGD(model.parameters(), lr=0.5))
        trainer.register_hooks([WatchTraining(8, period=4), Evaluation()])
        trainer.train(0, 8)
        storage = trainer.storage
        assert storage.history("pairs_per_second").values() == [(16.0, 3), (16.0, 7)]
        assert storage.history("data_share").values() == [(0.25, 3), (0.25, 7)]

    def test_rate_is_that_of_the_update(self):
        trainer = slope_trainer()
        schedule = torch.optim.lr_scheduler.LambdaLR(trainer.optimizer, lambda i: 0.1**i)
        watch = WatchTraining(8, period=1)
        trainer.register_hooks([watch, hooks.LRScheduler(trainer.optimizer, schedule)])
        trainer.train(0, 3)
        rates = [lr for lr, _ in trainer.storage.history("lr/0").values()]
        assert rates == pytest.approx([0.5, 0.05, 0.005])

    def test_training_is_the_same_with_it(self):
        alone, watched = slope_trainer(), slope_trainer()
        watched.register_hooks([WatchTraining(8, period=1)])
        for trainer in (alone, watched):
            trainer.train(0, 3)
        assert torch.equal(alone.model.a, watched.model.a)
        assert watched.storage.latest()["grad_norm"] == (13.0, 2)


def test_norm_without_gradients():
    assert gradient_norm(torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=1.0)) == 0


def test_rates_by_part():
    names = {"backbone": 0.1, "backbone_wd0": 0.1, "head": 1.0, "head_wd0": 1.0, "head_lr2": 2.0}
    groups = [{"params": [torch.zeros(1)], "lr": lr, "name": name} for name, lr in names.items()]
    rates = learning_rates(torch.optim.SGD(groups, lr=9.0))
    assert rates == {"lr/backbone": 0.1, "lr/head": 1.0, "lr/head_lr2": 2.0}


def test_printed_line(caplog):
    trainer = slope_trainer()

    class Put(HookBase):
        def after_step(self):
            self.trainer.storage.put_scalar("rpn/num_pos_anchors", 12.5)
            if self.trainer.iter == 0:
                self.trainer.storage.put_scalar("data_share", 0.5, smoothing_hint=False)

    trainer.register_hooks([Put(), hooks.PeriodicWriter([ScalarPrinter()], period=1)])
    with caplog.at_level("INFO", logger="sot.engine.hooks"):
        trainer.train(0, 2)
    lines = [r.getMessage() for r in caplog.records if r.name == "sot.engine.hooks"]
    # nothing else, nothing of an earlier iteration, and nothing once training is over
    assert lines == [
        "iter: 0  rpn/num_pos_anchors: 12.5  data_share: 0.5",
        "iter: 1  rpn/num_pos_anchors: 12.5",
    ]


def test_scalars_reach_the_file(tmp_path):
    trainer = slope_trainer()
    writer = hooks.PeriodicWriter([JSONWriter(str(tmp_path / "metrics.json"))], period=2)
    trainer.register_hooks([WatchTraining(8, period=2), writer])
    trainer.train(0, 2)
    (line,) = (tmp_path / "metrics.json").read_text().splitlines()
    values = json.loads(line)
    assert values["grad_norm"] == 13.0 and values["lr/0"] == 0.5 and values["iteration"] == 1


class TestBestCheckpointer:
    """Evaluations of a model whose ``b`` falls by 6 each iteration."""

    def run(self, folder, results, start=0, measure="ope/success_auc"):
        """Train on from ``start``; ``results`` of the evaluations after each iteration."""
        trainer, results = slope_trainer(), iter(results)
        evaluate = hooks.EvalHook(1, lambda: {"ope": {"success_auc": next(results)}})
        best = BestCheckpointer(1, trainer.model, str(folder), measure)
        trainer.register_hooks([evaluate, best])
        trainer.train(start, start + 3)

    def best(self, folder):
        note = json.loads((folder / "model_best.json").read_text())
        file = torch.load(folder / "model_best.pth", weights_only=True)
        return note["value"], note["iteration"], file["model"]["b"].item()

    def test_keeps_the_best(self, tmp_path):
        self.run(tmp_path, [0.25, 0.75, 0.5])
        assert self.best(tmp_path) == (0.75, 1, -12.0)

    def test_last_evaluation_counts(self, tmp_path):
        self.run(tmp_path, [0.25, 0.5, 0.75])
        assert self.best(tmp_path) == (0.75, 3, -18.0)  # detectron2 calls "after the last" 3

    def test_resumed_run_knows_what_to_beat(self, tmp_path):
        self.run(tmp_path, [0.25, 0.75, 0.5])
        self.run(tmp_path, [0.25, 0.5, 0.625], start=3)
        assert self.best(tmp_path) == (0.75, 1, -12.0)
        self.run(tmp_path, [0.25, 0.875, 0.625], start=3)
        assert self.best(tmp_path) == (0.875, 4, -12.0)

    def test_new_run_and_another_measure_begin_anew(self, tmp_path):
        self.run(tmp_path, [0.25, 0.75, 0.5])
        self.run(tmp_path, [0.125, 0.25, 0.125])
        assert self.best(tmp_path) == (0.25, 1, -12.0)
        note = tmp_path / "model_best.json"
        note.write_text(note.read_text().replace("success_auc", "average_overlap"))
        self.run(tmp_path, [0.125, 0.125, 0.1875], start=3)
        assert self.best(tmp_path) == (0.1875, 6, -18.0)

    def test_it_is_no_checkpoint_to_resume_from(self, tmp_path):
        (tmp_path / "last_checkpoint").write_text("model_0000001.pth")
        self.run(tmp_path, [0.25, 0.75, 0.5])
        assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"
        assert set(torch.load(tmp_path / "model_best.pth", weights_only=True)) == {
            *("model", "iteration")
        }


class TestTrainer:
    """What the trainer makes of the hooks."""

    RESULTS = (0.25, 0.75, 0.5)  # of the evaluations after iterations 1, 3 and 5

    @pytest.fixture
    def scripted(self, monkeypatch):
        results = iter(self.RESULTS)
        monkeypatch.setattr(
            Trainer, "test", lambda cls, cfg, model, **_: {"ope": {"success_auc": next(results)}}
        )

    def test_scalars(self, tiny_run, scripted):
        _, trainer = tiny_run("run", "TEST.EVAL_PERIOD", 2, "SOLVER.BACKBONE_LR_FACTOR", 0.5)
        lines = (Path(trainer.cfg.OUTPUT_DIR) / "metrics.json").read_text().splitlines()
        last = [v for v in map(json.loads, lines) if v["iteration"] == 5][-1]
        assert {"total_loss", "rpn/num_pos_anchors", "data_time", "grad_norm"} <= set(last)
        assert last["lr/backbone"] == pytest.approx(0.5 * last["lr/head"])
        assert last["pairs_per_second"] > 0 and 0 < last["data_share"] < 1

    @pytest.mark.parametrize("ema", [False, True])
    def test_best_weights(self, tiny_run, scripted, ema):
        opts = ("TEST.EVAL_PERIOD", 2, "SOLVER.EMA.ENABLED", ema, "SOLVER.CHECKPOINT_PERIOD", 4)
        _, trainer = tiny_run("run", *opts)
        folder = Path(trainer.cfg.OUTPUT_DIR)
        assert json.loads((folder / "model_best.json").read_text()) == {
            "measure": "ope/success_auc",
            "value": 0.75,
            "iteration": 3,
        }
        best = torch.load(folder / "model_best.pth", weights_only=True)["model"]
        then = read_checkpoint(str(folder / "model_0000003.pth"))
        expected = averaged_weights(then)
        assert all(torch.equal(best[name], value) for name, value in expected.items())
        assert any(not torch.equal(value, then["model"][k]) for k, value in best.items()) is ema
        assert (folder / "last_checkpoint").read_text() == "model_final.pth"

    def test_without_evaluation_there_is_no_best(self, tiny_run, scripted):
        _, trainer = tiny_run("run", "SOLVER.MAX_ITER", 1)
        assert not (Path(trainer.cfg.OUTPUT_DIR) / "model_best.pth").exists()
