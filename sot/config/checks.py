"""Values that no network, training or tracker can be made of: each is one line with its key."""

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
}
AT_LEAST = {
    1: (
        "SOLVER.MAX_ITER SOLVER.IMS_PER_BATCH SOLVER.CHECKPOINT_PERIOD INPUT.TEMPLATE_SIZE "
        "INPUT.SEARCH_SIZE_TRAIN INPUT.SEARCH_SIZE_TEST TEST.TRACKER.NUM_SCALES "
        "TEST.TRACKER.RESPONSE_UP TEST.TRACKER.BATCH_SEQUENCES"
    ),
    0: (
        "SOLVER.CHECKPOINT_KEEP DATALOADER.NUM_WORKERS TEST.EVAL_PERIOD VIS_PERIOD "
        "TEST.TRACKER.CENTER_SIZE TEST.TRACKER.LOST_SEARCH_SIZE INPUT.CONTEXT_AMOUNT "
        "TEST.TRACKER.PENALTY_K TEST.TRACKER.MIN_SIDE"
    ),
}
CROP_SIZES = (
    "INPUT.TEMPLATE_SIZE",
    "INPUT.SEARCH_SIZE_TRAIN",
    "INPUT.SEARCH_SIZE_TEST",
    "TEST.TRACKER.LOST_SEARCH_SIZE",
)
LARGEST_CROP = 4096  # more takes all memory
FRACTIONS = (  # and all keys *_PROB
    "DATALOADER.NEGATIVE_PAIR_FRACTION",
    "TEST.TRACKER.WINDOW_INFLUENCE",
    "TEST.TRACKER.SIZE_LR",
)


def check_config(cfg: CN) -> None:
    """ValueError for a name that is not registered, a number out of its range, or no device; names
    the key and what it may be."""
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
    for key in CROP_SIZES:
        if values[key] > LARGEST_CROP:
            raise ValueError(f"{key} is {values[key]}: it must be at most {LARGEST_CROP}")
    for key, value in values.items():
        if (key.endswith("_PROB") or key in FRACTIONS) and not 0 <= value <= 1:
            raise ValueError(f"{key} is {value}: it must be from 0 to 1")
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


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ValueError(f"MODEL.DEVICE {name!r} is not there: write cpu or cuda") from None
    return device


def resolve_device(device: str) -> str:
    """``device``, or "cpu" (and a line in the log) where it asks for a GPU and there is none."""
    if _device(device).type == "cuda" and not torch.cuda.is_available():
        logging.getLogger(__name__).info(f"no GPU for MODEL.DEVICE {device!r}: using the CPU")
        return "cpu"
    return device
