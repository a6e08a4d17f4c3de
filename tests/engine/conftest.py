from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.engine import HookBase

from sot.config import load_config
from sot.engine import Trainer


class Record(HookBase):
    def __init__(self, stop_at):
        self.losses, self.stop_at = [], stop_at

    def after_step(self):
        self.losses.append(self.trainer.storage.latest()["total_loss"][0])
        if self.trainer.iter + 1 == self.stop_at:
            raise InterruptedError


@pytest.fixture(scope="session")
def square_on_noise(tmp_path_factory):
    """Folder of one sequence of a bright square on noise."""
    root = tmp_path_factory.mktemp("sequences")
    (root / "a" / "img").mkdir(parents=True)
    rng, rows = np.random.default_rng(0), []
    for i in range(6):
        image = rng.integers(0, 120, (90, 120, 3), np.uint8)
        x, y = 30 + 4 * i, 25 + 2 * i
        image[y : y + 20, x : x + 24] = (40, 220, 240)
        cv2.imwrite(str(root / "a" / "img" / f"{i + 1:04d}.png"), image)
        rows.append(f"{x},{y},24,20")
    (root / "a" / "groundtruth_rect.txt").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def tiny_run(square_on_noise, tmp_path):
    """Function of the name of a folder for the output and of options: trains a small network
    for 6 iterations with a checkpoint every 3, and returns the losses and the trainer."""

    def run(name, *opts, stop_at=None, resume=False):
        data = f"folder:{square_on_noise}"
        base = [
            *("DATASETS.TRAIN", (data,), "DATASETS.TEST", (data,), "MODEL.DEVICE", "cpu"),
            *("OUTPUT_DIR", str(tmp_path / name), "SOLVER.AMP.ENABLED", False),
            *("SOLVER.MAX_ITER", 6, "SOLVER.IMS_PER_BATCH", 2, "SOLVER.CHECKPOINT_PERIOD", 3),
            *("TEST.EVAL_PERIOD", 0, "INPUT.SEARCH_SIZE_TRAIN", 159, "MODEL.COMPACT.NUM_BLOCKS", 1),
            *("MODEL.COMPACT.CHANNELS", [4, 4, 8, 8], "MODEL.SIAMESE.HEAD_CHANNELS", 8),
        ]
        cfg = load_config("quick_schedules/siamrpn_compact_instant_test.yaml", [*base, *opts])
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

    return run
