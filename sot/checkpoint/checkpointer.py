"""detectron2's checkpointer, made strict about the weights that it loads, and able to read PySOT's
files."""

import contextlib
import os
import zipfile
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from ..utils.command_line import first_few
from ..utils.files import atomic_write, check_zip
from .names import is_counter
from .pysot import convert_pysot, is_pysot

GO_ON = "earlier checkpoints are intact; make room and go on with --resume"


class SOTCheckpointer(DetectionCheckpointer):
    """A :class:`DetectionCheckpointer` with these differences:

    * A file takes its place when it is complete and on the disk, and then becomes the last
      checkpoint. So a crash or a full disk leaves the earlier checkpoints intact.
    * A PySOT checkpoint is recognized by its content and converted.
    * The file must hold every tensor of the model in its shape, and no other tensor, except the
      step counters of batch norms. Otherwise there is a ValueError before anything is loaded,
      because a tracker with some random weights runs without an error and loses its target.
    * If only weights are loaded, and not a training to go on with, they are the averaged weights,
      if the checkpoint has them (SOLVER.EMA).
    * Only complete files of tensors and plain Python values are read, never pickled code. NaN and
      infinite weights are refused.
    * A missing file is a FileNotFoundError. If the last checkpoint is missing or damaged, or holds
      only weights, the error names another one from which to resume.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        allow_backbone_only: bool = False,
        **kwargs: Any,
    ) -> None:
        """``allow_backbone_only`` also accepts a file with all tensors of ``backbone.`` and no
        others, for training from a pre-trained backbone. All other arguments are as for
        DetectionCheckpointer."""
        super().__init__(model, save_dir, **kwargs)
        self.allow_backbone_only = allow_backbone_only

    def save(self, name: str, **kwargs: Any) -> None:
        """Write a checkpoint. OSError: it cannot be written; the message names the file and the
        free space."""
        if not self.save_dir or not self.save_to_disk:
            return
        path = os.path.join(self.save_dir, f"{name}.pth")
        self.logger.info(f"Saving checkpoint to {path}")
        states = {key: part.state_dict() for key, part in self.checkpointables.items()}
        with atomic_write(path, advice=GO_ON) as f:
            torch.save({"model": self.model.state_dict(), **states, **kwargs}, f)
        self.tag_last_checkpoint(f"{name}.pth")

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        with atomic_write(os.path.join(self.save_dir, "last_checkpoint"), "w") as f:
            f.write(last_filename_basename)

    def get_checkpoint_file(self) -> str:
        try:
            path = super().get_checkpoint_file()
        except UnicodeDecodeError:
            path = ""
        if not os.path.basename(path):  # the file of the name cannot be opened, or is empty
            tag = os.path.join(self.save_dir, "last_checkpoint")
            self._weights_only = False
            raise ValueError(f"{tag} is damaged{self._instead_of('')}")
        return path

    def load(self, path: str, checkpointables: Optional[List[str]] = None) -> Dict[str, Any]:
        wanted = self.checkpointables if checkpointables is None else checkpointables
        self._weights_only = not wanted
        if path and not os.path.isfile(self.path_manager.get_local_path(path)):
            key = "MODEL.WEIGHTS" if self._weights_only else "last_checkpoint"
            raise FileNotFoundError(f"no checkpoint file at {path} ({key}){self._instead_of(path)}")
        return super().load(path, checkpointables)

    def _instead_of(self, path: str) -> str:
        """The advice about another checkpoint, if the last one cannot be read."""
        if self._weights_only:
            return ""
        name = os.path.basename(path)
        # not model_best, which holds only weights
        others = [
            f
            for f in self.get_all_checkpoint_files()
            if os.path.basename(f) != name and not f.endswith("model_best.pth")
        ]
        if not others:
            return f"; there is no other checkpoint in {self.save_dir}"
        newest = os.path.basename(max(others, key=os.path.getmtime))
        tag = os.path.join(self.save_dir, "last_checkpoint")
        return f"; to resume from {newest} instead, write this name into {tag}"

    def _load_file(self, filename: str) -> Dict[str, Any]:
        try:
            checkpoint = read_checkpoint(filename)
        except ValueError as error:
            raise ValueError(f"{error}{self._instead_of(filename)}") from error
        if not self._weights_only and not self.checkpointables.keys() & checkpoint.keys():
            raise ValueError(
                f"{filename} holds weights alone, and no training to resume: leave out --resume "
                f"and set MODEL.WEIGHTS to it{self._instead_of(filename)}"
            )
        if self._weights_only and "ema" in checkpoint:
            checkpoint["model"] = averaged_weights(checkpoint)
            self.logger.info(f"Taking the averaged weights of {filename} (SOLVER.EMA)")
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
    """Read a checkpoint as ``{"model": state_dict, ...}`` on the CPU, with the other entries of the
    file (optimizer, iteration, ...). For a PySOT checkpoint there are only the weights, converted
    to the names of this project.

    Args:
        filename: a local file written by torch.save: ``{"model": state_dict, ...}`` (of this
            project or any detectron2 model), ``{"state_dict": state_dict, ...}`` or a bare
            state_dict. It may have DistributedDataParallel's prefix "module.", any device and any
            precision.

    Raises:
        ValueError: it is no such file, its weights are damaged, or it is PySOT's checkpoint of an
            unknown network. The message names the file.
    """
    try:
        weights, others = split_weights(load_tensors(filename))
        if is_pysot(weights):
            weights, others = convert_pysot(weights), {}
        checkpoint = {**others, "model": weights}
        for part in (weights, averaged_weights(checkpoint)):
            _check_tensors(part)
            bad = [k for k, v in part.items() if v.is_floating_point() and not v.isfinite().all()]
            if bad:
                raise ValueError(f"NaN or infinite numbers in {len(bad)} tensors: {first_few(bad)}")
    except ValueError as error:
        raise ValueError(f"{filename}: {error}") from error
    return checkpoint


def averaged_weights(checkpoint: Mapping[str, Any]) -> Mapping[str, torch.Tensor]:
    """The state_dict that is evaluated and published, from the result of :func:`read_checkpoint`:
    the average of the weights (SOLVER.EMA) if there is one, otherwise the weights of the last
    iteration."""
    prefix = "module."
    average = checkpoint.get("ema")
    if not isinstance(average, Mapping):
        return checkpoint["model"]
    return {k[len(prefix) :]: v for k, v in average.items() if str(k).startswith(prefix)}


def _check_tensors(weights: Mapping) -> None:
    """ValueError: the entries are not tensors by their names."""
    wrong = [
        k
        for k, v in weights.items()
        if not (isinstance(k, str) and isinstance(v, torch.Tensor) and v.layout == torch.strided)
    ]
    if wrong:
        raise ValueError(f"not a state_dict: these entries are not tensors: {first_few(wrong)}")


def load_tensors(filename: str) -> Any:
    """Load the content of a file of torch.save on the CPU. ValueError: it is not plain data, or the
    file has changed since it was written."""
    try:
        if zipfile.is_zipfile(filename):  # files of PyTorch before 1.6 are no zip files
            check_zip(filename)
        with _numpy_numbers_allowed():
            return torch.load(filename, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling damaged bytes may raise anything
        if isinstance(error, OSError) and error.filename is not None:
            raise  # no such file, or no permission: the message is clear
        reason = error if isinstance(error, zipfile.BadZipFile) else type(error).__name__
        raise ValueError(
            "not a readable checkpoint: it must be a complete file written by torch.save, of "
            f"tensors and plain Python values only ({reason})"
        ) from error


def _numpy_numbers_allowed():
    """For a ``with`` block: loading with weights_only accepts NumPy's numbers, which PySOT's
    snapshots have among their learning rates. It has no effect in torch before 2.6, which refuses
    such files."""
    if not hasattr(torch.serialization, "safe_globals"):
        return contextlib.nullcontext()
    rebuild, (dtype, _) = np.float64(0).__reduce__()
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")  # numpy 1 and 2
    return torch.serialization.safe_globals(
        [*((rebuild, name) for name in names), np.dtype, *{type(dtype), type(np.dtype("f4"))}]
    )


def split_weights(content: Any) -> Tuple[Mapping[str, torch.Tensor], Dict[str, Any]]:
    """The state_dict in the content of a checkpoint, without the prefix "module.", and the other
    entries. ValueError: there is no state_dict."""
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
    _check_tensors(weights)
    if all(name.startswith("module.") for name in weights):
        weights = {name[len("module.") :]: value for name, value in weights.items()}
    return weights, others


def mismatches(weights: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> str:
    """The tensors of a file that are missing, are unknown or have another shape, in one line; "" if
    all tensors fit. Step counters of batch norms do not matter."""
    missing = [k for k in expected if k not in weights and not is_counter(k)]
    unknown = [k for k in weights if k not in expected and not is_counter(k)]
    shapes = [
        f"{k} is {tuple(weights[k].shape)} in the file and {tuple(expected[k].shape)} in the model"
        for k in expected
        if k in weights and weights[k].shape != expected[k].shape
    ]
    problems = (
        (missing, f"of {len(expected)} tensors are missing"),
        (unknown, "are unknown to the model"),
        (shapes, "have another shape"),
    )
    return "; ".join(f"{len(k)} {what} ({first_few(k)})" for k, what in problems if k)
