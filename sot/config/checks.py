"""Checks the values of a config. A value that cannot be used is an error of one line that names its
key."""

import logging
from typing import Any, Iterator, Tuple

import torch
from detectron2.config import CfgNode as CN
from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY, PROPOSAL_GENERATOR_REGISTRY
from detectron2.modeling.anchor_generator import ANCHOR_GENERATOR_REGISTRY
from detectron2.modeling.proposal_generator.rpn import RPN_HEAD_REGISTRY

NAMES = {
    "MODEL.META_ARCHITECTURE": META_ARCH_REGISTRY,
    "MODEL.BACKBONE.NAME": BACKBONE_REGISTRY,
    "MODEL.PROPOSAL_GENERATOR.NAME": PROPOSAL_GENERATOR_REGISTRY,
    "MODEL.ANCHOR_GENERATOR.NAME": ANCHOR_GENERATOR_REGISTRY,
    "MODEL.RPN.HEAD_NAME": RPN_HEAD_REGISTRY,
    "MODEL.SIAMESE.LEVEL_HEAD": RPN_HEAD_REGISTRY,
}
CHOICES = {
    "TEST.TRACKER.ENGINE": ("auto", "torch", "onnxruntime"),
    "TEST.TRACKER.CROP": ("subpixel", "pysot"),
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": ("value", "norm", "full_model"),
}
AT_LEAST = {
    1: (
        "SOLVER.MAX_ITER SOLVER.IMS_PER_BATCH SOLVER.CHECKPOINT_PERIOD INPUT.TEMPLATE_SIZE "
        "INPUT.SEARCH_SIZE_TRAIN INPUT.SEARCH_SIZE_TEST TEST.TRACKER.NUM_SCALES "
        "TEST.TRACKER.RESPONSE_UP TEST.TRACKER.BATCH_SEQUENCES TEST.TRACKER.SCALE_STEP "
        "MODEL.RPN.BATCH_SIZE_PER_IMAGE"
    ),
    0: "VIS_PERIOD",  # and all keys of these sections
}
NOT_NEGATIVE = ("INPUT.", "DATASETS.", "DATALOADER.", "SOLVER.", "TEST.")
OF_SCORES = ("_ABOVE", "_BELOW", "_THRESHOLD")  # keys that may be out of reach of any score
LENGTHS = {
    "MODEL.PIXEL_MEAN": 3,
    "MODEL.PIXEL_STD": 3,
    "TEST.TRACKER.ONLINE.ACCEPT_ABOVE": 2,
    "TEST.TRACKER.ONLINE.SURE_ABOVE": 2,
    "TEST.TRACKER.ONLINE.FOUND_ABOVE": 2,
}
ABOVE_ZERO = (
    "MODEL.PIXEL_STD",
    "MODEL.ANCHOR_GENERATOR.SIZES",
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS",
    "SOLVER.BASE_LR",
)
AT_MOST = {
    4096: (  # larger crops would take all memory
        "INPUT.TEMPLATE_SIZE INPUT.SEARCH_SIZE_TRAIN INPUT.SEARCH_SIZE_TEST "
        "TEST.TRACKER.LOST_SEARCH_SIZE"
    ),
    0.99: "INPUT.TEMPLATE_AUG.SCALE INPUT.SEARCH_AUG.SCALE",  # else a crop may have no size
    2**32 - 1: "SEED",
}
FRACTIONS = (  # and all keys *_PROB
    "MODEL.RPN.POSITIVE_FRACTION",
    "DATALOADER.NEGATIVE_PAIR_FRACTION",
    "SOLVER.EMA.DECAY",
    "TEST.TRACKER.WINDOW_INFLUENCE",
    "TEST.TRACKER.SIZE_LR",
    "TEST.TRACKER.ONLINE.WINDOW_INFLUENCE",
    "TEST.TRACKER.ONLINE.SHARE",
    "TEST.TRACKER.ONLINE.RATE",
    "TEST.TRACKER.ONLINE.TEMPLATE_SHARE",
)
TOO_LARGE = 2**63


