"""Clocks and memory."""

import functools
import resource
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import Any, Callable, Dict, Sequence, Tuple
from unittest import mock


def seconds_of(function: Callable, *args, clock: Callable = time.perf_counter) -> Tuple[float, Any]:
    """The seconds that a call takes, and its result."""
    begin = clock()
    result = function(*args)
    return clock() - begin, result


@contextmanager
def timed(parts: Sequence[Tuple[str, object, str]], spent: Dict[str, float], clock: Callable):
    """For a ``with`` block: measures functions by ``clock``. For each (part, owner, name) the
    seconds in ``owner.name`` are added to ``spent[part]``. None of the functions may call
    another."""
    with ExitStack() as stack:
        for part, owner, name in parts:
            function = _timed(spent, part, getattr(owner, name), clock)
            stack.enter_context(mock.patch.object(owner, name, function))
        yield


def _timed(spent, part: str, function, clock):
    @functools.wraps(function)  # detectron2 looks at the signature
    def wrapper(*args, **kwargs):
        seconds, result = seconds_of(functools.partial(function, **kwargs), *args, clock=clock)
        spent[part] += seconds
        return result

    return wrapper


def peak_memory_mb() -> float:
    """The most that this process had in memory so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
