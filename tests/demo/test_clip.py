from pathlib import Path

from sot.data.datasets import read_boxes
from sot.data.frames import VideoFrames

DEMO = Path(__file__).parents[2] / "demo"


def test_clip_and_its_boxes_fit():
    video, boxes = VideoFrames(DEMO / "clip.mp4"), read_boxes(DEMO / "clip_groundtruth.txt")
    assert len(video) == len(boxes) == 144
    height, width = video[0].shape[:2]
    assert (height, width) == (270, 480)
    assert (boxes[:, 2:] > 0).all() and (boxes[:, :2] + boxes[:, 2:] <= (width, height)).all()
