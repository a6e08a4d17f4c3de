"""Training in several processes, with real ones: two on the CPU that talk through gloo."""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.multiprocessing as mp
from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from training_runs import write_sequences

from sot.api import build_model
from sot.config import load_config
from sot.engine import Trainer, train_loop
from sot.engine.distributed import launch, one_line_errors, same_on_all_ranks

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "quick_schedules/siamrpn_compact_instant_test.yaml"
# without statistics of a batch and with all anchors, so that a batch may be taken in parts
EXACT = ("MODEL.SIAMESE.NORM", "FrozenBN", "MODEL.RPN.BATCH_SIZE_PER_IMAGE", 100000)
CASES = {
    "SiamRPN": EXACT,
    "SiamFC": (*EXACT, "MODEL.META_ARCHITECTURE", "SiamFC"),
    "bfloat16": (*EXACT, "SOLVER.AMP.ENABLED", True),
}


def options(root, output):
    name = f"('folder:{root / 'data'}',)"
    return (
        *("DATASETS.TRAIN", name, "DATASETS.TEST", name, "MODEL.DEVICE", "cpu"),
        *("OUTPUT_DIR", str(root / output), "SOLVER.IMS_PER_BATCH", 4, "SOLVER.MAX_ITER", 3),
        *("TEST.EVAL_PERIOD", 0, "SOLVER.AMP.ENABLED", False),
        *("SOLVER.CLIP_GRADIENTS.ENABLED", False, "DATALOADER.NEGATIVE_PAIR_FRACTION", 0.27),
    )


def make_trainer(root, output, *opts):
    cfg = load_config(CONFIG, [*options(root, output), *opts])
    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    torch.manual_seed(comm.get_rank())  # the main rank's weights become everybody's
    # as on a processor with bfloat16; put back, as some of this runs in the tests' own process
    with mock.patch.object(train_loop, "cpu_has_bfloat16", lambda: True):
        return Trainer(cfg)


def first_step(root, case):
    """Gradients and (on the main rank) scalars of one iteration."""
    trainer = make_trainer(root, case, *CASES[case])
    with EventStorage() as storage:
        trainer.run_step()
    model = getattr(trainer.model, "module", trainer.model)
    return {
        "gradients": {name: p.grad.clone() for name, p in model.named_parameters()},
        "scalars": {name: value for name, (value, _) in storage.latest().items()},
    }


def evaluate(root, output):
    cfg = load_config(CONFIG, list(options(root, output)))
    torch.manual_seed(0)
    model = build_model(cfg)
    for buffer in model.buffers():
        buffer += comm.get_rank()  # as if each rank had seen other pairs
    results = Trainer.test(cfg, model)
    return results, {name: buffer.clone() for name, buffer in model.named_buffers()}


class Spoil(HookBase):
    """Makes the loss of rank 1 NaN in iteration 1."""

    def before_step(self):
        model = self.trainer.model
        self.weights = [p.detach().clone() for p in model.parameters()]
        if self.trainer.iter == 1 and comm.get_rank() == 1:
            model.register_forward_hook(lambda *x: {k: v * float("nan") for k, v in x[2].items()})


def spoiled_run(root):
    trainer, spoil = make_trainer(root, "spoiled"), Spoil()
    trainer.register_hooks([spoil])
    with pytest.raises(FloatingPointError) as e:
        trainer.train()
    pairs = [trainer.data_loader.dataset[4 + k]["name"] for k in range(4)]
    same = all(map(torch.equal, spoil.weights, trainer.model.parameters()))
    return {"message": str(e.value), "pairs": pairs, "same": same, "iteration": trainer.iter}


def spoiled_gradient(root):
    """The gradient of one weight is not finite on the last rank in iteration 1."""
    trainer = make_trainer(root, "gradient")
    model = trainer.checkpointer.model
    seen = []

    def spoil(grad):
        return (
            grad / 0 if trainer.iter == 1 and comm.get_rank() == comm.get_world_size() - 1 else grad
        )

    next(p for p in model.parameters() if p.requires_grad).register_hook(spoil)
    note = HookBase()
    note.before_step = lambda: seen.append([p.detach().clone() for p in model.parameters()])
    trainer.register_hooks([note])
    with pytest.raises(FloatingPointError) as e:
        trainer.train()
    same = all(map(torch.equal, seen[1], model.parameters()))
    pairs = [trainer.data_loader.dataset[4 + k]["name"] for k in range(4)]
    return {"message": str(e.value), "pairs": pairs, "same": same, "iteration": trainer.iter}


