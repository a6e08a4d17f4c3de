"""A score that means something: the chance that a box overlaps the target by more than a half."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple

import numpy as np

__all__ = ["RIGHT_ABOVE", "Calibration", "next_status"]

RIGHT_ABOVE = 0.5  # overlap with the true box above which a box is right
FLOOR = 0.005  # a network's score is taken to be this far from 0 and 1 at least
PENALTY = 0.03  # on the squared weights of the fit, of standardised inputs
STEPS = 50  # of Newton's method, which needs about ten

# Calibrated scores at which the status changes: "tracked" from SURE on, "lost" below LOST. What was
# tracked stays so down to DOUBT; what was lost stays so, up to SURE.
SURE, DOUBT, LOST = 0.6, 0.5, 0.3


def next_status(before: str, score: float) -> str:
    """ "tracked", "uncertain" or "lost" after a frame with a calibrated score, and the status
    before."""
    if score >= SURE:
        return "tracked"
    if score < LOST or before == "lost":
        return "lost"
    return "tracked" if score >= DOUBT and before in ("init", "tracked") else "uncertain"


@dataclass(frozen=True)
class Calibration:
    """A logistic regression from a tracker's confidences (see Match) to the chance of a right box.

    Attributes:
        weights: of each confidence; that of the network's, the first one, is of its log-odds.
        bias: the log-odds of a right box where the others are 0.
        about: what it was fitted on, in words and numbers.
    """

    weights: Tuple[float, ...]
    bias: float
    about: Optional[Dict] = None

    def __call__(self, confidences: Sequence[float]) -> Optional[float]:
        """The chance, 0..1; None for a tracker with other confidences than it was fitted to, as
        one with the online model switched off."""
        if len(confidences) != len(self.weights):
            return None
        inputs = _inputs(np.asarray(confidences, dtype=np.float64)[None])[0]
        return float(1 / (1 + np.exp(-self.bias - inputs @ self.weights)))

    @classmethod
    def fit(cls, confidences, right, videos, about: Optional[Dict] = None) -> "Calibration":
        """Of N frames, in which each video counts alike.

        Args:
            confidences: (N, K).
            right: (N,) bool, whether the box overlaps the true one by more than RIGHT_ABOVE.
            videos: (N,) what video a frame is of.

        Raises:
            ValueError: no frame is right, or none wrong.
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
        """Where the calibration of a file of weights is: beside it."""
        return os.path.splitext(weights)[0] + ".score.json"

    @classmethod
    def load(cls, path) -> "Calibration":
        """ValueError if the file is no calibration."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            weights = tuple(float(w) for w in content["weights"])
            return cls(weights, float(content["bias"]), content.get("about"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is no calibration of a score: write it anew with tools/calibrate_score.py"
            ) from error

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


def _inputs(confidences: np.ndarray) -> np.ndarray:
    """(N, K) confidences -> (N, K) what the regression sees."""
    network = confidences[:, :1].clip(FLOOR, 1 - FLOOR)
    return np.concatenate([np.log(network / (1 - network)), confidences[:, 1:]], axis=1)
