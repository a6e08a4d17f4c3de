"""Exports networks of this project as ONNX files."""

import hashlib
import json
import logging
import warnings
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import torch
from detectron2.config import get_cfg
from torch import nn

from ..config import add_sot_config
from ..config.checks import flat
from ..modeling.fuse import fuse_layers
from ..utils.files import atomic_write, write_text
from ..utils.fingerprint import fingerprint
from .session import WEIGHT_PREFIX, WEIGHTS_FILE, needs

EXPORT_VERSION = 3  # raise this when the same network gives other graphs than before
DESCRIPTION = "tracker.json"
EXPORTER = ("onnx", "onnxscript")  # packages that torch.onnx.export needs
OPSET = 18
BATCH = "n"
# The keys of MODEL that have no effect on the graphs: those of training, and of other networks.
NOT_IN_GRAPHS = (
    *("WEIGHTS", "DEVICE", "DISTILL.", "BACKBONE.FREEZE_AT", "MOBILENET.POINTWISE_ONLY"),
    *("SIAMFC.POS_RADIUS", "RPN.IOU_", "RPN.BATCH_SIZE", "RPN.POSITIVE_FRACTION", "RPN.LOSS"),
    *("RPN.BBOX_REG_LOSS", "RPN.SMOOTH_L1", "ROI_", "RETINANET.", "SEM_SEG_HEAD.", "PANOPTIC_FPN."),
)


def export_network(
    model: nn.Module,
    folder: Path,
    template_size: int,
    search_sizes: Sequence[int],
    with_weights: bool = True,
    **settings,
) -> None:
    """Write a network as ONNX graphs for any number n of targets:

    ``template.onnx``
        ``crops`` (n, 3, Z, Z) uint8 BGR -> ``kernel0``, ...: the kernels of the targets.
    ``search.onnx``, and ``search_S.onnx`` for each size S of a search crop but the first
        ``crops`` (n, 3, S, S) uint8 BGR and the kernels -> of a SiamRPN ``boxes`` (n, R, 4), XYXY
        in crop pixels, and ``scores`` (n, R) in 0..1; of a SiamFC ``response`` (n, H, W), logits;
        and ``features`` (n, C, h, w), for a target model learned online.
    ``tracker.json``
        the files with their SHA-256, the sizes, the stride, the number of anchors and the
        ``settings``. It is written last.

    Args:
        model: a SiameseNetwork with its weights.
        folder: where to write; made if it is missing.
        template_size, search_sizes: sides of the crops.
        with_weights: whether the files hold the weights (5 MB in each file of siamrpn_lite). Files
            without weights have 30 kB and are the same for all weights. OnnxNetwork runs them with
            the weights of any network of this kind.
        settings: further values that a program needs, for ``tracker.json``.

    Raises:
        ValueError: the packages for the export are not installed; or graphs without weights would
            hold numbers that were computed from the weights.
    """
    needs("the export to ONNX", *EXPORTER)
    model, folder = fuse_layers(model).cpu().float(), Path(folder)
    if not with_weights:
        _fill(model)
    folder.mkdir(parents=True, exist_ok=True)
    num_anchors = getattr(model, "num_anchors", 0)
    # two of each, because the exporter would treat a batch of one as a constant
    crops = torch.zeros(2, 3, template_size, template_size, dtype=torch.uint8)
    kernels = tuple(k.contiguous() for k in model.template(crops))
    names = [f"kernel{i}" for i in range(len(kernels))]
    outputs = ["boxes", "scores"] if num_anchors else ["response"]
    graphs = {"template.onnx": _export(_Template(model), (crops,), ["crops"], names)}
    searches = {}
    for size in dict.fromkeys(search_sizes):
        crops = torch.zeros(2, 3, size, size, dtype=torch.uint8)
        name = f"search_{size}.onnx" if searches else "search.onnx"
        graphs[name] = _export(
            _Search(model), (crops, *kernels), ["crops", *names], [*outputs, "features"]
        )
        searches[str(size)] = name
    if not with_weights:
        settings["weights"] = _cut_weights(graphs, model)
    files = {name: graph.SerializeToString() for name, graph in graphs.items()}
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
    """The settings of a config's tracker, for :func:`export_network`: the kind of tracker, and the
    values of INPUT.CONTEXT_AMOUNT and TEST.TRACKER, with their keys in lower case. The online model
    is left out, because it is not a part of the graphs."""
    left_out = ("ENGINE", "ONLINE", "BATCH_SEQUENCES")
    values = {k.lower(): v for k, v in cfg.TEST.TRACKER.items() if k not in left_out}
    return {"tracker": cfg.MODEL.META_ARCHITECTURE, "context": cfg.INPUT.CONTEXT_AMOUNT, **values}


