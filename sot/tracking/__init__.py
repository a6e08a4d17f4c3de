from .calibration import Calibration
from .follow import DIRECTIONS, BothWays, Estimate, Step, Target, blend, follow
from .siamfc import SiamFCTracker
from .siamrpn import SiamRPNTracker
from .state import TargetState, TrackResult
from .tracker import TRACKER_REGISTRY, SiameseTracker, build_siamese_tracker

__all__ = [
    "DIRECTIONS",
    "TRACKER_REGISTRY",
    "BothWays",
    "Calibration",
    "Estimate",
    "SiamFCTracker",
    "SiamRPNTracker",
    "SiameseTracker",
    "Step",
    "Target",
    "TargetState",
    "TrackResult",
    "blend",
    "build_siamese_tracker",
    "follow",
]
