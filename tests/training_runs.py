"""Small trainings, and the sequences for them."""

from pathlib import Path

import cv2
import numpy as np
import torch
from detectron2.engine import HookBase
from torch import nn

from sot.engine import Trainer


class Slope(nn.Module):
    """A loss with the gradients (3, 4) and 12, whose norm is 13."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, _batch):
        return {"loss": (self.a * torch.tensor([3.0, 4.0])).sum() + 12 * self.b.sum()}


def write_sequences(root, **lengths):
    """Sequences of a bright square on noise, so many frames for each name, for "folder:"."""
    rng = np.random.default_rng(0)
    for name, length in lengths.items():
        (root / name / "img").mkdir(parents=True)
        rows = []
        for i in range(length):
            image = rng.integers(0, 120, (90, 120, 3), np.uint8)
            x, y = 30 + 4 * i, 25 + 2 * i
            image[y : y + 20, x : x + 24] = (40, 220, 240)
            cv2.imwrite(str(root / name / "img" / f"{i + 1:04d}.png"), image)
            rows.append(f"{x},{y},24,20")
        (root / name / "groundtruth_rect.txt").write_text("\n".join(rows) + "\n")


class Record(HookBase):
    def __init__(self, stop_at):
        self.losses, self.stop_at = [], stop_at

    def after_step(self):
        self.losses.append(self.trainer.storage.latest()["total_loss"][0])
        if self.trainer.iter + 1 == self.stop_at:
            raise InterruptedError


def train(cfg, resume=False, stop_at=None):
    """The losses and the trainer of a training, broken off after ``stop_at`` iterations."""
    Path(cfg.OUTPUT_DIR).mkdir(exist_ok=True)
    torch.manual_seed(cfg.SEED)  # default_setup does so for train_net.py
    trainer, record = Trainer(cfg), Record(stop_at)
    trainer.register_hooks([record])
    trainer.resume_or_load(resume)
    try:
        trainer.train()
    except InterruptedError:
        pass
    return record.losses, trainer
