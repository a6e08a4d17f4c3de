"""The trainer: detectron2's DefaultTrainer, for trackers."""

import logging
import os
import weakref

import torch
from detectron2.engine import DefaultTrainer, TrainerBase, create_ddp_model, hooks
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from fvcore.nn.precise_bn import get_bn_modules
from torch import nn

from ..api import build_network
from ..checkpoint import SOTCheckpointer
from ..data import build_siamese_test_loader, build_siamese_train_loader
from ..evaluation import SOTEvaluator, task_prefixes, tracker_fingerprint
from ..evaluation.protocols import get_protocol
from ..tracking import build_siamese_tracker
from ..utils.cpu import keep_freed_memory
from .checkpoints import BestCheckpointer, LastCheckpoints, optimizer_mismatch
from .distributed import broadcast_buffers, same_on_all_ranks
from .ema import AverageWeights, WeightAverage
from .hooks import ScalarPrinter, SeedEachIteration, WatchTraining
from .interrupt import StopOnSignal
from .solver import (
    StagedUnfreezing,
    build_siamese_lr_scheduler,
    build_siamese_optimizer,
    full_model_clipping,
)
from .teacher import TeacherMapper, build_teacher, search_positions
from .train_loop import CheckedTrainer, amp_dtype
from .vis import VisualizePairs


