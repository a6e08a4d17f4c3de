"""One iteration: the norm of the gradient, clipping, precision."""

import pytest
import torch
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn
from training_runs import Slope

from sot.config import load_config
from sot.engine.train_loop import CheckedTrainer, amp_dtype
from sot.utils import cpu


def train(optimizer_class=torch.optim.SGD, iterations=1, rest=False, scaler=None, **options):
    """A trainer of a model with gradients (3, 4) and 12; the 12's group may rest."""
    model = Slope()
    groups = [
        {"params": [model.a]},
        {"params": [model.b], "lr": 0.0 if rest else 0.5},
        {"params": [model.unused]},
    ]
    trainer = CheckedTrainer(model, [None] * 9, optimizer_class(groups, lr=0.5), **options)
    trainer.grad_scaler = scaler or trainer.grad_scaler
    trainer.train(0, iterations)
    return trainer


def clipping_sgd():
    """detectron2's clipping of the norm of each parameter."""
    cfg = load_config("Base-SiamRPN.yaml")
    cfg.SOLVER.CLIP_GRADIENTS.update(ENABLED=True, CLIP_TYPE="norm", CLIP_VALUE=0.1)
    return maybe_add_gradient_clipping(cfg, torch.optim.SGD)


class TestNorm:
    @pytest.mark.parametrize("clips", [False, True])
    def test_is_that_before_clipping(self, clips):
        trainer = train(clipping_sgd() if clips else torch.optim.SGD, iterations=2)
        assert trainer.storage.history("grad_norm").values() == [(13.0, 0), (13.0, 1)]
        assert trainer.model.b.item() == (pytest.approx(-0.1) if clips else -12)

    def test_is_without_the_scale_of_mixed_precision(self):
        if not hasattr(torch.amp, "GradScaler"):
            pytest.skip("this torch scales on CUDA only")
        trainer = train(scaler=torch.amp.GradScaler("cpu", init_scale=1024.0))
        assert trainer.storage.latest()["grad_norm"] == (13.0, 0)
        assert trainer.model.b.item() == -6

    def test_clipping_by_hand(self):
        trainer = train(max_norm=1.3)
        assert trainer.storage.latest()["grad_norm"] == (13.0, 0)
        moved = [*trainer.model.a.tolist(), trainer.model.b.item()]
        assert moved == pytest.approx([-0.15, -0.2, -0.6], rel=1e-5)
        assert train(max_norm=14.0).model.b.item() == -6

    def test_resting_groups_do_not_count(self):
        trainer = train(max_norm=0.5, rest=True)
        assert trainer.storage.latest()["grad_norm"] == (5.0, 0)
        assert trainer.model.a.tolist() == pytest.approx([-0.15, -0.2], rel=1e-5)
        assert trainer.model.b.item() == 0 and trainer.model.b.grad is None


class Scaler:
    """Instead of the gradient scaler, which works on GPUs alone."""

    def __init__(self, scale):
        self.scale = scale

    def is_enabled(self):
        return True

    def state_dict(self):
        return {"scale": self.scale}

    def load_state_dict(self, state):
        self.scale = state["scale"]


def test_scaler_of_mixed_precision_is_in_the_state():
    def trainer(scale):
        net = nn.Linear(1, 1)
        loop = CheckedTrainer(net, [], torch.optim.SGD(net.parameters(), 0.1))
        loop.grad_scaler = Scaler(scale)
        return loop

    again = trainer(65536.0)
    again.load_state_dict(trainer(512.0).state_dict())
    assert again.grad_scaler.scale == 512.0


class TestPrecision:
    @pytest.mark.parametrize(
        "text, has",
        [
            ("flags\t\t: fpu avx2 avx512f avx512_bf16 amx_tile", True),
            ("Features\t: fp asimd bf16", True),
            ("flags\t\t: fpu avx2 avx512f", False),
            (None, False),  # another system than Linux
        ],
    )
    def test_bfloat16_of_the_processor(self, tmp_path, monkeypatch, caplog, text, has):
        monkeypatch.setattr(cpu, "CPU_INFO", tmp_path / "cpuinfo")
        if text is not None:
            cpu.CPU_INFO.write_text(f"processor\t: 0\n{text}\n")
        assert cpu.cpu_has_bfloat16() == has
        cfg = load_config("Base-SiamRPN.yaml", ["MODEL.DEVICE", "cpu", "SOLVER.AMP.ENABLED", True])
        caplog.set_level("INFO")
        assert amp_dtype(cfg) == (torch.bfloat16 if has else None)
        assert ("SOLVER.AMP is off" in caplog.text) == (not has)

    def dtype(self, *opts):
        return amp_dtype(load_config("Base-SiamRPN.yaml", list(opts)))

    def test_of_a_gpu(self):
        cuda = ("MODEL.DEVICE", "cuda", "SOLVER.AMP.ENABLED", True, "SOLVER.AMP.PRECISION")
        assert self.dtype(*cuda, "float16") == torch.float16
        assert self.dtype(*cuda, "bfloat16") == torch.bfloat16
        assert self.dtype("SOLVER.AMP.ENABLED", False) is None

    def test_unknown_one_is_named(self):
        with pytest.raises(ValueError, match="SOLVER.AMP.PRECISION .*'half'"):
            self.dtype("SOLVER.AMP.PRECISION", "half")
