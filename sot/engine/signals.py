"""What SIGINT (Ctrl-C) and SIGTERM do to a training."""

import signal
import threading
import time
from typing import Callable

__all__ = ["FirstSignal"]

# A terminal, `timeout` or a cluster may send a signal to the launcher and its processes, to which
# the launcher passes it on: what comes again within so many seconds is the same one.
REPEAT = 1.0


class FirstSignal:
    """Calls a function at the first SIGINT or SIGTERM; a second one has its usual effect."""

    def __init__(self, act: Callable[[int], None]):
        """
        Args:
            act: gets the number of the signal, in the middle of whatever is interrupted.
        """
        self.act = act
        self.received = 0  # number of the signal
        self._time = 0.0
        self._handlers = {}

    def catch(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # Python lets only the main thread handle signals
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # a shell's background job
                self._handlers[number] = signal.signal(number, self._receive)

    def restore(self) -> None:
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, handler or signal.SIG_DFL)

    def _receive(self, number, _frame):
        now = time.monotonic()
        if not self.received:
            self.received, self._time = number, now
            self.act(number)
        elif number != self.received or now - self._time > REPEAT:
            self.restore()
            signal.raise_signal(number)
