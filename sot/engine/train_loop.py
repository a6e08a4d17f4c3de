"""An iteration of training."""

import logging
import math
import time
from typing import Dict, List, Optional

import torch
import torch.distributed as dist
from detectron2.config import CfgNode
from detectron2.engine import SimpleTrainer
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import nn

from ..utils.cpu import cpu_has_bfloat16
from .distributed import raise_on_all_ranks

try:
    from torch.amp import GradScaler
except ImportError:  # torch before 2.3
    from torch.cuda.amp import GradScaler


def amp_dtype(cfg: CfgNode) -> Optional[torch.dtype]:
    """The precision of SOLVER.AMP; None for float32. On a CPU it is always bfloat16, or None if the
    processor would only emulate bfloat16. ValueError: SOLVER.AMP.PRECISION is unknown."""
    dtypes = {"float16": torch.float16, "bfloat16": torch.bfloat16}
    if cfg.SOLVER.AMP.PRECISION not in dtypes:
        raise ValueError(
            f"SOLVER.AMP.PRECISION must be one of {', '.join(dtypes)}, "
            f"not {cfg.SOLVER.AMP.PRECISION!r}"
        )
    if not cfg.SOLVER.AMP.ENABLED:
        return None
    if torch.device(cfg.MODEL.DEVICE).type != "cpu":
        return dtypes[cfg.SOLVER.AMP.PRECISION]
    if cpu_has_bfloat16():
        return torch.bfloat16
    logging.getLogger(__name__).info("this processor has no bfloat16: SOLVER.AMP is off")
    return None


class CheckedTrainer(SimpleTrainer):
    """A SimpleTrainer with mixed precision on any device (detectron2's AMPTrainer needs CUDA). If
    the loss of a rank or the gradient is not finite, it stops all ranks before the step of the
    optimizer. It can clip the norm of all gradients together.

    A parameter group whose learning rate is 0 does not learn: its gradients are dropped before the
    step, so that they have no effect on the norm, on the momentum and on the moments. When the rate
    rises, the group starts as if the training had just begun.
    """

    def __init__(
        self,
        model,
        data_loader,
        optimizer,
        dtype: Optional[torch.dtype] = None,
        max_norm: Optional[float] = None,
        norm_type: float = 2.0,
    ):
        """``dtype``: of autocast, None = no autocast; with float16 gradients are scaled.
        ``max_norm``: what the p-norm of all gradients together (p = ``norm_type``) is clipped to;
        None = no clipping."""
        super().__init__(model, data_loader, optimizer)
        device = next(model.parameters()).device.type
        self.autocast = torch.autocast(device, dtype or torch.bfloat16, enabled=dtype is not None)
        self.grad_scaler = GradScaler(enabled=dtype == torch.float16)
        self.max_norm, self.norm_type = max_norm, norm_type

    def run_step(self):
        """Beside the losses, ``grad_norm`` goes into the event storage: the norm of the gradients
        before clipping, without the factor of AMP's scaler.

        Raises:
            FloatingPointError: on all ranks; names the pairs of the first rank whose loss is bad,
                or those of all ranks if only the gradient is.
        """
        start = time.perf_counter()
        data = next(self._data_loader_iter)
        data_time = time.perf_counter() - start
        with self.autocast:
            losses = self.model(data)
        self.optimizer.zero_grad()
        self.grad_scaler.scale(sum(losses.values())).backward()
        self._check_losses(losses, data)
        self.grad_scaler.unscale_(self.optimizer)
        norm = self._clip_gradients()
        if math.isfinite(norm):
            get_event_storage().put_scalar("grad_norm", norm, smoothing_hint=False)
        elif not self.grad_scaler.is_enabled():  # an enabled scaler skips such a step itself
            pairs = "; ".join(comm.all_gather(_names(data)))
            error = FloatingPointError(
                f"the gradient is not finite at iteration {self.iter} (norm {norm:g}), though the "
                f"losses are; lower SOLVER.BASE_LR, or check these pairs: {pairs}"
            )
            raise_on_all_ranks(error)
        self._write_metrics(losses, data_time)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def _clip_gradients(self) -> float:
        """The norm of all gradients, taken as one vector, before they are clipped; the same on all
        ranks."""
        groups = self.optimizer.param_groups
        for p in (p for group in groups if group["lr"] == 0 for p in group["params"]):
            p.grad = None
        parameters = [p for group in groups for p in group["params"]]
        max_norm = math.inf if self.max_norm is None else self.max_norm
        return nn.utils.clip_grad_norm_(parameters, max_norm, self.norm_type).item()

    def _check_losses(self, losses: Dict[str, torch.Tensor], data: List[Dict]) -> None:
        values = torch.stack([v.detach().float() for v in losses.values()])
        bad = 1 - values.isfinite().all().float()
        bad_anywhere = bad.clone()
        if comm.get_world_size() > 1:
            dist.all_reduce(bad_anywhere)
        if not bad_anywhere:
            return
        shown = ", ".join(f"{k} {v:g}" for k, v in zip(losses, values.tolist()))
        error = FloatingPointError(
            f"the loss is not finite at iteration {self.iter} on rank {comm.get_rank()} "
            f"({shown}); lower SOLVER.BASE_LR, or check these pairs: {_names(data)}"
        )
        raise_on_all_ranks(error if bad else None)

    def state_dict(self):
        state = super().state_dict()
        if self.grad_scaler.is_enabled():
            state["grad_scaler"] = self.grad_scaler.state_dict()
        return state

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        if self.grad_scaler.is_enabled() and "grad_scaler" in state_dict:
            self.grad_scaler.load_state_dict(state_dict["grad_scaler"])


def _names(data: List[Dict]) -> str:
    return "; ".join(pair.get("name", "without a name") for pair in data)
