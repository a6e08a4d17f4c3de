"""Memory of the process, for training on a CPU."""

import ctypes

__all__ = ["keep_freed_memory"]

# parameters of glibc's mallopt(3)
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """
    Let the process keep the memory that it frees, for its next use.

    An iteration allocates and frees the same large tensors over and over. glibc returns each to
    the system, and the first touch of every page of the next one costs a fault: on virtual
    machines several times what the arithmetic on it takes.

    Returns:
        False where the C library is not glibc; then nothing has changed.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
