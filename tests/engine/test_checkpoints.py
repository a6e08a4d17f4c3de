import json
import logging
import os

import pytest
import torch
from detectron2.engine import SimpleTrainer, hooks
from torch import nn
from training_runs import Slope

from sot.checkpoint import SOTCheckpointer
from sot.config import load_config
from sot.engine.checkpoints import (
    BestCheckpointer,
    LastCheckpoints,
    check_output_dir,
    optimizer_mismatch,
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x):
        return {"loss": self.layer(x).square().mean()}


class TestLastCheckpoints:
    def train(self, folder, start, stop, keep):
        """Iterations start to stop - 1 with a checkpoint each; the files that are there then."""
        net = Net()
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        trainer = SimpleTrainer(net, [torch.ones(1, 1)] * 9, optimizer)
        checkpointer = SOTCheckpointer(net, str(folder))
        checkpointer.save("model_best")
        trainer.register_hooks([LastCheckpoints(checkpointer, 1, keep)])
        trainer.train(start, stop)
        names = {f.replace("model_000000", "").replace(".pth", "") for f in os.listdir(folder)}
        return "".join(sorted(names - {"last_checkpoint", "model_final", "model_best"}))

    def test_the_last_ones_stay(self, tmp_path):
        assert self.train(tmp_path, 0, 5, keep=2) == "34"
        assert {"model_best.pth", "model_final.pth"} < set(os.listdir(tmp_path))

    def test_zero_keeps_all(self, tmp_path):
        assert self.train(tmp_path, 0, 5, keep=0) == "01234"

    def test_those_of_before_a_resume_count(self, tmp_path):
        assert self.train(tmp_path, 0, 3, keep=0) == "012"
        assert self.train(tmp_path, 3, 4, keep=3) == "123"

    def test_resume_with_fewer_to_keep(self, tmp_path):
        assert self.train(tmp_path, 0, 6, keep=0) == "012345"
        assert self.train(tmp_path, 6, 7, keep=2) == "56"

    def test_halves_of_a_killed_run_go(self, tmp_path):
        (tmp_path / "model_0000007.pth.partial").touch()
        assert self.train(tmp_path, 0, 2, keep=0) == "01"

    def test_another_run_in_the_same_folder_loses_only_what_is_overwritten(self, tmp_path):
        assert self.train(tmp_path, 0, 6, keep=0) == "012345"
        assert self.train(tmp_path, 0, 3, keep=2) == "12345"


class TestBestCheckpointer:
    """Evaluations of a model whose ``b`` falls by 6 each iteration."""

    def run(self, folder, results, start=0, measure="ope/success_auc"):
        """Train on from ``start``; ``results`` of the evaluations after each iteration."""
        model, results = Slope(), iter(results)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        trainer = SimpleTrainer(model, iter([None] * 100), optimizer)
        evaluate = hooks.EvalHook(1, lambda: {"ope": {"success_auc": next(results)}})
        best = BestCheckpointer(1, model, str(folder), measure)
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

    @pytest.mark.parametrize("text", ["", "[]", '{"measure": "a", "value": []}', "\xff"])
    def test_damaged_note_is_named(self, tmp_path, text):
        (tmp_path / "model_best.json").write_text(text, encoding="latin-1")
        with pytest.raises(ValueError, match="model_best.json is damaged: remove it"):
            self.run(tmp_path, [0.25, 0.75, 0.5], start=3)

    def test_it_is_no_checkpoint_to_resume_from(self, tmp_path):
        (tmp_path / "last_checkpoint").write_text("model_0000001.pth")
        self.run(tmp_path, [0.25, 0.75, 0.5])
        assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"
        assert set(torch.load(tmp_path / "model_best.pth", weights_only=True)) == {
            *("model", "iteration")
        }


class TestOutputDir:
    def config(self, folder, *opts):
        return load_config("SiamRPN/siamrpn_compact.yaml", ["OUTPUT_DIR", str(folder), *opts])

    def warnings(self, caplog, cfg, resume):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "sot"):
            check_output_dir(cfg, resume)
        return [record.getMessage() for record in caplog.records]

    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "config.yaml").write_text(self.config(tmp_path).dump())
        (tmp_path / "last_checkpoint").write_text("model_0000004.pth")
        return tmp_path

    def test_fresh_folder(self, tmp_path, caplog):
        assert self.warnings(caplog, self.config(tmp_path / "new"), resume=False) == []
        (text,) = self.warnings(caplog, self.config(tmp_path / "new"), resume=True)
        assert text.endswith("/new has no checkpoint to resume from: training starts anew")

    def test_new_training_over_an_old_one(self, folder, caplog):
        (text,) = self.warnings(caplog, self.config(folder), resume=False)
        assert str(folder) in text and "overwritten" in text and "--resume" in text

    def test_resume(self, folder, caplog):
        assert self.warnings(caplog, self.config(folder), resume=True) == []

    def test_resume_with_other_settings(self, folder, caplog):
        opts = ("SOLVER.MAX_ITER", 77, "DATASETS.TRAIN", ("a", "b"))
        before = self.config(folder).SOLVER.MAX_ITER
        (text,) = self.warnings(caplog, self.config(folder, *opts), resume=True)
        assert f"SOLVER.MAX_ITER: {before} -> 77" in text and "-> ['a', 'b']" in text
        assert text.count("->") == 2

    def test_keys_of_one_version_alone_do_not_count(self, folder, caplog):
        cfg = load_config("SiamRPN/siamrpn_compact.yaml", ["OUTPUT_DIR", str(folder)])
        cfg.MODEL.NEW_KEY = 3
        assert self.warnings(caplog, cfg, resume=True) == []

    @pytest.mark.parametrize("content", [b"", b"MODEL: [1,", b"words", b"\xff\xfe\x00"])
    def test_damaged_config_in_the_folder(self, folder, caplog, content):
        (folder / "config.yaml").write_bytes(content)
        (text,) = self.warnings(caplog, self.config(folder), resume=True)
        assert text.startswith(f"{folder}/config.yaml is damaged")

    def test_no_config_in_the_folder(self, folder, caplog):
        (folder / "config.yaml").unlink()
        assert self.warnings(caplog, self.config(folder), resume=True) == []


class TestOptimizer:
    def parameters(self, *counts):
        names = ("backbone", "head")
        return [
            {"params": [nn.Parameter(torch.ones(1)) for _ in range(n)], "name": name}
            for n, name in zip(counts, names)
        ]

    def test_other_settings_fit(self):
        one = torch.optim.SGD(self.parameters(2, 1), 0.1, momentum=0.9)
        assert optimizer_mismatch(one.state_dict(), torch.optim.SGD(self.parameters(2, 1), 1)) == ""

    def test_setting_of_a_newer_version(self):
        state = torch.optim.SGD(self.parameters(1), 0.1).state_dict()
        del state["param_groups"][0]["nesterov"]
        assert optimizer_mismatch(state, torch.optim.SGD(self.parameters(1), 0.1)) == ""

    def test_other_parameters(self):
        one = torch.optim.SGD(self.parameters(2, 1), 0.1)
        assert optimizer_mismatch(one.state_dict(), torch.optim.SGD(self.parameters(3), 0.1)) == (
            "it trains the parameters backbone (2), head (1), this one backbone (3)"
        )

    def test_another_optimizer(self):
        one = torch.optim.SGD(self.parameters(1), 0.1)
        problem = optimizer_mismatch(one.state_dict(), torch.optim.AdamW(self.parameters(1), 0.1))
        assert problem.startswith("its optimizer has dampening, momentum, nesterov, this one ")
        assert "amsgrad, betas" in problem
