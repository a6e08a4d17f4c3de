"""Stopping a training so that it can go on later."""

import logging
import os
import signal
import threading

from detectron2.engine import HookBase
from detectron2.utils import comm
from fvcore.common.checkpoint import Checkpointer

__all__ = ["StopOnSignal"]


class StopOnSignal(HookBase):
    """
    SIGINT (Ctrl-C) and SIGTERM (clusters, before they end a job) stop the training after the
    iteration at hand: with a checkpoint named as the periodic ones, and with the exit code that a
    shell gives for the signal (130, 143). A second signal has its usual effect at once.

    Of several processes one may get the signal or all: they stop together. Belongs behind the other
    hooks, so that all they do in an iteration is done.
    """

    def __init__(self, checkpointer: Checkpointer):
        self.checkpointer = checkpointer
        self.received = 0  # number of the signal
        self._stopping = False
        self._handlers = {}

    def before_train(self):
        if threading.current_thread() is not threading.main_thread():
            return  # Python lets only the main thread handle signals
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # a shell's background job
                self._handlers[number] = signal.signal(number, self._receive)

    def _receive(self, number, _frame):
        self.received = number
        self._restore()
        # not by print or a logger: their locks may be held by what was interrupted
        name = signal.Signals(number).name
        os.write(2, f"\n{name}: stops after this iteration; once more: at once\n".encode())

    def _restore(self):
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, handler or signal.SIG_DFL)

    def after_step(self):
        received = max(comm.all_gather(self.received))
        iteration = self.trainer.iter
        if not received or iteration + 1 == self.trainer.max_iter:  # which ends by itself
            return
        self._stopping = True
        name = f"model_{iteration:07d}"
        self.checkpointer.save(name, iteration=iteration)
        logging.getLogger(__name__).info(
            f"Stopped by {signal.Signals(received).name} after iteration {iteration}, with the "
            f"checkpoint {name} in {self.checkpointer.save_dir}: the same command with --resume "
            "goes on from there"
        )
        raise SystemExit(128 + received)

    def after_train(self):
        self._restore()
        if self._stopping:
            comm.synchronize()  # launchers kill the others once the first process is gone
