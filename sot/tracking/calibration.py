"""Calibrated scores: the probability that a box overlaps the target by more than a half."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple

import numpy as np

RIGHT_ABOVE = 0.5  # a box is right if its overlap with the true box is above this
FLOOR = 0.005  # network scores are clipped to be at least this far from 0 and from 1
PENALTY = 0.03  # weight of the squared weights in the fit, whose inputs are standardized
STEPS = 50  # iterations of Newton's method, which converges in about ten

# Calibrated scores at which the status changes. It becomes "tracked" at SURE and "lost" below LOST.
# A tracked target stays "tracked" down to DOUBT. A lost target stays "lost" up to SURE.
SURE, DOUBT, LOST = 0.6, 0.5, 0.3


def next_status(before: str, score: float) -> str:
    """The status "tracked", "uncertain" or "lost" of a frame, from its calibrated score and the
    status of the frame before."""
    if score >= SURE:
        return "tracked"
    if score < LOST or before == "lost":
        return "lost"
    return "tracked" if score >= DOUBT and before in ("init", "tracked") else "uncertain"


@dataclass(frozen=True)
class Calibration:
    """A logistic regression from a tracker's confidences (see Match) to the probability of a right
    box.

    Attributes:
        weights: one weight for each confidence. The first confidence is the network's score, and
            its weight applies to the log-odds of that score.
        bias: the log-odds of a right box if all inputs are 0.
        about: what the calibration was fitted on, in words and numbers.
    """

    weights: Tuple[float, ...]
    bias: float
    about: Optional[Dict] = None

    def __call__(self, confidences: Sequence[float]) -> Optional[float]:
        """The probability, 0..1. None if the tracker has another number of confidences than the fit
        had, for example because the online model is switched off."""
        if len(confidences) != len(self.weights):
            return None
        inputs = _inputs(np.asarray(confidences, dtype=np.float64)[None])[0]
        return float(1 / (1 + np.exp(-self.bias - inputs @ self.weights)))

    @classmethod
    def fit(cls, confidences, right, videos, about: Optional[Dict] = None) -> "Calibration":
        """Fit a calibration on N frames. Each video has the same weight, however long it is.

        Args:
            confidences: (N, K).
            right: (N,) bool, whether the box overlaps the true box by more than RIGHT_ABOVE.
            videos: (N,), the video of each frame.
            about: see the attribute.

        Raises:
            ValueError: no frame has a right box, or no frame has a wrong one.
        """
        inputs, right = _inputs(np.asarray(confidences, dtype=np.float64)), np.asarray(right, float)
        if not 0 < right.mean() < 1:
            raise ValueError("a calibration needs frames with right and with wrong boxes")
        _, which, frames = np.unique(videos, return_inverse=True, return_counts=True)
        share = 1 / (frames[which] * len(frames))
        mean = share @ inputs
        deviation = np.sqrt(share @ (inputs - mean) ** 2) + 1e-9
        columns = np.column_stack([(inputs - mean) / deviation, np.ones(len(inputs))])
        penalty = np.diag([*[2 * PENALTY] * inputs.shape[1], 0.0])
        found = np.zeros(columns.shape[1])
        for _ in range(STEPS):
            chance = 1 / (1 + np.exp(-columns @ found))
            slope = columns.T @ (share * (chance - right)) + penalty @ found
            bend = columns.T @ ((share * chance * (1 - chance))[:, None] * columns) + penalty
            found = found - np.linalg.solve(bend, slope)
        weights = found[:-1] / deviation
        return cls(tuple(weights.tolist()), float(found[-1] - weights @ mean), about)

    @staticmethod
    def path(weights: str) -> str:
        """The path of the calibration of a weights file: it lies beside that file."""
        return os.path.splitext(weights)[0] + ".score.json"

    @classmethod
    def load(cls, path) -> "Calibration":
        """Read a calibration from a file. ValueError: the file is no calibration."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            weights = tuple(float(w) for w in content["weights"])
            return cls(weights, float(content["bias"]), content.get("about"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is not a calibration of a score: make one with tools/calibrate_score.py"
            ) from error

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


def _inputs(confidences: np.ndarray) -> np.ndarray:
    """Confidences (N, K) -> inputs of the regression (N, K)."""
    network = confidences[:, :1].clip(FLOOR, 1 - FLOOR)
    return np.concatenate([np.log(network / (1 - network)), confidences[:, 1:]], axis=1)
