from .sequence import SequenceTracker
from .tracker import SiamRPNTracker, TargetState, TrackResult

__all__ = ["SequenceTracker", "SiamRPNTracker", "TargetState", "TrackResult"]
