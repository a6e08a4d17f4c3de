"""The clip that is in the repository is the one that demo/make_clip.py makes."""

import runpy
from pathlib import Path

import numpy as np

from sot.data.frames import VideoFrames

DEMO = Path(__file__).parents[2] / "demo"
CLIP = runpy.run_path(str(DEMO / "make_clip.py"))["CLIP"]


def test_boxes():
    xywh = np.loadtxt(DEMO / "clip_groundtruth.txt", delimiter=",")
    boxes, visible = CLIP.annotation()
    assert visible.all()
    np.testing.assert_allclose(xywh[:, :2], boxes[:, :2], atol=0.006)
    np.testing.assert_allclose(xywh[:, :2] + xywh[:, 2:], boxes[:, 2:], atol=0.011)


def test_frames():
    video = VideoFrames(DEMO / "clip.mp4")
    assert len(video) == len(CLIP) == 144
    for i in (0, 100):  # what remains is the loss of the compression
        difference = np.abs(video[i].astype(int) - CLIP[i])
        assert difference.mean() < 5
