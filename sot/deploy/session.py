"""Sessions of onnxruntime on the CPU, and the packages that they need."""

import importlib.util
from pathlib import Path
from typing import Dict, Optional

import numpy as np

WEIGHT_PREFIX = "model."  # of a network's weights in its graphs


def is_installed(*packages: str) -> bool:
    """Whether all of these can be imported."""
    return all(importlib.util.find_spec(package) for package in packages)


def needs(what: str, *packages: str) -> None:
    """Check that the packages are installed. ValueError: one is missing; the message says that
    ``what`` needs it."""
    missing = [package for package in packages if not is_installed(package)]
    if missing:
        raise ValueError(
            f"{what} needs {' and '.join(missing)}: pip install {' '.join(missing)}, part of the "
            "extra 'onnx' in setup.py"
        )


def open_session(file: str, num_threads: int = 1, weights: Optional[Dict[str, np.ndarray]] = None):
    """An ``onnxruntime.InferenceSession``.

    Args:
        file: an ONNX file.
        num_threads: threads of each operation.
        weights: weights that the file does not hold, float32, by their names in the network.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: onnxruntime is not installed, or cannot read the file.
    """
    needs(str(file), "onnxruntime")
    if not Path(file).is_file():
        raise FileNotFoundError(f"model file {file} does not exist")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = num_threads, 1
    # Threads may spin only within a pass. After it they would take the processor from the crops and
    # the online model.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if weights:
        names = [WEIGHT_PREFIX + name for name in weights]
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
        options.add_external_initializers(names, values)
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as e:  # onnxruntime has a class of its own for each error
        raise ValueError(f"onnxruntime cannot read {file}: {e}") from None
