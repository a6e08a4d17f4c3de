import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tool_modules import load_tool

from sot.tracking import Calibration

BOX, AWAY = np.array([10.0, 10, 30, 30]), np.array([30.0, 10, 50, 30])


class Sometimes:
    """Sits on the box, surely, and beside it, less surely, in a pattern of the frames."""

    engine, calibration = "torch", None

    def __init__(self, wrong):
        self.wrong = wrong

    def start(self, image, box):
        self.at = 0
        return SimpleNamespace(box=BOX, score=1.0, raw_score=1.0, status="init", confidences=())

    def step_all(self, image, states):
        self.at += 1
        wrong = self.at in self.wrong
        status = "lost" if self.at in (4, 5) else "tracked"
        box, score = (AWAY, 0.3 + 0.02 * self.at) if wrong else (BOX, 0.6 + 0.01 * self.at)
        return [
            SimpleNamespace(
                box=box, score=score, raw_score=score, status=status, confidences=(score, 0.5)
            )
        ]


@pytest.fixture
def tool(monkeypatch):
    module = load_tool("calibrate_score")
    monkeypatch.setattr(module.sot, "build_tracker", lambda cfg: Sometimes({3, 4, 5, 9}))
    return module


@pytest.fixture
def videos(tmp_path):
    for name, absent in (("a", ()), ("b", (4, 5)), ("c", ())):
        (tmp_path / "videos" / name / "img").mkdir(parents=True)
        lines = ["NaN,NaN,NaN,NaN" if i in absent else "10,10,20,20" for i in range(12)]
        (tmp_path / "videos" / name / "groundtruth_rect.txt").write_text("\n".join(lines))
        for i in range(12):
            image = Image.new("RGB", (60, 40))
            image.save(tmp_path / "videos" / name / "img" / f"{i:04d}.png")
    return f"folder:{tmp_path / 'videos'}"


def test_frames_of_a_pass(tool, videos):
    frames = tool.run(Sometimes({3, 4}), videos)
    assert frames.confidences.shape == (33, 2)
    assert frames.videos.tolist() == [0] * 11 + [1] * 11 + [2] * 11
    assert np.flatnonzero(frames.absent).tolist() == [11 + 3, 11 + 4]
    assert np.flatnonzero(frames.lost).tolist() == [3, 4, 14, 15, 25, 26]
    assert np.flatnonzero(~frames.right).tolist() == [2, 3, 13, 14, 15, 24, 25]
    assert frames.raw_scores[:3].tolist() == pytest.approx([0.61, 0.62, 0.36])


def test_writes_a_calibration_a_table_and_a_picture(tool, videos, tmp_path, capsys):
    output, plot = tmp_path / "new" / "x.score.json", tmp_path / "plot.png"
    args = ["--fit", videos, "--check", videos, "--output", str(output), "--plot", str(plot)]
    assert tool.main([*args, "MODEL.DEVICE", "cpu"]) == 0
    calibration = Calibration.load(output)
    assert calibration.weights[0] > 0 and calibration((0.7, 0.5)) > calibration((0.4, 0.5))
    about = json.loads(output.read_text())["about"]
    assert (about["fitted_on"], about["videos"], about["frames"]) == ("folder_videos", 3, 33)
    assert about["measures"]["folder_videos"]["auroc"] == 1
    assert about["measures"]["folder_videos"]["absence_recall"] <= 1
    out = capsys.readouterr().out
    assert "| folder_videos (others)" in out and "| folder_videos, raw" in out
    assert Image.open(plot).size[0] > 300


def test_status_that_follows_from_scores(tool):
    frames = tool.Frames(*[np.zeros(6)] * 5, np.array([0, 0, 0, 0, 1, 1]))
    # 0.5 is not sure; a new video begins anew
    found = tool.with_status(np.array([0.9, 0.2, 0.4, 0.5, 0.5, 0.7]), frames).lost
    assert found.tolist() == [False, True, True, True, False, False]


def test_check_without_a_fit(tool, videos, tmp_path, capsys, monkeypatch):
    args = ["--check", videos, "--output", str(tmp_path / "new.json")]
    assert tool.main(args) == 1
    assert "has no calibration: name videos with --fit" in capsys.readouterr().err
    monkeypatch.setattr(Sometimes, "calibration", Calibration((1.0, 0.0), 0.0))
    assert tool.main(args) == 0
    # lost in the frames 4 and 5 of three videos, two of which have no target
    row = capsys.readouterr().out.splitlines()[-2].split("|")[-6:-1]
    assert [float(v) for v in row] == [0.333, 1, 0.5, 1, 1]
    assert not (tmp_path / "new.json").exists()
    with pytest.raises(SystemExit):
        tool.main([])
    assert "name videos with --fit, --check or both" in capsys.readouterr().err


def test_one_video_is_too_few(tool, videos, tmp_path, capsys):
    args = ["--fit", f"{videos}/a", "--output", str(tmp_path / "new.json")]
    assert tool.main([*args, "MODEL.DEVICE", "cpu"]) == 1
    assert "error: --fit needs two videos or more: each is" in capsys.readouterr().err
    assert not (tmp_path / "new.json").exists()
