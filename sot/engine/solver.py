"""The optimizer, the learning-rate schedule, and modules that start to learn later than others."""

import logging
from collections import defaultdict
from typing import Any, Dict, List, Optional

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.solver import LRMultiplier, build_lr_scheduler, get_default_optimizer_params
from detectron2.solver.build import maybe_add_gradient_clipping
from detectron2.utils import comm
from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    ConstantParamScheduler,
    ExponentialParamScheduler,
    LinearParamScheduler,
)
from torch import nn
from torch.optim import Optimizer

LONG_WARMUP = 0.3  # fraction of the iterations; the papers have at most a fourth


def build_siamese_optimizer(cfg: CfgNode, model: nn.Module) -> Optimizer:
    """Build SOLVER.OPTIMIZER over :func:`parameter_groups`, with detectron2's gradient clipping.
    For CLIP_TYPE "full_model" the CheckedTrainer clips instead. ValueError: SOLVER.OPTIMIZER is
    unknown; see also parameter_groups."""
    solver = cfg.SOLVER
    options = {"lr": solver.BASE_LR, "weight_decay": solver.WEIGHT_DECAY}
    if solver.OPTIMIZER == "SGD":
        kind = torch.optim.SGD
        options.update(momentum=solver.MOMENTUM, nesterov=solver.NESTEROV)
    elif solver.OPTIMIZER == "AdamW":
        kind = torch.optim.AdamW
    else:
        raise ValueError(f"SOLVER.OPTIMIZER must be 'SGD' or 'AdamW', not {solver.OPTIMIZER!r}")
    if full_model_clipping(cfg) is None:
        kind = maybe_add_gradient_clipping(cfg, kind)
    groups = parameter_groups(cfg, model)
    _log(groups, cfg)
    return kind(groups, **options)


def full_model_clipping(cfg: CfgNode) -> Optional[float]:
    """The value to which the norm of all gradients together is clipped, or None for no such
    clipping."""
    clip = cfg.SOLVER.CLIP_GRADIENTS
    return clip.CLIP_VALUE if clip.ENABLED and clip.CLIP_TYPE == "full_model" else None


def parameter_groups(cfg: CfgNode, model: nn.Module) -> List[Dict[str, Any]]:
    """The parameters that are trained, as groups for a torch optimizer, with detectron2's learning
    rates and weight decays. There is a group for each part of the model with the same rate and
    decay. The parts are the modules of SOLVER.UNFREEZE, the rest of the backbone, and the head,
    which is everything else. The rates of the backbone are multiplied by SOLVER.BACKBONE_LR_FACTOR.

    A group has the ``name`` of its part. If its weight decay (norms) or rate (biases) is not
    SOLVER's, the name says so: "head_wd0", "head_lr2". The group learns from the iteration
    ``start_iter`` on. ValueError: SOLVER.UNFREEZE is no list of pairs, or names no module."""
    solver, starts = cfg.SOLVER, _start_iterations(cfg, model)
    parts = {
        p: next(
            (part for part in (*reversed(starts), "backbone") if name.startswith(f"{part}.")),
            "head",
        )
        for name, p in model.named_parameters()
    }
    members = defaultdict(list)
    for group in get_default_optimizer_params(
        model,
        base_lr=solver.BASE_LR,
        weight_decay=solver.WEIGHT_DECAY,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        bias_lr_factor=solver.BIAS_LR_FACTOR,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
    ):
        for p in group["params"]:
            members[parts[p], group["lr"], group["weight_decay"]].append(p)
    groups = []
    for (part, lr, decay), params in members.items():
        in_backbone = part.split(".")[0] == "backbone"
        rate = f"_lr{lr:g}" if lr != solver.BASE_LR else ""
        wd = f"_wd{decay:g}" if decay != solver.WEIGHT_DECAY else ""
        groups.append(
            {
                "params": params,
                "lr": lr * (solver.BACKBONE_LR_FACTOR if in_backbone else 1),
                "weight_decay": decay,
                "name": part + rate + wd,
                "start_iter": starts.get(part, 0),
            }
        )
    return groups


def _start_iterations(cfg: CfgNode, model: nn.Module) -> Dict[str, int]:
    """SOLVER.UNFREEZE as {module: iteration}. A module comes before the modules inside it."""
    stages = cfg.SOLVER.UNFREEZE
    try:
        starts = dict(sorted((name, int(start)) for name, start in stages))
    except (TypeError, ValueError) as e:
        raise ValueError(
            f"SOLVER.UNFREEZE must be pairs of a module and an iteration, not {stages}"
        ) from e
    modules = dict(model.named_modules())
    for name in starts:
        if name not in modules:
            raise ValueError(f"SOLVER.UNFREEZE: {name!r} is not a module of the model")
    return starts


