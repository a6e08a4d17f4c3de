"""Cross-correlation of template kernels with search features."""

import torch
import torch.nn.functional as F

__all__ = ["xcorr_depthwise"]


def xcorr_depthwise(kernel: torch.Tensor, search: torch.Tensor) -> torch.Tensor:
    """Correlate each channel of each sample with its own kernel (SiamRPN++, Fig. 5c).

    Args:
        kernel (Tensor): (N, C, Hz, Wz), or (1, C, Hz, Wz) for one template and N searches.
        search (Tensor): (N, C, Hx, Wx).

    Returns:
        Tensor: (N, C, Hx - Hz + 1, Wx - Wz + 1).
    """
    n, c = search.shape[:2]
    if kernel.shape[1] != c or kernel.shape[0] not in (1, n):
        raise ValueError(f"kernel {tuple(kernel.shape)} does not fit search {tuple(search.shape)}")
    kernel = kernel.expand(n, -1, -1, -1).reshape(n * c, 1, *kernel.shape[2:])
    # (N, C, Hx, Wx) -> (1, N*C, Hx, Wx): one group per channel of each sample
    out = F.conv2d(search.reshape(1, n * c, *search.shape[2:]), kernel, groups=n * c)
    return out.view(n, c, *out.shape[2:])
