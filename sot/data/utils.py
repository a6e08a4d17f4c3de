"""Small helpers of the data package."""

import contextlib
import functools

import numpy as np

__all__ = ["numpy_seed"]


@contextlib.contextmanager
def numpy_seed(seed: int):
    """Seed numpy's global generator, which detectron2's augmentations draw from, for a block;
    its state is put back afterwards."""
    if hasattr(np.random, "set_bit_generator"):  # numpy 1.24; copying the state takes far longer
        restore = functools.partial(np.random.set_bit_generator, np.random.get_bit_generator())
        np.random.set_bit_generator(np.random.PCG64(seed))
    else:
        restore = functools.partial(np.random.set_state, np.random.get_state())
        np.random.seed(seed)
    try:
        yield
    finally:
        restore()
