import json

import cv2
import pytest
from baseline_fakes import Fake, image, make_fake
from tool_modules import load_tool


@pytest.fixture
def tool(monkeypatch):
    module = load_tool("run_baseline")
    # it would go on writing to the output that is captured of one test
    monkeypatch.setattr(module, "setup_logger", lambda name: None)
    monkeypatch.setattr(module, "make_opencv_tracker", make_fake)
    return module


@pytest.fixture
def sequences(tmp_path):
    """Function: one sequence of three frames for each level of grey; the data set's name."""

    def write(**levels):
        for name, level in levels.items():
            folder = tmp_path / "data" / name
            (folder / "img").mkdir(parents=True)
            for i in range(3):
                cv2.imwrite(str(folder / "img" / f"{i}.png"), image(level))
            (folder / "groundtruth_rect.txt").write_text(3 * "10,10,20,20\n")
        return f"folder:{tmp_path / 'data'}"

    return write


@pytest.fixture
def here(tool, monkeypatch):
    """Track in this process, and count."""
    seen = []

    def work(self, tracks):
        seen.extend(track["name"] for track in tracks)
        return self.experiment(tracks)

    monkeypatch.setattr(tool.OpenCVWorker, "__call__", work)
    return seen


def test_files_and_table(tool, here, sequences, tmp_path, capsys):
    dataset = sequences(a=0)
    call = ["--dataset", dataset, "--trackers", "MIL", "KCF", "--output", str(tmp_path / "out")]
    assert tool.main(call) == 0
    for name in ("MIL", "KCF"):
        folder = tmp_path / "out" / name / "folder_data"
        boxes = (folder / "a.txt").read_text().splitlines()
        assert boxes == ["10.0000,10.0000,20.0000,20.0000"] * 3
        assert json.loads((folder / "metrics.json").read_text())["ope"]["precision_20"] == 1
    printed = capsys.readouterr().out
    assert "| KCF" in printed and "0.952" in printed
    assert f"MIL={tmp_path / 'out' / 'MIL' / 'folder_data'} KCF=" in printed


def test_table_is_ranked(tool, sequences):
    """A tracker that failed in a sequence is behind the others."""
    found = {
        "middle": {"success_auc": 0.4, "fps": 9.0},
        "failed": {"success_auc": 0.9, "fps": 9.0, "failed_sequences": 1},
        "nothing": {"failed_sequences": 2},
        "best": {"success_auc": 0.6, "fps": 5.0},
    }
    rows = tool.table(found, sequences(a=0), "").splitlines()[2:]
    assert [row.split()[1] for row in rows] == ["best", "middle", "failed", "nothing"]


def test_finished_sequences_are_not_run_again(tool, here, sequences, tmp_path):
    call = ["--dataset", sequences(a=0, b=0), "--trackers", "MIL", "--output", str(tmp_path / "o")]
    assert tool.main(call) == 0 and here == ["a", "b"]
    (tmp_path / "o" / "MIL" / "folder_data" / "b.txt").unlink()
    assert tool.main(call) == 0 and here == ["a", "b", "b"]


def test_other_model_files_are_another_tracker(tool, here, sequences, tmp_path):
    file = tmp_path / "vit.onnx"
    call = ["--dataset", sequences(a=0), "--trackers", "ViT", "--output", str(tmp_path / "o")]
    for content, runs in (("one", 1), ("one", 1), ("two", 2)):
        file.write_text(content)
        assert tool.main([*call, "--model", f"ViT.net={file}"]) == 0
        assert len(here) == runs


def test_other_sequences_go_on_if_a_tracker_fails_or_its_process_ends(
    tool, sequences, tmp_path, capsys
):
    dataset = sequences(a=Fake.bad, b=0, c=Fake.dead, d=0)
    call = ["--dataset", dataset, "--trackers", "MIL", "--output", str(tmp_path / "out")]
    assert tool.main(call) == 1
    folder = tmp_path / "out" / "MIL" / "folder_data"
    assert {p.name for p in folder.glob("*.txt")} == {"b.txt", "d.txt"}
    report = json.loads((folder / "metrics.json").read_text())
    assert report["failed"] == {
        "a": "RuntimeError: assertion failed",
        "c": "the process of the tracker ended",
    }
    assert "failed_sequences" in capsys.readouterr().out


