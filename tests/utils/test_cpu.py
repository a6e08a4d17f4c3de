import os
import subprocess
import sys

import cv2
import pytest
import torch

from sot.utils import cpu

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


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A function that makes the control groups of a machine with 16 cores: the lines of
    /proc/self/cgroup, and files with their content."""

    def make(lines, **files):
        (tmp_path / "own").write_text("".join(f"{line}\n" for line in lines))
        for name, content in files.items():
            path = tmp_path / "cgroup" / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content + "\n")

    monkeypatch.setattr(cpu, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(cpu, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    return make


def test_cores_of_the_affinity(groups, monkeypatch):
    assert cpu.usable_cores() == 16  # no control groups at all
    groups(["0::/"])
    assert cpu.usable_cores() == 16
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpu.usable_cores() == 6


@pytest.mark.parametrize(
    "quota, cores",
    [("max 100000", 16), ("150000 100000", 2), ("20000 100000", 1), ("4000000 100000", 16)],
)
def test_cores_of_a_quota(groups, quota, cores):
    groups(["0::/"], **{"cpu.max": quota})
    assert cpu.usable_cores() == cores


def test_the_smallest_quota_of_the_groups_around_counts(groups):
    files = {"a__cpu.max": "300000 100000", "a__b__cpu.max": "max 100000", "c__cpu.max": "1 1"}
    groups(["0::/a/b"], **files)
    assert cpu.usable_cores() == 3


def test_cores_of_the_first_version(groups):
    names = {"cpu__x__cpu.cfs_quota_us": "-1", "cpu__x__cpu.cfs_period_us": "100000"}
    own = ["5:memory:/y", "2:cpuacct:/", "1:cpu,cpuset:/x", "0::/"]
    groups(own, **names)
    assert cpu.usable_cores() == 16
    # a container: the path is the host's, the files are at the root
    groups(own, **{"cpu__cpu.cfs_quota_us": "250000", "cpu__cpu.cfs_period_us": "100000"})
    assert cpu.usable_cores() == 3


def test_threads_are_at_most_four_unless_more_are_asked_for(groups):
    threads = torch.get_num_threads(), cv2.getNumThreads()
    try:
        for count, expected in ((None, 4), (1, 1), (5, 5)):
            cpu.set_threads(count)
            assert torch.get_num_threads() == cv2.getNumThreads() == expected
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


def test_one_thread_until_the_end_of_the_block_or_an_error():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError), cpu.one_thread():
            assert torch.get_num_threads() == 1
            raise ValueError
        assert torch.get_num_threads() == 2
        assert cpu.one_thread()(torch.get_num_threads)() == 1
    finally:
        torch.set_num_threads(before)
