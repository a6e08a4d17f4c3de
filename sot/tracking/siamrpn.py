"""Tracking with SiamRPN: choose one of the boxes that the network proposes."""

import math
from typing import List, Tuple

import numpy as np
import torch
from detectron2.config import configurable
from detectron2.layers import nms

from ..boxes import center_of, sides_of
from .geometry import central_positions, change_penalty, cosine_window
from .tracker import TRACKER_REGISTRY, Match, SiameseTracker

__all__ = ["SiamRPNTracker"]


@TRACKER_REGISTRY.register()
class SiamRPNTracker(SiameseTracker):
    """Inference of SiamRPN (Li et al. 2018, Sec. 4.3).

    The score is the foreground probability of the chosen anchor.
    """

    @configurable
    def __init__(
        self,
        model,
        *,
        penalty_k: float = 0.16,
        center_size: int = 0,
        nms_thresh: float = 0.0,
        **kwargs,
    ):
        """
        Args:
            model: a SiamRPN in eval mode.
            penalty_k, center_size, nms_thresh: see sot/config.py, TEST.TRACKER.
            kwargs: see SiameseTracker.
        """
        super().__init__(model, **kwargs)
        self.penalty_k = penalty_k
        self.center_size = center_size
        self.nms_thresh = nms_thresh
        self._grids = {}

    @classmethod
    def from_config(cls, cfg, model):
        t = cfg.TEST.TRACKER
        return {
            **super().from_config(cfg, model),
            "penalty_k": t.PENALTY_K,
            "center_size": t.CENTER_SIZE,
            "nms_thresh": t.NMS_THRESH,
        }

    def _match(self, kernels, crops, sizes, lost) -> List[Match]:
        # few numbers, and NumPy has done with them before torch has started
        boxes, scores = (t.cpu().numpy() for t in self.model.detect(kernels, crops))
        window, central = self._grid(boxes.shape[1])
        if self.center_size and not lost:
            boxes, scores, window = boxes[:, central], scores[:, central], window[central]
        return [
            self._select(boxes_i, scores_i, window, size, self._influence(lost))
            for boxes_i, scores_i, size in zip(boxes, scores, sizes)
        ]

    def _select(self, boxes, scores, window, previous_size: np.ndarray, influence: float) -> Match:
        """Choose among the boxes (R, 4), XYXY in crop pixels, with their scores (R,)."""
        if self.nms_thresh:
            tensors = torch.from_numpy(boxes), torch.from_numpy(scores)
            keep = nms(*tensors, self.nms_thresh).numpy()
            boxes, scores, window = boxes[keep], scores[keep], window[keep]
        sizes = sides_of(boxes)
        penalty = change_penalty(sizes, previous_size.astype(sizes.dtype), self.penalty_k)
        ranking = (1 - influence) * (penalty * scores) + influence * window
        best = int(ranking.argmax())
        box, score = boxes[best].astype(float), float(scores[best])
        rate = float(penalty[best]) * score * self.size_lr
        return Match(center_of(box), sides_of(box), score, rate)

    def _grid(self, num_boxes: int) -> Tuple[np.ndarray, np.ndarray]:
        """Cosine window over the response map, and whether a box is of a position in its middle,
        both (R,) in the order of the boxes."""
        if num_boxes not in self._grids:
            num_anchors = self.model.num_anchors
            side = math.isqrt(num_boxes // num_anchors)
            maps = cosine_window(side, side), central_positions(side, self.center_size)
            self._grids[num_boxes] = tuple(m.numpy().repeat(num_anchors) for m in maps)
        return self._grids[num_boxes]
