from pathlib import Path

import pytest

from sot.data.datasets import read_boxes
from sot.data.frames import VideoFrames

DEMO = Path(__file__).parents[2] / "demo"


@pytest.mark.parametrize("name", ["clip_groundtruth.txt", "clip_groundtruth_1.txt"])
def test_clip_and_its_boxes_fit(name):
    video, boxes = VideoFrames(DEMO / "clip.mp4"), read_boxes(DEMO / name)
    assert len(video) == len(boxes) == 200
    height, width = video[0].shape[:2]
    assert (height, width) == (360, 640)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= (width, height)).all()
    assert (boxes[:, 2:] > 60).all() and (boxes[:, 2:] < 170).all()
