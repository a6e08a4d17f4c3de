import os
import subprocess
import sys

import pytest

from sot.utils.locks import FolderLock


def test_owner_is_named_and_leaves_nothing(tmp_path):
    with FolderLock(tmp_path):
        with pytest.raises(ValueError, match=f"{tmp_path} is in use by process {os.getpid()} on"):
            FolderLock(tmp_path).__enter__()
    assert os.listdir(tmp_path) == []
    with FolderLock(tmp_path):
        pass


def test_lock_of_a_killed_owner_is_free(tmp_path):
    code = (
        "import os, sys; from sot.utils.locks import FolderLock\n"
        "FolderLock(sys.argv[1]).__enter__(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -9
    assert os.listdir(tmp_path) == [".lock"]
    with FolderLock(tmp_path):
        pass
