"""Hooks of the training loop."""

import torch
from detectron2.engine import HookBase
from detectron2.utils import comm

__all__ = ["SeedEachIteration"]


class SeedEachIteration(HookBase):
    """Draws of an iteration (which anchors are sampled) depend on seed, number and rank alone, so
    that a resumed run repeats what an uninterrupted one does."""

    def __init__(self, seed: int):
        self.seed = seed

    def before_step(self):
        torch.manual_seed(self.seed * 1_000_003 + self.trainer.iter + (comm.get_rank() << 40))
