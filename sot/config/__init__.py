"""The config: its keys, and how one is found, loaded and checked."""

from .checks import check_config, resolve_device
from .files import find_config, list_configs, load_config, merge_opts, resource_dir
from .keys import add_sot_config

__all__ = [
    "add_sot_config",
    "check_config",
    "find_config",
    "list_configs",
    "load_config",
    "merge_opts",
    "resolve_device",
    "resource_dir",
]
