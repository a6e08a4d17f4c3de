import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource, sys
import torch
from sot.utils.cpu import keep_freed_memory
kept = sys.argv[1] == "keep" and keep_freed_memory()
def touch():
    for _ in range(10):
        torch.ones(16_000_000)  # 64 MB
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
touch()
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode):
    run = [sys.executable, "-c", COUNT_FAULTS, mode]
    result = subprocess.run(run, capture_output=True, text=True, check=True)
    kept, count = map(int, result.stdout.split())
    return kept, count


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_freed_memory_is_used_again():
    kept, count = faults("keep")
    if not kept:
        pytest.skip("another C library")
    assert count < 100 < faults("default")[1]
