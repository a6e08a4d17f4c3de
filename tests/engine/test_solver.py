import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sot.config import list_configs, load_config
from sot.engine import Trainer
from sot.engine.solver import StagedUnfreezing, full_model_clipping, parameter_groups


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
    WARM = ("SOLVER.MAX_ITER", 8, "SOLVER.WARMUP_ITERS", 4, "SOLVER.WARMUP_FACTOR", 0.5)

    def test_falls_by_equal_factors(self):
        assert rates(*self.OPTS, "SOLVER.WARMUP_ITERS", 0) == [
            pytest.approx([lr, lr / 10]) for lr in (8, 4, 2, 1)
        ]

    def test_whole_fall_after_the_warmup(self):
        first = [r[0] for r in rates(*self.OPTS, *self.WARM)]
        assert first == pytest.approx([4, 5, 6, 7, 8, 4, 2, 1])

    def test_constant_warmup(self):
        first = [r[0] for r in rates(*self.OPTS, *self.WARM, "SOLVER.WARMUP_METHOD", "constant")]
        assert first == pytest.approx([4, 4, 4, 4, 8, 4, 2, 1])

    @pytest.mark.parametrize(
        "opts, message",
        [
            (("SOLVER.BASE_LR_END", 0.0), "BASE_LR_END > 0, it is 0.0"),
            (("SOLVER.LR_SCHEDULER_NAME", "Cosine"), "'Cosine' .SOLVER.LR_SCHEDULER_NAME. can be"),
            (("SOLVER.WARMUP_ITERS", 9), r"WARMUP_ITERS \(9\) .*MAX_ITER \(4\)"),
            (
                ("SOLVER.WARMUP_ITERS", 1, "SOLVER.WARMUP_METHOD", "slow"),
                "WARMUP_METHOD must be 'linear' or 'constant', not 'slow'",
            ),
        ],
    )
    def test_impossible_values_are_named(self, opts, message):
        with pytest.raises(ValueError, match=message):
            rates(*self.OPTS, *opts)


@pytest.mark.parametrize(
    "iterations, warmup, words",
    [
        (300, 200, "the warm-up takes 200 of 300 iterations, .*; .* set SOLVER.WARMUP_ITERS 15"),
        (100, 200, "the warm-up takes 200 of 100 iterations, .*; .* set SOLVER.WARMUP_ITERS 5"),
        (93750, 23437, ""),  # SiamRPN++
    ],
)
def test_long_warmup_is_said(caplog, iterations, warmup, words):
    opts = ["SOLVER.MAX_ITER", iterations, "SOLVER.WARMUP_ITERS", warmup, "SOLVER.STEPS", ()]
    cfg = load_config("Base-SiamRPN.yaml", [*opts, "SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR"])
    Trainer.build_lr_scheduler(cfg, torch.optim.SGD([torch.zeros(1)], lr=1.0))
    assert len(caplog.messages) == bool(words) and re.search(words, caplog.text)


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


class Net(nn.Module):
    """Two blocks of a backbone, each a weight and a norm; and a head with a bias."""

    def __init__(self):
        super().__init__()
        block = [nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2)) for _ in range(2)]
        self.backbone = nn.Sequential(*block)
        self.head = nn.Linear(2, 1)

    def forward(self, x):
        return self.head(self.backbone(x))


def solver(**keys):
    """A config whose SOLVER has these keys; no clipping."""
    cfg = load_config("Base-SiamRPN.yaml", ["SOLVER.CLIP_GRADIENTS.ENABLED", False])
    cfg.SOLVER.update(BASE_LR=1.0, WEIGHT_DECAY=0.5, WEIGHT_DECAY_NORM=0.5)
    cfg.SOLVER.update(**keys)
    return cfg


def summary(cfg, model):
    return {
        g["name"]: (g["lr"], g["weight_decay"], g["start_iter"], len(g["params"]))
        for g in parameter_groups(cfg, model)
    }


