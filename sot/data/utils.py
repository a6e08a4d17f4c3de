"""Small helpers of the data package."""

import contextlib

import numpy as np

__all__ = ["numpy_seed"]


@contextlib.contextmanager
def numpy_seed(seed: int):
    """Seed numpy's global generator, which detectron2's augmentations draw from, for a block;
    its state is put back afterwards."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)
