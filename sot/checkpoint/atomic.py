"""Files of a training that are written whole or not at all."""

import contextlib
import glob
import os
import shutil
from typing import IO, Iterator

__all__ = ["atomic_write", "remove_partial_files"]


PARTIAL = ".partial"


def remove_partial_files(folder: str) -> None:
    """Remove what a killed process has left of files that it was writing. Nobody else may be
    writing there."""
    for path in glob.glob(os.path.join(glob.escape(folder), f"*{PARTIAL}")):
        with contextlib.suppress(OSError):
            os.remove(path)


def _sync_folder(folder: str) -> None:
    """Put the new name of a file on the disk too, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def atomic_write(path: str, mode: str = "wb") -> Iterator[IO]:
    """
    As ``open(path, mode)`` in a ``with`` block, but the file takes its place once it is complete
    and on the disk. If the block or the disk fails, what was at ``path`` before is still there and
    nothing is left over.

    Raises:
        OSError: the file cannot be written; names it, the reason and the free space.
    """
    partial = f"{path}{PARTIAL}"
    try:
        with open(partial, mode) as f:
            yield f
            f.flush()
            os.fsync(f.fileno())
        os.replace(partial, path)
        _sync_folder(os.path.dirname(path) or ".")
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.remove(partial)
        if not isinstance(error, (OSError, RuntimeError)):
            raise
        # torch.save wraps the disk's error in a RuntimeError about the positions of a zip file
        reason = error.__context__ if isinstance(error.__context__, OSError) else error
        folder = os.path.dirname(path) or "."
        free = shutil.disk_usage(folder).free / 1e6 if os.path.isdir(folder) else 0
        raise OSError(
            f"could not write {path} ({free:.0f} MB are free there): {reason}: earlier checkpoints "
            "are intact; make room and go on with --resume"
        ) from error
