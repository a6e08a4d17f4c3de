import pytest
import torch

from sot.config import load_config
from sot.engine import Trainer


def rates(*opts):
    """Learning rates of all iterations, for two groups with rates 1 and 0.1 times BASE_LR."""
    cfg = load_config("Base-SiamRPN.yaml", ["SOLVER.LR_SCHEDULER_NAME", "WarmupExponentialLR"])
    cfg.merge_from_list(list(opts))
    base = cfg.SOLVER.BASE_LR
    optimizer = torch.optim.SGD(
        [{"params": [torch.zeros(1)], "lr": lr} for lr in (base, base / 10)], lr=base
    )
    schedule = Trainer.build_lr_scheduler(cfg, optimizer)
    out = []
    for _ in range(cfg.SOLVER.MAX_ITER):
        out.append([g["lr"] for g in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return out


class TestExponential:
    OPTS = ("SOLVER.BASE_LR", 8.0, "SOLVER.BASE_LR_END", 0.5, "SOLVER.MAX_ITER", 4)

    def test_falls_by_equal_factors(self):
        assert rates(*self.OPTS, "SOLVER.WARMUP_ITERS", 0) == [
            pytest.approx([lr, lr / 10]) for lr in (8, 4, 2, 1)
        ]

    def test_whole_fall_after_the_warmup(self):
        opts = ("SOLVER.MAX_ITER", 8, "SOLVER.WARMUP_ITERS", 4, "SOLVER.WARMUP_FACTOR", 0.5)
        first = [r[0] for r in rates(*self.OPTS, *opts)]
        assert first == pytest.approx([4, 5, 6, 7, 8, 4, 2, 1])

    @pytest.mark.parametrize(
        "opts, message",
        [
            (("SOLVER.BASE_LR_END", 0.0), "BASE_LR_END > 0, it is 0.0"),
            (("SOLVER.WARMUP_ITERS", 9), r"WARMUP_ITERS \(9\) .*MAX_ITER \(4\)"),
        ],
    )
    def test_impossible_values_are_named(self, opts, message):
        with pytest.raises(ValueError, match=message):
            rates(*self.OPTS, *opts)


def test_detectron2_schedules_as_before():
    opts = (
        "SOLVER.LR_SCHEDULER_NAME",
        "WarmupCosineLR",
        "SOLVER.MAX_ITER",
        4,
        "SOLVER.BASE_LR",
        2.0,
    )
    first = [r[0] for r in rates(*opts, "SOLVER.WARMUP_ITERS", 0)]
    assert first == pytest.approx([2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5])
