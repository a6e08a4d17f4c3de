"""Single-object tracking with Siamese networks on detectron2."""

import importlib.util
import warnings
from pathlib import Path

if importlib.util.find_spec("detectron2") is None:  # setup.py cannot ask for it: see INSTALL.md
    _installer = Path(__file__).resolve().parent.parent / "tools" / "install_detectron2.py"
    _command = (
        f"python {_installer}"
        if _installer.is_file()
        else "pip install --no-build-isolation git+https://github.com/facebookresearch/detectron2"
    )
    raise ImportError(f"sot needs detectron2, which is not installed; run: {_command}")

# detectron2 0.6 scripts functions when it is imported, which newer versions of torch deprecate
warnings.filterwarnings("ignore", message=".*torch.jit.script.*")

from . import data as _data  # noqa: F401  registers the datasets
from . import modeling as _modeling  # noqa: F401  registers the networks
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
