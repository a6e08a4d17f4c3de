"""Tracks, and what a tracker might say of them, for tests of SOTEvaluator."""

import numpy as np

from sot.evaluation.measures import vot

BOX = np.array([10.0, 20.0, 30.0, 60.0], np.float32)
NAMES = ("success_auc", "precision_20", "average_overlap", "fps")
FURTHER = {"precision_auc", "norm_precision_20", "norm_precision_auc", "sr_50", "sr_75"}


def track(name, length=3, absent=()):
    boxes = np.tile(BOX, (length, 1))
    boxes[list(absent)] = np.nan
    frames = [np.zeros((80, 80, 3), np.uint8)] * length
    visible = np.isfinite(boxes).all(axis=1)
    return {"name": name, "frames": frames, "boxes": boxes, "visible": visible}


def output(name, length=3, shift=0.0, times=None, skipped=()):
    """What a tracker says that is right in the first frame and off by `shift` px in x later."""
    boxes = np.tile(BOX.astype(float), (length, 1))
    boxes[1:, [0, 2]] += shift
    times = [0.01] * length if times is None else times
    status = ["skipped" if i in skipped else "tracked" for i in range(length)]
    scores, marks = np.full(length, np.nan), np.full(length, vot.BOX)
    columns = {"times": np.array(times), "status": status, "scores": scores, "marks": marks}
    return {"name": name, "boxes": boxes, **columns}