class Trainer(DefaultTrainer):
    """DefaultTrainer for trackers. It trains on pairs of crops, and evaluates by tracking videos.
    SOLVER.AMP.ENABLED also works on a CPU that has bfloat16: the forward pass then runs under
    autocast. With several processes the gradients are those of their joint batch."""

    def __init__(self, cfg):
        # DefaultTrainer.__init__ is not called: it builds the model before it looks at the data,
        # supports neither several processes nor AMP on a CPU, and makes another checkpointer
        TrainerBase.__init__(self)
        if not logging.getLogger("detectron2").isEnabledFor(logging.INFO):
            # no other code has set it up; detectron2 does the same
            setup_logger(distributed_rank=comm.get_rank())
        self.cfg = cfg = self.auto_scale_workers(cfg, comm.get_world_size())
        with same_on_all_ranks():
            data_loader = self.build_train_loader(cfg)
            teacher = build_teacher(cfg)
            dtype = amp_dtype(cfg)
        if torch.device(cfg.MODEL.DEVICE).type == "cpu":
            keep_freed_memory()
        with same_on_all_ranks():
            model = self.build_model(cfg)
        if teacher:
            sizes = cfg.INPUT.TEMPLATE_SIZE, cfg.INPUT.SEARCH_SIZE_TRAIN
            positions = search_positions(model, *sizes).cpu()
            data_loader.wrap_mapper(lambda mapper: TeacherMapper(mapper, teacher, positions))
        if dtype == torch.bfloat16 and torch.device(cfg.MODEL.DEVICE).type == "cpu":
            # with contiguous weights a bfloat16 convolution would convert its input and output each
            # time
            model = model.to(memory_format=torch.channels_last)
        optimizer = self.build_optimizer(cfg, model)
        # device_ids would move inputs, which the model does itself; None is also right on a CPU
        ddp_model = create_ddp_model(model, device_ids=None, broadcast_buffers=False)
        clipping = full_model_clipping(cfg), cfg.SOLVER.CLIP_GRADIENTS.NORM_TYPE
        self._trainer = CheckedTrainer(ddp_model, data_loader, optimizer, dtype, *clipping)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = SOTCheckpointer(
            model, cfg.OUTPUT_DIR, allow_backbone_only=True, trainer=weakref.proxy(self)
        )
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.register_hooks(self.build_hooks())

    @staticmethod
    def auto_scale_workers(cfg, num_workers):
        """detectron2's scaling by SOLVER.REFERENCE_WORLD_SIZE, which here scales SOLVER.UNFREEZE,
        too."""
        scaled = DefaultTrainer.auto_scale_workers(cfg, num_workers)
        if scaled is not cfg:
            factor = scaled.SOLVER.MAX_ITER / cfg.SOLVER.MAX_ITER
            stages = [[name, round(start * factor)] for name, start in cfg.SOLVER.UNFREEZE]
            scaled = scaled.clone()
            scaled.defrost()
            scaled.SOLVER.UNFREEZE = stages
            if cfg.is_frozen():
                scaled.freeze()
        return scaled

    def build_hooks(self):
        """All hooks, in the order in which they run before and after each iteration."""
        cfg, main = self.cfg, comm.is_main_process()
        model = self.checkpointer.model  # not wrapped in DistributedDataParallel
        self._stop = StopOnSignal(self.checkpointer)
        kept = cfg.SOLVER.CHECKPOINT_PERIOD, cfg.SOLVER.CHECKPOINT_KEEP
        self.average = None
        if cfg.SOLVER.EMA.ENABLED:
            self.average = WeightAverage(model, cfg.SOLVER.EMA.DECAY)
            self.checkpointer.add_checkpointable("ema", self.average)
        return [
            SeedEachIteration(max(cfg.SEED, 0)),
            # before the hook that sets the next learning rate; it is the first hook that is timed
            WatchTraining(cfg.SOLVER.IMS_PER_BATCH) if main else None,
            # before checkpoints are written and the average is evaluated
            AverageWeights(self.average, model) if self.average is not None else None,
            StagedUnfreezing(cfg, model) if cfg.SOLVER.UNFREEZE else None,
            hooks.IterationTimer(),
            hooks.LRScheduler(),
            self._precise_norms(),  # before the norms are evaluated and written
            # before the evaluation, so that the checkpoint is there if the evaluation fails
            LastCheckpoints(self.checkpointer, *kept) if main else None,
            hooks.EvalHook(cfg.TEST.EVAL_PERIOD, self._evaluate),
            VisualizePairs(cfg.VIS_PERIOD) if main else None,
            # after the evaluation whose result it uses
            self._best_checkpointer() if main else None,
            # writes the numbers of the hooks before it
            hooks.PeriodicWriter(self.build_writers(), period=20) if main else None,
            self._stop,  # after all other hooks of an iteration
        ]

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated. Its weights are the average, if there is one."""
        return self.checkpointer.model if self.average is None else self.average.module

    def _evaluate(self):
        cfg = self.cfg.clone()
        cfg.defrost()
        # these weights change soon, so exporting them is not worth the time
        cfg.TEST.TRACKER.ENGINE = "torch"
        results = self.test(cfg, self.evaluated, stoppable=self._stop.stoppable)
        self._last_eval_results = results
        return results

    def _precise_norms(self):
        """TEST.PRECISE_BN, as DefaultTrainer has it."""
        test = self.cfg.TEST
        if not test.PRECISE_BN.ENABLED or not get_bn_modules(self.model):
            return None
        # a loader of its own, so that the position of the training loader stays
        loader = self.build_train_loader(self.cfg)
        return hooks.PreciseBN(test.EVAL_PERIOD, self.model, loader, test.PRECISE_BN.NUM_ITER)

    def _best_checkpointer(self):
        cfg = self.cfg
        if not cfg.TEST.EVAL_PERIOD > 0 or not cfg.DATASETS.TEST:
            return None
        first, prefix = cfg.DATASETS.TEST[0], task_prefixes(cfg.DATASETS.TEST)[0]
        protocol = get_protocol(first, cfg.TEST.PROTOCOL)
        measure = f"{prefix}{protocol.task}/{protocol.primary}"
        return BestCheckpointer(cfg.TEST.EVAL_PERIOD, self.evaluated, cfg.OUTPUT_DIR, measure)

    def build_writers(self):
        return [*super().build_writers(), ScalarPrinter()]

    # detectron2 0.6 leaves the optimizer out of its checkpoints; later versions include it, as here
    def state_dict(self):
        return {**super().state_dict(), "_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict):
        problem = optimizer_mismatch(state_dict["_trainer"]["optimizer"], self.optimizer)
        if problem:
            file = self.checkpointer.get_checkpoint_file()
            raise ValueError(
                f"{file} cannot be resumed with the SOLVER settings of this config: {problem}"
            )
        super().load_state_dict(state_dict)
        self._trainer.load_state_dict(state_dict["_trainer"])

    def train(self):
        if 0 < self.max_iter <= self.start_iter:
            logging.getLogger(__name__).info(
                f"Nothing to do: {self.start_iter} iterations are done, SOLVER.MAX_ITER is "
                f"{self.max_iter}; --eval-only evaluates a checkpoint"
            )
            return None
        return super().train()

    @property
    def weights_file(self) -> str:
        """The file of the weights to use after the training: model_best.pth if evaluations have
        chosen one, otherwise model_final.pth."""
        chosen = any(
            isinstance(h, BestCheckpointer) and h.best_metric is not None for h in self._hooks
        )
        return os.path.join(self.cfg.OUTPUT_DIR, f"model_{'best' if chosen else 'final'}.pth")

    def resume_or_load(self, resume=True):
        super().resume_or_load(resume)
        self.data_loader.skip_to(self.start_iter)

    @classmethod
    def build_model(cls, cfg):
        model = build_network(cfg)
        logging.getLogger(__name__).info(f"Model:\n{model}")
        return model

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
        folder = os.path.join(cfg.OUTPUT_DIR, "inference")
        return SOTEvaluator(dataset_name, folder, cfg.TEST.PROTOCOL)

    @classmethod
    def test(cls, cfg, model, evaluators=None, resume=False, stoppable=None):
        """Evaluate on DATASETS.TEST, by the protocol of each dataset.

        Args:
            evaluators: a SOTEvaluator for each dataset; by default those of build_evaluator.
            resume: whether sequences are left out that the same tracker (same weights, settings and
                data) has finished, and whose files are in the folder of results.
            stoppable: a function that returns a loader which a signal stops, see StopOnSignal.

        Returns:
            ``{"ope": {...}}`` (``"vot"`` with restarts), or ``{"<dataset>/ope": {...}, ...}`` for
                several datasets. (detectron2 would nest them, which its print_csv_format and
                verify_results do not support.) It is empty on all ranks but the main one.

        Raises:
            ValueError: see task_prefixes.
        """
        names = cfg.DATASETS.TEST
        prefixes = task_prefixes(names)
        broadcast_buffers(model)
        tracker = build_siamese_tracker(cfg, model)
        fingerprint = tracker_fingerprint(cfg, model, tracker.engine)
        if evaluators is None:
            evaluators = [cls.build_evaluator(cfg, name) for name in names]
        results = {}
        for name, prefix, evaluator in zip(names, prefixes, evaluators):
            finished = evaluator.begin(fingerprint, resume)
            loader = cls.build_test_loader(cfg, name, finished)
            if stoppable:
                loader = stoppable(loader)
            found = inference_on_dataset(evaluator.experiment(tracker), loader, evaluator)
            for task, measures in found.items():
                results[prefix + task] = measures
        if results:
            print_csv_format(results)
        return results
