"""Arithmetic, cores, threads and memory on a CPU.

The table shows the gain of each optimization for CPUs: the processor time with it divided by the
time without it, as geometric mean and 95 % interval over 20 turns, on one thread of a Xeon with AMX
that was busy with other work (`python tests/cpu_tricks.py`). Tracking (siamrpn_lite;
siamrpn_compact), sot/modeling:

    fuse_for_inference         0.72 [0.70, 0.74]   0.85 [0.84, 0.86]
      folded norms             0.79 [0.77, 0.80]   0.88 [0.87, 0.89]
      activations in place     0.90 [0.88, 0.91]   0.96 [0.94, 0.98]
      joined branches          0.98 [0.97, 1.00]   0.99 [0.97, 1.00]
      channels_last            0.99 [0.97, 1.01]   0.95 [0.93, 0.96]
      1x1 as product           1.00 [0.97, 1.03]   0.99 [0.98, 1.01]
    SiameseRPN._decode         0.99 [0.97, 1.01]   0.99 [0.97, 1.02]

Training: FrozenLayers 0.71 [0.70, 0.72] (lite); channels_last with bfloat16 0.89 [0.88, 0.90]
(compact); keep_freed_memory 0.95 [0.92, 0.98] (lite), 0.96 [0.94, 0.97] (compact). The last two of
tracking gain nothing here. They stay because removing them would change the rounding of boxes.

Programs that run a network set OMP_WAIT_POLICY=PASSIVE in their environment before they import
torch, because OpenMP reads it when it is loaded. By default a thread that has finished spins until
the others have, too; beside another busy process those may wait for the core on which it spins.
Importing ``sot`` does not set it, because the environment belongs to the program."""

import contextlib
import ctypes
import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Optional

import cv2
import torch

CPU_INFO = Path("/proc/cpuinfo")
OWN_CGROUPS, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
MAX_THREADS = 4  # unless the user asks for more

# parameters of glibc's mallopt(3)
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def cpu_has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16. Without them autocast is emulated and
    slower than float32. Linux says this for x86 and ARM; on other systems the result is False."""
    flags = {"avx512_bf16", "amx_bf16", "bf16"}
    return CPU_INFO.is_file() and not flags.isdisjoint(CPU_INFO.read_text().split())


def keep_freed_memory() -> bool:
    """Let the process keep freed memory for its next use. A program calls this at its start;
    importing ``sot`` does not do it. False: the C library is not glibc.

    An iteration allocates and frees the same large tensors and images again and again. glibc
    returns each of them to the system, and the first access to every page of the next one is a page
    fault. On virtual machines these faults take several times as long as the arithmetic."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))


def usable_cores() -> int:
    """The number of cores that this process may use: the cores of its affinity, or the quota of its
    control groups (docker's --cpus, the limit of a pod), rounded up, if that is less."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _cgroup_cores())))


def _cgroup_cores() -> float:
    """The smallest quota, in cores, of the process's control groups and of the groups around
    them."""
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return math.inf
    quotas = [math.inf]
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = CGROUPS / "cpu" if controllers else CGROUPS
        # the path may be that of the host, while a container sees its own group as the root
        own = root / group.lstrip("/")
        depth = len(own.relative_to(root).parts)
        for folder in [own, *own.parents][: depth + 1]:
            quotas.append(_quota(folder, version=1 if controllers else 2))
    return min(quotas)


def _quota(folder: Path, version: int) -> float:
    """The number of cores that the files of a control group allow; infinite without a limit."""
    try:
        if version == 2:
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
            )
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError):  # no such group, or "max"
        return math.inf


def set_threads(count: Optional[int] = None) -> None:
    """Set the number of threads of PyTorch and of OpenCV to ``count``. The default is the number of
    cores that this process may use, but at most 4."""
    count = count or min(usable_cores(), MAX_THREADS)
    torch.set_num_threads(count)
    cv2.setNumThreads(count)


@contextlib.contextmanager
def one_thread():
    """A context, or a decorator, in which PyTorch uses one thread. It is for many small operations,
    which take longer if they are divided among threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@functools.lru_cache(maxsize=None)
def thread_pool(workers: int) -> ThreadPoolExecutor:
    """The pool of this many threads. It stays, because threads take longer to start than a step of
    a tracker. A fork of the process must not use it, because it does not have these threads."""
    return ThreadPoolExecutor(workers)


class ForkGuard:
    """Knows the process that made it, or unpickled it."""

    def __init__(self):
        self._process = os.getpid()

    def __reduce__(self):
        return type(self), ()

    def check(self) -> None:
        """RuntimeError in a fork of that process, where a network would wait for ever for threads
        of OpenMP, which a fork does not have."""
        if os.getpid() != self._process and torch.get_num_threads() > 1:
            raise RuntimeError(
                "this tracker was built before the process was forked, and its threads are not "
                "here: start processes by multiprocessing.get_context('spawn'), or call "
                "torch.set_num_threads(1) in the new process before it uses the tracker"
            )
