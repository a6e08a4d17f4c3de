"""Cross-correlation of template kernels with search features."""

import itertools
from typing import Tuple

import torch
import torch.nn.functional as F


def xcorr(kernel: torch.Tensor, search: torch.Tensor) -> torch.Tensor:
    """Correlate each sample with its own kernels, summed over the channels.

    One output channel is the correlation of SiamFC (Eq. 2); with two or four for each anchor it is
    the up-channel correlation of SiamRPN (Sec. 3.2).

    Args:
        kernel (Tensor): (N, O*C, Hz, Wz), the C channels of an output next to each other; or (1,
            O*C, Hz, Wz) for one template and N searches.
        search (Tensor): (N, C, Hx, Wx).

    Returns:
        Tensor: (N, O, Hx - Hz + 1, Wx - Wz + 1).

    Raises:
        ValueError: channels or batch sizes that do not fit.
    """
    n, c = search.shape[:2]
    if torch.onnx.is_in_onnx_export():
        # a sum over the kernel's offsets, as below:
        # (N, O*C, Hz, Wz) -> (N, O, C, Hz, Wz); per offset (N, O, C) @ (N, C, H*W)
        kernel, (h, w) = kernel.unflatten(1, (-1, c)), _sides(kernel, search)
        terms = (
            kernel[..., y, x] @ search[..., y : y + h, x : x + w].flatten(2)
            for y, x in itertools.product(*map(range, kernel.shape[-2:]))
        )
        return sum(terms).unflatten(2, (h, w))
    _check(kernel, search, kernel.shape[1] % c == 0)
    groups = len(kernel)
    weight = kernel.reshape(-1, c, *kernel.shape[2:])  # (groups * O, C, Hz, Wz)
    # (N, C, Hx, Wx) -> (1, N*C, Hx, Wx), unless one template serves all
    out = F.conv2d(search.reshape(n // groups, -1, *search.shape[2:]), weight, groups=groups)
    return out.reshape(n, -1, *out.shape[2:])


def xcorr_depthwise(kernel: torch.Tensor, search: torch.Tensor) -> torch.Tensor:
    """Correlate each channel of each sample with its own kernel (SiamRPN++, Fig. 4c).

    Args:
        kernel (Tensor): (N, C, Hz, Wz), or (1, C, Hz, Wz) for one template and N searches.
        search (Tensor): (N, C, Hx, Wx).

    Returns:
        Tensor: (N, C, Hx - Hz + 1, Wx - Wz + 1).

    Raises:
        ValueError: channels or batch sizes that do not fit.
    """
    n, c = search.shape[:2]
    if torch.onnx.is_in_onnx_export():
        # A sum over the offsets of the kernel. In ONNX the number of groups of a convolution is a
        # constant, so a grouped convolution would fix the number of targets. With the positions in
        # one row and channels last (N, H * W, C) each product takes whole rows and half the time.
        (h, w), width = _sides(kernel, search), search.shape[-1]
        length = (h - 1) * width + w  # from the first position of the response to its last
        offsets = [y * width + x for y, x in itertools.product(*map(range, kernel.shape[-2:]))]
        kernel, search = (t.permute(0, 2, 3, 1).flatten(1, 2) for t in (kernel, search))
        total = sum(
            kernel[:, i : i + 1] * search[:, begin : begin + length]
            for i, begin in enumerate(offsets)
        )
        inside = torch.tensor([y * width + x for y, x in itertools.product(range(h), range(w))])
        return total[:, inside].unflatten(1, (h, w)).permute(0, 3, 1, 2)
    _check(kernel, search, kernel.shape[1] == c)
    kernel = kernel.expand(n, -1, -1, -1).reshape(n * c, 1, *kernel.shape[2:])
    # (N, C, Hx, Wx) -> (1, N*C, Hx, Wx): one group per channel of each sample
    out = F.conv2d(search.reshape(1, n * c, *search.shape[2:]), kernel, groups=n * c)
    return out.view(n, c, *out.shape[2:])


def _sides(kernel: torch.Tensor, search: torch.Tensor) -> Tuple[int, int]:
    """(H, W) of the response."""
    return tuple(s - k + 1 for s, k in zip(search.shape[-2:], kernel.shape[-2:]))


def _check(kernel, search, channels_fit: bool) -> None:
    if not channels_fit or len(kernel) not in (1, len(search)):
        raise ValueError(f"kernel {tuple(kernel.shape)} does not fit search {tuple(search.shape)}")
