"""Measures whole iterations of training."""

import logging
import tempfile
import time
from contextlib import ExitStack

import numpy as np
import torch
from detectron2.engine import HookBase

from sot.config import resolve_device
from sot.engine import Trainer
from sot.engine.train_loop import amp_dtype

from .data import made_set, use_made_set
from .timing import peak_memory_mb

MADE_SET = "video_720p_80kb"


class Watch(HookBase):
    """When each iteration ended, and how long each waited for its data."""

    def __init__(self):
        self.ends, self.waits = [], []

    def after_step(self):
        self.ends.append(time.perf_counter())
        self.waits.append(self.trainer.storage.history("data_time").latest())


def benchmark_train(cfg, args):
    """Yield one result: the training of the config on DATASETS.TRAIN, or on a dataset that is made
    if that was not given. There are no pictures, evaluations and checkpoints during it."""
    cfg = cfg.clone()
    cfg.MODEL.DEVICE = resolve_device(cfg.MODEL.DEVICE)
    iterations = args.warmup + args.num_iters
    # a schedule with too few iterations would be refused
    cfg.SOLVER.MAX_ITER = max(cfg.SOLVER.MAX_ITER, iterations + 1)
    cfg.SOLVER.CHECKPOINT_PERIOD = cfg.SOLVER.MAX_ITER
    cfg.TEST.EVAL_PERIOD = cfg.VIS_PERIOD = 0
    with ExitStack() as stack:
        cfg.OUTPUT_DIR = stack.enter_context(tempfile.TemporaryDirectory())
        if "DATASETS.TRAIN" not in args.opts:
            stack.enter_context(made_set(MADE_SET, args.seed))
            use_made_set(cfg, MADE_SET)
        # The trainer sets up a log on standard output if there is none, but that is for results.
        logging.getLogger("detectron2").setLevel(logging.INFO)
        trainer, watch = Trainer(cfg), Watch()
        trainer.register_hooks([watch])
        trainer.max_iter = iterations + 1  # in the last one a checkpoint is written
        trainer.train()
    seconds = np.diff(watch.ends)[args.warmup - 1 : -1]
    waits = np.array(watch.waits[args.warmup : -1])
    median, batch = float(np.median(seconds)), cfg.SOLVER.IMS_PER_BATCH
    cuda = cfg.MODEL.DEVICE.startswith("cuda")
    dtype = amp_dtype(cfg) or torch.float32
    yield {
        "data": list(cfg.DATASETS.TRAIN),
        "iterations": len(seconds),
        "pairs_per_iteration": batch,
        "ms_per_iteration": round(1000 * median, 1),
        "pairs_per_second": round(batch / median, 2),
        "data_share": round(float(waits.sum() / seconds.sum()), 3),
        "peak_memory_mb": {
            "process": peak_memory_mb(),
            "gpu": round(torch.cuda.max_memory_allocated() / 2**20, 1) if cuda else None,
        },
        "trained_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "device": cfg.MODEL.DEVICE,
        "precision": str(dtype).split(".")[1],
        "loader_workers": cfg.DATALOADER.NUM_WORKERS,
    }
