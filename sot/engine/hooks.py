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
    """Makes the random numbers of an iteration (for example which anchors are sampled) depend only
    on the seed, the iteration and the rank. So a resumed run repeats what an uninterrupted run
    does."""

    def __init__(self, seed: int):
        self.seed = seed

    def before_step(self):
        torch.manual_seed(self.seed * 1_000_003 + self.trainer.iter + (comm.get_rank() << 40))


class WatchTraining(HookBase):
    """Puts these numbers into the event storage, every ``period`` iterations (detectron2's trainer
    writes every 20) and in the last one:

    * ``lr/<group>``: the learning rates that were used (see :func:`learning_rates`);
    * ``pairs_per_second``: pairs of all ranks together since the last time, divided by the time of
      training alone, without evaluation, checkpoints and other hooks;
    * ``data_share``: the share of that time that was spent waiting for the loader.

    It must come before the hooks that set the next learning rate and write the storage."""

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
    """``{"lr/<name>": rate}`` of the parameter groups. The names are those of
    :func:`sot.engine.solver.parameter_groups`; groups that differ only in weight decay share one. A
    group without a name has its number."""
    return {
        f"lr/{group.get('name', str(i)).partition('_wd')[0]}": group["lr"]
        for i, group in enumerate(optimizer.param_groups)
    }


class ScalarPrinter(EventWriter):
    """Prints a line below detectron2's line of losses: the norm of the gradient, the numbers of
    :class:`WatchTraining`, and the number of positives in an image."""

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