def check_config(cfg: CN) -> None:
    """Check the values of a config. ValueError: a name is not registered, a number is out of its
    range, or the device does not exist. The message names the key and its possible values."""
    values = dict(flat(cfg))
    for key, registry in NAMES.items():
        if values[key] not in registry:
            known = ", ".join(sorted(name for name, _ in registry))
            raise ValueError(f"{key} {values[key]!r} is not known; known are {known}")
    for key, choices in CHOICES.items():
        if values[key] not in choices:
            raise ValueError(f"{key} {values[key]!r} is not known; known are {', '.join(choices)}")
    for least, keys in AT_LEAST.items():
        for key in keys.split():
            if values[key] < least:
                raise ValueError(f"{key} is {values[key]}: it must be at least {least}")
    for most, keys in AT_MOST.items():
        for key in keys.split():
            if values[key] > most:
                raise ValueError(f"{key} is {values[key]}: it must be at most {most}")
    for key, value in values.items():
        if (key.endswith("_PROB") or key in FRACTIONS) and not 0 <= value <= 1:
            raise ValueError(f"{key} is {value}: it must be from 0 to 1")
        numbers = [v for v in leaves(value) if isinstance(v, (int, float))]
        negative = not key.endswith(OF_SCORES) and any(v < 0 for v in numbers)
        if key.startswith(NOT_NEGATIVE) and negative:
            raise ValueError(f"{key} is {value}: it must be at least 0")
        if not all(abs(v) < TOO_LARGE for v in numbers):
            raise ValueError(f"{key} is {value}: its numbers must be finite, and below 2**63")
    for key, length in LENGTHS.items():
        if len(values[key]) != length:
            raise ValueError(f"{key} is {values[key]}: it must hold {length} numbers")
    for key in ABOVE_ZERO:
        if not all(v > 0 for v in leaves(values[key])):
            raise ValueError(f"{key} is {values[key]}: it must be above 0")
    if cfg.SOLVER.IMS_PER_BATCH % max(cfg.SOLVER.REFERENCE_WORLD_SIZE, 1):
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH is {cfg.SOLVER.IMS_PER_BATCH}: it must be a multiple of "
            f"SOLVER.REFERENCE_WORLD_SIZE, {cfg.SOLVER.REFERENCE_WORLD_SIZE}"
        )
    if not cfg.OUTPUT_DIR:
        raise ValueError("OUTPUT_DIR is empty: name a folder")
    for row in cfg.TEST.EXPECTED_RESULTS:
        kinds = [str, str, (int, float), (int, float)]
        entries = row if isinstance(row, (list, tuple)) else ()
        if len(entries) != 4 or not all(map(isinstance, entries, kinds)):
            raise ValueError(
                f"TEST.EXPECTED_RESULTS has {row!r}: write task, measure, value and tolerance, as "
                "['ope', 'success_auc', 0.5, 0.01]"
            )
    for key in ("INPUT.SEARCH_SIZE_TRAIN", "INPUT.SEARCH_SIZE_TEST"):
        if values[key] < values["INPUT.TEMPLATE_SIZE"]:
            raise ValueError(f"{key} is {values[key]}: it must be at least INPUT.TEMPLATE_SIZE")
    _device(cfg.MODEL.DEVICE)


def flat(node: dict, prefix: str = "") -> Iterator[Tuple[str, Any]]:
    """Pairs of full key and value: {"A": {"B": 1}} gives ("A.B", 1)."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def leaves(value) -> Iterator[Any]:
    """The entries of a nested list, at any depth. A value that is no list is its own entry."""
    if isinstance(value, (list, tuple)):
        for entry in value:
            yield from leaves(entry)
    else:
        yield value


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ValueError(f"MODEL.DEVICE {name!r} is not available: write cpu or cuda") from None
    return device


def resolve_device(device: str) -> str:
    """The device itself, or "cpu" if it is a GPU and there is none, which is logged."""
    if _device(device).type == "cuda" and not torch.cuda.is_available():
        logging.getLogger(__name__).info(f"no GPU for MODEL.DEVICE {device!r}: using the CPU")
        return "cpu"
    return device
