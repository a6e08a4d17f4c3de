"""Trackers of this project with the interfaces of other libraries.

The experiments of GOT-10k's toolkit (github.com/got-10k/toolkit) take a `Got10kTracker`:

    from got10k.experiments import ExperimentGOT10k
    tracker = Got10kTracker(sot.build_tracker("SiamRPN/siamrpn_lite.yaml"), "ours")
    ExperimentGOT10k("data/GOT-10k", subset="val").run(tracker)

Code that uses a tracker of OpenCV takes an `OpenCVStyleTracker` instead.
"""

from typing import Sequence, Tuple

import numpy as np

from .tracking import SiameseTracker

try:
    from got10k.trackers import Tracker as _Got10kBase
except ImportError:  # the toolkit only asks for the methods
    _Got10kBase = object


class Got10kTracker(_Got10kBase):
    """A tracker for the experiments of GOT-10k's toolkit, made from a tracker of
    `sot.build_tracker` and a name for the folder of its results. Boxes are x, y, w, h in pixels, as
    the toolkit gives them."""

    def __init__(self, tracker: SiameseTracker, name: str):
        # the toolkit runs a deterministic tracker only once
        self.name, self.is_deterministic = name, True
        self.tracker = tracker

    def init(self, image, box: Sequence[float]) -> None:
        """Start on a box in a PIL image or an array (H, W, 3) uint8 RGB. ValueError: see
        SiameseTracker.start."""
        self.tracker.init(_bgr(image), box)

    def update(self, image) -> np.ndarray:
        """The box (4,), x, y, w, h, in the next image. RuntimeError: `init` was not called."""
        return np.array(self.tracker.update(_bgr(image)).box)


class OpenCVStyleTracker:
    """A tracker with the methods of `cv2.Tracker`, made from a tracker of `sot.build_tracker`."""

    def __init__(self, tracker: SiameseTracker):
        self.tracker = tracker
        self.score = 1.0

    def init(self, image: np.ndarray, boundingBox: Sequence[float]) -> None:
        """Start in an image (H, W, 3) uint8 BGR on a box x, y, w, h in pixels. ValueError: see
        SiameseTracker.start."""
        self.tracker.init(image, boundingBox)
        self.score = 1.0

    def update(self, image: np.ndarray) -> Tuple[bool, Tuple[int, int, int, int]]:
        """Find the target in the next image.

        Returns:
            whether it was found (the status is "tracked"), and its box x, y, w, h in whole pixels,
            as from OpenCV. If it was not found, the box is the best guess.

        Raises:
            RuntimeError: `init` was not called.
        """
        box, self.score, status = self.tracker.update(image)
        x, y, w, h = (round(v) for v in box)
        return status == "tracked", (x, y, w, h)

    def getTrackingScore(self) -> float:
        """The score of the last box, 0..1."""
        return self.score


def _bgr(image) -> np.ndarray:
    """PIL image of any mode, or an RGB array -> (H, W, 3) uint8 BGR."""
    if not isinstance(image, np.ndarray):
        image = np.asarray(image.convert("RGB"))
    return np.ascontiguousarray(image[:, :, ::-1])
