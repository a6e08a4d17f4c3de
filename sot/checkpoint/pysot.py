"""
Names and channel orders of PySOT's checkpoints (github.com/STVIR/pysot), mapped to this project's.

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

from typing import Dict, Iterable, Mapping, Sequence, Tuple

import torch

# One architecture's table: each name in a PySOT state_dict -> the name in ours.
Table = Dict[str, str]

_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def _conv_norm(conv: str, norm: str, ours: str, *, bias: bool = False) -> Table:
    """A convolution and the batch norm that follows it."""
    table = {f"{conv}.{name}": f"{ours}.{name}" for name in ("weight", "bias")[: 1 + bias]}
    table.update({f"{norm}.{name}": f"{ours}.norm.{name}" for name in _NORM})
    return table


def _alexnet_features() -> Table:
    """The model zoo's AlexNet: one Sequential of convolutions, norms, pools and ReLUs."""
    table = {}
    for i, conv in enumerate((0, 4, 8, 11, 14), start=1):
        theirs = "backbone.features"
        table.update(
            _conv_norm(f"{theirs}.{conv}", f"{theirs}.{conv + 1}", f"backbone.conv{i}", bias=True)
        )
    return table


def _alexnet_layers() -> Table:
    """PySOT's other AlexNet: the same network, with one Sequential for each convolution."""
    table = {}
    for i in range(1, 6):
        theirs = f"backbone.layer{i}"
        table.update(_conv_norm(f"{theirs}.0", f"{theirs}.1", f"backbone.conv{i}", bias=True))
    return table


def _depthwise_head(theirs: str, ours: str) -> Table:
    """A depthwise cross-correlation head: the same three parts for cls and for loc."""
    table = {}
    for branch in ("cls", "loc"):
        a, b = f"{theirs}.{branch}", f"{ours}.{branch}"
        for part in ("conv_kernel", "conv_search"):
            table.update(_conv_norm(f"{a}.{part}.0", f"{a}.{part}.1", f"{b}.{part}"))
        table.update(_conv_norm(f"{a}.head.0", f"{a}.head.1", f"{b}.head.0"))
        table.update({f"{a}.head.3.{name}": f"{b}.head.1.{name}" for name in ("weight", "bias")})
    return table


def _resnet50() -> Table:
    """The dilated ResNet-50: PySOT's layer1-4 are detectron2's res2-5."""
    table = _conv_norm("backbone.conv1", "backbone.bn1", "backbone.stem.conv1")
    for stage, num_blocks in zip((2, 3, 4, 5), (3, 4, 6, 3)):
        for i in range(num_blocks):
            a, b = f"backbone.layer{stage - 1}.{i}", f"backbone.res{stage}.{i}"
            for k in (1, 2, 3):
                table.update(_conv_norm(f"{a}.conv{k}", f"{a}.bn{k}", f"{b}.conv{k}"))
        first, ours = f"backbone.layer{stage - 1}.0.downsample", f"backbone.res{stage}.0.shortcut"
        table.update(_conv_norm(f"{first}.0", f"{first}.1", ours))
    return table


def _mobilenet_v2() -> Table:
    """MobileNetV2: a stem and seven stages of inverted residuals."""
    table = _conv_norm("backbone.layer0.0", "backbone.layer0.1", "backbone.layer0")
    for stage, num_blocks in enumerate((1, 2, 3, 4, 3, 3, 1), start=1):
        for i in range(num_blocks):
            ours = f"backbone.layer{stage}.{i}"
            for k, part in zip((0, 3, 6), ("expand", "depthwise", "project")):
                conv, norm = (f"{ours}.conv.{n}" for n in (k, k + 1))
                table.update(_conv_norm(conv, norm, f"{ours}.{part}"))
    return table


