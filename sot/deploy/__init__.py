"""Runs networks outside of PyTorch."""

from .engine import OnnxNetwork, inference_network, shipped_graphs
from .export import crop_sizes, export_network, network_key, tracker_settings
from .nanotrack import NanoTrack

__all__ = [
    "NanoTrack",
    "OnnxNetwork",
    "crop_sizes",
    "export_network",
    "inference_network",
    "network_key",
    "shipped_graphs",
    "tracker_settings",
]
