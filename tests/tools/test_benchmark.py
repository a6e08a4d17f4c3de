import importlib.util
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from sot.data.datasets import cache

TOOL = Path(__file__).resolve().parents[2] / "tools" / "benchmark.py"


@pytest.fixture
def benchmark(monkeypatch):
    spec = importlib.util.spec_from_file_location("benchmark", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in {"NUM_PICTURES": 2, "NUM_TRACKS": 6, "NUM_FRAMES": 9}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module, "NUM_PASSES", 1)
    threads = cv2.getNumThreads()
    yield module
    cv2.setNumThreads(threads)


def run(module, monkeypatch, capsys, *args):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *args])
    code = module.main()
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


PARTS = ["draw", "decode", "crop", "color", "rest"]


def test_made_sets_one_line_each(benchmark, monkeypatch, capsys):
    args = ("--task", "data", "--num-pairs", "4", "--seed", "7")
    code, results, _ = run(benchmark, monkeypatch, capsys, *args)
    assert code == 0
    assert [r["data"] for r in results] == [
        ["video_720p_80kb"],
        ["video_720p_170kb"],
        ["photo_640x480"],
    ]
    for result, (low, high) in zip(results, ((60, 100), (140, 250), (100, 160))):
        assert low < result["kb_per_file"] < high
        assert list(result["ms_per_pair"]) == PARTS
        assert all(v > 0 for v in result["ms_per_pair"].values())
        total = sum(result["ms_per_pair"].values())
        assert 1000 / total == pytest.approx(result["pairs_per_second_and_core"], rel=0.02)
        assert result["seed"] == 7 and result["pairs"] == 4
        assert result["threads"] == {"opencv": 1, "torch": 1}
        assert result["machine"]["cpu"] and result["versions"]["numpy"] == np.__version__


def test_targets_of_the_made_sets(benchmark, monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "NUM_TRACKS", 400)
    tracks = benchmark.make_tracks("photo_640x480", str(tmp_path), np.random.default_rng(0))
    boxes = np.concatenate([t["boxes"] for t in tracks])
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 640 and boxes[:, 3].max() <= 480
    w, h = (boxes[:, 2:] - boxes[:, :2]).T
    side = np.sqrt(w * h / (640 * 480))
    assert 0.04 <= side.min() < 0.045 and 0.5 < side.max() <= 0.601
    # log-uniform: half of them below the geometric mean of the ends
    assert np.median(side) == pytest.approx(np.sqrt(0.04 * 0.6), rel=0.15)


def test_own_data(benchmark, monkeypatch, capsys, tmp_path):
    (tmp_path / "a" / "img").mkdir(parents=True)
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"a/img/{i}.jpg"), np.full((90, 120, 3), 90, np.uint8))
    (tmp_path / "a" / "groundtruth_rect.txt").write_text("40,30,20,20\n" * 3)
    opts = ("DATASETS.TRAIN", f"('folder:{tmp_path}',)")
    args = ("--task", "data", "--num-pairs", "3", *opts)
    code, (result,), _ = run(benchmark, monkeypatch, capsys, *args)
    assert code == 0 and result["data"] == [f"folder:{tmp_path}"]
    assert "kb_per_file" not in result and result["opts"] == list(opts)


def test_missing_data_is_one_line_of_error(benchmark, monkeypatch, capsys):
    args = ("--task", "data", "DATASETS.TRAIN", "('folder:/nowhere',)")
    code, results, err = run(benchmark, monkeypatch, capsys, *args)
    assert code == 1 and not results
    assert err.startswith("error: ") and "/nowhere" in err


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
@pytest.mark.filterwarnings("ignore:This DataLoader will create 8 worker")
def test_index(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(cache, "KEEP_AFTER", 0.0)
    sizes = {"INDEX_TRACKS": 20, "INDEX_BOXES": 600, "PAIRS_PER_WORKER": 100}
    for name, value in sizes.items():
        monkeypatch.setattr(benchmark, name, value)
    code, (result,), _ = run(benchmark, monkeypatch, capsys, "--task", "index")
    assert code == 0
    assert (result["tracks"], result["boxes"]) == (20, 600)
    assert result["seconds_from_files"] >= 0 and result["seconds_from_cache"] >= 0
    assert set(result["private_mb_of_a_worker"]) == {"1", "8"}
    assert 0 < result["growth_mb_per_worker"] < 100
