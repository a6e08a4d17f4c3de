import runpy
from pathlib import Path

import numpy as np

from sot.data.datasets import read_boxes
from sot.data.frames import VideoFrames

DEMO = Path(__file__).parents[2] / "demo"


def test_clip_and_its_boxes_fit():
    video, boxes = VideoFrames(DEMO / "clip.mp4"), read_boxes(DEMO / "clip_groundtruth.txt")
    assert len(video) == len(boxes) == 144
    height, width = video[0].shape[:2]
    assert (height, width) == (270, 480)
    assert (boxes[:, 2:] > 0).all() and (boxes[:, :2] + boxes[:, 2:] <= (width, height)).all()


def test_clip_can_be_made(tmp_path):
    tool = runpy.run_path(str(DEMO / "make_clip.py"))
    frames = tool["CLIP"]
    assert len(frames) == 144 and frames.size == (270, 480)
    boxes, visible = frames.annotation()
    assert visible.mean() > 0.9
    tool["write_boxes"](boxes, tmp_path / "boxes.txt")
    x, y, w, h = read_boxes(tmp_path / "boxes.txt").T
    np.testing.assert_allclose(np.stack([x, y, x + w, y + h], axis=1), boxes, atol=0.011)
