"""Networks and layers for inference alone: the same outputs for less work."""

import copy
import warnings
from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, FrozenBatchNorm2d)
# what an activation works on is the output of a convolution or norm, which nobody else reads
IN_PLACE = {F.relu: nn.ReLU(inplace=True), F.relu6: nn.ReLU6(inplace=True)}


def fuse_for_inference(model: nn.Module) -> nn.Module:
    """A copy of a network that gives the same outputs in eval mode, but for rounding, faster.

    Batch norms become part of the convolutions that they follow (those of detectron2's Conv2d),
    activations work in place, 1x1 convolutions are products of matrices, and the weights lie in
    memory as channels_last. A module that has a method ``fused()`` is replaced by what that
    returns. The copy has other parameters than the network: checkpoints are of the network.
    Modules that this does not know stay as they are.
    """
    model = fuse_layers(model)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if _is_pointwise(child):
                parent.add_module(name, _Pointwise(child))
    return model.to(memory_format=torch.channels_last)


def fuse_layers(model: nn.Module) -> nn.Module:
    """The part of :func:`fuse_for_inference` that every engine gains from: folded norms, and the
    modules with a method ``fused()``."""
    model = _fold_norms(model)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if hasattr(child, "fused"):
                parent.add_module(name, child.fused())
    return model


def _fold_norms(model: nn.Module) -> nn.Module:
    """A copy in eval mode: norms are part of the convolutions, activations work in place."""
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, Conv2d):
            _fold_norm(module)
            module.activation = IN_PLACE.get(module.activation, module.activation)
    return model


def _fold_norm(conv: Conv2d) -> None:
    norm = conv.norm
    if not isinstance(norm, BATCH_NORMS) or norm.running_mean is None:
        return
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    conv.norm = None


def _is_pointwise(module: nn.Module) -> bool:
    if not isinstance(module, Conv2d) or module.norm is not None:
        return False
    geometry = (module.kernel_size, module.stride, module.padding, module.groups)
    return geometry == ((1, 1), (1, 1), (0, 0), 1)


class _Pointwise(nn.Module):
    """A 1x1 convolution as the product of matrices that it is, which takes less time on a CPU."""

    def __init__(self, conv: Conv2d):
        super().__init__()
        self.weight = nn.Parameter(conv.weight.flatten(1), requires_grad=False)
        self.bias = conv.bias
        self.activation = conv.activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # channels_last in memory, so that both permutations are views
        out = F.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)
        return out if self.activation is None else self.activation(out)


def join_convolutions(convs: Sequence[Conv2d], apart: bool = False) -> Conv2d:
    """One convolution that gives the outputs of several of one kind, one after another. ``apart``:
    each has inputs of its own (which come one after another too, and the kernels are 1x1), else all
    have the same."""
    first, weights = convs[0], [c.weight for c in convs]
    alike = len({weight.shape for weight in weights}) == 1
    joined = Conv2d(
        sum(c.in_channels for c in convs) if apart else first.in_channels,
        sum(c.out_channels for c in convs),
        first.kernel_size,
        activation=first.activation,
        groups=len(convs) if apart and alike else 1,
    )
    if apart and not alike:  # mostly zeros
        weight = torch.block_diag(*[w.flatten(1) for w in weights])[..., None, None]
    else:
        weight = torch.cat(weights)
    joined.weight = nn.Parameter(weight, requires_grad=False)
    joined.bias = nn.Parameter(torch.cat([c.bias for c in convs]), requires_grad=False)
    return joined.eval()


class FrozenLayers:
    """Runs layers whose weights never change, without gradients, in less time than they take.

    On a CPU in float32 a copy of them with folded norms is compiled by TorchScript; elsewhere it is
    that of :func:`fuse_for_inference`. The copy is made at the first call, and again when other
    weights have been loaded. Copies and pickles of this object are without it.
    """

    # Images that pass at a time: nothing is kept for a backward pass, and the large maps of a few
    # images take little memory (and as much time as those of all).
    CHUNK = 4

    def __init__(self):
        self._copies = {}  # by what they were made of and for

    def __getstate__(self):
        return {"_copies": {}}

    @torch.no_grad()
    def __call__(
        self, layers: Sequence[nn.Module], positions: Sequence[int], x: torch.Tensor
    ) -> List[torch.Tensor]:
        """Outputs of the layers at some positions, run one after another on x (N, C, H, W)."""
        device = x.device.type
        compiles = device == "cpu" and x.dtype == torch.float32 and not _autocasts(device)
        tensors = [t for layer in layers for t in (*layer.parameters(), *layer.buffers())]
        key = (compiles, *positions, *((t.data_ptr(), t._version) for t in tensors))
        if key not in self._copies:
            self._copies = {key: _compile(layers, positions, x) if compiles else None}
            if not compiles:
                self._copies[key] = _InRow(fuse_for_inference(nn.ModuleList(layers)), positions)
        parts = [self._copies[key](part) for part in x.split(self.CHUNK)]
        return [
            torch.cat(outputs).contiguous(memory_format=torch.channels_last)
            for outputs in zip(*parts)
        ]


class _InRow(nn.Module):
    """Layers that run one after another; gives the outputs of those at some positions."""

    def __init__(self, layers: Sequence[nn.Module], positions: Sequence[int]):
        super().__init__()
        self.layers, self.positions = nn.ModuleList(layers), positions

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        outputs = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self.positions:
                outputs.append(x)
        return tuple(outputs)


def _compile(layers: Sequence[nn.Module], positions: Sequence[int], x: torch.Tensor) -> nn.Module:
    row = _fold_norms(_InRow(layers, positions))
    with warnings.catch_warnings():  # newer versions of torch deprecate it
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(row, x[:1].contiguous(), check_trace=False)
        return torch.jit.optimize_for_inference(torch.jit.freeze(traced))


def _autocasts(device: str) -> bool:
    try:
        return torch.is_autocast_enabled(device)
    except TypeError:  # torch before 2.4
        return torch.is_autocast_cpu_enabled() if device == "cpu" else torch.is_autocast_enabled()
