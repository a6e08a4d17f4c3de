"""Single-object tracking with Siamese networks on detectron2."""

import warnings

# detectron2 0.6 scripts functions while it is imported, which newer versions of torch deprecate
warnings.filterwarnings("ignore", message=".*torch.jit.script.*")

from . import data as _data  # noqa: F401  registers datasets
from . import modeling as _modeling  # noqa: F401  registers networks
from .api import build_model, build_tracker, track
from .config import add_sot_config, list_configs, load_config
from .tracking import SiameseTracker, SiamFCTracker, SiamRPNTracker, TargetState, TrackResult

__version__ = "0.2.0"

__all__ = [
    "SiamFCTracker",
    "SiamRPNTracker",
    "SiameseTracker",
    "TargetState",
    "TrackResult",
    "add_sot_config",
    "build_model",
    "build_tracker",
    "list_configs",
    "load_config",
    "track",
]
