"""Locks a folder for one run at a time."""

import contextlib
import fcntl
import os
import socket
import time


class FolderLock:
    """Locks a folder in a ``with`` block against other runs. The system holds the lock on a file in
    the folder, so the folder is free when the owner has ended, in whatever way. The file says who
    the owner is."""

    def __init__(self, folder):
        self.folder, self.path = folder, os.path.join(folder, ".lock")

    def __enter__(self):
        """ValueError: another run has locked the folder; the message names it."""
        while True:
            self._file = open(self.path, "a+")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.seek(0)
                owner = self._file.read().strip() or "another run"
                self._file.close()
                raise ValueError(
                    f"{self.folder} is in use by {owner}: wait for its end, or name another folder"
                ) from None
            except OSError:
                break  # a file system without locks
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno())):
                    break
            self._file.close()  # the previous owner has just removed it
        self._file.truncate(0)
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}, started {started}\n")
        self._file.flush()
        return self

    def __exit__(self, *exc):
        with contextlib.suppress(OSError):
            os.remove(self.path)
        self._file.close()
