"""How a config is found, read from files and changed by command lines.

Each error is one line that names the file and the key and says what to write instead.
"""

import difflib
import os
import re
from ast import literal_eval
from pathlib import Path
from typing import Any, List, NoReturn, Sequence, Tuple, Union

import yaml
from detectron2.config import CfgNode as CN
from detectron2.config import get_cfg

from .checks import check_config, flat, leaves
from .keys import REMOVED_KEYS, add_sot_config

KINDS = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
EXAMPLES = {  # for keys that are empty by default
    "DATASETS.TRAIN": ("folder:DIR",),
    "DATASETS.TEST": ("folder:DIR",),
    "DATASETS.TRAIN_REPEAT_FACTOR": (1.0,),
    "DATASETS.TRAIN_EPOCH_SIZE": (1000,),
    "DATASETS.FRAME_RANGE": (100,),
    "MODEL.DISTILL.TEACHER": ("backbone.onnx", "head.onnx"),
    "MODEL.SIAMESE.ADJUST_CHANNELS": [256],
    "SOLVER.WEIGHT_DECAY_BIAS": 0.0,
}


def resource_dir(name: str) -> Path:
    """The folder ``configs`` or ``weights``. It lies inside the installed package, or beside the
    package in a working copy of the project."""
    package = Path(__file__).resolve().parent.parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def list_configs() -> List[str]:
    """Names of the configs that come with the project, as ``load_config`` takes them."""
    root = resource_dir("configs")
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*.yaml"))


def find_config(config: Union[str, os.PathLike]) -> Path:
    """The file of a config, which is given by its path or by its name. FileNotFoundError: it is
    neither a file nor one of :func:`list_configs`, which the message lists."""
    for path in (Path(config).expanduser(), resource_dir("configs") / config):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"config {str(config)!r} is neither a file nor one of: {', '.join(list_configs())}"
    )


def load_config(config: Union[str, os.PathLike], opts: Sequence[Any] = ()) -> CN:
    """Load a config: the defaults of detectron2 and of this project, then a file, then overrides.

    The file is read as plain YAML. Unlike a config of detectron2, it cannot run code, and its
    ``_BASE_`` is a file and not an address.

    Args:
        config (str or Path): a yaml file, or the name of one that comes with the project,
            such as ``"SiamRPN/siamrpn_lite.yaml"``.
        opts (sequence): overrides, as ``[KEY, VALUE, KEY, VALUE, ...]``.

    Raises:
        FileNotFoundError: there is no such config.
        ValueError: the file is no config, or it sets a key that does not exist or to a value that
            the key cannot have. The message names the file and the key.
    """
    path = find_config(config)
    cfg = get_cfg()
    add_sot_config(cfg)
    for key, value in flat(_read(path)):
        _set(cfg, key, value, source=path)
    _override(cfg, opts)
    try:
        check_config(cfg)
    except ValueError as e:
        raise ValueError(f"{e} (config {path})") from None
    return cfg


def merge_opts(cfg: CN, opts: Sequence[Any]) -> CN:
    """Override keys of ``cfg`` in place by ``[KEY, VALUE, KEY, VALUE, ...]``, check it and return
    it.

    ValueError: a key does not exist or cannot have its value; or one of the keys is an option such
    as ``--resume``, because argparse hands on everything that follows the first KEY. The message
    names it."""
    _override(cfg, opts)
    check_config(cfg)
    return cfg


def _override(cfg: CN, opts) -> None:
    opts, source = list(opts), "the command line"
    for key in map(str, opts[::2]):
        late = re.match("--[a-z]", key)
        if late:
            _refuse(source, f"options such as {key} go before the KEY VALUE pairs")
        if "=" in key:
            _refuse(source, f"write {key.replace('=', ' ', 1)} in place of {key}")
    if len(opts) % 2:
        _refuse(source, f"{opts[-1]} has no value: write KEY VALUE KEY VALUE ...")
    for key, value in zip(opts[::2], opts[1::2]):
        _set(cfg, str(key), value, source)


