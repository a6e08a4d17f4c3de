"""train_net.py from the outside and its Trainer from the inside, on data made here."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.evaluation import verify_results
from training_runs import train, write_sequences

from sot.api import build_model
from sot.config import load_config
from sot.data import get_tracks
from sot.engine import Trainer
from sot.evaluation import OnePass
from sot.evaluation.protocols import PROTOCOLS
from sot.utils.locks import FolderLock

ROOT = Path(__file__).resolve().parent.parent
CONFIG = "quick_schedules/siamrpn_compact_instant_test.yaml"


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    """Two sequences of a bright square on noise."""
    root = tmp_path_factory.mktemp("sequences")
    write_sequences(root, a=6, b=6)
    return root


def config(sequences, output, *opts):
    name = f"folder:{sequences}"
    base = [
        *("DATASETS.TRAIN", (name,), "DATASETS.TEST", (name,), "MODEL.DEVICE", "cpu"),
        *("OUTPUT_DIR", str(output), "SOLVER.AMP.ENABLED", False, "TEST.EVAL_PERIOD", 0),
        *("SOLVER.MAX_ITER", 6, "SOLVER.IMS_PER_BATCH", 2, "SOLVER.CHECKPOINT_PERIOD", 3),
    ]
    return load_config(CONFIG, [*base, *opts])


@pytest.mark.parametrize("amp", [False, True])
def test_resumed_run_repeats_the_uninterrupted_one(sequences, tmp_path, monkeypatch, amp):
    monkeypatch.setattr("sot.engine.train_loop.cpu_has_bfloat16", lambda: True)
    opts = ("SOLVER.AMP.ENABLED", amp, "TEST.EVAL_PERIOD", 2)
    whole, a = train(config(sequences, tmp_path / "whole", *opts))
    first, _ = train(config(sequences, tmp_path / "parts", *opts), stop_at=4)
    # the checkpoint is that of iteration 3: iteration 3 (counted from 0) is run again
    second, b = train(config(sequences, tmp_path / "parts", *opts), resume=True)
    assert len(whole) == 6 and len(first) == 4 and len(second) == 3
    assert first == whole[:4]
    assert second == pytest.approx(whole[3:], rel=1e-6)
    assert len(set(whole)) == 6
    for (name, p), q in zip(a.model.state_dict().items(), b.model.state_dict().values()):
        assert torch.allclose(p.float(), q.float(), atol=1e-6), name


def test_number_of_workers_does_not_change_the_series(sequences, tmp_path):
    alone, _ = train(config(sequences, tmp_path / "0", "SOLVER.MAX_ITER", 3))
    helped, _ = train(
        config(sequences, tmp_path / "2", "SOLVER.MAX_ITER", 3, "DATALOADER.NUM_WORKERS", 2)
    )
    assert helped == pytest.approx(alone, rel=1e-6)


def test_bfloat16_on_cpu_gives_nearly_the_same_loss(sequences, tmp_path, monkeypatch):
    monkeypatch.setattr("sot.engine.train_loop.cpu_has_bfloat16", lambda: True)
    opts = ("SOLVER.MAX_ITER", 1)
    (exact,), _ = train(config(sequences, tmp_path / "f", *opts))
    (bf16,), trainer = train(config(sequences, tmp_path / "b", *opts, "SOLVER.AMP.ENABLED", True))
    assert bf16 == pytest.approx(exact, rel=0.05) and bf16 != exact
    weights = [p for p in trainer.model.parameters() if p.dim() == 4]
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def test_it_learns_two_pairs(sequences, tmp_path):
    losses, _ = train(
        config(
            sequences, tmp_path, "SOLVER.MAX_ITER", 60, "SOLVER.CHECKPOINT_PERIOD", 1000,
            "DATALOADER.NEGATIVE_PAIR_FRACTION", 0.0,
        )
    )  # fmt: skip
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


@pytest.mark.slow
def test_training_from_nothing_on_synthetic_data_learns_to_track(tmp_path):
    cfg = load_config(
        "SiamRPN/siamrpn_compact.yaml",
        [
            *("MODEL.WEIGHTS", "", "MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(tmp_path)),
            *("SOLVER.MAX_ITER", 400, "SOLVER.IMS_PER_BATCH", 16, "TEST.EVAL_PERIOD", 400),
        ],
    )
    _, trainer = train(cfg)
    learned = trainer.storage.latest()["ope/success_auc"][0]
    still = [
        PROTOCOLS["otb"].score(np.repeat(t["boxes"][:1], len(t["boxes"]), axis=0), t)["success_auc"]
        for t in get_tracks("synthetic_val")
    ]
    assert learned > np.mean(still) + 0.15


@pytest.mark.parametrize(
    "optimizer, kind", [("SGD", torch.optim.SGD), ("AdamW", torch.optim.AdamW)]
)
def test_optimizer_by_config(sequences, tmp_path, optimizer, kind):
    cfg = config(sequences, tmp_path, "SOLVER.OPTIMIZER", optimizer)
    assert isinstance(Trainer.build_optimizer(cfg, torch.nn.Linear(2, 2)), kind)


def test_unknown_optimizer(sequences, tmp_path):
    cfg = config(sequences, tmp_path, "SOLVER.OPTIMIZER", "Adamm")
    with pytest.raises(ValueError, match="Adamm"):
        Trainer.build_optimizer(cfg, torch.nn.Linear(2, 2))


def without_speed(results):
    return {
        task: {k: v for k, v in measures.items() if k != "fps"}
        for task, measures in results.items()
    }


def test_evaluation_with_restarts(sequences, tmp_path):
    cfg = config(sequences, tmp_path, "TEST.PROTOCOL", "vot2018")
    results = Trainer.test(cfg, build_model(cfg))
    assert {"accuracy", "robustness", "failures"} <= set(results["vot"])
    (folder,) = (tmp_path / "inference").iterdir()
    lines = (folder / "baseline" / "a" / "a_001.txt").read_text().splitlines()
    assert lines[0] == "1" and len(lines) == 6


def test_resumed_evaluation_tracks_the_rest(sequences, tmp_path, monkeypatch):
    cfg = config(sequences, tmp_path / "whole")
    model = build_model(cfg)
    whole = Trainer.test(cfg, model)
    cfg = config(sequences, tmp_path / "parts")
    tracked = []
    run = OnePass.run

    def record(self, track):
        if track["name"] in stop_at:
            raise KeyboardInterrupt
        tracked.append(track["name"])
        return run(self, track)

    monkeypatch.setattr(OnePass, "run", record)
    stop_at = ["b"]
    with pytest.raises(KeyboardInterrupt):
        Trainer.test(cfg, model)
    assert tracked == ["a"]
    tracked.clear()
    stop_at.clear()
    assert without_speed(Trainer.test(cfg, model, resume=True)) == without_speed(whole)
    assert tracked == ["b"]
    again = Trainer.test(cfg, model, resume=True)
    assert tracked == ["b"] and without_speed(again) == without_speed(whole)
    with torch.no_grad():
        next(model.parameters()).add_(1e-3)
    Trainer.test(cfg, model, resume=True)
    assert tracked == ["b", "a", "b"]


def test_several_test_sets(sequences, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(sequences / "a", other / "a")
    sets = (f"folder:{sequences}", f"folder:{other}")
    cfg = config(sequences, tmp_path / "out", "DATASETS.TEST", sets)
    results = Trainer.test(cfg, build_model(cfg))
    slug = f"folder_{sequences.name}"
    assert list(results) == [f"{slug}/ope", "folder_other/ope"]
    cfg.TEST.EXPECTED_RESULTS = [
        ["folder_other/ope", "success_auc", results["folder_other/ope"]["success_auc"], 1e-9]
    ]
    assert verify_results(cfg, results)
    for name, folder in ((slug, sequences), ("folder_other", other)):
        report = json.loads((tmp_path / "out" / "inference" / name / "metrics.json").read_text())
        assert report["dataset"] == f"folder:{folder}"
        assert report["ope"] == results[f"{name}/ope"]


def command(*args):
    return subprocess.run(
        [sys.executable, str(ROOT / "train_net.py"), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_command_line_trains_evaluates_and_evaluates_again(sequences, tmp_path):
    name = f"('folder:{sequences}',)"
    common = ("DATASETS.TRAIN", name, "DATASETS.TEST", name, "OUTPUT_DIR", tmp_path)
    (tmp_path / "config.yaml").write_text("of an earlier run")
    done = command("--config-file", CONFIG, *common, "SOLVER.MAX_ITER", 3, "TEST.EVAL_PERIOD", 3)
    assert done.returncode == 0, done.stderr[-2000:]
    use = f"use them with --config-file {tmp_path}/config.yaml MODEL.WEIGHTS {tmp_path}/model_"
    assert f"weights: {tmp_path}/model_best.pth; {use}best.pth\n" in done.stdout
    assert "MAX_ITER: 3\n" in (tmp_path / "config.yaml").read_text()
    results = tmp_path / "inference" / f"folder_{sequences.name}"
    during = json.loads((results / "metrics.json").read_text())["ope"]
    for file in results.iterdir():
        file.unlink()
    weights = tmp_path / "model_final.pth"
    done = command("--config-file", CONFIG, "--eval-only", *common, "MODEL.WEIGHTS", weights)
    assert done.returncode == 0, done.stderr[-2000:]
    after = json.loads((results / "metrics.json").read_text())["ope"]
    assert after["success_auc"] == pytest.approx(during["success_auc"], abs=1e-6)
    rows = (results / "a.txt").read_text().split()
    assert len(rows) == 6
    assert [float(v) for v in rows[0].split(",")] == [30, 25, 24, 20]


def test_sequence_that_fails_is_in_the_exit_code(sequences, tmp_path):
    shutil.copytree(sequences, tmp_path / "clips")
    (tmp_path / "clips" / "a" / "img" / "0001.png").write_bytes(b"no picture")
    done = command(
        *("--config-file", "SiamRPN/siamrpn_compact.yaml", "--eval-only", "MODEL.DEVICE", "cpu"),
        *("DATASETS.TEST", f"('folder:{tmp_path / 'clips'}',)", "OUTPUT_DIR", tmp_path / "out"),
    )
    assert done.returncode == 1
    assert done.stderr.endswith("error: the tracker failed in 1 sequences, see the log\n")
    assert "does not decode" in done.stdout
    results = tmp_path / "out" / "inference" / "folder_clips"
    assert list(json.loads((results / "metrics.json").read_text())["failed"]) == ["a"]
    assert (results / "b.txt").is_file() and not (results / "a.txt").exists()


@pytest.mark.parametrize(
    "args, message",
    [
        (("DATASETS.TRAIN", "('folder:/no/such/place',)"), "/no/such/place"),
        (("DATASETS.TRAIN", "()"), "DATASETS.TRAIN is empty"),
        (("SOLVER.MAX_ITERS", "3"), "SOLVER.MAX_ITERS"),
        (("--eval-only",), "MODEL.WEIGHTS"),
        (("--eval-only", "MODEL.WEIGHTS", "x.pth", "DATASETS.TEST", "()"), "DATASETS.TEST"),
        (("DATASETS.TEST", "('folder:/no/such/test',)"), "/no/such/test"),
        (("--num-gpus=99",), "--num-gpus 99"),
        (("MODEL.WEIGHTS", "gone.pth"), "gone.pth"),
        (("DATASETS.TEST", "('synthetic_val', 'synthetic_val')"), "synthetic_val"),
        (("TEST.EXPECTED_RESULTS", "[['opee', 'success_auc', 0.5, 0.1]]"), "opee"),
    ],
)
def test_bad_input_is_one_line(tmp_path, args, message):
    flags = [a for a in args if a.startswith("--")]
    opts = [a for a in args if not a.startswith("--")]
    done = command("--config-file", CONFIG, *flags, "OUTPUT_DIR", tmp_path, *opts)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last
    assert "Traceback" not in done.stderr


def test_test_set_whose_results_cannot_be_written_is_refused_before_the_training(tmp_path):
    write_sequences(tmp_path / "data", **{"cat 1": 2, "cat_1": 2})
    data = f"('folder:{tmp_path / 'data'}',)"
    opts = ("DATASETS.TRAIN", data, "DATASETS.TEST", data, "OUTPUT_DIR", tmp_path / "out")
    done = command("--config-file", CONFIG, *opts)
    assert done.returncode == 1
    assert "sequences 'cat 1' and 'cat_1' would both be written to cat_1.txt" in done.stderr
    assert not list((tmp_path / "out").glob("*.pth"))


def test_start_that_is_refused_leaves_the_earlier_config(tmp_path):
    (tmp_path / "config.yaml").write_text("MODEL: {}\n")
    done = command("--config-file", CONFIG, "OUTPUT_DIR", tmp_path, "MODEL.WEIGHTS", "gone.pth")
    assert done.returncode == 1 and "gone.pth" in done.stderr
    assert (tmp_path / "config.yaml").read_text() == "MODEL: {}\n"
    assert not list(tmp_path.glob("config.yaml.*"))


def test_folder_of_another_run_is_refused(tmp_path):
    with FolderLock(tmp_path):
        done = command("--config-file", CONFIG, "OUTPUT_DIR", tmp_path)
        assert [file.name for file in tmp_path.iterdir()] == [".lock"]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"error: {tmp_path} is in use by process {os.getpid()} on " in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_full_disk_is_one_line_that_says_where(sequences, tmp_path):
    for name in ("metrics.json", "log.txt"):
        (tmp_path / name).symlink_to("/dev/full")
    data = ("DATASETS.TRAIN", f"('folder:{sequences}',)", "SOLVER.MAX_ITER", 5)
    opts = ("TEST.EVAL_PERIOD", 0, "SOLVER.IMS_PER_BATCH", 2, "OUTPUT_DIR", tmp_path)
    done = command("--config-file", CONFIG, *data, *opts)
    assert done.returncode == 1
    assert f"error: [Errno 28] No space left on device, most likely where {tmp_path}" in done.stderr
    assert "Traceback" not in done.stderr and "--- Logging error ---" not in done.stderr
