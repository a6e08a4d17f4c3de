"""Stops a training on a signal, so that it can go on later."""

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
    """Stops the training after the current iteration, or the evaluation after the current sequence,
    on SIGINT, SIGTERM or SIGHUP. It writes a checkpoint that is named as the periodic ones, and
    exits with the code that a shell uses for the signal (130, 143, 129). A second signal has its
    usual effect at once.

    Several processes stop together, whether one of them or all of them get the signal. This hook
    must come after the others, so that they have finished the iteration."""

    def __init__(self, checkpointer: Checkpointer):
        self.checkpointer = checkpointer
        self._stopping = False
        self._signal = FirstSignal(self._tell)

    @staticmethod
    def _tell(number):
        # print and loggers may wait here for ever: the interrupted code may hold their locks
        name = signal.Signals(number).name
        text = f"\n{name}: stopping after this iteration or sequence; a second one stops at once\n"
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(2, text.encode())

    def before_train(self):
        self._signal.catch()

    def after_step(self):
        if self.trainer.iter + 1 < self.trainer.max_iter:  # the last iteration ends by itself
            self._stop_if_received()

    def stoppable(self, sequences: Iterable) -> "_Stoppable":
        """Yield the sequences of an evaluation on this rank until there is a signal. All ranks
        iterate over their sequences and stop together."""
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
            self.after_train()  # the exception ends the loop over the hooks before this one
        raise SystemExit(128 + received)

    def after_train(self):
        self._signal.restore()
        if self._stopping:
            comm.synchronize()  # launchers kill the other processes when the first one has ended


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
