"""The joint batch of several processes."""

from typing import Tuple

import torch
import torch.distributed as dist
from detectron2.utils import comm


def joint_sums(*sums: torch.Tensor) -> Tuple[torch.Tensor, int]:
    """Add up scalars over all processes, each of which must call this function.

    A process divides the sum of its own losses by (joint sum / number of processes). The mean of
    the results over the processes is then the loss of the joint batch, and so is its gradient.

    Args:
        sums: scalars, each a sum over this process's share of the batch.

    Returns:
        Tensor: (len(sums),), the sums over all processes.
        int: the number of processes.
    """
    total, num_ranks = torch.stack(sums), comm.get_world_size()
    if num_ranks > 1:
        dist.all_reduce(total)
    return total, num_ranks
