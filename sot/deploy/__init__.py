"""Networks that run outside of PyTorch."""

from .engine import OnnxNetwork, inference_network
from .export import export_network, tracker_settings
from .nanotrack import NanoTrack

__all__ = [
    "NanoTrack",
    "OnnxNetwork",
    "export_network",
    "inference_network",
    "tracker_settings",
]