class TestGroups:
    def test_one_for_each_rate_and_decay(self):
        assert summary(solver(), Net()) == {"backbone": (1, 0.5, 0, 6), "head": (1, 0.5, 0, 2)}
        factor = solver(BACKBONE_LR_FACTOR=0.1, WEIGHT_DECAY_NORM=0.0, BIAS_LR_FACTOR=2.0)
        assert summary(factor, Net()) == {
            "backbone": (0.1, 0.5, 0, 2),
            "backbone_wd0": (0.1, 0.0, 0, 2),
            "backbone_lr2_wd0": (0.2, 0.0, 0, 2),
            "head": (1, 0.5, 0, 1),
            "head_lr2": (2, 0.5, 0, 1),
        }

    def test_parts_that_learn_later(self):
        cfg = solver(UNFREEZE=[["backbone.1", 3], ["backbone", 5]], BACKBONE_LR_FACTOR=0.1)
        assert summary(cfg, Net()) == {
            "backbone": (0.1, 0.5, 5, 3),
            "backbone.1": (0.1, 0.5, 3, 3),
            "head": (1, 0.5, 0, 2),
        }

    def test_what_never_learns_is_in_none(self):
        model = Net()
        model.backbone[0].requires_grad_(False)
        assert summary(solver(), model)["backbone"][3] == 3

    @pytest.mark.parametrize("stages", [["backbone", 5], [["backbone"]], [["backbone", "late"]]])
    def test_stages_that_are_no_pairs(self, stages):
        with pytest.raises(ValueError, match="SOLVER.UNFREEZE must be pairs .*backbone"):
            parameter_groups(solver(UNFREEZE=stages), Net())

    def test_unknown_names(self):
        with pytest.raises(ValueError, match="SOLVER.UNFREEZE: 'backbone.2' is not a module"):
            parameter_groups(solver(UNFREEZE=[["backbone.2", 3]]), Net())
        with pytest.raises(ValueError, match="OPTIMIZER must be 'SGD' or 'AdamW', not 'Adam'"):
            Trainer.build_optimizer(solver(OPTIMIZER="Adam"), Net())

    def test_random_weights_that_rest_are_warned_of(self, caplog):
        cfg = solver(UNFREEZE=[["backbone", 5]])
        Trainer.build_optimizer(cfg, Net())
        assert "MODEL.WEIGHTS is empty" in caplog.text
        caplog.clear()
        cfg.MODEL.WEIGHTS = "r50.pth"
        Trainer.build_optimizer(cfg, Net())
        assert "MODEL.WEIGHTS" not in caplog.text

    def test_module_whose_start_is_after_the_end_is_warned_of(self, caplog):
        cfg = solver(UNFREEZE=[["backbone", 5], ["head", 4]], MAX_ITER=5)
        Trainer.build_optimizer(cfg, Net())
        assert "SOLVER.UNFREEZE never lets 'backbone' learn, because SOLVER.MAX_ITER is 5" in (
            caplog.text
        )
        caplog.clear()
        cfg.SOLVER.MAX_ITER = 6
        Trainer.build_optimizer(cfg, Net())
        assert "never lets" not in caplog.text


