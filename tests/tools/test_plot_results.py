import json

import cv2
import numpy as np
import pytest
from tool_modules import load_tool


@pytest.fixture(scope="module")
def tool():
    return load_tool("plot_results")


@pytest.fixture
def data(tmp_path):
    """Two sequences of four frames, and their boxes as the results of a tracker."""
    for name in "ab":
        folder = tmp_path / "data" / name
        (folder / "img").mkdir(parents=True)
        for i in range(4):
            cv2.imwrite(str(folder / "img" / f"{i}.jpg"), np.zeros((60, 80, 3), np.uint8))
        (folder / "groundtruth_rect.txt").write_text(4 * "10,10,20,20\n")
        (tmp_path / "exact").mkdir(exist_ok=True)
        (tmp_path / "exact" / f"{name}.txt").write_text(4 * "10,10,20,20\n")
    return f"folder:{tmp_path / 'data'}"


def test_report(tool, data, tmp_path, capsys):
    call = ["--dataset", data, "--results", f"exact={tmp_path / 'exact'}"]
    assert tool.main([*call, "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "0.952" in printed and "2/2" in printed
    assert str(tmp_path / "out" / "report.html") in printed
    assert (tmp_path / "out" / "report.html").is_file()


def test_bad_results_are_named_and_others_go_on(tool, data, tmp_path, capsys):
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "a.txt").write_text("10,10,20,20\n")
    call = ["--dataset", data, "--output", str(tmp_path / "out"), "--results"]
    code = tool.main([*call, f"exact={tmp_path / 'exact'}", f"short={tmp_path / 'short'}"])
    printed = capsys.readouterr()
    assert code == 1
    assert "a.txt has 1 boxes, but a has 4 frames" in printed.err
    assert "no result file for sequence b" in printed.err
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert report["trackers"]["exact"]["sequences_scored"] == 2
    assert report["trackers"]["short"]["sequences_scored"] == 0


def test_attributes_that_are_given(tool, data, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("a,night\n")
    call = ["--dataset", data, "--results", f"exact={tmp_path / 'exact'}"]
    call += ["--output", str(tmp_path / "out"), "--worst", "0", "--attributes"]
    assert tool.main([*call, str(path)]) == 0
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert list(report["trackers"]["exact"]["attributes"]) == ["night"]
    assert tool.main([*call, str(tmp_path / "none.csv")]) == 2


def test_nothing_to_compare(tool, data, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    out = ["--output", str(tmp_path / "out")]
    for dataset, folder in ((data, "empty"), (data, "nowhere"), ("no_such_set", "exact")):
        call = ["--dataset", dataset, "--results", f"x={tmp_path / folder}"]
        assert tool.main([*call, *out]) == 2
    assert "error: no dataset 'no_such_set'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "results, message",
    [
        (["folder"], "expected TRACKER=DIR"),
        (["=folder"], "expected TRACKER=DIR"),
        (["a=x", "a=y"], "two folders for a"),
        (["a=x", "--worst", "-1"], "it must be at least 0"),
    ],
)
def test_bad_call(tool, capsys, results, message):
    with pytest.raises(SystemExit) as exit_info:
        tool.main(["--dataset", "d", "--output", "o", "--results", *results])
    assert exit_info.value.code == 2 and message in capsys.readouterr().err
