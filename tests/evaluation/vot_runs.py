"""Random results for VOT's measures: the same ones for ours and, where it is installed, theirs."""

import numpy as np

from sot.evaluation.measures.vot import BOX, FAILED, PASSED_OVER, STARTED

IMAGE_SIZE = (160, 120)


def random_restarts(seed=5):
    """[(truth (T, 8), [(regions (T, 4), marks (T,)), ...])] of sequences of 60 to 330 frames."""
    rng = np.random.default_rng(seed)
    return [
        (truth, [_restarts(rng, truth, rate) for rate in (0.003, 0.02)])
        for truth in (_polygons(rng, length) for length in (330, 60, 200, 12, 127))
    ]


def _polygons(rng, length):
    centres = np.cumsum(rng.normal(0, 1.5, (length, 1, 2)), axis=0) + [80, 60]
    corners = np.array([[-20, -12], [18, -15], [22, 13], [-17, 14]]) + rng.normal(
        0, 1, (length, 4, 2)
    )
    return (centres + corners).round(2).reshape(length, 8)


def _restarts(rng, truth, failure_rate):
    corners = truth.reshape(-1, 4, 2)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    boxes = (boxes + rng.normal(0, 3, boxes.shape)).round(2)
    marks = np.full(len(truth), BOX)
    frame = 0
    while frame < len(truth):
        marks[frame] = STARTED
        lost = np.flatnonzero(rng.random(len(truth) - frame - 1) < failure_rate)
        if not len(lost):
            break
        frame += 1 + lost[0]
        marks[frame] = FAILED
        marks[frame + 1 : frame + 5] = PASSED_OVER
        frame += 5
    return boxes, marks


def random_longterm(seed=7):
    """[(truth (T, 4), boxes (T, 4), scores (T,))]; the truth is NaN while the target is away."""
    rng = np.random.default_rng(seed)
    sequences = []
    for length in (300, 120, 40):
        start = np.cumsum(rng.normal(0, 1.5, (length, 2)), axis=0) + [50, 40]
        truth = np.concatenate([start, start + rng.uniform(20, 40, (length, 2))], axis=1).round(2)
        boxes = (truth + rng.normal(0, 4, truth.shape)).round(2)
        away = (np.arange(length) // 15) % 4 == 3
        scores = np.where(away, rng.uniform(-0.2, 0.6, length), rng.uniform(0.2, 1, length))
        lost = rng.random(length) < 0.2
        boxes[lost] += 60
        truth[away] = np.nan
        sequences.append((truth, boxes, np.where(lost, scores / 2, scores).round(4)))
    return sequences
