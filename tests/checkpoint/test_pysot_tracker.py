"""PySOT's weights give PySOT's boxes: its tracker, written from its description, beside ours."""

import cv2
import numpy as np
import pytest
import torch
from pysot_reference import random_pysot_net

from sot.api import build_tracker

ANCHORS = [(104, 32), (88, 40), (64, 64), (40, 80), (32, 96)]  # (w, h), TRUNCATE True
PENALTY_K, INFLUENCE, SIZE_LR = 0.16, 0.40, 0.30
SEARCH = 287


class PySOTTracker:
    """Pixel i of an image lies at i, a crop is cut from a frame that was padded as a whole, and
    anchors are counted from the middle of the response map."""

    def __init__(self, net):
        self.net = net

    def crop(self, image, size, side):
        begin = np.floor(self.center - (side + 1) / 2 + 0.5).astype(int)
        margin = SEARCH * 4
        color = [int(v) for v in self.mean]
        padded = cv2.copyMakeBorder(image, *[margin] * 4, cv2.BORDER_CONSTANT, value=color)
        x, y = begin + margin
        part = cv2.resize(padded[y : y + side, x : x + side], (size, size))
        return torch.from_numpy(part.transpose(2, 0, 1)[None].astype(np.float32))

    def context_side(self):
        return np.sqrt(np.prod(self.size + 0.5 * self.size.sum()))

    def init(self, image, x, y, w, h):
        self.center = np.array([x + (w - 1) / 2, y + (h - 1) / 2])
        self.size, self.mean = np.array([w, h], float), image.mean(axis=(0, 1))
        self.template = self.crop(image, 127, round(self.context_side()))

    def track(self, image):
        scale = 127 / self.context_side()
        search = self.crop(image, SEARCH, round(SEARCH / scale))
        with torch.no_grad():
            cls, loc = (x[0].double().numpy() for x in self.net(self.template, search))
        n = cls.shape[-1]
        score = np.exp(cls[5:]) / (np.exp(cls[5:]) + np.exp(cls[:5]))
        dx, dy, dw, dh = loc.reshape(4, 5, n, n)
        aw, ah = (np.array(v)[:, None, None] for v in zip(*ANCHORS))
        place = (np.arange(n) - n // 2) * 8
        x, y = dx * aw + place, dy * ah + place[:, None]
        w, h = np.exp(dw) * aw, np.exp(dh) * ah

        def overall(w, h):
            return np.sqrt((w + (w + h) / 2) * (h + (w + h) / 2))

        def change(r):
            return np.maximum(r, 1 / r)

        before = self.size * scale
        aspect = change(w / h / (before[0] / before[1]))
        penalty = np.exp(-PENALTY_K * (aspect * change(overall(w, h) / overall(*before)) - 1))
        window = np.outer(np.hanning(n), np.hanning(n))
        best = ((1 - INFLUENCE) * penalty * score + INFLUENCE * window).argmax()
        x, y, w, h = (v.ravel()[best] / scale for v in (x, y, w, h))
        rate = penalty.ravel()[best] * score.ravel()[best] * SIZE_LR
        limit = np.array(image.shape[1::-1])
        self.center = np.clip(self.center + (x, y), 0, limit)
        self.size = np.clip(self.size * (1 - rate) + np.array([w, h]) * rate, 10, limit)
        return [*(self.center - self.size / 2), *self.size]


@pytest.mark.parametrize(
    "box",
    [
        (110, 100, 41, 34),  # sides of whole pixels, one odd
        (60, 60, 70, 90),  # the search region leaves the frame
        (120.25, 110.75, 22.5, 23.25),
    ],
)
def test_boxes_equal_pysots(box, tmp_path):
    net = random_pysot_net()
    with torch.no_grad():  # boxes near their anchors, so that the target does not leave the frame
        net.rpn_head["loc"].head[3].weight *= 0.2
    torch.save(net.state_dict(), tmp_path / "pysot.pth")
    tracker = build_tracker("SiamRPN/siamrpn_alex_dw.yaml", str(tmp_path / "pysot.pth"), "cpu")
    reference = PySOTTracker(net)
    blocks = np.random.default_rng(3).integers(0, 256, (32, 40, 3), np.uint8)
    scene = cv2.resize(blocks, (320, 256))
    reference.init(scene[:240, :300], *box)
    tracker.init(scene[:240, :300], box)
    for i in range(1, 4):
        frame = np.ascontiguousarray(scene[2 * i : 2 * i + 240, 3 * i : 3 * i + 300])
        x, y, w, h = reference.track(frame)
        # they give corners in their coordinates, in which a pixel's centre is a whole number
        theirs = [x + 0.5, y + 0.5, w, h]
        assert tracker.update(frame).box == pytest.approx(theirs, abs=1e-3)
        assert 0 < x + w / 2 < 300 and 0 < y + h / 2 < 240  # nothing was clipped
