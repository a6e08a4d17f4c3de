"""A gate: the weights and settings that come with the project go on tracking as they do."""

from pathlib import Path

import numpy as np
import pytest

from sot.api import build_tracker
from sot.boxes import to_xyxy
from sot.data.video import open_source
from sot.evaluation.measures.metrics import iou_xyxy, mean_area, success_curve
from sot.tracking import Target, follow

DEMO = Path(__file__).parent.parent / "demo"


# The success AUC that was measured, and how far it may fall. Rounding on other processors stays far
# below 0.02, but decides in which frame a target is found again that was hidden.
@pytest.mark.parametrize(
    "clip, truth, online, success_auc, fall",
    [
        ("clip.mp4", "clip_groundtruth.txt", True, 0.816, 0.02),  # look-alikes
        ("clip.mp4", "clip_groundtruth.txt", False, 0.816, 0.02),
        ("cups.mp4", "cups_groundtruth_0.txt", True, 0.899, 0.02),  # passes a look-alike
        ("cups.mp4", "cups_groundtruth_0.txt", False, 0.882, 0.02),
        ("cups.mp4", "cups_groundtruth_1.txt", True, 0.762, 0.06),  # is hidden for a while
    ],
)
def test_success_auc_on_the_clips(clip, truth, online, success_auc, fall):
    truth = to_xyxy(np.loadtxt(DEMO / truth, delimiter=","))
    opts = ["TEST.TRACKER.ONLINE.ENABLED", online]
    tracker = build_tracker("SiamRPN/siamrpn_lite.yaml", device="cpu", opts=opts)
    steps = follow(tracker, open_source(str(DEMO / clip)), [Target({0: truth[0]})])
    boxes = np.array([step.states[0].box for step in steps])
    assert mean_area(success_curve(iou_xyxy(boxes, truth))) > success_auc - fall