class _Template(nn.Module):
    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model  # WEIGHT_PREFIX is its name

    def forward(self, crops: torch.Tensor):
        return tuple(self.model.template(crops))


class _Search(_Template):
    def forward(self, crops: torch.Tensor, *kernels: torch.Tensor):
        outputs, features = self.model.detect_with_features(list(kernels), crops)
        return (*outputs, features) if isinstance(outputs, tuple) else (outputs, features)


def _export(graph: nn.Module, inputs, input_names, output_names):
    """The onnx.ModelProto of a module for tensors of any batch size."""
    batch = {0: torch.export.Dim(BATCH, min=1, max=4096)}
    shapes = [batch] * len(inputs)
    if isinstance(graph, _Search):
        # torch.onnx wants the shapes nested like the arguments of forward: crops, then *kernels
        shapes = [batch, tuple(shapes[1:])]
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:  # the exporters log each of their steps
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
    exported = program.model_proto
    # values that follow from the graph, and notes of the exporter
    exported.graph.ClearField("value_info")
    for node in exported.graph.node:
        node.ClearField("metadata_props")
    return exported


def _fill(model: nn.Module) -> None:
    """Replace the weights of a network by random ones, because the exporter merges equal weights
    and drops zeros."""
    for values in model.state_dict().values():
        if values.is_floating_point():
            values.uniform_(0.5, 1.5)


def _cut_weights(graphs: Dict, model: nn.Module) -> Dict[str, List[str]]:
    """Replace the weights in the graphs of a network by references to external data. Returns the
    names of the weights that each graph needs, in the order of the data."""
    state = {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
    cut = {file: [] for file in graphs}
    for file, exported in graphs.items():
        offset = 0
        for tensor in exported.graph.initializer:
            name = tensor.name[len(WEIGHT_PREFIX) :]
            if name in state and tensor.raw_data == state[name].numpy().tobytes():
                cut[file].append(name)
                place = {"location": WEIGHTS_FILE, "offset": offset, "length": len(tensor.raw_data)}
                offset += len(tensor.raw_data)
                tensor.ClearField("raw_data")
                tensor.data_location = tensor.EXTERNAL
                for key, value in place.items():
                    tensor.external_data.add(key=key, value=str(value))
    missing = state.keys() - set().union(*cut.values())
    if missing:
        names = ", ".join(sorted(missing)[:3])
        raise ValueError(
            f"the graphs cannot be written without weights: they hold numbers computed from {names}"
        )
    return cut


def network_key(cfg) -> str:
    """A key that is the same for two configs if graphs without weights serve both. Settings with
    their default values do not count, so that a new key of the config does not change it."""
    defaults = get_cfg()
    add_sot_config(defaults)
    known = dict(flat(defaults.MODEL))
    settings = {
        k: v
        for k, v in flat(cfg.MODEL)
        if not k.startswith(NOT_IN_GRAPHS) and (k not in known or v != known[k])
    }
    return fingerprint([EXPORT_VERSION, settings, crop_sizes(cfg)])


def crop_sizes(cfg) -> Tuple[int, List[int]]:
    """The sides of the template crop and of the search crops that the tracker of a config cuts."""
    size, lost_size = cfg.INPUT.SEARCH_SIZE_TEST, cfg.TEST.TRACKER.LOST_SEARCH_SIZE
    return cfg.INPUT.TEMPLATE_SIZE, [size, lost_size or size]
