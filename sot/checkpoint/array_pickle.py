"""Reading of pickled arrays, which are what detectron2's and Detectron's model zoos hold."""

import codecs
import pickle
from collections import OrderedDict
from typing import Any, Dict

import numpy as np
import torch


def load_pickle(filename: str) -> Dict[str, Any]:
    """``{"model": {name: Tensor}, ...}`` with the other entries of a ``.pkl`` file of one of the
    model zoos: a pickled dictionary of arrays, bare or as its "model" or "blobs". ValueError: more
    than arrays and plain Python values in it: pickled code is not run."""
    try:
        with open(filename, "rb") as f:
            content = _ArrayUnpickler(f, encoding="latin1").load()
        key = next((k for k in ("model", "blobs") if k in content), None)
        others = {} if key is None else {k: v for k, v in content.items() if k != key}
        weights = {
            name: torch.as_tensor(array)
            for name, array in (content if key is None else content[key]).items()
            if isinstance(array, np.ndarray) and not name.endswith("_momentum")
        }
    except OSError:
        raise  # no such file, no permission: says so itself
    except Exception as error:  # unpickling damaged bytes may raise anything
        raise ValueError(
            "not a readable pickle of a dictionary of arrays and plain Python values "
            f"({type(error).__name__}: {error})"
        ) from error
    return {**others, "model": weights}


class _ArrayUnpickler(pickle.Unpickler):
    """Knows what numpy 1 and 2 pickle arrays as, and nothing else."""

    KNOWN = {
        "_reconstruct": np.zeros(1).__reduce__()[0],
        "_frombuffer": np.zeros(1).__reduce_ex__(5)[0],
        "scalar": np.float64(0).__reduce__()[0],
        "ndarray": np.ndarray,
        "dtype": np.dtype,
        "OrderedDict": OrderedDict,
        "encode": codecs.encode,
    }

    def find_class(self, module, name):
        if name in self.KNOWN and module.partition(".")[0] in ("numpy", "collections", "_codecs"):
            return self.KNOWN[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not part of an array")
