"""What the processor computes with, on how many cores, and how its C library hands out memory.

What each piece of arithmetic for CPUs gains: processor time with it over that without it, geometric
mean and 95 % interval over 20 turns, one thread of a Xeon with AMX that was busy with other work:
`python tests/cpu_tricks.py`. Tracking (siamrpn_lite; siamrpn_compact), sot/modeling:

    fuse_for_inference         0.72 [0.70, 0.74]   0.85 [0.84, 0.86]
      folded norms             0.79 [0.77, 0.80]   0.88 [0.87, 0.89]
      activations in place     0.90 [0.88, 0.91]   0.96 [0.94, 0.98]
      joined branches          0.98 [0.97, 1.00]   0.99 [0.97, 1.00]
      channels_last            0.99 [0.97, 1.01]   0.95 [0.93, 0.96]
      1x1 as product           1.00 [0.97, 1.03]   0.99 [0.98, 1.01]
    SiameseRPN._decode         0.99 [0.97, 1.01]   0.99 [0.97, 1.02]

Training: FrozenLayers 0.71 [0.70, 0.72] (lite); channels_last with bfloat16 0.89 [0.88, 0.90]
(compact); keep_freed_memory 0.95 [0.92, 0.98] (lite), 0.96 [0.94, 0.97] (compact). The last two of
tracking gain nothing here; they stay as long as boxes must not change by their rounding.

Programs that run a network set OMP_WAIT_POLICY=PASSIVE in their environment before torch is
imported, as OpenMP reads it when it is loaded: by default a thread that is done spins until the
others are, and beside another busy process these may wait for the very core it spins on. Importing
``sot`` does not do so, since the environment is the program's.
"""

import ctypes
import math
import os
from pathlib import Path
from typing import Optional

import cv2
import torch

CPU_INFO = Path("/proc/cpuinfo")
OWN_CGROUPS, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
MAX_THREADS = 4  # unless more are asked for

# parameters of glibc's mallopt(3)
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16 itself: where it does not, autocast is emulated,
    and slower than float32. What Linux says of x86 and ARM; False on other systems."""
    flags = {"avx512_bf16", "amx_bf16", "bf16"}
    return CPU_INFO.is_file() and not flags.isdisjoint(CPU_INFO.read_text().split())


def keep_freed_memory() -> bool:
    """Let the process keep the memory that it frees, for its next use. A program calls this when it
    starts; importing ``sot`` changes nothing. False where the C library is not glibc.

    An iteration allocates and frees the same large tensors and images over and over. glibc returns
    each to the system, and the first touch of every page of the next one costs a fault: on virtual
    machines several times what the arithmetic on it takes.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))


def usable_cores() -> int:
    """How many cores this process may use: those of its affinity, and no more than the quota of its
    control groups (docker's --cpus, a pod's limit) allows, rounded up."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _cgroup_cores())))


def _cgroup_cores() -> float:
    """The smallest quota of the process's control groups, and of those around them, in cores."""
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
        # the path may be the host's, while a container sees its own group as the root
        own = root / group.lstrip("/")
        depth = len(own.relative_to(root).parts)
        for folder in [own, *own.parents][: depth + 1]:
            quotas.append(_quota(folder, version=1 if controllers else 2))
    return min(quotas)


def _quota(folder: Path, version: int) -> float:
    """Cores that a control group's files allow, infinite without a limit."""
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
    """Let PyTorch and OpenCV compute with ``count`` threads each, by default with as many as there
    are cores that this process may use, but at most 4."""
    count = count or min(usable_cores(), MAX_THREADS)
    torch.set_num_threads(count)
    cv2.setNumThreads(count)


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
                "here: start processes by multiprocessing.get_context('spawn'), build the tracker "
                "in the new process, or call torch.set_num_threads(1) there"
            )
