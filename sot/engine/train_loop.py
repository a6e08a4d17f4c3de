"""One iteration of training."""

import logging
import math
import time
from typing import Dict, List, Optional

import torch
import torch.distributed as dist
from detectron2.config import CfgNode
from detectron2.engine import SimpleTrainer
from detectron2.utils import comm

from .distributed import raise_on_all_ranks
from .hooks import gradient_norm
from .precision import cpu_has_bfloat16

try:
    from torch.amp import GradScaler
except ImportError:  # torch before 2.3
    from torch.cuda.amp import GradScaler

__all__ = ["CheckedTrainer", "amp_dtype"]


def amp_dtype(cfg: CfgNode) -> Optional[torch.dtype]:
    """What SOLVER.AMP asks for, None for float32. On a CPU it is always bfloat16, and nothing
    where the processor would only emulate it.

    Raises:
        ValueError: an unknown SOLVER.AMP.PRECISION.
    """
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
    logging.getLogger(__name__).info("no bfloat16 in this processor: SOLVER.AMP is off, float32")
    return None


class CheckedTrainer(SimpleTrainer):
    """SimpleTrainer with mixed precision on any device (detectron2's AMPTrainer is for CUDA), which
    stops all ranks before the optimizer's step if the loss of one or the gradient is not finite."""

    def __init__(self, model, data_loader, optimizer, dtype: Optional[torch.dtype] = None):
        """
        Args:
            model, data_loader, optimizer: as for SimpleTrainer.
            dtype: of autocast; None = no autocast. With float16 gradients are scaled.
        """
        super().__init__(model, data_loader, optimizer)
        device = next(model.parameters()).device.type
        self.autocast = torch.autocast(device, dtype or torch.bfloat16, enabled=dtype is not None)
        self.grad_scaler = GradScaler(enabled=dtype == torch.float16)

    def run_step(self):
        """
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
        self._check_gradient(data)
        self._write_metrics(losses, data_time)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def _check_losses(self, losses: Dict[str, torch.Tensor], data: List[Dict]) -> None:
        values = torch.stack([v.detach().float() for v in losses.values()])
        bad = 1 - values.isfinite().all().float()
        bad_anywhere = bad.clone()
        if comm.get_world_size() > 1:
            dist.all_reduce(bad_anywhere)
        if not bad_anywhere:
            return
        error = None
        if bad:
            shown = ", ".join(f"{k} {v:g}" for k, v in zip(losses, values.tolist()))
            error = FloatingPointError(
                f"the loss is not finite at iteration {self.iter} on rank {comm.get_rank()} "
                f"({shown}), for the pairs: {_names(data)}"
            )
        raise_on_all_ranks(error)

    def _check_gradient(self, data: List[Dict]) -> None:
        if self.grad_scaler.is_enabled():  # which leaves such a step out and tries a smaller scale
            return
        norm = gradient_norm(self.optimizer)  # the same on all ranks
        if math.isfinite(norm):
            return
        pairs = "; ".join(comm.all_gather(_names(data)))
        raise_on_all_ranks(
            FloatingPointError(
                f"the gradient is not finite at iteration {self.iter} (norm {norm:g}), though the "
                f"losses are, for the pairs: {pairs}"
            )
        )

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
