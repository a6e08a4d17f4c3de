"""The joint batch of several processes."""

from typing import Tuple

import torch
import torch.distributed as dist
from detectron2.utils import comm


def joint_sums(*sums: torch.Tensor) -> Tuple[torch.Tensor, int]:
    """Sums, (len(sums),), over all processes of what each has of its share of the batch, scalars;
    and the number of processes. All of them must call this.

    A loss that is a process's own sum, divided by the joint sum over the number of processes, has
    as its mean over the processes, and so in its gradient, the value of the joint batch."""
    total, num_ranks = torch.stack(sums), comm.get_world_size()
    if num_ranks > 1:
        dist.all_reduce(total)
    return total, num_ranks
