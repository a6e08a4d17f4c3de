"""Runs ONNX graphs on the CPU, in onnxruntime or OpenVINO."""

import functools
import importlib.util
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

import numpy as np

WEIGHT_PREFIX = "model."  # the names of a network's weights in its graphs begin with it
# Where a graph without weights expects them: in this file, one after the other.
WEIGHTS_FILE = "weights"
EXTRAS = {"openvino": "openvino"}  # the extra in setup.py, if it is not 'onnx'

# A graph that is ready to run: from the values of its inputs to those of its outputs.
Graph = Callable[[Sequence[np.ndarray]], List[np.ndarray]]


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
            f"extra '{EXTRAS.get(missing[0], 'onnx')}' in setup.py"
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


def onnxruntime_graph(file: str, num_threads: int, weights: Dict[str, np.ndarray]) -> Graph:
    """A graph in onnxruntime. For arguments and errors see :func:`open_session`."""
    session = open_session(file, num_threads, weights)
    names = [node.name for node in session.get_inputs()]
    return lambda arrays: session.run(None, dict(zip(names, arrays)))


@functools.lru_cache(maxsize=None)
def _openvino_core():
    """The ``openvino.Core`` of this process. On processors with AMX, OpenVINO replaces the stack
    of signal handlers by one that is freed with its core. A second core, freed after the first one,
    would bring back the freed stack of the first, and the next signal would end the process."""
    import openvino

    return openvino.Core()


class OpenVinoGraph:
    """A graph in OpenVINO. It is compiled for each shape of the inputs at its first use, and in
    each thread, because threads cannot share a compiled graph without waiting for each other.

    OpenVINO computes in bfloat16 where the processor has instructions for its matrix products."""

    def __init__(self, file: str, num_threads: int, weights: Dict[str, np.ndarray]):
        """
        Args:
            file: an ONNX file.
            num_threads: threads of each operation.
            weights: weights that the file does not hold, float32, in the order in which the file
                expects them in WEIGHTS_FILE.

        Raises:
            ValueError: OpenVINO is not installed, or cannot read the file.
        """
        needs(str(file), "openvino")
        # Pinned threads of graphs that run at the same time may be pinned to the same core.
        options = {"ENABLE_CPU_PINNING": False, "NUM_STREAMS": 1}
        self._options = {**options, "INFERENCE_NUM_THREADS": num_threads}
        self._local = threading.local()
        try:
            with tempfile.TemporaryDirectory() as folder:
                complete = file
                if weights:
                    complete = shutil.copy(file, folder)
                    whole = b"".join(values.tobytes() for values in weights.values())
                    Path(folder, WEIGHTS_FILE).write_bytes(whole)
                self._graph = _openvino_core().read_model(complete)
        except RuntimeError as e:
            raise ValueError(f"OpenVINO cannot read {file}: {e}") from None

    def __call__(self, arrays: Sequence[np.ndarray]) -> List[np.ndarray]:
        shapes = tuple(array.shape for array in arrays)
        requests = vars(self._local)
        if shapes not in requests:
            graph = self._graph.clone()
            graph.reshape(dict(enumerate(shapes)))
            compiled = _openvino_core().compile_model(graph, "CPU", self._options)
            requests[shapes] = compiled.create_infer_request()
        return list(requests[shapes].infer(list(arrays), share_inputs=True).values())


GRAPHS = {"onnxruntime": onnxruntime_graph, "openvino": OpenVinoGraph}  # by engine
