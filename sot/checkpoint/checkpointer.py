"""detectron2's checkpointer, made strict about what it loads, and able to read PySOT's files."""

import contextlib
import os
from typing import Any, Dict, Mapping, Tuple

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from .pysot import convert_pysot, first_of, is_counter, is_pysot


class SOTCheckpointer(DetectionCheckpointer):
    """
    As :class:`DetectionCheckpointer`, with these differences in :meth:`load`:

    * a PySOT checkpoint is recognised by its content and converted;
    * the file must hold each tensor of the model, in its shape, and no other (but for the step
      counters of batch norms). Else ValueError, before anything is loaded: a tracker with some
      random weights runs without an error and loses its target;
    * only files of tensors and plain Python values are read, never pickled code;
    * a missing file is a FileNotFoundError.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        allow_backbone_only: bool = False,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            model: the model to save and load.
            save_dir: folder of the checkpoints that are saved.
            allow_backbone_only: also take a file that holds all of ``backbone.`` and nothing
                else, for training from a pre-trained backbone.
            kwargs: ``save_to_disk`` and the checkpointables of :class:`DetectionCheckpointer`.
        """
        super().__init__(model, save_dir, **kwargs)
        self.allow_backbone_only = allow_backbone_only

    def load(self, path: str, *args: Any, **kwargs: Any) -> Dict[str, Any]:
        if path and not os.path.isfile(self.path_manager.get_local_path(path)):
            raise FileNotFoundError(f"no checkpoint file at {path} (MODEL.WEIGHTS)")
        return super().load(path, *args, **kwargs)

    def _load_file(self, filename: str) -> Dict[str, Any]:
        checkpoint = read_checkpoint(filename)
        weights, expected = checkpoint["model"], self.model.state_dict()
        if self.allow_backbone_only and all(name.startswith("backbone.") for name in weights):
            expected = {k: v for k, v in expected.items() if k.startswith("backbone.")}
            self.logger.info(
                f"Only the backbone is in {filename}; the rest keeps its initial values"
            )
        problems = mismatches(weights, expected)
        if problems:
            network = type(self.model).__name__
            raise ValueError(f"{filename} does not fit the {network} of this config: {problems}")
        self.logger.info(f"All {len(weights)} tensors of {filename} fit the model")
        return checkpoint


def read_checkpoint(filename: str) -> Dict[str, Any]:
    """
    Args:
        filename: a local file written by torch.save: ``{"model": state_dict, ...}`` (ours, any
            detectron2 model's), ``{"state_dict": state_dict, ...}`` or a bare state_dict, with or
            without DistributedDataParallel's "module." prefix; on any device, in any precision.

    Returns:
        ``{"model": state_dict, ...}`` on the CPU, with the file's other entries (optimizer,
        iteration, ...). Of a PySOT checkpoint only the weights, converted to our names.

    Raises:
        ValueError: not such a file, or PySOT weights of an unknown architecture; names the file.
    """
    try:
        weights, others = split_weights(load_tensors(filename))
        if is_pysot(weights):
            return {"model": convert_pysot(weights)}
    except ValueError as error:
        raise ValueError(f"{filename}: {error}") from error
    return {**others, "model": weights}


def load_tensors(filename: str) -> Any:
    """What torch.save wrote to the file, on the CPU; ValueError if that was not plain data."""
    try:
        with _numpy_numbers_allowed():
            return torch.load(filename, map_location="cpu", weights_only=True)
    except OSError:
        raise  # no such file, no permission: says so itself
    except Exception as error:  # unpickling damaged bytes may raise anything
        raise ValueError(
            "not a readable checkpoint: it must be a complete file written by torch.save, of "
            f"tensors and plain Python values only ({type(error).__name__})"
        ) from error


def _numpy_numbers_allowed():
    """For a ``with`` block: weights_only loading takes numpy's numbers, as PySOT's snapshots hold
    among their learning rates. A no-op in torch before 2.6, which then refuses such files."""
    if not hasattr(torch.serialization, "safe_globals"):
        return contextlib.nullcontext()
    rebuild, (dtype, _) = np.float64(0).__reduce__()
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")  # numpy 1 and 2
    return torch.serialization.safe_globals(
        [*((rebuild, name) for name in names), np.dtype, *{type(dtype), type(np.dtype("f4"))}]
    )


def split_weights(content: Any) -> Tuple[Mapping[str, torch.Tensor], Dict[str, Any]]:
    """
    Args:
        content: what a checkpoint file holds.

    Returns:
        its state_dict without a "module." prefix, and the entries beside the state_dict.

    Raises:
        ValueError: no state_dict in it.
    """
    weights, others = content, {}
    for key in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            weights = content[key]
            others = {k: v for k, v in content.items() if k != key}
            break
    if not isinstance(weights, Mapping) or not weights:
        raise ValueError(
            "no weights in it: expected a state_dict, bare or as 'model' or 'state_dict'"
        )
    wrong = [k for k, v in weights.items() if not isinstance(v, torch.Tensor)]
    if wrong:
        raise ValueError(f"not a state_dict: these entries are not tensors: {first_of(wrong)}")
    if all(name.startswith("module.") for name in weights):
        weights = {name[len("module.") :]: value for name, value in weights.items()}
    return weights, others


def mismatches(weights: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> str:
    """
    Args:
        weights: state_dict of a file.
        expected: state_dict of the model it is meant for.

    Returns:
        what is missing, unknown and of another shape, in one line; empty if all fits. Step
        counters of batch norms may be missing or too many.
    """
    missing = [k for k in expected if k not in weights and not is_counter(k)]
    unknown = [k for k in weights if k not in expected and not is_counter(k)]
    shapes = [
        f"{k} is {tuple(weights[k].shape)} in the file and {tuple(expected[k].shape)} in the model"
        for k in expected
        if k in weights and weights[k].shape != expected[k].shape
    ]
    parts = []
    if missing:
        parts.append(f"{len(missing)} of {len(expected)} tensors are missing ({first_of(missing)})")
    if unknown:
        parts.append(f"{len(unknown)} are unknown to the model ({first_of(unknown)})")
    if shapes:
        parts.append(f"{len(shapes)} have another shape ({first_of(shapes)})")
    return "; ".join(parts)