def test_detectron2_clips_each_parameter_or_value():
    for kind in ("norm", "value"):
        model = nn.ParameterList([nn.Parameter(torch.zeros(1)) for _ in range(2)])
        cfg = solver(MOMENTUM=0.0)
        cfg.SOLVER.CLIP_GRADIENTS.update(ENABLED=True, CLIP_TYPE=kind, CLIP_VALUE=1.0)
        assert full_model_clipping(cfg) is None
        optimizer = Trainer.build_optimizer(cfg, model)
        for p, gradient in zip(model, (3.0, 4.0)):
            p.grad = torch.tensor([gradient])
        optimizer.step()
        assert [-p.item() for p in model] == pytest.approx((1.0, 1.0), rel=1e-5)


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
class TestStaged:
    START = 3

    def run(self, iterations, **keys):
        """States of the model after 0, 1, ... iterations, and the optimizer."""
        torch.manual_seed(0)
        model = Net()
        cfg = solver(LR_SCHEDULER_NAME="WarmupCosineLR", WARMUP_ITERS=0, MAX_ITER=10, **keys)
        cfg.SOLVER.BASE_LR = 0.1
        optimizer = Trainer.build_optimizer(cfg, model)
        schedule = Trainer.build_lr_scheduler(cfg, optimizer)
        hook = StagedUnfreezing(cfg, model)
        hook.trainer = SimpleNamespace(optimizer=optimizer)
        states = [{k: v.clone() for k, v in model.state_dict().items()}]
        for i in range(iterations):
            hook.trainer.iter = i
            model.train()  # as after an evaluation
            hook.before_step()
            optimizer.zero_grad()
            model(torch.randn(8, 2)).square().mean().backward()
            optimizer.step()
            schedule.step()
            states.append({k: v.clone() for k, v in model.state_dict().items()})
        return states, model, optimizer

    def test_nothing_of_a_resting_module_moves(self, optimizer):
        states, *_ = self.run(5, OPTIMIZER=optimizer, UNFREEZE=[["backbone", self.START]])
        for name in states[0]:
            same = [torch.equal(a[name], b[name]) for a, b in zip(states, states[1:])]
            rests = [i < self.START and name.startswith("backbone") for i in range(5)]
            assert same == rests, name

    def test_inner_module_before_the_outer_one(self, optimizer):
        stages = [["backbone", 4], ["backbone.1", 2]]
        states, *_ = self.run(5, OPTIMIZER=optimizer, UNFREEZE=stages)
        for name, start in (("backbone.0.1.running_mean", 4), ("backbone.1.0.weight", 2)):
            same = [torch.equal(a[name], b[name]) for a, b in zip(states, states[1:])]
            assert same == [i < start for i in range(5)], name

    def test_begins_without_momentum_or_moments(self, optimizer):
        _, model, built = self.run(3, OPTIMIZER=optimizer, UNFREEZE=[["backbone", self.START]])
        # no backward pass for what rests
        assert all(p.grad is None for p in model.backbone.parameters())
        assert {p.requires_grad for p in model.backbone.parameters()} == {False}
        assert set(built.state) == set(model.head.parameters())
        _, model, built = self.run(4, OPTIMIZER=optimizer, UNFREEZE=[["backbone", self.START]])
        assert set(built.state) == set(model.parameters())
        if optimizer == "AdamW":
            steps = {built.state[p]["step"].item() for p in model.backbone.parameters()}
            assert steps == {1}


def test_stages_scale_with_the_number_of_workers():
    cfg = solver(REFERENCE_WORLD_SIZE=8, IMS_PER_BATCH=128, MAX_ITER=93750)
    cfg.SOLVER.UNFREEZE = [["backbone", 23437]]
    cfg.freeze()
    assert Trainer.auto_scale_workers(cfg, 8).SOLVER.UNFREEZE == [["backbone", 23437]]
    half = Trainer.auto_scale_workers(cfg, 4).SOLVER
    assert (half.IMS_PER_BATCH, half.MAX_ITER, half.UNFREEZE) == (64, 187500, [["backbone", 46874]])


@pytest.mark.parametrize("start", [2, 4])
def test_resumed_run_repeats_the_uninterrupted_one_across_unfreezing(tiny_run, start):
    """The checkpoint, after 3 iterations, is of after or of before the backbone began to learn."""
    opts = ("SOLVER.UNFREEZE", [["backbone", start]], "SOLVER.OPTIMIZER", "SGD")
    whole, a = tiny_run("whole", *opts)
    _, stopped = tiny_run("parts", *opts, stop_at=3)
    learned = {p in stopped.optimizer.state for p in stopped.model.backbone.parameters()}
    assert learned == {start < 3}
    means = [b for n, b in stopped.model.backbone.named_buffers() if n.endswith("running_mean")]
    assert means and {m.any().item() for m in means} == {start < 3}
    second, b = tiny_run("parts", *opts, resume=True)
    assert second == pytest.approx(whole[3:], rel=1e-6) and len(second) == 3
    for (name, p), q in zip(a.model.state_dict().items(), b.model.state_dict().values()):
        assert torch.allclose(p.float(), q.float(), atol=1e-6), name


