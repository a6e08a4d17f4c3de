from .both_ways import DIRECTIONS, BothWays, blend
from .build import TRACKER_REGISTRY, build_siamese_tracker
from .calibration import Calibration
from .follow import Course, Estimate, Step, Target, follow, follow_together
from .siamfc import SiamFCTracker
from .siamrpn import SiamRPNTracker
from .state import TargetState, TrackResult
from .tracker import SiameseTracker

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