def error_of_rank_1():
    with pytest.raises(FileNotFoundError) as e, same_on_all_ranks():
        if comm.get_rank() == 1:
            raise FileNotFoundError("no data on this machine")
    return str(e.value)


def work(root):
    """In each of two processes; the tests look at what it leaves."""
    out = {case: first_step(root, case) for case in CASES}
    out["evaluation"] = evaluate(root, "two")
    out["spoiled"] = spoiled_run(root)
    out["gradient"] = spoiled_gradient(root)
    out["error"] = error_of_rank_1()
    out["local"] = comm.get_local_rank(), comm.get_local_size()
    torch.save(out, root / f"rank{comm.get_rank()}.pt")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("distributed")
    write_sequences(root / "data", a=4, b=3, c=3)
    return root


@pytest.fixture(scope="module")
def ranks(root):
    launch(work, "cpu", 2, args=(root,), timeout=600)
    return [torch.load(root / f"rank{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.mark.parametrize(
    "case, tolerance", [("SiamRPN", 1e-4), ("SiamFC", 1e-4), ("bfloat16", 0.1)]
)
def test_gradients_are_those_of_the_joint_batch(root, ranks, case, tolerance):
    joint = first_step(root, case)
    for rank in ranks:
        assert rank[case]["gradients"].keys() == joint["gradients"].keys()
        for name, expected in joint["gradients"].items():
            error = (rank[case]["gradients"][name] - expected).norm()
            assert error <= tolerance * expected.norm() + 1e-6, name
    found = ranks[0][case]["scalars"]
    losses = [name for name in joint["scalars"] if "loss" in name]
    assert losses
    for name in losses:
        assert found[name] == pytest.approx(joint["scalars"][name], rel=tolerance / 2), name


def test_the_ranks_have_unlike_halves_of_the_batch(root):
    """Else means over the ranks could not be told from means over the batch."""
    pairs = make_trainer(root, "pairs").data_loader.dataset
    negative = [bool(pairs[k]["instances"].gt_negative) for k in range(4)]
    assert negative == [False, True, False, False]  # of ranks 0, 1, 0, 1


def test_evaluation_loses_and_doubles_nothing(root, ranks):
    (found, buffers), (nothing, other_buffers) = (rank["evaluation"] for rank in ranks)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the ranks have; rounding depends on it
    (expected, expected_buffers) = evaluate(root, "one")
    torch.set_num_threads(threads)
    assert nothing == {}
    for measures in (found["ope"], expected["ope"]):
        measures.pop("fps")
    assert found == expected and len(expected["ope"]) > 2
    texts = [
        [(root / run / "inference" / "folder_data" / f"{s}.txt").read_text() for s in "abc"]
        for run in ("one", "two")
    ]
    assert texts[0] == texts[1]
    for name, buffer in expected_buffers.items():
        assert torch.equal(buffers[name], buffer) and torch.equal(other_buffers[name], buffer), name


def test_a_bad_loss_stops_all_ranks_before_the_weights_change(ranks):
    first, second = (rank["spoiled"] for rank in ranks)
    assert first["message"] == second["message"]
    assert "iteration 1 on rank 1 (loss_rpn_cls nan, loss_rpn_loc nan)" in first["message"]
    pairs = first["pairs"]  # of ranks 0, 1, 0, 1
    assert first["message"].endswith(f"check these pairs: {pairs[1]}; {pairs[3]}")
    assert " frame " in pairs[1]
    assert first["same"] and second["same"] and first["iteration"] == second["iteration"] == 1


def test_a_bad_gradient_stops_all_ranks_before_the_weights_change(root, ranks):
    alone = spoiled_gradient(root)
    for found in (alone, *(rank["gradient"] for rank in ranks)):
        assert found["same"] and found["iteration"] == 1
        assert "gradient is not finite at iteration 1 (norm " in found["message"]
        a, b, c, d = found["pairs"]  # of ranks 0, 1, 0, 1, or all of rank 0
        order = (a, b, c, d) if found is alone else (a, c, b, d)
        assert found["message"].endswith(f"check these pairs: {'; '.join(order)}")


def test_an_error_of_one_rank_is_raised_on_all(ranks):
    assert [rank["error"] for rank in ranks] == ["no data on this machine"] * 2


def test_local_ranks(ranks):
    assert [rank["local"] for rank in ranks] == [(0, 2), (1, 2)]


def threads_at_exit(folder, root):
    """Train, and write the names of the threads that are left as Python exits."""

    def write():
        names = []
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):  # it ended meanwhile
                names.append((task / "comm").read_text())
        (folder / str(os.getpid())).write_text("".join(names))

    atexit.register(write)
    make_trainer(root, "threads").train()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="lists threads as Linux does")
