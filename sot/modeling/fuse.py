"""Networks and layers for inference only: the same outputs in less time."""

import copy
import warnings
from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, FrozenBatchNorm2d)
# in place is safe: the input of an activation is the output of a convolution or norm, and nothing
# else reads it
IN_PLACE = {F.relu: nn.ReLU(inplace=True), F.relu6: nn.ReLU6(inplace=True)}


def fuse_for_inference(model: nn.Module) -> nn.Module:
    """A faster copy of a network, for inference. Its outputs are those of the network in eval mode,
    but for rounding.

    Batch norms become part of the convolutions before them (in detectron2's Conv2d), activations
    work in place, 1x1 convolutions become matrix products, and weights are in channels_last. A
    module with a method ``fused()`` is replaced by the module that this returns. All other modules
    stay as they are. The copy has other parameters than the network, so checkpoints of the network
    do not fit it.
    """
    model = fuse_layers(model)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if _is_pointwise(child):
                parent.add_module(name, _Pointwise(child))
    return model.to(memory_format=torch.channels_last)


def fuse_layers(model: nn.Module) -> nn.Module:
    """The part of :func:`fuse_for_inference` that makes every engine faster: it folds the norms and
    replaces the modules with a method ``fused()``."""
    model = _fold_norms(model)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if hasattr(child, "fused"):
                parent.add_module(name, child.fused())
    return model


def _fold_norms(model: nn.Module) -> nn.Module:
    """A copy in eval mode whose norms are part of the convolutions and whose activations work in
    place."""
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
    """A 1x1 convolution as a matrix product, which takes less time on a CPU."""

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
    """Join convolutions of one kind into one, whose output channels are theirs, one convolution
    after another. With ``apart`` each convolution has its own input channels, which also follow one
    another, and the kernels are 1x1. Otherwise all of them have the same input."""
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
    """Runs layers whose weights never change, faster than the layers themselves and without
    gradients.

    It runs a copy of the layers. On a CPU in float32 the copy has folded norms and is compiled by
    TorchScript; otherwise fuse_for_inference makes it. The copy is made at the first call, and
    again after other weights have been loaded. Copies and pickles of this object do not contain it.
    """

    # Images in one pass. Nothing is kept for a backward pass, so a few images at a time need less
    # memory for their large maps, and no more time.
    CHUNK = 4

    def __init__(self):
        self._copies = {}  # keys: the weights, and the kind of input, that a copy was made for

    def __getstate__(self):
        return {"_copies": {}}

    @torch.no_grad()
    def __call__(
        self, layers: Sequence[nn.Module], positions: Sequence[int], x: torch.Tensor
    ) -> List[torch.Tensor]:
        """Run the layers one after another on x (N, C, H, W); returns the outputs of the layers at
        ``positions``."""
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
    """Layers that run one after another. It returns the outputs of the layers at ``positions``."""

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
