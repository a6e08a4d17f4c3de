"""Hooks of the training loop."""

import logging
import time
from typing import Dict

import torch
from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.events import EventWriter, get_event_storage

WATCHED = ("grad_norm", "pairs_per_second", "data_share")


class SeedEachIteration(HookBase):
    """Draws of an iteration (which anchors are sampled) depend on seed, number and rank alone, so
    that a resumed run repeats what an uninterrupted one does."""

    def __init__(self, seed: int):
        self.seed = seed

    def before_step(self):
        torch.manual_seed(self.seed * 1_000_003 + self.trainer.iter + (comm.get_rank() << 40))


class WatchTraining(HookBase):
    """Puts into the event storage, every ``period`` iterations (detectron2's trainer writes every
    20) and in the last one:

    * ``lr/<group>``: the learning rates that were used (see :func:`learning_rates`);
    * ``pairs_per_second`` of all ranks together since the last time, of training alone: evaluation,
      checkpoints and other hooks do not count;
    * ``data_share``: the share of that time in which the loader was waited for.

    It goes before the hooks that set the next learning rate and that write what is in the
    storage."""

    def __init__(self, batch_size: int, period: int = 20):
        self.batch_size = batch_size
        self.period = period

    def before_train(self):
        self._iterations, self._seconds = 0, 0.0

    def before_step(self):
        self._start = time.perf_counter()

    def after_step(self):
        self._seconds += time.perf_counter() - self._start
        self._iterations += 1
        done = self.trainer.iter + 1
        if done % self.period and done != self.trainer.max_iter:
            return
        storage, rate = self.trainer.storage, self._iterations / self._seconds
        storage.put_scalars(
            **learning_rates(self.trainer.optimizer),
            pairs_per_second=self.batch_size * rate,
            data_share=storage.history("data_time").avg(self._iterations) * rate,
            smoothing_hint=False,
        )
        self._iterations, self._seconds = 0, 0.0


def learning_rates(optimizer: torch.optim.Optimizer) -> Dict[str, float]:
    """``{"lr/<name>": rate}`` of the parameter groups: by their names in
    :func:`sot.engine.solver.parameter_groups`, where those that differ in weight decay alone are
    one; by their numbers where they have none."""
    return {
        f"lr/{group.get('name', str(i)).partition('_wd')[0]}": group["lr"]
        for i, group in enumerate(optimizer.param_groups)
    }


class ScalarPrinter(EventWriter):
    """Prints, below detectron2's line of losses, the norm of the gradient, what
    :class:`WatchTraining` found and how many positives an image has."""

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
