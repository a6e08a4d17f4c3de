"""Hooks of the training loop."""

import json
import logging
import os
import time
from typing import Dict

import torch
from detectron2.engine import HookBase, hooks
from detectron2.utils import comm
from detectron2.utils.events import EventWriter, get_event_storage
from torch import nn

from ..checkpoint import SOTCheckpointer
from ..utils.files import atomic_write

try:
    from torch.nn.utils import get_total_norm
except ImportError:  # torch before 2.6

    def get_total_norm(grads):
        return torch.stack([torch.linalg.vector_norm(g) for g in grads]).norm()


__all__ = ["BestCheckpointer", "ScalarPrinter", "SeedEachIteration", "WatchTraining"]

WATCHED = ("grad_norm", "pairs_per_second", "data_share")


class SeedEachIteration(HookBase):
    """Draws of an iteration (which anchors are sampled) depend on seed, number and rank alone, so
    that a resumed run repeats what an uninterrupted one does."""

    def __init__(self, seed: int):
        self.seed = seed

    def before_step(self):
        torch.manual_seed(self.seed * 1_000_003 + self.trainer.iter + (comm.get_rank() << 40))


class WatchTraining(HookBase):
    """
    Puts into the event storage, every ``period`` iterations and in the last one:

    * ``grad_norm``: L2 norm of this iteration's gradients of all parameters together, before
      clipping, without the factor of AMP's scaler;
    * ``lr/<group>``: the learning rates that were used (see :func:`learning_rates`);
    * ``pairs_per_second`` of all ranks together since the last time, of training alone: evaluation,
      checkpoints and other hooks do not count;
    * ``data_share``: the share of that time in which the loader was waited for.

    It goes before the hooks that set the next learning rate and that write what is in the storage.
    """

    def __init__(self, batch_size: int, period: int = 20):
        """
        Args:
            batch_size: pairs of an iteration, on all ranks together.
            period: in iterations; detectron2's trainer writes every 20.
        """
        self.batch_size = batch_size
        self.period = period

    def before_train(self):
        self._iterations, self._seconds = 0, 0.0
        self._handle = self.trainer.optimizer.register_step_pre_hook(self._before_update)

    def before_step(self):
        self._norm = None
        self._start = time.perf_counter()

    def after_step(self):
        self._seconds += time.perf_counter() - self._start
        self._iterations += 1
        if not self._is_due():
            return
        storage = self.trainer.storage
        values = {
            **learning_rates(self.trainer.optimizer),
            "pairs_per_second": self.batch_size * self._iterations / self._seconds,
            "data_share": storage.history("data_time").avg(self._iterations)
            * (self._iterations / self._seconds),
        }
        if self._norm is not None:  # AMP's scaler leaves out an update with infinite gradients
            values["grad_norm"] = self._norm
        storage.put_scalars(**values, smoothing_hint=False)
        self._iterations, self._seconds = 0, 0.0

    def after_train(self):
        self._handle.remove()

    def _is_due(self) -> bool:
        done = self.trainer.iter + 1
        return done % self.period == 0 or done == self.trainer.max_iter

    def _before_update(self, optimizer, *_):
        # detectron2's clipping is a subclass of an optimizer, each of whose steps may call this:
        # the outer one before it has clipped, the inner one after
        if self._norm is None and self._is_due():
            self._norm = gradient_norm(optimizer)


def gradient_norm(optimizer: torch.optim.Optimizer) -> float:
    """L2 norm of the gradients of all parameters, taken as one vector; those whose learning rate
    is 0 do not count."""
    learning = (p for group in optimizer.param_groups if group["lr"] for p in group["params"])
    grads = [p.grad for p in learning if p.grad is not None]
    return get_total_norm(grads).item() if grads else 0.0


def learning_rates(optimizer: torch.optim.Optimizer) -> Dict[str, float]:
    """``{"lr/<name>": rate}`` of the parameter groups: by their names in
    :func:`sot.engine.solver.parameter_groups`, where those that differ in weight decay alone are
    one; by their numbers where they have none."""
    return {
        f"lr/{group.get('name', str(i)).partition('_wd')[0]}": group["lr"]
        for i, group in enumerate(optimizer.param_groups)
    }


class ScalarPrinter(EventWriter):
    """Prints, below detectron2's line of losses, what :class:`WatchTraining` found and how many
    positives an image has."""

    def write(self):
        storage = get_event_storage()
        values = {
            name: value
            for name, (value, iteration) in storage.latest_with_smoothing_hint().items()
            if iteration == storage.iter
            and (name in WATCHED or name.startswith("lr/") or "num_pos" in name)
        }
        if values:
            text = "  ".join(f"{name}: {value:.4g}" for name, value in values.items())
            logging.getLogger(__name__).info(f"iter: {storage.iter}  {text}")


class BestCheckpointer(hooks.BestCheckpointer):
    """
    detectron2's, for weights alone: after each evaluation whose result is better than all before,
    ``model_best.pth``; and beside it ``model_best.json`` with measure, value and iteration, so
    that a resumed run knows what to beat. It goes after the hook that evaluates.
    """

    def __init__(self, eval_period: int, model: nn.Module, output_dir: str, measure: str):
        """
        Args:
            eval_period: in iterations, that of the evaluation.
            model: whose weights are evaluated, not wrapped in DistributedDataParallel.
            output_dir: folder of the two files.
            measure: name of a result in the event storage; more is better.
        """
        super().__init__(eval_period, _UntaggedCheckpointer(model, output_dir), measure)
        self.measure = measure
        self.note = os.path.join(output_dir, "model_best.json")

    def before_train(self):
        if self.trainer.start_iter == 0 or not os.path.isfile(self.note):
            return
        with open(self.note) as f:
            best = json.load(f)
        if best["measure"] == self.measure:
            self.best_metric, self.best_iter = best["value"], best["iteration"]

    def after_step(self):
        self._check(super().after_step)

    def after_train(self):
        self._check(super().after_train)

    def _check(self, check):
        before = self.best_metric
        check()
        if self.best_metric != before:
            best = {
                "measure": self.measure,
                "value": self.best_metric,
                "iteration": self.best_iter,
            }
            with atomic_write(self.note, "w") as f:
                json.dump(best, f)


class _UntaggedCheckpointer(SOTCheckpointer):
    """For files that --resume does not go on from."""

    def tag_last_checkpoint(self, last_filename_basename):
        pass
