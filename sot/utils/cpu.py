"""What the processor computes with, and how its C library hands out memory."""

import ctypes
from pathlib import Path

__all__ = ["cpu_has_bfloat16", "keep_freed_memory"]

CPU_INFO = Path("/proc/cpuinfo")

# parameters of glibc's mallopt(3)
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16 itself: where it does not, autocast is emulated,
    and slower than float32. What Linux says of x86 and ARM; False on other systems."""
    flags = {"avx512_bf16", "amx_bf16", "bf16"}
    return CPU_INFO.is_file() and not flags.isdisjoint(CPU_INFO.read_text().split())


def keep_freed_memory() -> bool:
    """
    Let the process keep the memory that it frees, for its next use. A program calls this when it
    starts; importing ``sot`` changes nothing.

    An iteration allocates and frees the same large tensors and images over and over. glibc returns
    each to the system, and the first touch of every page of the next one costs a fault: on virtual
    machines several times what the arithmetic on it takes.

    Returns:
        False where the C library is not glibc; then nothing has changed.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
