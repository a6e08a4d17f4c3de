from .both_ways import DIRECTIONS, BothWays, blend
from .calibration import Calibration
from .follow import Course, Estimate, Step, Target, follow, follow_together
from .siamfc import SiamFCTracker
from .siamrpn import SiamRPNTracker
from .state import TargetState, TrackResult
from .tracker import TRACKER_REGISTRY, SiameseTracker, build_siamese_tracker

__all__ = [
    "DIRECTIONS",
    "TRACKER_REGISTRY",
    "BothWays",
    "Calibration",
    "Course",
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
    "follow_together",
]