def _levels(features: Sequence[str], *, weighted: bool) -> Table:
    """Neck and depthwise heads of three levels, which PySOT counts from 2."""
    table, head = {}, "proposal_generator.rpn_head"
    for i, feature in enumerate(features):
        neck = f"neck.downsample{i + 2}.downsample"
        table.update(_conv_norm(f"{neck}.0", f"{neck}.1", f"neck.adjust.{feature}"))
        table.update(_depthwise_head(f"rpn_head.rpn{i + 2}", f"{head}.heads.{i}"))
    if weighted:
        names = ("cls_weight", "loc_weight")
        table.update({f"rpn_head.{name}": f"{head}.{name}" for name in names})
    return table


_HEAD = _depthwise_head("rpn_head", "proposal_generator.rpn_head")
_RES = ("res3", "res4", "res5")
_MOBILE = ("layer3", "layer5", "layer7")

ARCHITECTURES: Dict[str, Table] = {
    "AlexNet depthwise (backbone.features)": {**_alexnet_features(), **_HEAD},
    "AlexNet depthwise (backbone.layer1-5)": {**_alexnet_layers(), **_HEAD},
    "ResNet-50 depthwise, three weighted levels": {**_resnet50(), **_levels(_RES, weighted=True)},
    "ResNet-50 depthwise, mean of three levels": {**_resnet50(), **_levels(_RES, weighted=False)},
    "MobileNetV2 depthwise, mean of three levels": {
        **_mobilenet_v2(),
        **_levels(_MOBILE, weighted=False),
    },
}


def is_pysot(weights: Iterable[str]) -> bool:
    """
    Args:
        weights: the names in a state_dict, without a "module." prefix.

    Returns:
        whether they are PySOT's: its head is a child of the whole network, ours of the
        proposal generator.
    """
    return any(name.startswith("rpn_head.") for name in weights)


def find_table(weights: Mapping[str, torch.Tensor]) -> Tuple[str, Table]:
    """
    Args:
        weights: a PySOT state_dict, without a "module." prefix.

    Returns:
        name and table of its architecture.

    Raises:
        ValueError: names that no known architecture has, or names of the nearest known
            architecture that are missing (a batch norm's ``num_batches_tracked`` may be: the
            first versions of PyTorch did not have it).
    """
    # the most names in common, and of tables that hold one another the smallest that does
    name, table = max(
        ARCHITECTURES.items(),
        key=lambda item: (len(weights.keys() & item[1].keys()), -len(item[1])),
    )
    unknown = [key for key in weights if key not in table]
    missing = [key for key in table if key not in weights and not is_counter(key)]
    if len(unknown) == len(weights):
        raise ValueError(
            f"PySOT weights of an architecture that is not supported (with {first_of(unknown)}); "
            f"supported: {', '.join(ARCHITECTURES)}"
        )
    if unknown or missing:
        raise ValueError(
            f"nearest to PySOT's {name}, but {len(missing)} of its tensors are missing "
            f"({first_of(missing)}) and {len(unknown)} are unknown ({first_of(unknown)})"
        )
    return name, table


def convert_pysot(weights: Mapping[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
    """
    Args:
        weights: a PySOT state_dict, without a "module." prefix. Widths are free; the last layers
            must have 2 (cls) and 4 (loc) channels per anchor.

    Returns:
        this project's state_dict: every tensor of ``weights`` under its new name, the last layers
        of cls folded to one logit per anchor and those of loc reordered.

    Raises:
        ValueError: as :func:`find_table`, and for a last layer with another number of channels.
    """
    _, table = find_table(weights)
    return {table[key]: _reorder(key, value) for key, value in weights.items()}


def is_counter(name: str) -> bool:
    """Whether the tensor only counts training steps, so that outputs do not depend on it."""
    return name.endswith(".num_batches_tracked")


def first_of(names: Iterable[str], count: int = 3) -> str:
    """The first few names, for a one-line message: "a, b, c and 5 more", or "none"."""
    names = [str(name) for name in names]
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more or "none"


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
