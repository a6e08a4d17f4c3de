"""Optimizer and learning-rate schedule."""

import torch
from detectron2.config import CfgNode
from detectron2.solver import (
    LRMultiplier,
    build_lr_scheduler,
    build_optimizer,
    get_default_optimizer_params,
)
from detectron2.solver.build import maybe_add_gradient_clipping
from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    ExponentialParamScheduler,
    LinearParamScheduler,
)
from torch import nn

__all__ = ["build_siamese_lr_scheduler", "build_siamese_optimizer"]


def build_siamese_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    if cfg.SOLVER.OPTIMIZER == "SGD":
        return build_optimizer(cfg, model)
    if cfg.SOLVER.OPTIMIZER != "AdamW":
        raise ValueError(f"SOLVER.OPTIMIZER must be 'SGD' or 'AdamW', not {cfg.SOLVER.OPTIMIZER!r}")
    params = get_default_optimizer_params(
        model,
        base_lr=cfg.SOLVER.BASE_LR,
        weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
        bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
        weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
    )
    return maybe_add_gradient_clipping(cfg, torch.optim.AdamW)(
        params, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY
    )


def build_siamese_lr_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer):
    """detectron2's schedules, and "WarmupExponentialLR": after a linear warm-up geometric from
    SOLVER.BASE_LR to SOLVER.BASE_LR_END.

    Raises:
        ValueError: an unknown schedule; or no BASE_LR_END > 0, or WARMUP_ITERS >= MAX_ITER.
    """
    solver = cfg.SOLVER
    if solver.LR_SCHEDULER_NAME != "WarmupExponentialLR":
        return build_lr_scheduler(cfg, optimizer)
    if not solver.BASE_LR_END > 0:
        raise ValueError(
            f"WarmupExponentialLR needs SOLVER.BASE_LR_END > 0, it is {solver.BASE_LR_END}"
        )
    if not solver.WARMUP_ITERS < solver.MAX_ITER:
        raise ValueError(
            f"SOLVER.WARMUP_ITERS ({solver.WARMUP_ITERS}) must be less than "
            f"SOLVER.MAX_ITER ({solver.MAX_ITER})"
        )
    warmup = solver.WARMUP_ITERS / solver.MAX_ITER
    schedule = CompositeParamScheduler(
        [
            LinearParamScheduler(solver.WARMUP_FACTOR, 1.0),
            ExponentialParamScheduler(1.0, solver.BASE_LR_END / solver.BASE_LR),
        ],
        interval_scaling=["rescaled", "rescaled"],
        lengths=[warmup, 1 - warmup],
    )
    return LRMultiplier(optimizer, multiplier=schedule, max_iter=solver.MAX_ITER)
