from pathlib import Path

import pytest

from sot.data.datasets import read_boxes
from sot.data.frames import VideoFrames

DEMO = Path(__file__).parents[2] / "demo"


@pytest.mark.parametrize(
    "clip, truth, frames, size, sides",
    [
        ("clip.mp4", "clip_groundtruth.txt", 144, (480, 270), (10, 100)),
        ("cups.mp4", "cups_groundtruth_0.txt", 200, (640, 360), (100, 170)),
        ("cups.mp4", "cups_groundtruth_1.txt", 200, (640, 360), (60, 140)),
    ],
)
def test_clips_and_their_boxes_fit(clip, truth, frames, size, sides):
    video, boxes = VideoFrames(DEMO / clip), read_boxes(DEMO / truth)
    assert len(video) == len(boxes) == frames
    assert video[0].shape[1::-1] == size
    assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= size).all()
    assert (boxes[:, 2:] > sides[0]).all() and (boxes[:, 2:] < sides[1]).all()