def _refuse(source, message: str) -> NoReturn:
    raise ValueError(f"in {source}: {message}")


def _read(path: Path, above: Tuple[Path, ...] = ()) -> dict:
    """The content of a file, merged over that of its ``_BASE_`` files. ``above`` are the files
    whose ``_BASE_`` led here."""
    if path.resolve() in above:
        _refuse(above[-1], f"_BASE_: {path} leads back to this file")
    data = path.read_bytes()
    try:
        content = yaml.safe_load(data.decode("utf-8"))
    except Exception as e:  # the 13th month is a ValueError, other odd tags raise anything
        _refuse(path, f"no YAML of plain values: {' '.join(str(e).split())}")
    content = {} if content is None else content
    if not isinstance(content, dict):
        _refuse(path, f"no config of KEY: VALUE lines, but {content!r:.50}")
    bases = content.pop("_BASE_", [])
    bases = bases if isinstance(bases, list) else [bases]
    merged = {}
    for base in bases:
        if not isinstance(base, str) or not base or "://" in base:
            _refuse(path, f"_BASE_ must be the path of a config file, it is {base!r}")
        file = path.parent / Path(base).expanduser()
        if not file.is_file():
            raise FileNotFoundError(f"in {path}: _BASE_: there is no file {file}")
        _merge(_read(file, (*above, path.resolve())), merged)
    _merge(content, merged)
    return merged


def _merge(new: dict, into: dict) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(value, into[key])
        else:
            into[key] = value


def _set(cfg: CN, key: str, value, source) -> None:
    """Change one key of ``cfg``. As in yacs, a string may hold a Python literal such as "(1,
    2)"."""
    new = _literal(value)
    if key in REMOVED_KEYS:
        if new != REMOVED_KEYS[key]:
            fixed = f"its value is always {REMOVED_KEYS[key]} now"
            _refuse(source, f"the key {key} was removed, and {fixed}: leave it out")
        return
    node, (*sections, name) = cfg, key.split(".")
    for section in sections:
        node = node.get(section) if isinstance(node, CN) else None
    if not isinstance(node, CN) or name not in node:
        known = [k for k, _ in flat(cfg)]
        near = [k for k in known if k.endswith(f".{key}")] or difflib.get_close_matches(key, known)
        _refuse(source, f"there is no key {key}" + (f": do you mean {near[0]}?" if near else ""))
    default = node[name]
    if isinstance(default, CN):
        if value is None:  # all keys below it are commented out
            return
        keys = ", ".join(default)
        _refuse(source, f"{key} is a section: give a value to one of its keys, {keys}")
    if new is None and default is not None:
        _refuse(source, f"{key} is empty (~ and None mean that): give it a value")
    example = default or EXAMPLES.get(key, default)
    if isinstance(example, str) and type(new) in (int, float):
        new = value if isinstance(value, str) else str(value)  # OUTPUT_DIR 2024
    elif isinstance(example, float) and type(new) is int:
        new = float(str(new))  # inf if it is too large
    elif isinstance(example, (list, tuple)) and isinstance(new, (list, tuple)):
        new = type(example)(new)
    if None not in (example, new) and not _is_like(new, example):
        entry = new if isinstance(new, str) else "NAME"
        hint = f"; one entry needs a comma, as ({entry!r},)" if isinstance(example, tuple) else ""
        wanted = f"{KINDS.get(type(example), 'a list')}, as {example!r}"
        _refuse(source, f"{key} must be {wanted}, but it is {value!r}{hint}")
    if isinstance(new, str) and new.startswith("~"):
        new = os.path.expanduser(new)
    setattr(node, name, new)


def _is_like(new, example) -> bool:
    """Whether a value has the type of the example. The entries of a list must have the types that
    the entries of the example have."""

    def kinds(value):
        return {float if type(v) is int else type(v) for v in leaves(value)}

    listed = isinstance(example, (list, tuple)) and kinds(example)
    return type(new) is type(example) and (not listed or kinds(new) <= listed)


def _literal(value):
    try:
        return literal_eval(value) if isinstance(value, str) else value
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return value
