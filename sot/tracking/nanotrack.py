"""Tracking with NanoTrack V3, as a baseline."""

from ..deploy import NanoTrack
from .siamrpn import SiamRPNTracker


def build_nanotrack(backbone: str, head: str, num_threads: int = 1) -> SiamRPNTracker:
    """Build NanoTrack V3 with the settings of its authors. For the arguments and errors see
    sot.deploy.NanoTrack."""
    network = NanoTrack(backbone, head, num_threads)
    return SiamRPNTracker(
        network,
        template_size=network.template_size,
        search_size=network.search_size,
        context=0.5,
        window_influence=0.455,
        penalty_k=0.138,
        size_lr=0.348,
    )