def test_what_is_wrong_with_a_tracker_shows_before_any_is_run(
    tool, here, sequences, tmp_path, capsys
):
    call = ["--dataset", sequences(a=0), "--output", str(tmp_path / "out")]
    assert tool.main([*call, "--trackers", "MIL", "CSRT"]) == 2
    assert capsys.readouterr().err == "error: no tracker CSRT\n" and not here
    call[1] = "no_such_set"
    assert tool.main([*call, "--trackers", "MIL"]) == 2
    assert "error: no dataset 'no_such_set'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--trackers", "TLD"], "invalid choice: 'TLD'"),
        (["--trackers", "ViT", "--model", "net=x"], "expected TRACKER.FIELD=FILE"),
        (["--trackers", "ViT", "--model", "ViT.net"], "expected TRACKER.FIELD=FILE"),
        (["--trackers", "MIL", "--model", "ViT.net=x"], "ViT is not a tracker of this run"),
        (["--trackers", "MIL", "MIL"], "two trackers are named MIL"),
        (["--trackers", "MIL", "--config-file", "a/x.yaml", "b/x.yaml"], "are named x,"),
    ],
)
def test_bad_call(tool, capsys, arguments, message):
    with pytest.raises(SystemExit) as exit_info:
        tool.main(["--dataset", "d", "--output", "o", *arguments])
    assert exit_info.value.code == 2 and message in capsys.readouterr().err


def test_ours_beside_it_and_a_report_in_one_command(tool, here, sequences, tmp_path, capsys):
    call = [
        *("--dataset", sequences(a=0), "--trackers", "MIL", "--output", str(tmp_path / "out")),
        *("--config-file", "SiamRPN/siamrpn_compact.yaml", "--report", str(tmp_path / "report")),
    ]
    assert tool.main(call) == 0
    shown = capsys.readouterr().out
    assert "| MIL " in shown and "| siamrpn_compact " in shown
    ours = tmp_path / "out" / "siamrpn_compact" / "inference" / "folder_data"
    assert len((ours / "a.txt").read_text().splitlines()) == 3
    assert "siamrpn_compact" in (tmp_path / "report" / "report.html").read_text()


def test_config_without_weights(tool, here, sequences, tmp_path, capsys):
    call = [
        *("--dataset", sequences(a=0), "--trackers", "MIL", "--output", str(tmp_path / "out")),
        *("--config-file", "SiamFC/siamfc_alex.yaml"),
    ]
    assert tool.main(call) == 2
    assert "siamfc_alex.yaml has no trained weights" in capsys.readouterr().err


def test_restarts(tool, here, sequences, tmp_path, capsys):
    # the fake stays where it was started, and the target jumps away
    dataset = sequences(a=0)
    truth = tmp_path / "data" / "a" / "groundtruth_rect.txt"
    for i in range(3, 12):
        cv2.imwrite(str(tmp_path / "data" / "a" / "img" / f"{i:02d}.png"), image(0))
    truth.write_text(3 * "10,10,20,20\n" + 9 * "40,10,10,10\n")
    call = ["--dataset", dataset, "--trackers", "MIL", "--output", str(tmp_path / "out")]
    assert tool.main([*call, "--protocol", "vot2018"]) == 0
    folder = tmp_path / "out" / "MIL" / "folder_data"
    marks = (folder / "baseline" / "a" / "a_001.txt").read_text().split()
    box, other = "10.0000,10.0000,20.0000,20.0000", "40.0000,10.0000,10.0000,10.0000"
    assert marks == ["1", box, box, "2", *"0000", "1", other, other, other]
    report = json.loads((folder / "metrics.json").read_text())
    assert report["vot"]["failures"] == 1 and report["sequences"]["a"]["failures"] == 1
    assert "robustness" in capsys.readouterr().out


def test_nanotrack_needs_its_files(tool, sequences, tmp_path, capsys):
    call = ["--dataset", sequences(a=0), "--trackers", "NanoTrackV3", "--output", str(tmp_path)]
    assert tool.main(call) == 2
    assert "needs --model NanoTrackV3.backbone=FILE" in capsys.readouterr().err
