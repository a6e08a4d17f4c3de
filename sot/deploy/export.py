"""Networks of this project as ONNX files."""

import copy
import hashlib
import json
import logging
import warnings
from pathlib import Path
from typing import Dict, Sequence

import torch
from torch import nn

from ..utils.files import atomic_write, write_text
from .session import needs

__all__ = ["DESCRIPTION", "EXPORT_VERSION", "EXPORTER", "export_network", "tracker_settings"]

EXPORT_VERSION = 1  # to be raised when other graphs are written of the same network
DESCRIPTION = "tracker.json"
EXPORTER = ("onnx", "onnxscript")  # packages that torch.onnx.export needs
OPSET = 18
BATCH = "n"


def export_network(
    model: nn.Module, folder: Path, template_size: int, search_sizes: Sequence[int], **settings
) -> None:
    """
    Write a network as ONNX graphs for any number n of targets:

    ``template.onnx``
        ``crops`` (n, 3, Z, Z) uint8 BGR -> ``kernel0``, ...: the kernels of the targets.
    ``search.onnx``, and ``search_S.onnx`` for each size S of a search crop but the first
        ``crops`` (n, 3, S, S) uint8 BGR and the kernels -> of a SiamRPN ``boxes`` (n, R, 4), XYXY
        in crop pixels, and ``scores`` (n, R) in 0..1; of a SiamFC ``response`` (n, H, W), logits;
        and ``features`` (n, C, h, w), for a target model learned online.
    ``tracker.json``
        the files with their SHA-256, sizes, stride and anchors, and the ``settings``. It is
        written last.

    Args:
        model: a SiameseNetwork with its weights.
        folder: where to write; made if it is missing.
        template_size, search_sizes: sides of the crops.
        settings: what else a program needs to know, for ``tracker.json``.

    Raises:
        ValueError: the packages for the export are not installed.
    """
    needs("the export to ONNX", *EXPORTER)
    model, folder = copy.deepcopy(model).cpu().float().eval().requires_grad_(False), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    num_anchors = getattr(model, "num_anchors", 0)
    # two of each, as a batch of one would be taken for a constant
    crops = torch.zeros(2, 3, template_size, template_size, dtype=torch.uint8)
    kernels = tuple(k.contiguous() for k in model.template(crops))
    names = [f"kernel{i}" for i in range(len(kernels))]
    outputs = ["boxes", "scores"] if num_anchors else ["response"]
    files = {"template.onnx": _export(_Template(model), (crops,), ["crops"], names)}
    searches = {}
    for size in dict.fromkeys(search_sizes):
        crops = torch.zeros(2, 3, size, size, dtype=torch.uint8)
        name = f"search_{size}.onnx" if searches else "search.onnx"
        files[name] = _export(
            _Search(model), (crops, *kernels), ["crops", *names], [*outputs, "features"]
        )
        searches[str(size)] = name
    for name, content in files.items():
        with atomic_write(str(folder / name)) as f:
            f.write(content)
    description = {
        "version": EXPORT_VERSION,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "template": "template.onnx",
        "search": searches,
        "template_size": template_size,
        "search_size": search_sizes[0],
        "stride": model.stride,
        "num_anchors": num_anchors,
        **settings,
    }
    write_text(folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")


def tracker_settings(cfg) -> Dict:
    """What a tracker of a config needs beside the network, for :func:`export_network`: the kind of
    tracker, and the values of INPUT.CONTEXT_AMOUNT and TEST.TRACKER by their keys in small letters.
    The online target model is left out: it is not part of the graphs."""
    left_out = ("ENGINE", "ONLINE")
    values = {k.lower(): v for k, v in cfg.TEST.TRACKER.items() if k not in left_out}
    return {"tracker": cfg.MODEL.META_ARCHITECTURE, "context": cfg.INPUT.CONTEXT_AMOUNT, **values}


class _Template(nn.Module):
    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, crops: torch.Tensor):
        return tuple(self.model.template(crops))


class _Search(_Template):
    def forward(self, crops: torch.Tensor, *kernels: torch.Tensor):
        outputs, features = self.model.detect_with_features(list(kernels), crops)
        return (*outputs, features) if isinstance(outputs, tuple) else (outputs, features)


def _export(graph: nn.Module, inputs, input_names, output_names) -> bytes:
    """An ONNX file of a module for tensors of any batch size."""
    batch = {0: torch.export.Dim(BATCH, min=1, max=4096)}
    shapes = [batch] * len(inputs)
    if isinstance(graph, _Search):  # as its arguments are: one, and the others together
        shapes = [batch, tuple(shapes[1:])]
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:  # they report each step of theirs
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph.eval(),
                inputs,
                dynamo=True,
                dynamic_shapes=tuple(shapes),
                input_names=input_names,
                output_names=output_names,
                opset_version=OPSET,
                verbose=False,
            )
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
    return program.model_proto.SerializeToString()
