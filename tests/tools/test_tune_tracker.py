import cv2
import numpy as np
import pytest
import torch
from tool_modules import load_tool

from sot.config import load_config
from sot.data import get_tracks
from sot.data.frames import ImageFrames

NETWORK = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "MODEL.COMPACT.CHANNELS", "[8, 8, 16, 16]"]


@pytest.fixture
def tool():
    pytest.importorskip("optuna")
    return load_tool("tune_tracker")


@pytest.fixture
def videos(tmp_path):
    """Two videos of four frames; in the second one a frame has another size."""
    for name in ("a", "b"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for i in range(4):
            size = (40, 60, 3) if name == "b" and i == 2 else (90, 120, 3)
            image = np.random.default_rng(i).integers(0, 255, size, np.uint8)
            cv2.imwrite(str(tmp_path / "videos" / name / f"{i}.png"), image)
        (tmp_path / "videos" / name / "groundtruth_rect.txt").write_text("20,10,20,20\n" * 4)
    return f"folder:{tmp_path / 'videos'}"


def run(tool, videos, output, *args):
    torch.manual_seed(0)  # the weights are random
    command = ["--config-file", "SiamRPN/siamrpn_compact.yaml", "--dataset", videos]
    return tool.main([*command, "--output", str(output), *args, *NETWORK])


def test_trials_are_shared_and_the_best_becomes_a_config(tool, videos, tmp_path, capsys):
    output = tmp_path / "out"
    keys = ["--search", "TEST.TRACKER.SIZE_LR", "0.1", "0.7", "0.3"]
    keys += ["--search", "TEST.TRACKER.PENALTY_K", "0", "0.2", "0.1"]
    for count in (1, 2):  # the second run goes on
        assert run(tool, videos, output, "--trials", "1", *keys) == 0
        assert f"{count} trials; best success_auc 0." in capsys.readouterr().out
    cfg = load_config(output / "tuned.yaml")
    tracker = cfg.TEST.TRACKER
    assert tracker.SIZE_LR in (0.1, 0.4, 0.7) and tracker.PENALTY_K in (0.0, 0.1, 0.2)
    assert cfg.MODEL.COMPACT.CHANNELS == [8, 8, 16, 16] and cfg.MODEL.DEVICE == "cpu"
    assert cv2.imread(str(output / "trials.png")).shape[1] > 700
    assert [p.name[:2] for p in (output / "frames").iterdir()] == ["a-"]
    assert run(tool, videos, output, "--trials", "1") == 1
    assert f"{output} has trials of another search: name another" in capsys.readouterr().err


def test_first_trial_has_the_values_of_the_config(tool):
    cfg = load_config("SiamRPN/siamrpn_compact.yaml", ["TEST.TRACKER.SIZE_LR", "0.95"])
    search = {"TEST.TRACKER.SIZE_LR": (0.1, 0.9, 0.1), "TEST.TRACKER.PENALTY_K": (0, 0.4, 0.05)}
    found = tool.present_values(cfg, search)
    assert found == pytest.approx({"TEST.TRACKER.SIZE_LR": 0.9, "TEST.TRACKER.PENALTY_K": 0.15})
    # 0 and 0.6 are the values that can be tried
    found = tool.present_values(cfg, {"TEST.TRACKER.SIZE_LR": (0, 1, 0.6)})
    assert found == {"TEST.TRACKER.SIZE_LR": 0.6}


def test_decoded_frames_are_the_frames(tool, videos, tmp_path):
    tracks = list(get_tracks(videos))
    first, second = (tool.decode(track, tmp_path) for track in tracks)
    assert isinstance(first["frames"], tool.DecodedFrames) and len(first["frames"]) == 4
    np.testing.assert_array_equal(first["frames"][3], tracks[0]["frames"][3])
    assert second["frames"] is tracks[1]["frames"]
    assert [p.name[:2] for p in tmp_path.glob("*.*")] == ["a-"]


def test_names_that_are_one_file_name_have_two_files(tool, tmp_path):
    frames = {name: ImageFrames([str(tmp_path / f"{name}.png")]) for name in ("cat 1", "cat_1")}
    for level, images in enumerate(frames.values()):
        cv2.imwrite(images.name(0), np.full((9, 12, 3), level, np.uint8))
    tracks = [tool.decode({"name": n, "frames": f}, tmp_path) for n, f in frames.items()]
    assert [int(track["frames"][0].max()) for track in tracks] == [0, 1]


def test_trial_that_is_behind_the_median(tool):
    """The measures after two sequences are compared, whatever they were after the first one."""
    study = tool.optuna.create_study(direction="maximize")
    for last in (0.2, 0.3, 0.4, 0.5, 0.6):
        trial = study.ask()
        assert not tool.is_behind(trial, 0.0, 1)  # fewer than five others
        trial.report(0.1, 0)
        trial.report(last, 1)
        study.tell(trial, last)
    trial = study.ask()
    trial.report(0.9, 0)
    assert tool.is_behind(trial, 0.39, 1) and not tool.is_behind(trial, 0.4, 1)


def test_sequence_in_which_no_tracker_can_start(tool, videos, tmp_path, capsys):
    (tmp_path / "videos" / "b" / "0.png").write_bytes(b"broken")
    assert run(tool, videos, tmp_path / "out", "--trials", "1") == 1
    error = capsys.readouterr().err
    assert "error: sequence b: a tracker cannot start in the first frame: image " in error
    assert "b/0.png does not decode" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "args, words",
    [
        (["--dataset", "otb2015"], "otb2015 is a test set: tune on another one"),
        (["--search", "TEST.TRACKER.SPEED", "0", "1", "0.1"], "TEST.TRACKER.SPEED"),
        (["--search", "TEST.TRACKER.SIZE_LR", "1", "0", "0.1"], "SIZE_LR: give LOW HIGH STEP"),
        (["--search", "TEST.TRACKER.SIZE_LR", "0", "x", "0.1"], "SIZE_LR: give LOW HIGH STEP"),
        (["--dataset", "vot2018", "--on-test-set"], "vot2018 has restarts: set TEST.PROTOCOL"),
    ],
)
def test_what_cannot_be_tuned(tool, videos, tmp_path, capsys, args, words):
    assert run(tool, videos, tmp_path / "out", *args) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_without_optuna(monkeypatch, capsys):
    tool = load_tool("tune_tracker")
    monkeypatch.setattr(tool, "optuna", None)
    assert tool.main(["--dataset", "folder:x", "--output", "out"]) == 1
    assert "this tool needs Optuna: pip install optuna" in capsys.readouterr().err
