import json

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from tool_modules import load_tool

from sot.data.datasets import make_track

CONFIG = "SiamRPN/siamrpn_compact.yaml"
BOXES = [[10, 10, 20, 20]] * 3 + [[60, 10, 10, 10]] * 9  # the target jumps away


class Fixed:
    """Stands for an OpenCV tracker; keeps its box."""

    def init(self, image, box):
        self.box = box
        if image[0, 0, 0] == 100:
            raise RuntimeError("assertion failed")

    def update(self, image):
        return True, self.box


@pytest.fixture
def tool(monkeypatch):
    module = load_tool("run_vot")
    # it would go on writing to the output that is captured of one test
    monkeypatch.setattr(module, "setup_logger", lambda name: None)
    monkeypatch.setattr(module, "make_opencv_tracker", lambda name, models: Fixed())

    def work(self, function, make, track):
        module.seen.append(track["name"])
        return function(make, track)

    module.seen = []
    monkeypatch.setattr(module.OpenCVWorker, "__call__", work)
    return module


@pytest.fixture
def dataset():
    """Two sequences, in the first of which no tracker starts; of VOT2018's protocol."""

    def track(name, level):
        return make_track(name, [np.full((60, 80, 3), level, np.uint8)] * len(BOXES), BOXES)

    name = "restarts_test"
    DatasetCatalog.register(name, lambda: [track("a", 100), track("b", 0)])
    MetadataCatalog.get(name).set(protocol="vot2018")
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


@pytest.fixture
def folder(tmp_path):
    """One sequence of images with noise."""
    path = tmp_path / "data" / "a"
    (path / "img").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(3):
        image = rng.integers(0, 255, (120, 160, 3), np.uint8)
        cv2.imwrite(str(path / "img" / f"{i}.png"), image)
    (path / "groundtruth_rect.txt").write_text(3 * "50,40,40,30\n")
    return f"folder:{tmp_path / 'data'}"


def test_files_measures_and_failures(tool, dataset, tmp_path, capsys):
    call = ["--opencv", "MIL", "--dataset", dataset, "--output", str(tmp_path)]
    assert tool.main(call) == 1  # of sequence a
    out = tmp_path / dataset
    marks = (out / "baseline" / "b" / "b_001.txt").read_text().split()
    box, other = "10.0000,10.0000,20.0000,20.0000", "60.0000,10.0000,10.0000,10.0000"
    assert marks == ["1", box, box, "2", *"0000", "1", other, other, other]
    report = json.loads((out / "metrics.json").read_text())
    assert report["restarts"]["failures"] == 1 and list(report["sequences"]) == ["b"]
    assert report["failed"] == {"a": "RuntimeError: assertion failed"}
    printed = capsys.readouterr()
    assert "| b " in printed.out and "protocol vot2018 with restarts" in printed.out
    assert "the tracker failed in a: RuntimeError" in printed.err


def test_finished_sequences_are_not_run_again(tool, dataset, tmp_path):
    call = ["--opencv", "MIL", "--dataset", dataset, "--output", str(tmp_path)]
    tool.main(call)
    tool.main(call)
    assert tool.seen == ["a", "b", "a"]
    call[1] = "KCF"
    tool.main(call)
    assert tool.seen == ["a", "b", "a", "a", "b"]


def test_a_tracker_of_this_project(tool, folder, tmp_path, capsys):
    weights = str(tmp_path / "none.pth")
    call = ["--config-file", CONFIG, "--dataset", folder, "--output", str(tmp_path)]
    assert tool.main([*call, "--protocol", "vot2016", "MODEL.DEVICE", "cpu"]) == 0
    first = (tmp_path / "folder_data" / "baseline" / "a" / "a_001.txt").read_text().split()[0]
    assert first == "1"
    assert tool.main([*call, "--protocol", "vot2016", "MODEL.WEIGHTS", weights]) == 2
    assert "none.pth" in capsys.readouterr().err


def test_data_sets_of_other_protocols(tool, folder, tmp_path, capsys):
    call = ["--opencv", "MIL", "--output", str(tmp_path), "--dataset"]
    assert tool.main([*call, folder]) == 2
    assert "no restarts: choose one with --protocol (vot2016, vot2018, vot2019)" in (
        capsys.readouterr().err
    )
    assert tool.main([*call, "no_such_set"]) == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "one of the arguments --config-file --opencv is required"),
        (["--opencv", "ViT", "--model", "net"], "expected FIELD=FILE"),
        (["--opencv", "MIL", "MODEL.DEVICE", "cpu"], "KEY VALUE for --config-file"),
        (["--config-file", "c", "--model", "net=x"], "--model is for --opencv"),
    ],
)
def test_bad_call(tool, capsys, arguments, message):
    with pytest.raises(SystemExit) as exit_info:
        tool.main(["--dataset", "d", "--output", "o", *arguments])
    assert exit_info.value.code == 2 and message in capsys.readouterr().err
