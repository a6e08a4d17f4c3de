import json
from pathlib import Path

import pytest
import torch
from detectron2.engine import HookBase, SimpleTrainer, hooks
from detectron2.utils.events import JSONWriter
from training_runs import Slope

from sot.checkpoint.checkpointer import averaged_weights, read_checkpoint
from sot.engine import Trainer
from sot.engine.hooks import ScalarPrinter, WatchTraining, learning_rates


def slope_trainer():
    model = Slope()
    return SimpleTrainer(model, iter([None] * 100), torch.optim.SGD(model.parameters(), lr=0.5))


class TestWatchTraining:
    def test_every_period_and_in_the_end(self):
        trainer = slope_trainer()
        trainer.register_hooks([WatchTraining(8, period=3)])
        trainer.train(2, 8)
        for name in ("pairs_per_second", "data_share", "lr/0"):
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
    assert values["pairs_per_second"] > 0 and values["lr/0"] == 0.5 and values["iteration"] == 1


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
