"""The engines that run the network of a tracker (TEST.TRACKER.ENGINE)."""

import contextlib
import functools
import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import nn

from ..data.datasets.cache import cache_folder
from ..modeling.fuse import fuse_for_inference, fuse_layers
from ..utils.fingerprint import fingerprint
from .export import DESCRIPTION, EXPORT_VERSION, crop_sizes, export_network, network_key
from .session import GRAPHS, is_installed, needs

# Graphs without weights, of the networks that are faster in onnxruntime than in PyTorch.
SHIPPED = Path(__file__).parent / "graphs"

logger = logging.getLogger(__name__)


class OnnxNetwork:
    """Runs a network of :func:`export_network` on the CPU. It has the parts of a SiameseNetwork
    that trackers use."""

    device = torch.device("cpu")

    def __init__(
        self,
        folder: Path,
        num_threads: int = 1,
        weights: Optional[Dict[str, np.ndarray]] = None,
        engine: str = "onnxruntime",
    ):
        """
        Args:
            folder: a folder that export_network wrote.
            num_threads: threads of each operation.
            weights: if the graphs have no weights, those of the network after fuse_layers.
            engine: "onnxruntime" or "openvino".

        Raises:
            OSError, ValueError: a file is missing or damaged, or the engine is not installed; or
                the weights are missing.
        """
        self.folder, self.num_threads, self.weights = Path(folder), num_threads, weights
        self.engine = engine
        about = json.loads((self.folder / DESCRIPTION).read_text(encoding="utf-8"))
        if about.get("version") != EXPORT_VERSION:
            raise ValueError(f"{folder} was written by another version: export the network again")
        for name, digest in about["files"].items():
            if hashlib.sha256((self.folder / name).read_bytes()).hexdigest() != digest:
                raise ValueError(f"{self.folder / name} is damaged: export the network again")
        if "weights" in about and weights is None:
            raise ValueError(f"{folder} has graphs without weights: give weights=")
        self.stride, self.num_anchors = about["stride"], about["num_anchors"]
        self._needed = about.get("weights", {})
        self._template = self._open(about["template"])
        self._searches = {int(size): self._open(name) for size, name in about["search"].items()}

    def __reduce__(self):
        # opened graphs cannot be pickled, so the other process opens the files again
        return type(self), (self.folder, self.num_threads, self.weights, self.engine)

    @functools.cached_property
    def single_threaded(self) -> "OnnxNetwork":
        """The same network with one thread for each operation. Several of its calls may run at the
        same time, each in a thread of the caller."""
        return type(self)(self.folder, 1, self.weights, self.engine)

    def _open(self, name: str):
        weights = {k: self.weights[k] for k in self._needed.get(name, ())}
        return GRAPHS[self.engine](str(self.folder / name), self.num_threads, weights)

    def template(self, crops: torch.Tensor) -> List[torch.Tensor]:
        """Kernels of N targets, batch first, from template crops (N, 3, Z, Z), uint8 BGR."""
        return self._run(self._template, [crops])

    def detect(self, kernels: Sequence[torch.Tensor], crops: torch.Tensor):
        """The same as ``detect`` of the network, for search crops (N, 3, S, S), uint8 BGR."""
        return self.detect_with_features(kernels, crops)[0]

    def detect_with_features(self, kernels: Sequence[torch.Tensor], crops: torch.Tensor):
        """The same as in the network, for search crops (N, 3, S, S), uint8 BGR.

        Raises:
            ValueError: there is no graph for crops of this size.
        """
        size = crops.shape[-1]
        if size not in self._searches:
            sizes = " or ".join(map(str, self._searches))
            raise ValueError(f"{self.folder} is for search crops of {sizes} pixels, not {size}")
        kernels = [k.expand(len(crops), -1, -1, -1) for k in kernels]
        *outputs, features = self._run(self._searches[size], [crops, *kernels])
        return (tuple(outputs) if len(outputs) > 1 else outputs[0]), features

    @staticmethod
    def _run(graph, tensors: Sequence[torch.Tensor]) -> List[torch.Tensor]:
        arrays = [np.ascontiguousarray(t.numpy()) for t in tensors]
        return [torch.from_numpy(x) for x in graph(arrays)]


def inference_network(cfg: CfgNode, model: nn.Module):
    """A fast copy of ``model`` for a tracker, in the engine TEST.TRACKER.ENGINE.

    "auto" is onnxruntime if it is installed and the package has graphs of the network, which it has
    for networks that get faster. With "onnxruntime" and "openvino" other networks are exported once
    and kept in the user's cache folder.

    Raises:
        ValueError: the engine is "onnxruntime" or "openvino", and it is not installed, the device
            is not the CPU, or the network cannot be exported. With "auto" the network then runs in
            PyTorch, and the log says so.
    """
    engine, on_cpu = cfg.TEST.TRACKER.ENGINE, torch.device(cfg.MODEL.DEVICE).type == "cpu"
    graphs = shipped_graphs(cfg) if engine != "torch" and on_cpu else None
    if engine == "auto":
        engine = "onnxruntime" if graphs and is_installed("onnxruntime") else "torch"
        logger.info(f"TEST.TRACKER.ENGINE auto: the network runs in {engine}")
    if engine == "torch":
        return fuse_for_inference(model)
    if not on_cpu:
        raise ValueError(
            f"TEST.TRACKER.ENGINE {engine} needs MODEL.DEVICE cpu, not {cfg.MODEL.DEVICE}"
        )
    needs(f"TEST.TRACKER.ENGINE {engine}", engine)
    try:
        if graphs is None:
            return _exported(cfg, model, engine)
        return _with_weights_of(model, graphs, engine)
    except Exception as e:  # the exporter and the engines raise many kinds of errors
        reason = " ".join(str(e).split())[:300]
        if cfg.TEST.TRACKER.ENGINE != "auto":
            raise ValueError(
                f"the network does not run in {engine}; set TEST.TRACKER.ENGINE torch: {reason}"
            ) from e
        logger.warning(f"the network does not run in {engine}, so it runs in torch: {reason}")
        return fuse_for_inference(model)


def shipped_graphs(cfg: CfgNode) -> Optional[Path]:
    """The folder of the package with the graphs of a config's network, or None."""
    key = network_key(cfg)
    for file in sorted(SHIPPED.glob(f"*/{DESCRIPTION}")):
        if json.loads(file.read_text(encoding="utf-8"))["network"] == key:
            return file.parent
    return None


def _with_weights_of(model: nn.Module, folder: Path, engine: str) -> OnnxNetwork:
    state = fuse_layers(model).float().state_dict()
    weights = {name: values.numpy() for name, values in state.items()}
    return OnnxNetwork(folder, torch.get_num_threads(), weights, engine)


def _exported(cfg: CfgNode, model: nn.Module, engine: str) -> OnnxNetwork:
    weights = [part for item in model.state_dict().items() for part in item]
    key = fingerprint([torch.__version__, network_key(cfg)], *weights)
    folder = cache_folder() / "engines" / key[:32]
    if folder.is_dir():
        try:
            return OnnxNetwork(folder, torch.get_num_threads(), engine=engine)
        except (OSError, ValueError, KeyError) as e:
            logger.warning(f"the network in {folder} is exported anew: {e}")
            shutil.rmtree(folder, ignore_errors=True)
    logger.info(f"exporting the network for {engine} into {folder}, which later runs use")
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        whole = Path(temporary, "network")
        export_network(model, whole, *crop_sizes(cfg))
        with contextlib.suppress(OSError):  # another process was faster
            os.rename(whole, folder)
    return OnnxNetwork(folder, torch.get_num_threads(), engine=engine)