def _log(groups: List[Dict[str, Any]], cfg: CfgNode) -> None:
    logger = logging.getLogger(__name__)
    for group in groups:
        numbers = sum(p.numel() for p in group["params"])
        text = f"{group['name']}: {numbers / 1e6:.2f} M parameters, learning rate {group['lr']:g}"
        start = f" from iteration {group['start_iter']} on" if group["start_iter"] else ""
        logger.info(f"{text}{start}, weight decay {group['weight_decay']:g}")
    late = [repr(m) for m, start in cfg.SOLVER.UNFREEZE if int(start) >= cfg.SOLVER.MAX_ITER]
    if late:
        logger.warning(
            f"SOLVER.UNFREEZE never lets {', '.join(late)} learn, because SOLVER.MAX_ITER is "
            f"{cfg.SOLVER.MAX_ITER}: give earlier iterations, or SOLVER.UNFREEZE []"
        )
    if cfg.SOLVER.UNFREEZE and not cfg.MODEL.WEIGHTS:
        logger.warning(
            "SOLVER.UNFREEZE keeps random weights fixed, because MODEL.WEIGHTS is empty: set it to "
            "pre-trained weights"
        )


class StagedUnfreezing(HookBase):
    """Keeps the modules of SOLVER.UNFREEZE unchanged until their iteration: their learning rate is
    0, and they are in evaluation mode, which keeps the statistics of their norms. In a single
    process they also have no backward pass. With several processes their parameters keep
    requires_grad, because DistributedDataParallel waits for the gradients of all parameters that
    required one when it was built, and never synchronizes the others. The groups of the optimizer
    never change."""

    def __init__(self, cfg: CfgNode, model: nn.Module):
        """``model`` is not wrapped in DistributedDataParallel. The trainer's optimizer must be over
        its :func:`parameter_groups`."""
        starts = _start_iterations(cfg, model)
        self.modules = [(model.get_submodule(name), start) for name, start in starts.items()]
        # not those of the optimizer, which are from the checkpoint if it was resumed
        self.group_starts = [group["start_iter"] for group in parameter_groups(cfg, model)]

    def before_step(self):
        # at each iteration, because the scheduler sets all rates and an evaluation the mode of all
        # modules
        now = self.trainer.iter
        for module, start in self.modules:
            module.train(now >= start)
        for group, start in zip(self.trainer.optimizer.param_groups, self.group_starts):
            if now < start:
                group["lr"] = 0.0
            if start and comm.get_world_size() == 1:
                for p in group["params"]:
                    p.requires_grad_(now >= start)


def build_siamese_lr_scheduler(cfg: CfgNode, optimizer: Optimizer) -> LRMultiplier:
    """Build one of detectron2's schedules, or "WarmupExponentialLR". The latter has a warm-up that
    rises linearly from WARMUP_FACTOR * BASE_LR to BASE_LR (with WARMUP_METHOD "constant" it stays
    at the former), and then falls geometrically from BASE_LR to BASE_LR_END. The rate changes with
    each iteration; in papers and toolkits it changes with each epoch.

    A warm-up is never shortened, as in detectron2. If it is a large part of a short training, the
    log says so.

    ValueError: the schedule or the warm-up is unknown, BASE_LR_END is not above 0, WARMUP_ITERS is
    not below MAX_ITER, or other values are impossible."""
    solver = cfg.SOLVER
    if solver.WARMUP_ITERS > LONG_WARMUP * solver.MAX_ITER:
        logging.getLogger(__name__).warning(
            f"the warm-up takes {solver.WARMUP_ITERS} of {solver.MAX_ITER} iterations, in which "
            "the learning rate is below SOLVER.BASE_LR; for a shorter warm-up set "
            f"SOLVER.WARMUP_ITERS {solver.MAX_ITER // 20}"
        )
    if solver.LR_SCHEDULER_NAME != "WarmupExponentialLR":
        try:
            return build_lr_scheduler(cfg, optimizer)
        except (AssertionError, ArithmeticError, IndexError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(
                f"no schedule {solver.LR_SCHEDULER_NAME!r} (SOLVER.LR_SCHEDULER_NAME) can be made "
                f"of these values of SOLVER: {reason}"
            ) from error
    if not solver.BASE_LR_END > 0:
        raise ValueError(
            f"WarmupExponentialLR needs SOLVER.BASE_LR_END > 0, it is {solver.BASE_LR_END}"
        )
    if not solver.WARMUP_ITERS < solver.MAX_ITER:
        raise ValueError(
            f"SOLVER.WARMUP_ITERS ({solver.WARMUP_ITERS}) must be less than "
            f"SOLVER.MAX_ITER ({solver.MAX_ITER})"
        )
    warmups = {
        "linear": LinearParamScheduler(solver.WARMUP_FACTOR, 1.0),
        "constant": ConstantParamScheduler(solver.WARMUP_FACTOR),
    }
    if solver.WARMUP_METHOD not in warmups:
        raise ValueError(
            f"SOLVER.WARMUP_METHOD must be 'linear' or 'constant', not {solver.WARMUP_METHOD!r}"
        )
    fall = ExponentialParamScheduler(1.0, solver.BASE_LR_END / solver.BASE_LR)
    length = solver.WARMUP_ITERS / solver.MAX_ITER
    schedule = CompositeParamScheduler(
        [warmups[solver.WARMUP_METHOD], fall],
        interval_scaling=["rescaled", "rescaled"],
        lengths=[length, 1 - length],
    )
    return LRMultiplier(optimizer, multiplier=schedule, max_iter=solver.MAX_ITER)
