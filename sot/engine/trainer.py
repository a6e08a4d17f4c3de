"""The trainer: detectron2's DefaultTrainer with pairs in and trajectories out."""

import os

import torch
from detectron2.engine import DefaultTrainer
from detectron2.evaluation import inference_on_dataset, print_csv_format

from ..checkpoint import SOTCheckpointer
from ..data import build_siamese_test_loader, build_siamese_train_loader
from ..evaluation import SOTEvaluator, task_prefixes
from ..tracking import SequenceTracker
from .hooks import SeedEachIteration
from .solver import build_siamese_lr_scheduler, build_siamese_optimizer

__all__ = ["Trainer"]


class Trainer(DefaultTrainer):
    """DefaultTrainer for trackers.

    SOLVER.AMP.ENABLED works on a CPU too: the forward pass then runs under bfloat16 autocast.
    """

    def __init__(self, cfg):
        cpu_amp = cfg.SOLVER.AMP.ENABLED and torch.device(cfg.MODEL.DEVICE).type == "cpu"
        if cpu_amp:
            # detectron2's AMPTrainer is for CUDA only
            cfg = cfg.clone()
            cfg.defrost()
            cfg.SOLVER.AMP.ENABLED = False
        super().__init__(cfg)
        if cpu_amp:
            self.model.forward = torch.autocast("cpu", torch.bfloat16)(self.model.forward)

    def build_hooks(self):
        # the checkpointer was made just before; from here on everybody uses ours
        self.checkpointer = SOTCheckpointer(
            self.model,
            self.cfg.OUTPUT_DIR,
            allow_backbone_only=True,
            **self.checkpointer.checkpointables,
        )
        return [SeedEachIteration(max(self.cfg.SEED, 0)), *super().build_hooks()]

    # detectron2 0.6 leaves the optimizer out of its checkpoints; later versions do as here
    def state_dict(self):
        return {**super().state_dict(), "_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self._trainer.load_state_dict(state_dict["_trainer"])

    def resume_or_load(self, resume=True):
        super().resume_or_load(resume)
        self.data_loader.skip_to(self.start_iter)

    @classmethod
    def build_optimizer(cls, cfg, model):
        return build_siamese_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg, optimizer):
        return build_siamese_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg):
        return build_siamese_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg, dataset_name, skip=()):
        return build_siamese_test_loader(cfg, dataset_name, skip)

    @classmethod
    def build_evaluator(cls, cfg, dataset_name):
        return SOTEvaluator(dataset_name, os.path.join(cfg.OUTPUT_DIR, "inference"))

    @classmethod
    def test(cls, cfg, model, evaluators=None, resume=False):
        """
        One-pass evaluation on DATASETS.TEST.

        Args:
            cfg, model: what to test.
            evaluators: a SOTEvaluator for each test set; by default those of build_evaluator.
            resume: sequences that the same tracker has finished are not tracked again: same
                weights, settings and data, and their files are in the folder of results.

        Returns:
            ``{"ope": {...}}``, or ``{"<set>/ope": {...}, ...}`` of several sets (detectron2 would
            nest them, which print_csv_format and verify_results do not understand); empty on other
            ranks than the main one.

        Raises:
            ValueError: see task_prefixes.
        """
        names = cfg.DATASETS.TEST
        prefixes = task_prefixes(names)
        tracker = SequenceTracker(cfg, model)
        fingerprint = tracker.fingerprint()
        if evaluators is None:
            evaluators = [cls.build_evaluator(cfg, name) for name in names]
        results = {}
        for name, prefix, evaluator in zip(names, prefixes, evaluators):
            finished = evaluator.begin(fingerprint, resume)
            loader = cls.build_test_loader(cfg, name, finished)
            for task, measures in inference_on_dataset(tracker, loader, evaluator).items():
                results[prefix + task] = measures
        if results:
            print_csv_format(results)
        return results
