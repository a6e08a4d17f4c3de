"""Stopping by signals, on a network of one weight; and for real on the command line."""

import errno
import functools
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.engine import HookBase, SimpleTrainer
from detectron2.utils import comm
from torch import nn
from torch.utils.data import DataLoader

from sot.checkpoint import SOTCheckpointer
from sot.config import load_config
from sot.data.build import _prepare_worker
from sot.engine import Trainer
from sot.engine.distributed import one_line_errors
from sot.engine.interrupt import StopOnSignal

ROOT = Path(__file__).resolve().parents[2]


class Kill(HookBase):
    """Sends signals to this process: ``{iteration: (signals)}``."""

    def __init__(self, signals):
        self.signals = signals

    def before_step(self):
        for number in self.signals.get(self.trainer.iter, ()):
            os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def _handlers():
    """The usual ones, whatever the tests were started from; and none is left behind."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    usual[signal.SIGHUP] = signal.SIG_DFL
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    after = {number: signal.signal(number, handler) for number, handler in before.items()}
    assert after == usual


def train(folder, signals=None, iterations=6, evaluation=None):
    model = nn.Linear(1, 1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = model

        def forward(self, x):
            return {"loss": self.layer(x).square().mean()}

    net = Net()
    trainer = SimpleTrainer(
        net, itertools.repeat(torch.ones(1, 1)), torch.optim.SGD(net.parameters(), 0.1)
    )
    checkpointer = SOTCheckpointer(net, str(folder))
    stop = StopOnSignal(checkpointer)
    trainer.register_hooks([Kill(signals or {}), *([evaluation] if evaluation else []), stop])
    trainer.stop = stop
    trainer.train(0, iterations)
    return trainer


@pytest.mark.parametrize(
    "number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signal_ends_the_iteration_and_leaves_a_checkpoint(tmp_path, number, code, capfd):
    with pytest.raises(SystemExit) as stop:
        train(tmp_path, {3: [number]})
    assert stop.value.code == code
    assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "model_0000003.pth"]
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000003.pth"
    assert torch.load(tmp_path / "model_0000003.pth")["iteration"] == 3
    assert f"{signal.Signals(number).name}: stopping after this iteration" in capfd.readouterr().err


def test_closed_terminal_keeps_no_checkpoint_back(tmp_path, monkeypatch):
    def gone(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("sot.engine.interrupt.os.write", gone)
    with pytest.raises(SystemExit) as stop:
        train(tmp_path, {3: [signal.SIGHUP]})
    assert stop.value.code == 129
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000003.pth"


def test_second_signal_stops_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, {3: [signal.SIGTERM, signal.SIGINT]})
    assert os.listdir(tmp_path) == []


def test_repeated_signal_counts_once(tmp_path):
    """A terminal and the launcher, or `timeout`, may both send it."""
    with pytest.raises(SystemExit):
        train(tmp_path, {3: [signal.SIGINT, signal.SIGINT]})
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000003.pth"


class Evaluation(HookBase):
    """Of five sequences, after iteration 2 or in the end; a signal comes in the second one."""

    def __init__(self, final):
        self.final, self.done = final, []

    def evaluate(self):
        for sequence in self.trainer.stop.stoppable(range(5)):
            if sequence == 1:
                os.kill(os.getpid(), signal.SIGINT)
            self.done.append(sequence)

    def after_step(self):
        if self.trainer.iter == 2 and not self.final:
            self.evaluate()

    def after_train(self):
        if self.final:
            self.evaluate()


@pytest.mark.parametrize("final", [False, True])
def test_signal_in_an_evaluation(tmp_path, final):
    evaluation = Evaluation(final)
    with pytest.raises(SystemExit) as stop:
        train(tmp_path, evaluation=evaluation)
    assert stop.value.code == 130 and evaluation.done == [0, 1]
    # model_final is there, written by another hook
    assert (tmp_path / "model_0000002.pth").is_file() != final


def test_signal_in_the_last_iteration_changes_nothing(tmp_path):
    assert train(tmp_path, {5: [signal.SIGINT]}).iter == 6
    assert os.listdir(tmp_path) == []


def test_what_is_ignored_stays_ignored(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert train(tmp_path, {3: [signal.SIGINT]}).iter == 6
    finally:
        signal.signal(signal.SIGINT, before)


def test_training_in_a_thread(tmp_path):
    done = []
    thread = threading.Thread(target=lambda: done.append(train(tmp_path)))
    thread.start()
    thread.join()
    assert done[0].iter == 6


def test_one_of_several_processes_gets_the_signal(tmp_path, monkeypatch):
    synchronized = []
    monkeypatch.setattr("detectron2.utils.comm.all_gather", lambda mine: [0, mine, 15])
    monkeypatch.setattr("detectron2.utils.comm.synchronize", lambda: synchronized.append(1))
    with pytest.raises(SystemExit) as stop:
        train(tmp_path)
    assert stop.value.code == 143
    assert (tmp_path / "model_0000000.pth").is_file() and synchronized == [1]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """The training set: one sequence of four frames."""
    root = tmp_path_factory.mktemp("clip")
    (root / "a" / "img").mkdir(parents=True)
    noise = np.random.default_rng(0)
    for i in range(4):
        image = noise.integers(0, 255, (60, 80, 3), np.uint8)
        cv2.imwrite(str(root / "a" / "img" / f"{i:04d}.png"), image)
    (root / "a" / "groundtruth_rect.txt").write_text("30,20,20,16\n" * 4)
    return f"folder:{root}"


def config(clip, folder, *opts):
    base = [
        *("DATASETS.TRAIN", (clip,), "MODEL.COMPACT.CHANNELS", [8, 8, 8, 8]),
        *("MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(folder), "SOLVER.AMP.ENABLED", False),
        *("DATASETS.TEST", (), "TEST.EVAL_PERIOD", 0, "SOLVER.IMS_PER_BATCH", 2),
        *("SOLVER.MAX_ITER", 5, "SOLVER.CHECKPOINT_PERIOD", 100, "DATALOADER.NUM_WORKERS", 0),
    ]
    return load_config("quick_schedules/siamrpn_compact_instant_test.yaml", [*base, *opts])


class Losses(HookBase):
    def __init__(self):
        self.values = []

    def after_step(self):
        self.values.append(self.trainer.storage.latest()["total_loss"][0])


def train_for_real(cfg, signals=None):
    """Losses of a training, which goes on with what is in the folder, until the signal."""
    Path(cfg.OUTPUT_DIR).mkdir(exist_ok=True)
    torch.manual_seed(0)
    trainer, losses = Trainer(cfg), Losses()
    trainer._hooks.insert(0, losses)  # the last hook is the one that stops
    trainer.register_hooks([Kill(signals or {})])
    losses.trainer = trainer
    trainer.resume_or_load(resume=True)
    try:
        trainer.train()
    except SystemExit as stop:
        assert stop.code == 130
    return losses.values, trainer


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_resumed_across_unfreezing_and_with_an_average(clip, tmp_path, optimizer):
    opts = ("SOLVER.UNFREEZE", [["backbone", 3]], "SOLVER.EMA.ENABLED", True)
    opts = (*opts, "SOLVER.OPTIMIZER", optimizer)
    whole, a = train_for_real(config(clip, tmp_path / "whole", *opts))
    cfg = config(clip, tmp_path / "parts", *opts)
    parts = [train_for_real(cfg, {n: [signal.SIGINT]} if n else None) for n in (1, 3, None)]
    losses, (_, b) = [values for values, _ in parts], parts[-1]
    assert [len(values) for values in losses] == [2, 2, 1]
    assert sum(losses, []) == pytest.approx(whole, rel=1e-6) and len(set(whole)) == 5
    nothing, c = train_for_real(cfg)  # it is finished
    assert nothing == [] and getattr(c, "storage", None) is None
    for ours, theirs in ((a.model, b.model), (a.average, b.average)):
        for (name, p), q in zip(ours.state_dict().items(), theirs.state_dict().values()):
            assert torch.allclose(p.float(), q.float(), atol=1e-6), name


@pytest.mark.parametrize(
    "opts, message",
    [
        (("MODEL.COMPACT.CHANNELS", [8, 8, 8, 16]), "does not fit the SiamRPN of this config"),
        (
            ("SOLVER.OPTIMIZER", "SGD"),
            "cannot be resumed with the SOLVER settings of this config: .*amsgrad",
        ),
        (("SOLVER.UNFREEZE", [["backbone.stem", 1]]), "it trains .*backbone.stem"),
    ],
)
def test_resume_of_another_training_is_refused(clip, tmp_path, opts, message):
    saved = Trainer(config(clip, tmp_path, "SOLVER.OPTIMIZER", "AdamW"))
    saved.checkpointer.save("model_0000000", iteration=0)
    trainer = Trainer(config(clip, tmp_path, "SOLVER.OPTIMIZER", "AdamW", *opts))
    with pytest.raises(ValueError, match=rf"/model_0000000\.pth:? .*{message}"):
        trainer.resume_or_load(resume=True)


class TestWorkers:
    def start(self):
        exiting = multiprocessing.Event()
        prepare = functools.partial(_prepare_worker, exiting)
        batches = iter(DataLoader(range(40), num_workers=1, worker_init_fn=prepare))
        first = next(batches).item()
        (worker,) = multiprocessing.active_children()
        return first, batches, worker, exiting

    def test_outlive_the_signals_of_terminals_and_clusters(self):
        first, batches, worker, _ = self.start()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):
            os.kill(worker.pid, number)
        assert [first, *(batch.item() for batch in batches)] == list(range(40))

    def test_end_with_the_trainer(self):
        _, _, worker, exiting = self.start()
        exiting.set()
        worker.terminate()
        worker.join(30)
        assert worker.exitcode == 0


def test_no_worker_holds_up_a_trainer_that_fails():
    code = """if True:
        from sot.data import PairLoader
        batches = iter(PairLoader(range(10**6), lambda pair: {"pair": pair}, 1, num_workers=1))
        next(batches)
        raise RuntimeError("out of memory")
        """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, cwd=ROOT
    )
    assert done.returncode == 1 and done.stderr.endswith("RuntimeError: out of memory\n")


def test_signal_to_the_trainer_and_its_workers(clip, tmp_path):
    """As `timeout` and clusters send it."""
    process = subprocess.Popen(
        [
            *(sys.executable, str(ROOT / "train_net.py"), "--config-file"),
            *("quick_schedules/siamrpn_compact_instant_test.yaml", "MODEL.DEVICE", "cpu"),
            *("OUTPUT_DIR", str(tmp_path), "DATALOADER.NUM_WORKERS", "2", "DATASETS.TEST", "()"),
            *("DATASETS.TRAIN", f"('{clip}',)"),
            *("SOLVER.MAX_ITER", "9999", "SOLVER.IMS_PER_BATCH", "2"),
            *("SOLVER.CHECKPOINT_PERIOD", "2", "SOLVER.CHECKPOINT_KEEP", "2"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # a group of its own
    )
    deadline = time.monotonic() + 150
    try:
        while not (tmp_path / "last_checkpoint").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGTERM)
        out, _ = process.communicate(timeout=100)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 143, out[-3000:]
    assert "Traceback" not in out and "with --resume" in out
    last = (tmp_path / "last_checkpoint").read_text()
    iteration = int(last[len("model_") : -len(".pth")])
    assert f"after iteration {iteration}" in out
    assert torch.load(tmp_path / last)["iteration"] == iteration


class Announce(HookBase):
    def __init__(self, folder):
        self.folder = folder

    def before_step(self):
        (self.folder / f"rank{comm.get_rank()}").touch()


def train_until_signal(folder):
    with one_line_errors():
        train(folder, iterations=10**9, evaluation=Announce(folder))


@pytest.mark.parametrize(
    "number, to_all", [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGTERM, False)]
)
def test_signal_to_the_launcher(tmp_path, number, to_all):
    """Alone, or (Ctrl-C in a terminal) to its processes too."""
    code = f"""if True:
        import pathlib
        from test_interrupt import train_until_signal
        from sot.engine.distributed import launch
        launch(train_until_signal, "cpu", 2, args=(pathlib.Path({str(tmp_path)!r}),))
        """
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own
    )
    deadline = time.monotonic() + 150
    try:
        while not all((tmp_path / f"rank{rank}").exists() for rank in (0, 1)):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        (os.killpg if to_all else os.kill)(process.pid, number)
        _, err = process.communicate(timeout=100)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 128 + number, err[-3000:]
    assert "Traceback" not in err
    last = (tmp_path / "last_checkpoint").read_text()
    assert torch.load(tmp_path / last)["iteration"] == int(last[len("model_") : -len(".pth")])
