"""Ridge regression from the features of search crops to a Gaussian around the target: the
arithmetic of sot/tracking/online.py. N is the number of targets."""

from typing import Tuple

import numpy as np
import torch
import torch.nn.functional as F

RIDGE = 8e-5  # in units of the mean of the Gram matrix's diagonal
HINGE_BELOW = 0.05  # where the label is below this, a negative response costs nothing


def scales(features: torch.Tensor) -> torch.Tensor:
    """The root mean squares (N, 1, 1) of features (N, C, h, w)."""
    norm = torch.linalg.vector_norm(features, dim=(1, 2, 3), keepdim=True)[..., 0]
    return (norm / features[0].numel() ** 0.5).clamp(min=1e-6)


def patches(features: torch.Tensor, basis: torch.Tensor, k: int) -> torch.Tensor:
    """All k x k patches of the projected features: (N, n * n, channels * k * k)."""
    projected = (basis.mT @ features.flatten(2)).unflatten(2, features.shape[2:])
    return F.unfold(projected, k).mT


def filters(basis: torch.Tensor, weights: torch.Tensor, k: int) -> torch.Tensor:
    """Filters (N, C, k, k) for features that are not projected, from weights (N, D) of the columns:
    the projection becomes a part of the filters."""
    return (basis @ weights.unflatten(1, (-1, k * k))).unflatten(2, (k, k))


def hinge_weights(labels: torch.Tensor, responses: torch.Tensor) -> torch.Tensor:
    """Weights of the positions: 0 for background that the model already knows as such, else 1."""
    return ((labels > HINGE_BELOW) | (responses > 0)).to(labels)


def equations(columns, labels, counts) -> Tuple[torch.Tensor, torch.Tensor]:
    """Gram matrices (N, D, D) and moments (N, D) of rows with the weights ``counts``."""
    weighted = counts[..., None] * columns
    return weighted.mT @ columns, (weighted.mT @ labels[..., None])[..., 0]


def solve(gram: torch.Tensor, moment: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Weights (N, D) of ridge regressions. The ridge is relative to the diagonal of ``reference``,
    a Gram matrix for each."""
    ridge = RIDGE * reference.diagonal(dim1=1, dim2=2).mean(dim=1, dtype=torch.float64) + 1e-9
    system = gram.double()
    system.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
    factor = torch.linalg.cholesky(system)
    return torch.cholesky_solve(moment.double()[..., None], factor)[..., 0].float()


def gaussian_labels(centers, sizes, n: int, stride: int, crop_size: int) -> torch.Tensor:
    """Labels (N, n * n) of the positions of an n x n map that has the same centre as the crop. A
    label is 1 at the target's centre and falls off as a Gaussian. Its standard deviation is a
    quarter of the square root of the target's area, and at least 0.7 positions.

    Args:
        centers, sizes: (N, 2), the targets in crop pixels.
        stride: crop pixels from one position to the next.
        crop_size: side of the crop, in pixels.
    """
    sigma = np.maximum(0.25 * np.sqrt(sizes[:, 0] * sizes[:, 1]), 0.7 * stride)
    grid = (np.arange(n) - (n - 1) / 2) * stride + crop_size / 2
    x, y = np.exp(-0.5 * ((grid - np.transpose(centers)[..., None]) / sigma[:, None]) ** 2)
    return torch.from_numpy((y[:, :, None] * x[:, None]).reshape(len(sigma), -1)).float()