# Iteration: rate of the head, rate of the backbone.
SIAMFC = {0: (0.01, 0.01), 156250: (0.000316228, 0.000316228), 312499: (1e-5, 1e-5)}
SIAMDW = {0: (0.01, 0.01), 234375: (0.000316228, 0.000316228), 468749: (1e-5, 1e-5)}
SIAMDW_RPN = {0: (0.01, 0.01), 234374: (1e-5, 1e-5)}
MICHIGAN = {0: (0.004, 0.004), 500: (0.04, 0.04), 140624: (2e-5, 2e-5)}
PLUS_PLUS = {
    0: (0.001, 0),
    23436: (0.001, 0),
    23437: (0.005, 0.0005),  # 5 epochs
    58593: (0.00158, 0.000158),  # the middle of the fall: 0.005 / 10^(1/2)
    93749: (0.0005, 0.00005),
}
SCHEDULES = {
    "SiamFC/siamfc_alex.yaml": SIAMFC,
    "SiamRPN/siamrpn_alex.yaml": {0: (0.01, 0.01), 117187: (1e-4, 1e-4), 234374: (1e-6, 1e-6)},
    "SiamRPN/siamrpn_alex_dw.yaml": {
        0: (0.005, 0.005),
        11718: (0.0075, 0.0075),
        23437: (0.01, 0.01),  # 5 epochs
        234374: (0.0005, 0.0005),
    },
    "SiamRPN/siamrpn_michigan.yaml": MICHIGAN,
    "SiamRPN/siamrpn_michigan_wide.yaml": MICHIGAN,
    "SiamRPN/siamrpn_coco_blog.yaml": {
        0: (1e-6, 1e-6),
        7499: (1e-6, 1e-6),
        7500: (2e-6, 2e-6),
        14062: (2e-6, 2e-6),
    },
    **{name: PLUS_PLUS for name in list_configs() if name.startswith("SiamRPN++/")},
    **{name: SIAMDW for name in list_configs() if name.startswith("SiamDW/siamfc")},
    **{name: SIAMDW_RPN for name in list_configs() if name.startswith("SiamDW/siamrpn")},
}


class TestSchedulesOfConfigs:
    @pytest.mark.parametrize("name", SCHEDULES)
    def test_rates(self, name):
        cfg = load_config(name)
        model = nn.ModuleDict({"head": nn.Linear(1, 1, False), "backbone": nn.Linear(1, 1, False)})
        optimizer = Trainer.build_optimizer(cfg, model)
        schedule = Trainer.build_lr_scheduler(cfg, optimizer)
        hook = StagedUnfreezing(cfg, model)
        assert max(SCHEDULES[name]) == cfg.SOLVER.MAX_ITER - 1
        for i, expected in SCHEDULES[name].items():
            schedule.last_epoch = i
            for group, lr in zip(optimizer.param_groups, schedule.get_lr()):
                group["lr"] = lr
            hook.trainer = SimpleNamespace(iter=i, optimizer=optimizer)
            hook.before_step()
            got = {group["name"]: group["lr"] for group in optimizer.param_groups}
            assert (got["head"], got["backbone"]) == pytest.approx(expected, rel=1e-3), i

    def test_all_papers_are_in_the_table(self):
        ours = ("Base-", "quick_schedules/", "SiamRPN/siamrpn_compact", "SiamRPN/siamrpn_lite")
        assert [n for n in list_configs() if not n.startswith(ours)] == sorted(SCHEDULES)
