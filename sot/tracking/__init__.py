from .siamfc import SiamFCTracker
from .siamrpn import SiamRPNTracker
from .state import TargetState, TrackResult
from .tracker import TRACKER_REGISTRY, SiameseTracker, build_siamese_tracker

__all__ = [
    "TRACKER_REGISTRY",
    "SiamFCTracker",
    "SiamRPNTracker",
    "SiameseTracker",
    "TargetState",
    "TrackResult",
    "build_siamese_tracker",
]
