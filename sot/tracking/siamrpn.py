"""Tracking with SiamRPN: choose one of the boxes that the network proposes."""

import math
from typing import List, Tuple

import numpy as np
from detectron2.config import configurable

from ..boxes import center_of, sides_of
from .build import TRACKER_REGISTRY
from .geometry import central_positions, change_penalty, cosine_window, cut_middle
from .state import Match
from .tracker import SiameseTracker

MAX_SIZE_BIAS = math.log(2)  # a larger bias is more likely an error of the network


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
        **kwargs,
    ):
        """
        Args:
            model: a SiamRPN in eval mode.
            penalty_k, center_size: see sot/config/keys.py, TEST.TRACKER.
            kwargs: see SiameseTracker.
        """
        super().__init__(model, **kwargs)
        self.penalty_k = penalty_k
        self.center_size = center_size
        self._grids = {}

    @classmethod
    def from_config(cls, cfg, model):
        t = cfg.TEST.TRACKER
        return {
            **super().from_config(cfg, model),
            "penalty_k": t.PENALTY_K,
            "center_size": t.CENTER_SIZE,
        }

    def _match(self, outputs, maps, sizes, crop_size, lost) -> List[Match]:
        # NumPy is faster here than torch: these are few numbers, and each call to torch costs more
        boxes, scores = outputs
        window, central, places = self._grid(boxes.shape[1])
        columns = {"boxes": boxes, "scores": scores}
        if maps is not None:
            num_anchors = self.model.num_anchors
            own = cut_middle(maps, math.isqrt(boxes.shape[1] // num_anchors)).clip(0, 1)
            columns["own"] = own.reshape(len(own), -1).repeat(num_anchors, axis=1)
        matches, influence = [], self._influence(lost)
        for i, size in enumerate(sizes):
            found = {"window": window, "places": places}
            found.update((name, column[i]) for name, column in columns.items())
            if self.center_size and not lost:
                found = {name: column[central] for name, column in found.items()}
            matches.append(
                self._select(**found, size=size, middle=crop_size / 2, influence=influence)
            )
        return matches

    def _select(
        self, boxes, scores, window, places, size, middle: float, influence: float, own=None
    ) -> Match:
        """Choose among the boxes of R anchors.

        Args:
            boxes: (R, 4), XYXY in crop pixels.
            scores, window: (R,), the network's scores and the cosine window.
            places: (R, 2), positions (x, y) of the anchors, in crop pixels from the centre of the
            crop.
            size: last (w, h) of the target, in crop pixels.
            middle: centre of the crop, the same for x and y, in crop pixels.
            influence: weight of the window.
            own: (R,), responses of the target's online model.
        """
        sizes = sides_of(boxes)
        penalty = change_penalty(sizes, size.astype(sizes.dtype), self.penalty_k)
        ranking = penalty * scores
        if own is not None:
            ranking = (1 - self.online.share) * ranking + self.online.share * own
        best = int(((1 - influence) * ranking + influence * window).argmax())
        box, score = boxes[best].astype(float), float(scores[best])
        center, confidences = center_of(box), (score,)
        if own is not None:
            confidences = score, float(own[best])
            if score < self.online.accept_above[0]:  # then the box is not reliable
                center = middle + places[best]
        return Match(
            center=center,
            size=sides_of(box),
            score=sum(confidences) / len(confidences),
            rate=float(penalty[best]) * score * self.size_lr,
            confidences=confidences,
        )

    def size_bias(self, outputs, centers, sizes) -> np.ndarray:
        biases = []
        for boxes, scores, center, size in zip(*outputs, centers, sizes):
            on_target = (np.abs(center_of(boxes) - center) < size / 2).all(axis=1)
            best = np.where(on_target, scores, 0).argmax()
            if on_target[best] and scores[best] > self.online.accept_above[0]:
                biases.append(np.log(sides_of(boxes[best]) / size))
        if not biases:
            return super().size_bias(outputs, centers, sizes)
        mean = np.mean(biases, axis=0)
        return np.exp(self.online.size_share * mean.clip(-MAX_SIZE_BIAS, MAX_SIZE_BIAS))

    def _grid(self, num_boxes: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Maps of the response positions, in the order of the boxes: the cosine window (R,),
        whether a position is one of the central ones (R,), and the positions (R, 2) in crop pixels
        from the centre of the crop."""
        if num_boxes not in self._grids:
            num_anchors, stride = self.model.num_anchors, self.model.stride
            side = math.isqrt(num_boxes // num_anchors)
            y, x = np.indices((side, side)).reshape(2, -1) - (side - 1) / 2
            maps = (
                cosine_window(side, side).numpy().reshape(-1),
                central_positions(side, self.center_size).numpy().reshape(-1),
                np.stack([x, y], axis=1) * stride,
            )
            self._grids[num_boxes] = tuple(m.repeat(num_anchors, axis=0) for m in maps)
        return self._grids[num_boxes]
