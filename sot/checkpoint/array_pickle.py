"""Reads pickled arrays, the format of the model zoos of detectron2 and Detectron."""

import codecs
import pickle
from collections import OrderedDict
from typing import Any, Dict

import numpy as np
import torch


def load_pickle(filename: str) -> Dict[str, Any]:
    """Read a ``.pkl`` file of one of the model zoos: a pickled dictionary of arrays, either the
    file itself or its entry "model" or "blobs". Returns ``{"model": {name: Tensor}, ...}`` with the
    other entries of the file. ValueError: the file holds more than arrays and plain Python values.
    Pickled code is never run."""
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
        raise  # no such file, or no permission: the message is clear
    except Exception as error:  # unpickling damaged bytes may raise anything
        raise ValueError(
            "not a readable pickle of a dictionary of arrays and plain Python values "
            f"({type(error).__name__}: {error})"
        ) from error
    return {**others, "model": weights}


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles arrays of NumPy 1 and 2, and nothing else."""

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
