"""Handles the signals of Ctrl-C, of `kill` and of a closed terminal."""

import os
import signal
import socket
import threading
import time
from typing import Callable

# Ctrl-C, the signal of clusters before they end a job, and a closed terminal
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
# A terminal, `timeout` or a cluster may send a signal to a program and to its processes, to which
# the program passes it on. The same signal within this many seconds counts as one signal.
REPEAT = 1.0


class FirstSignal:
    """Calls a function at the first of SIGNALS. A second one has its usual effect. It is a context
    manager, which catches the signals inside of the block."""

    def __init__(self, act: Callable[[int], None], repeat: float = REPEAT, watch: bool = False):
        """
        Args:
            act: a function of the number of the signal. It may be called at any point of the code.
            repeat: seconds in which the same signal does not count as a second one.
            watch: whether to act in a thread, so that it also works while the main thread waits in
                a library that Python cannot interrupt. A second signal then ends the process
                without any cleanup.
        """
        self.act, self.repeat, self.watch = act, repeat, watch
        self.received = 0  # number of the signal
        self._time = 0.0
        self._handlers = {}

    def catch(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread can handle signals in Python
        for number in SIGNALS:
            # ignored, as in a background job of a shell or under nohup
            if signal.getsignal(number) is not signal.SIG_IGN:
                handler = (lambda *_: None) if self.watch else self._receive
                self._handlers[number] = signal.signal(number, handler)
        if self.watch:
            self._sockets = socket.socketpair()
            self._sockets[1].setblocking(False)
            signal.set_wakeup_fd(self._sockets[1].fileno(), warn_on_full_buffer=False)
            threading.Thread(target=self._watch, daemon=True).start()

    def restore(self) -> None:
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, handler or signal.SIG_DFL)
        if self.watch:
            signal.set_wakeup_fd(-1)
            self._sockets[1].close()  # this ends the thread

    def __enter__(self) -> "FirstSignal":
        self.catch()
        return self

    def __exit__(self, *_) -> None:
        self.restore()

    def _watch(self):
        while True:
            numbers = self._sockets[0].recv(1)
            if not numbers:
                return
            if numbers[0] in self._handlers:
                self._receive(numbers[0], None)

    def _receive(self, number, _frame):
        now = time.monotonic()
        if not self.received:
            self.received, self._time = number, now
            self.act(number)
        elif number != self.received or now - self._time > self.repeat:
            if self.watch:
                os._exit(128 + number)
            self.restore()
            signal.raise_signal(number)
