"""Tracks and random predictions for tests of one-pass protocols."""

import numpy as np

from sot.evaluation.protocols import PROTOCOLS

NAN = float("nan")
SIZE = (200, 150)


def make_track(boxes, visible=None, name="a", **fields):
    boxes = np.array(boxes, dtype=np.float64)
    present = np.isfinite(boxes).all(axis=1)
    visible = present if visible is None else present & np.array(visible, dtype=bool)
    fields = {key: np.array(value) for key, value in fields.items()}
    frames = [np.zeros((*SIZE[::-1], 3), np.uint8)] * len(boxes)
    return {"name": name, "frames": frames, "boxes": boxes, "visible": visible, **fields}


def score(protocol, boxes, track, **kwargs):
    return PROTOCOLS[protocol].score(np.array(boxes), track, **kwargs)


def random_sequence(seed, length=40, whole=False):
    """Truth (T, 4) and predictions (T, 4) as XYXY, partly outside of the image."""
    rng = np.random.default_rng(seed)
    truth = np.concatenate(
        [rng.uniform(-20, 150, (length, 2)), rng.uniform(8, 60, (length, 2))], axis=1
    )
    pred = truth + rng.normal(0, 5, truth.shape)
    pred[:, 2:] = np.maximum(pred[:, 2:], 1)
    pred[::7, :2] += 40
    pred[0] = truth[0]
    if whole:
        truth, pred = truth.round(), pred.round()
    for boxes in (truth, pred):
        boxes[:, 2:] += boxes[:, :2]
    return truth, pred


def xywh(boxes):
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
