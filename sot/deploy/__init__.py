"""Networks that run outside of PyTorch."""

from .nanotrack import NanoTrack

__all__ = ["NanoTrack"]