def test_no_thread_of_the_job_is_left_as_python_exits(root, tmp_path):
    """It would abort the process if it freed a tensor then."""
    launch(threads_at_exit, "cpu", 2, args=(tmp_path, root))
    names = [file.read_text() for file in tmp_path.iterdir()]
    assert len(names) == 2 and not any("gloo" in name for name in names), names


def lose_rank_1(note, act):
    comm.synchronize()
    if comm.get_rank() == 1:
        note.touch()
        act()
    comm.synchronize()


def be_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_rank_ends_the_job(tmp_path):
    note = tmp_path / "killed"
    # told by the launcher or, if that was slow, by the process that has lost the other
    with pytest.raises((SystemExit, mp.ProcessRaisedException), match="SIGKILL|losed"):
        launch(lose_rank_1, "cpu", 2, args=(note, be_killed), timeout=600)
    assert time.time() - note.stat().st_mtime < 60


def hang():
    time.sleep(600)


@pytest.mark.slow
def test_a_rank_that_hangs_ends_the_job(tmp_path):
    note = tmp_path / "hangs"
    with pytest.raises(mp.ProcessRaisedException, match="[Tt]imed out"):
        launch(lose_rank_1, "cpu", 2, args=(note, hang), timeout=10)
    assert time.time() - note.stat().st_mtime < 60


def command(program, *args):
    env = {k: v for k, v in os.environ.items() if k not in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
    return subprocess.run(
        [sys.executable, *program, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**env, "OMP_NUM_THREADS": "1"},
    )


def test_batch_that_cannot_be_shared_is_one_line(root):
    opts = (*options(root, "uneven"), "SOLVER.IMS_PER_BATCH", 3)
    done = command(["train_net.py"], "--config-file", CONFIG, "--num-gpus", 2, *opts)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert lines == ["error: SOLVER.IMS_PER_BATCH 3 is not a positive multiple of the 2 processes"]
    assert "Traceback" not in done.stderr and "SiamRPN(" not in done.stdout  # no model yet


def test_torchrun(root):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    opts = (*options(root, "torchrun"), "SOLVER.MAX_ITER", 2)
    done = command([*torchrun, "train_net.py"], "--config-file", CONFIG, *opts)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (root / "torchrun" / "model_final.pth").is_file()
    assert "World size: 2" in (root / "torchrun" / "log.txt.rank1").read_text()


class TestLaunch:
    def test_one_process_is_this_one(self):
        seen = []
        launch(seen.append, "cpu", args=(os.getpid(),))
        assert seen == [os.getpid()]

    def test_several_machines_need_an_address(self):
        with pytest.raises(ValueError, match="--dist-url tcp://HOST:PORT"):
            launch(print, "cpu", 1, num_machines=2)

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"num_processes": -1}, "--num-gpus -1 --num-machines 1: there is nothing to start"),
            ({"num_machines": 0}, "--num-gpus 1 --num-machines 0"),
            ({"num_machines": 2, "machine_rank": 2}, "--machine-rank 2: of 2 .* ranks are 0 to 1"),
            ({"timeout": float("nan")}, "--timeout nan: give seconds"),
            ({"timeout": -1.0}, "--timeout -1: give seconds"),
        ],
    )
    def test_impossible_jobs_are_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            launch(print, "cpu", **arguments)

    def test_torchrun_and_num_gpus_exclude_each_other(self, monkeypatch):
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
            monkeypatch.setenv(name, "1")
        with pytest.raises(ValueError, match="leave out --num-gpus"):
            launch(print, "cpu", 2)

    @pytest.mark.slow
    def test_machine_that_does_not_come(self, capfd):
        with pytest.raises(SystemExit, match="1"):
            launch(print, "cpu", 1, 2, 0, "tcp://127.0.0.1:29871", timeout=2)
        assert (
            "error: rank 0 did not find the other 1 processes at tcp://" in capfd.readouterr().err
        )


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, FloatingPointError])
def test_error_in_one_line(capsys, error):
    with pytest.raises(SystemExit) as e, one_line_errors():
        raise error("what is wrong")
    assert e.value.code == 1 and capsys.readouterr().err == "error: what is wrong\n"
