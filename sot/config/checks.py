"""Checks the values of a config. A value that cannot be used is an error of one line that names its
key."""

import fnmatch
import logging
from math import inf
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
    "TEST.TRACKER.ENGINE": ("auto", "torch", "onnxruntime", "openvino"),
    "TEST.TRACKER.CROP": ("subpixel", "pysot"),
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": ("value", "norm", "full_model"),
}
# (least, most, keys): the range of the numbers of keys, in which * stands for any letters
RANGES = (
    (
        1,
        inf,
        "SOLVER.MAX_ITER SOLVER.IMS_PER_BATCH SOLVER.CHECKPOINT_PERIOD INPUT.TEMPLATE_SIZE "
        "INPUT.SEARCH_SIZE_TRAIN INPUT.SEARCH_SIZE_TEST TEST.TRACKER.NUM_SCALES "
        "TEST.TRACKER.RESPONSE_UP TEST.TRACKER.BATCH_SEQUENCES TEST.TRACKER.SCALE_STEP "
        "MODEL.RPN.BATCH_SIZE_PER_IMAGE MODEL.ALEXNET.CHANNELS MODEL.ALEXNET.GROUPS "
        "MODEL.ALEXNET.KERNELS MODEL.ALEXNET.STRIDES MODEL.COMPACT.CHANNELS MODEL.CIR.NUM_UNITS "
        "MODEL.SIAMESE.ADJUST_CHANNELS",
    ),
    (1, 2, "MODEL.CIR.STRIDES"),
    # larger crops would take all memory
    (-inf, 4096, "INPUT.TEMPLATE_SIZE INPUT.SEARCH_SIZE_* TEST.TRACKER.LOST_SEARCH_SIZE"),
    (-inf, 0.99, "INPUT.*_AUG.SCALE"),  # else a crop may have no size
    (-inf, 2**32 - 1, "SEED"),
    (
        0,
        1,
        "*_PROB MODEL.RPN.POSITIVE_FRACTION DATALOADER.NEGATIVE_PAIR_FRACTION SOLVER.EMA.DECAY "
        "TEST.*WINDOW_INFLUENCE TEST.TRACKER.SIZE_LR TEST.TRACKER.ONLINE.SHARE "
        "TEST.TRACKER.ONLINE.RATE TEST.TRACKER.ONLINE.TEMPLATE_SHARE",
    ),
    (
        0,
        inf,
        "VIS_PERIOD INPUT.* DATASETS.* DATALOADER.* SOLVER.* TEST.* MODEL.ALEXNET.POOL_STRIDES "
        "MODEL.COMPACT.NUM_BLOCKS MODEL.CIR.STEM_POOL MODEL.SIAMESE.* MODEL.DISTILL.*",
    ),
)
OF_SCORES = ("_ABOVE", "_BELOW", "_THRESHOLD")  # thresholds, which may be a value that no score has
LENGTHS = {
    "MODEL.PIXEL_MEAN": 3,
    "MODEL.PIXEL_STD": 3,
    "MODEL.COMPACT.CHANNELS": 4,
    "TEST.TRACKER.ONLINE.ACCEPT_ABOVE": 2,
    "TEST.TRACKER.ONLINE.SURE_ABOVE": 2,
    "TEST.TRACKER.ONLINE.FOUND_ABOVE": 2,
}
ABOVE_ZERO = (
    "MODEL.PIXEL_STD",
    "MODEL.ANCHOR_GENERATOR.SIZES",
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS",
    "MODEL.MOBILENET.WIDTH",
    "SOLVER.BASE_LR",
)
TOO_LARGE = 2**63


def check_config(cfg: CN) -> None:
    """Check the values of a config. ValueError: a name is not registered, a number is out of its
    range, or the device does not exist. The message names the key and its possible values."""
    for fault in _faults(cfg):
        raise ValueError(fault)
    _device(cfg.MODEL.DEVICE)


def _faults(cfg: CN) -> Iterator[str]:
    values = dict(flat(cfg))
    choices = {key: sorted(name for name, _ in registry) for key, registry in NAMES.items()}
    for key, known in {**choices, **CHOICES}.items():
        if values[key] not in known:
            yield f"{key} {values[key]!r} is not known; known are {', '.join(known)}"
    numbers = {k: [n for n in leaves(v) if isinstance(n, (int, float))] for k, v in values.items()}
    for least, most, keys in RANGES:
        low, high = f"at least {least}", f"at most {most}"
        wanted = high if least == -inf else low if most == inf else f"from {least} to {most}"
        for key in (key for pattern in keys.split() for key in fnmatch.filter(values, pattern)):
            if not key.endswith(OF_SCORES) and any(n < least or n > most for n in numbers[key]):
                yield f"{key} is {values[key]}: it must be {wanted}"
    for key, value in values.items():
        if not all(abs(n) < TOO_LARGE for n in numbers[key]):
            yield f"{key} is {value}: its numbers must be finite, and below 2**63"
    for key, length in LENGTHS.items():
        if len(values[key]) != length:
            yield f"{key} is {values[key]}: it must hold {length} numbers"
    for key in ABOVE_ZERO:
        found = list(leaves(values[key]))
        if not found:
            yield f"{key} is {values[key]}: it must hold a number"
        elif min(found) <= 0:
            yield f"{key} is {values[key]}: it must be above 0"
    solver = cfg.SOLVER
    if solver.IMS_PER_BATCH % max(solver.REFERENCE_WORLD_SIZE, 1):
        yield (
            f"SOLVER.IMS_PER_BATCH is {solver.IMS_PER_BATCH}: it must be a multiple of "
            f"SOLVER.REFERENCE_WORLD_SIZE, {solver.REFERENCE_WORLD_SIZE}"
        )
    if not cfg.OUTPUT_DIR:
        yield "OUTPUT_DIR is empty: name a folder"
    for row in cfg.TEST.EXPECTED_RESULTS:
        kinds = [str, str, (int, float), (int, float)]
        entries = row if isinstance(row, (list, tuple)) else ()
        if len(entries) != 4 or not all(map(isinstance, entries, kinds)):
            yield (
                f"TEST.EXPECTED_RESULTS has {row!r}: write task, measure, value and tolerance, as "
                "['ope', 'success_auc', 0.5, 0.01]"
            )
    for key in ("INPUT.SEARCH_SIZE_TRAIN", "INPUT.SEARCH_SIZE_TEST"):
        if values[key] < cfg.INPUT.TEMPLATE_SIZE:
            yield f"{key} is {values[key]}: it must be at least INPUT.TEMPLATE_SIZE"


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
