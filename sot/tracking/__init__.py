from .siamfc import SiamFCTracker
from .siamrpn import SiamRPNTracker
from .tracker import (
    TRACKER_REGISTRY,
    SiameseTracker,
    TargetState,
    TrackResult,
    build_siamese_tracker,
)

__all__ = [
    "TRACKER_REGISTRY",
    "SiamFCTracker",
    "SiamRPNTracker",
    "SiameseTracker",
    "TargetState",
    "TrackResult",
    "build_siamese_tracker",
]
