"""Writes files completely or not at all, and checks them."""

import contextlib
import glob
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import IO, Iterator

PARTIAL = ".partial"
INTACT = "what was there before is intact; make room and try again"


def remove_partial_files(folder: str) -> None:
    """Remove unfinished files that a killed process has left. No other process may be writing in
    that folder."""
    for path in glob.glob(os.path.join(glob.escape(folder), f"*{PARTIAL}")):
        with contextlib.suppress(OSError):
            os.remove(path)


def _sync_folder(folder: str) -> None:
    """Write the new name of a file to the disk, too, if the system supports it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def atomic_write(path: str, mode: str = "wb", advice: str = INTACT, **kwargs) -> Iterator[IO]:
    """Like ``open(path, mode, **kwargs)`` in a ``with`` block, but the file takes its place when it
    is complete and on the disk. If the block or the disk fails, the earlier file at ``path`` is
    still there and no part of the new one is left. OSError: the message names the file, the reason
    and the free space, and ends with ``advice``."""
    path = os.fspath(path)
    partial = f"{path}{PARTIAL}"
    try:
        with open(partial, mode, **kwargs) as f:
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
        # torch.save hides the error of the disk in a RuntimeError about positions in a zip file
        reason = error.__context__ if isinstance(error.__context__, OSError) else error
        reason = getattr(reason, "strerror", None) or reason
        folder = os.path.dirname(path) or "."
        free = shutil.disk_usage(folder).free / 1e6 if os.path.isdir(folder) else 0
        raise OSError(
            f"could not write {path} ({free:.0f} MB are free there): {reason}: {advice}"
        ) from error


class GrowingFile:
    """A text file that is complete after each addition, even if the process is killed or the disk
    is full. Its tail, such as closing brackets, is written again with each addition."""

    def __init__(self, path: str):
        self.path, self._end, self._tail = path, 0, b""
        self._file = open(path, "wb", buffering=0)

    def add(self, text: str, tail: str = "") -> None:
        """Replace the tail by ``text`` and a new tail. OSError: the file cannot be written; it
        stays as it was."""
        added, tail = (part.encode(errors="surrogateescape") for part in (text, tail))
        try:
            self._put(added + tail)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._put(self._tail)
            problem = f"{error.strerror}; what is in it stays"
            raise OSError(f"could not write {self.path}: {problem}") from error
        self._end, self._tail = self._end + len(added), tail

    def _put(self, data: bytes) -> None:
        self._file.seek(self._end)
        while data:
            data = data[self._file.write(data) :]
        self._file.truncate()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._file.close()


def file_name(text: str) -> str:
    """``text`` as a file name: letters that are not safe, and names such as `..`, become `_`."""
    safe = re.sub(r"[^\w.#+-]+", "_", text)
    return safe if safe.strip(".") else safe.replace(".", "_")


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) with atomic_write, and make its folder if it is missing. Bytes of
    file names that are no UTF-8 are written as codes."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with atomic_write(path, "w", encoding="utf-8", errors="backslashreplace") as f:
        f.write(text)


def check_zip(path) -> None:
    """zipfile.BadZipFile: a zip file, such as one of torch.save, has changed since it was written.
    (torch.load does not compare the checksums.)"""
    with zipfile.ZipFile(path) as file:
        damaged = file.testzip()
    if damaged:
        raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
