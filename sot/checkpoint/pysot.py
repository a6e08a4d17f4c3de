"""Names and channel orders of PySOT's checkpoints (github.com/STVIR/pysot), mapped to ours.

What PySOT's weights hold, and where they differ from ours (A anchors per position):

* a convolution and its batch norm are two numbered members of a Sequential; here the norm is a
  child of the convolution, ``conv1`` and ``conv1.norm``;
* ``cls`` ends in 2*A channels, A for "not the object", then A for "the object", under a softmax
  over the two. Here it has one logit per anchor under a sigmoid, and
  softmax((neg, pos))[1] = sigmoid(pos - neg): the last layer is linear, so the difference of its
  rows is exactly our last layer;
* ``loc`` ends in 4*A channels with channel k*A + a for delta k (dx, dy, dw, dh) of anchor a; here
  it is a*4 + k, detectron2's order.
"""

from typing import Dict, Iterable, Mapping

import torch

from ..utils.command_line import first_few
from .names import Rules, rename, resnet_rules, with_norm


def is_pysot(weights: Iterable[str]) -> bool:
    """Whether the names in a state_dict, without a "module." prefix, are PySOT's: its head is a
    child of the whole network, ours of the proposal generator."""
    return any(name.startswith("rpn_head.") for name in weights)


def convert_pysot(weights: Mapping[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
    """Convert a state_dict of PySOT, without a "module." prefix, to one of this project. Every
    tensor gets its new name. The last layers of cls are folded to one logit per anchor, and those
    of loc are reordered. The widths of all other layers are free.

    ValueError: names that no network of PySOT's model zoo has, or a last layer that does not have
    2 (cls) or 4 (loc) channels per anchor."""
    rules = _rules(is_resnet="backbone.conv1.weight" in weights)
    names = {key: rename(key, rules) for key in weights}
    unknown = [key for key, name in names.items() if name is None]
    if unknown:
        raise ValueError(
            f"a network of PySOT that is not supported: {len(unknown)} of its {len(names)} tensors "
            f"are unknown ({first_few(unknown)}); supported are AlexNet, ResNet-50 and MobileNetV2 "
            "with depthwise correlation"
        )
    return {names[key]: _reorder(key, value) for key, value in weights.items()}


def _rules(is_resnet: bool) -> Rules:
    backbone = []
    for i, k in enumerate((0, 4, 8, 11, 14), start=1):  # AlexNet as one Sequential, and as five
        backbone += with_norm(rf"features\.{k}", rf"features\.{k + 1}", f"conv{i}")
    backbone += with_norm(r"layer([1-5])\.0", r"layer([1-5])\.1", r"conv\1")
    backbone += with_norm(r"layer0\.0", r"layer0\.1", "layer0")  # MobileNetV2
    for k, part in zip((0, 3, 6), ("expand", "depthwise", "project")):
        block = r"(layer[1-7]\.\d)\.conv"
        backbone += with_norm(rf"{block}\.{k}", rf"{block}\.{k + 1}", rf"\1.{part}")
    rules = [(rf"backbone\.{a}", f"backbone.{b}") for a, b in (*resnet_rules(), *backbone)]

    features = ("res3", "res4", "res5") if is_resnet else ("layer3", "layer5", "layer7")
    # the head of a network with one level; with several levels, PySOT counts them from 2
    heads = [(r"rpn_head", "proposal_generator.rpn_head")]
    for i, feature in enumerate(features):
        neck = rf"neck\.downsample{i + 2}\.downsample"
        rules += with_norm(rf"{neck}\.0", rf"{neck}\.1", f"neck.adjust.{feature}")
        heads.append((rf"rpn_head\.rpn{i + 2}", f"proposal_generator.rpn_head.heads.{i}"))
    for theirs, ours in heads:
        theirs, ours = rf"{theirs}\.(cls|loc)", rf"{ours}.\1"
        part = rf"{theirs}\.(conv_kernel|conv_search)"
        rules += with_norm(rf"{part}\.0", rf"{part}\.1", rf"{ours}.\2")
        rules += with_norm(rf"{theirs}\.head\.0", rf"{theirs}\.head\.1", f"{ours}.head.0")
        rules.append((rf"{theirs}\.head\.3", f"{ours}.head.1"))
    return [*rules, heads[0]]  # the last: the weights of the levels


def _reorder(key: str, value: torch.Tensor) -> torch.Tensor:
    """Channels of the last layers, from PySOT's order to ours; any other tensor as it is."""
    if ".cls.head.3." in key:
        negative, positive = _per_anchor(key, value, 2)  # (2*A, ...) -> (2, A, ...)
        return positive - negative
    if ".loc.head.3." in key:
        # (4*A, ...) -> (4, A, ...) -> (A, 4, ...) -> (A*4, ...)
        return _per_anchor(key, value, 4).transpose(0, 1).flatten(0, 1).contiguous()
    return value


def _per_anchor(key: str, value: torch.Tensor, channels: int) -> torch.Tensor:
    """(channels*A, ...) -> (channels, A, ...) in float32, so that half precision is not lost."""
    if value.dim() == 0 or value.shape[0] % channels:
        raise ValueError(
            f"{key} has the shape {tuple(value.shape)}; its first size must be {channels} * anchors"
        )
    return value.float().reshape(channels, -1, *value.shape[1:])
