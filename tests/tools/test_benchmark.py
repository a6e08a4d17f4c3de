import importlib
import json
import sys

import cv2
import numpy as np
import pytest
from tool_modules import TOOLS


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    module = importlib.import_module("benchmark")
    small = {"NUM_PICTURES": 2, "NUM_TRACKS": 6, "NUM_FRAMES": 9, "NUM_PASSES": 1}
    for name, value in small.items():
        monkeypatch.setattr(f"benchmark_tasks.data.{name}", value)
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
    data = importlib.import_module("benchmark_tasks.data")
    monkeypatch.setattr(data, "NUM_TRACKS", 400)
    tracks = data.make_tracks("photo_640x480", str(tmp_path), np.random.default_rng(0))
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


COMPACT = [
    *("MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "MODEL.COMPACT.CHANNELS", "[8, 8, 16, 16]"),
    *("SOLVER.AMP.ENABLED", "False", "DATALOADER.NUM_WORKERS", "0"),
]


def test_track(benchmark, monkeypatch, capsys):
    args = ("--task", "track", "--num-frames", "4", "--passes", "2", "--targets", "1", "3")
    args = (*args, "--opencv", "MIL", "--threads", "1", *COMPACT)
    code, (one, three, mil), err = run(benchmark, monkeypatch, capsys, *args)
    assert code == 0, err
    assert (one["targets"], three["targets"]) == (1, 3)
    for result in (one, three):
        assert result["tracker"] == "SiamRPN" and result["threads"] == {"opencv": 1, "torch": 1}
        assert result["parameters"] > 10_000 and result["weights_mb"] is None
    assert list(one["share"]) == ["crop", "network", "online", "decode"]
    assert all(v > 0 for v in one["share"].values())
    assert sum(one["share"].values()) == pytest.approx(1, abs=0.002)
    assert "share" not in three
    for result in (one, three, mil):
        assert result["fps"] == pytest.approx(1000 / result["median_ms"], rel=0.01, abs=0.005)
        p10, p90, p99 = (result["percentiles_ms"][p] for p in ("10", "90", "99"))
        assert p10 <= result["median_ms"] <= p90 <= p99
        assert (result["clip"], result["frames"], result["size"]) == ("synthetic", 4, [640, 480])
    assert three["median_ms"] > one["median_ms"]
    assert mil["tracker"] == "OpenCV MIL"
    assert mil["ours_times_its_fps"] == pytest.approx(one["fps"] / mil["fps"], rel=0.01)


def test_track_on_own_frames(benchmark, monkeypatch, capsys, tmp_path):
    (tmp_path / "a" / "img").mkdir(parents=True)
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"a/img/{i}.png"), np.full((90, 120, 3), 90 + i, np.uint8))
    (tmp_path / "a" / "groundtruth_rect.txt").write_text("40,30,20,20\n" * 3)
    args = ("--task", "track", "--passes", "1", *COMPACT)
    data = ("DATASETS.TEST", f"('folder:{tmp_path}',)")
    code, (result,), err = run(benchmark, monkeypatch, capsys, *args, *data)
    assert code == 0, err
    assert (result["clip"], result["frames"], result["size"]) == ("a", 3, [120, 90])


def test_median_of_the_steps(benchmark):
    describe = importlib.import_module("benchmark_tasks.track").describe
    result = describe(np.array([0.001, 0.004, 0.002, 0.100, 0.003]))
    assert (result["median_ms"], result["fps"]) == (3.0, 333.33)
    assert result["percentiles_ms"] == {"10": 1.4, "90": 61.6, "99": 96.16}


@pytest.mark.parametrize(
    "args, message",
    [
        (["--opencv", "Nano", "--threads", "1"], "Nano needs --model Nano.backbone=FILE"),
        (["--num-frames", "1"], "1 frames: no step"),
    ],
)
def test_track_that_cannot_be_run(benchmark, monkeypatch, capsys, args, message):
    code, results, err = run(benchmark, monkeypatch, capsys, "--task", "track", *args, *COMPACT)
    assert code == 1 and not results
    assert err.startswith("error: ") and message in err


def test_train(benchmark, monkeypatch, capsys):
    args = ("--task", "train", "--num-iters", "3", "--warmup", "1", "--threads", "1")
    opts = (*COMPACT, "SOLVER.IMS_PER_BATCH", "2")
    code, (result,), err = run(benchmark, monkeypatch, capsys, *args, *opts)
    assert code == 0, err
    assert result["data"] == ["video_720p_80kb"]
    assert (result["iterations"], result["pairs_per_iteration"]) == (3, 2)
    rate = 2000 / result["ms_per_iteration"]
    assert result["pairs_per_second"] == pytest.approx(rate, rel=0.01, abs=0.005)
    assert 0 < result["data_share"] < 1
    assert result["peak_memory_mb"]["process"] > 50 and result["peak_memory_mb"]["gpu"] is None
    assert (result["device"], result["precision"]) == ("cpu", "float32")
    assert result["trained_parameters"] > 10_000


def test_only_positive_numbers(benchmark, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(benchmark, monkeypatch, capsys, "--task", "track", "--threads", "0")
    assert "0 is not positive" in capsys.readouterr().err


RESULT = {
    **{"task": "track", "config": "C", "tracker": "SiamRPN", "engine": "torch", "targets": 1},
    **{"fps": 50.0, "machine": {"cpu": "A", "load": 0.3}, "seed": 0},
}


def write_results(path, *results):
    path.write_text("".join(json.dumps(r) + "\n" for r in results))
    return str(path)


def test_compare(benchmark, monkeypatch, capsys, tmp_path):
    mil = {"task": "track", "config": "C", "tracker": "OpenCV MIL", "fps": 10.0}
    before = write_results(tmp_path / "a.json", RESULT, mil, {**RESULT, "targets": 4})
    faster = {**RESULT, "fps": 60.0, "machine": {"cpu": "A", "load": 2.0}, "seed": 1}
    after = write_results(tmp_path / "b.json", {**mil, "fps": 8.0}, faster)
    code, results, err = run(benchmark, monkeypatch, capsys, "--compare", before, after)
    assert code == 0, err
    own, other = results
    assert (own["engine"], own["targets"], own["fps"]) == ("torch", 1, [50.0, 60.0])
    assert own["times_as_fast"] == 1.2 and own["differs"] == ["seed"]  # the load does not count
    assert other["times_as_fast"] == 0.8 and other["differs"] == []


@pytest.mark.parametrize(
    "second, message",
    [
        ('{"task": "track"}', r"b.json line 1: not a result"),
        ("[1]", r"b.json line 1: not a result"),
        (json.dumps({**RESULT, "engine": "onnxruntime"}), "no measurement in common"),
    ],
)
def test_files_that_cannot_be_compared(benchmark, monkeypatch, capsys, tmp_path, second, message):
    before = write_results(tmp_path / "a.json", RESULT)
    (tmp_path / "b.json").write_text(second)
    args = ("--compare", before, str(tmp_path / "b.json"))
    code, results, err = run(benchmark, monkeypatch, capsys, *args)
    assert code == 1 and not results
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
