import sys
from pathlib import Path

import cv2
import numpy as np

from sot.data.labels import Label, Labels

sys.path.insert(0, str(Path(__file__).parents[2] / "demo"))
import track_plots  # noqa: E402


def label(frame, target, status):
    return Label(frame, target, 10.0 * frame, 6.0, 20.0, 10.0, 0.25, status, "")


VIDEO = Labels(
    *("clip.mp4", 64, 48, 25.0),
    [label(0, 0, "init"), label(1, 0, "tracked"), label(2, 0, "lost"), label(2, 1, "init")],
)
IMAGE = np.full((48, 64, 3), 120, np.uint8)


def points(collection):
    return collection.get_offsets().tolist()


def test_scores():
    (axes,) = track_plots.plot_scores(VIDEO.labels, 9).axes
    assert [line.get_xdata().tolist() for line in axes.lines] == [[0, 1, 2], [2]]
    init, lost = axes.collections[:2]
    assert points(init) == [[0, 0.25]] and points(lost) == [[2, 0.25]]
    assert axes.get_xlim() == (0, 9)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["0", "1"]


def test_trajectory():
    axes = track_plots.plot_trajectory(VIDEO, 0, IMAGE).axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[10, 11], [20, 11], [30, 11]]
    assert [points(c) for c in axes.collections] == [[[20, 11]], [[10, 11]], [[30, 11]]]
    assert axes.collections[2].get_array().tolist() == [2]  # the frame gives the colour


def test_files_of_an_earlier_run_go(tmp_path):
    (tmp_path / "mine.png").write_bytes(b"")
    track_plots.save_plots(VIDEO, IMAGE, tmp_path)
    names = ["mine.png", "scores.png", "trajectory_0.png", "trajectory_1.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    assert cv2.imread(str(tmp_path / "trajectory_1.png")).shape[2] == 3
    track_plots.save_plots(VIDEO, None, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.png"]
