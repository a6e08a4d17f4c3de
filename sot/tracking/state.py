"""What is known of a target, and what a step finds of it."""

from dataclasses import dataclass, replace
from typing import NamedTuple, Optional, Tuple, Union

import numpy as np
import torch

from .online import TargetModel

__all__ = ["Match", "TargetState", "TrackResult"]


@dataclass(frozen=True, eq=False)
class TargetState:
    """All that is known of one target; a step returns a new one.

    Attributes:
        kernels: template kernels of the network, batch of one.
        box: (4,) XYXY in frame pixels.
        score: confidence in the box, 0..1; with a calibration the chance that the box overlaps the
            target by more than a half.
        status: "init", "tracked", "uncertain" or "lost". With a calibration see next_status; else
            "uncertain" means that the raw score is below the threshold. With long-term tracking
            "lost" goes by the raw score: the next step searches the larger region, and until that
            score is at least LOST_BELOW the box is the last one before.
        pad_value: colour outside the frame.
        frame_size: (H, W) of the frame that the box is in.
        online: what was learned of the target in this video, with TEST.TRACKER.ONLINE.
        size_bias: (w, h), how many times too large the network's boxes are for this target; the
            sizes of its boxes are divided by it.
        raw_score: score of the last Match, which all thresholds of the config are about.
        confidences: those of that Match.
    """

    kernels: Tuple[torch.Tensor, ...]
    box: np.ndarray
    score: float
    status: str
    pad_value: Tuple[float, ...]
    frame_size: Tuple[int, int]
    online: Optional[TargetModel] = None
    size_bias: Union[np.ndarray, float] = 1.0
    raw_score: float = 1.0
    confidences: Tuple[float, ...] = ()

    def in_frame(self, size: Tuple[int, int]) -> "TargetState":
        """The same target in frames of another size (H, W), which show the same scene."""
        if size == self.frame_size:
            return self
        y, x = np.divide(size, self.frame_size)
        return replace(self, box=self.box * (x, y, x, y), frame_size=size)


class TrackResult(NamedTuple):
    """Result for one frame: box (x, y, w, h) in pixels, score 0..1, status (see TargetState)."""

    box: Tuple[float, float, float, float]
    score: float
    status: str


class Match(NamedTuple):
    """What a network found in a search crop: centre (x, y) and size (w, h) in crop pixels, score
    0..1, and the rate at which the target's size moves towards that size. The confidences are the
    network's, 0..1, and with an online model that model's; of both together is the score."""

    center: np.ndarray
    size: np.ndarray
    score: float
    rate: float
    confidences: Tuple[float, ...] = ()
