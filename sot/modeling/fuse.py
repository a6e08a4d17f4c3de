"""A network for inference alone: the same outputs for less work."""

import copy
from typing import Callable, List, Sequence, Tuple

import torch
import torch.nn.functional as F
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from .rpn_heads import DepthwiseRPNHead
from .xcorr import xcorr_depthwise

__all__ = ["fuse_for_inference"]

BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, FrozenBatchNorm2d)
# what an activation works on is the output of a convolution or norm, which nobody else reads
IN_PLACE = {F.relu: nn.ReLU(inplace=True), F.relu6: nn.ReLU6(inplace=True)}


def fuse_for_inference(model: nn.Module) -> nn.Module:
    """A copy of a network that gives the same outputs in eval mode, but for rounding, faster.

    Batch norms become part of the convolutions that they follow (those of detectron2's Conv2d),
    activations work in place, the two branches of a DepthwiseRPNHead run as one, 1x1 convolutions
    are products of matrices, and the weights lie in memory as channels_last. The copy has other
    parameters than the network: checkpoints are of the network. Modules that this does not know
    stay as they are.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, Conv2d):
            _fold_norm(module)
            module.activation = IN_PLACE.get(module.activation, module.activation)
    _replace(model, _can_be_joined, _JoinedHead)
    _replace(model, _is_pointwise, _Pointwise)
    return model.to(memory_format=torch.channels_last)


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


def _replace(
    model: nn.Module,
    condition: Callable[[nn.Module], bool],
    make: Callable[[nn.Module], nn.Module],
) -> None:
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if condition(child):
                parent.add_module(name, make(child))


def _can_be_joined(module: nn.Module) -> bool:
    return isinstance(module, DepthwiseRPNHead) and module.cls.conv_search.norm is None


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


class _JoinedHead(nn.Module):
    """A DepthwiseRPNHead without norms, whose branches run as one of all their channels: for small
    maps the number of operations counts, not their size."""

    def __init__(self, head: DepthwiseRPNHead):
        super().__init__()
        branches = (head.cls, head.loc)
        self.conv_kernel = _join([b.conv_kernel for b in branches])
        self.conv_search = _join([b.conv_search for b in branches])
        self.head = nn.Sequential(*[_join(c, apart=True) for c in zip(*(b.head for b in branches))])
        self.num_outputs = [b.head[-1].out_channels for b in branches]

    def template(self, features: List[torch.Tensor]) -> List[torch.Tensor]:
        """As DepthwiseRPNHead's, with the kernels of both branches in one tensor."""
        (z,) = features
        return [self.conv_kernel(z)]

    def forward(
        self, kernels: List[torch.Tensor], features: List[torch.Tensor]
    ) -> Tuple[List[torch.Tensor], List[torch.Tensor]]:
        """As DepthwiseRPNHead's."""
        (kernel,), (x,) = kernels, features
        out = self.head(xcorr_depthwise(kernel, self.conv_search(x)))
        logits, deltas = out.split(self.num_outputs, dim=1)
        return [logits], [deltas]


def _join(convs: Sequence[Conv2d], apart: bool = False) -> Conv2d:
    """One convolution that gives the outputs of several of one kind, one after another.

    Args:
        apart: each has inputs of its own (which come one after another too, and the kernels are
            1x1), else all have the same.
    """
    first, weights = convs[0], [c.weight for c in convs]
    joined = Conv2d(
        sum(c.in_channels for c in convs) if apart else first.in_channels,
        sum(c.out_channels for c in convs),
        first.kernel_size,
        activation=first.activation,
    )
    if apart:
        # mostly zeros; a convolution in groups takes longer
        weight = torch.block_diag(*[w.flatten(1) for w in weights])[..., None, None]
    else:
        weight = torch.cat(weights)
    joined.weight = nn.Parameter(weight, requires_grad=False)
    joined.bias = nn.Parameter(torch.cat([c.bias for c in convs]), requires_grad=False)
    return joined.eval()
