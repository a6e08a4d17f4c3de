"""Stopping a training so that it can go on later."""

import contextlib
import logging
import os
import signal
from typing import Iterable, Iterator

from detectron2.engine import HookBase
from detectron2.utils import comm
from fvcore.common.checkpoint import Checkpointer

from ..utils.signals import FirstSignal


class StopOnSignal(HookBase):
    """
    SIGINT, SIGTERM and SIGHUP stop the training after the present iteration, or the evaluation
    after the present sequence: with a checkpoint named as the periodic ones, and with the exit
    code that a shell gives for the signal (130, 143, 129). A second signal has its usual effect at
    once.

    Of several processes one may get the signal or all: they stop together. Belongs behind the other
    hooks, so that all they do in an iteration is done.
    """

    def __init__(self, checkpointer: Checkpointer):
        self.checkpointer = checkpointer
        self._stopping = False
        self._signal = FirstSignal(self._tell)

    @staticmethod
    def _tell(number):
        # not by print or a logger: their locks may be held by what was interrupted
        name = signal.Signals(number).name
        text = f"\n{name}: stops after this iteration or sequence; once more: at once\n"
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(2, text.encode())

    def before_train(self):
        self._signal.catch()

    def after_step(self):
        if self.trainer.iter + 1 < self.trainer.max_iter:  # the last one ends by itself
            self._stop_if_received()

    def stoppable(self, sequences: Iterable) -> "_Stoppable":
        """The sequences of an evaluation on this rank, until there is a signal. All ranks iterate
        over theirs, and stop together."""
        return _Stoppable(sequences, self)

    def _stop_if_received(self):
        received = max(comm.all_gather(self._signal.received))
        if not received:
            return
        self._stopping = True
        iteration, logger = self.trainer.iter, logging.getLogger(__name__)
        name = signal.Signals(received).name
        if iteration + 1 < self.trainer.max_iter:
            checkpoint = f"model_{iteration:07d}"
            self.checkpointer.save(checkpoint, iteration=iteration)
            logger.info(
                f"Stopped by {name} after iteration {iteration}, with the checkpoint {checkpoint} "
                f"in {self.checkpointer.save_dir}: the same command with --resume goes on from "
                "there"
            )
        else:
            logger.info(
                f"Stopped by {name} in the last evaluation: the training is complete, model_final "
                f"is in {self.checkpointer.save_dir}; --eval-only evaluates it"
            )
            self.after_train()  # which the exception keeps from its turn
        raise SystemExit(128 + received)

    def after_train(self):
        self._signal.restore()
        if self._stopping:
            comm.synchronize()  # launchers kill the others once the first process is gone


class _Stoppable:
    def __init__(self, sequences: Iterable, stop: StopOnSignal):
        self.sequences, self.stop = sequences, stop

    def __len__(self) -> int:
        return len(self.sequences)

    def __iter__(self) -> Iterator:
        for sequence in self.sequences:
            yield sequence
            if self.stop._signal.received:
                break
        self.stop._stop_if_received()
