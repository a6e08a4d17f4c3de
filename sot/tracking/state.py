"""The state of a target, and what a tracking step finds."""

from dataclasses import dataclass, replace
from typing import NamedTuple, Optional, Tuple, Union

import numpy as np
import torch

from ..boxes import to_xywh
from .online import TargetModel


@dataclass(frozen=True, eq=False)
class TargetState:
    """All that the tracker knows about one target. A step returns a new state.

    Attributes:
        kernels: the network's template kernels, a batch of one.
        box: (4,) XYXY in frame pixels.
        score: confidence in the box, 0..1. With a calibration it is the probability that the box
            overlaps the target by more than a half.
        status: "init", "tracked", "uncertain" or "lost". With a calibration next_status decides.
            Without one, "uncertain" means that the raw score is below the threshold. With long-term
            tracking "lost" depends on the raw score: the next step searches the larger region, and
            the box stays until the raw score is at least LOST_BELOW. With an online model the box
            also stays, from TEST.TRACKER.ONLINE.LOST_AFTER misses on.
        pad_value: colour that fills crops outside the frame.
        frame_size: (H, W) of the frame that the box is in.
        online: the model learned in this video, with TEST.TRACKER.ONLINE.
        size_bias: (w, h), the factors by which the network's boxes are too large for this target.
            The sizes of its boxes are divided by them.
        raw_score: score of the last Match. All thresholds of the config refer to it.
        confidences: those of the last Match.
        misses: the number of frames up to this one in which no Match was believed to be the
            target, with TEST.TRACKER.ONLINE.
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
    misses: int = 0

    def in_frame(self, size: Tuple[int, int]) -> "TargetState":
        """The same target in frames of another size (H, W) that show the same scene."""
        if size == self.frame_size:
            return self
        y, x = np.divide(size, self.frame_size)
        return replace(self, box=self.box * (x, y, x, y), frame_size=size)


class TrackResult(NamedTuple):
    """The result for one frame: box (x, y, w, h) in frame pixels, score 0..1, and status (see
    TargetState)."""

    box: Tuple[float, float, float, float]
    score: float
    status: str

    @classmethod
    def of(cls, state) -> "TrackResult":
        """The result of a TargetState, or of an object with its box, score and status."""
        return cls(tuple(to_xywh(state.box).tolist()), state.score, state.status)


class Match(NamedTuple):
    """What the tracker found in a search crop.

    Attributes:
        center, size: (x, y) and (w, h) in crop pixels.
        score: the mean of the confidences, 0..1.
        rate: how far the target's size moves towards ``size``, 0..1.
        confidences: the network's, 0..1, and with an online model also that model's.
    """

    center: np.ndarray
    size: np.ndarray
    score: float
    rate: float
    confidences: Tuple[float, ...] = ()
