"""From a config to a tracker in one call."""

import contextlib
import itertools
import os
from typing import Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model as build_meta_arch
from detectron2.structures import BoxMode
from detectron2.utils.file_io import PathManager
from iopath.common.file_io import PathHandler

from .boxes import check_box, to_xywh
from .checkpoint import SOTCheckpointer
from .config import load_config, merge_opts, resolve_device, resource_dir
from .data.video import Frame, open_source
from .tracking import (
    Calibration,
    SiameseTracker,
    Target,
    TrackResult,
    build_siamese_tracker,
    follow,
)

__all__ = ["build_model", "build_network", "build_tracker", "track"]


class _WeightsHandler(PathHandler):
    """``sot://FILE`` is a weights file that comes with the project."""

    PREFIX = "sot://"

    def _get_supported_prefixes(self):
        return [self.PREFIX]

    def _get_local_path(self, path, **kwargs):
        return str(resource_dir("weights") / path[len(self.PREFIX) :])

    def _open(self, path, mode="r", **kwargs):
        return open(self._get_local_path(path), mode)

    def _isfile(self, path, **kwargs):
        return os.path.isfile(self._get_local_path(path))

    _exists = _isfile


PathManager.register_handler(_WeightsHandler(), allow_override=True)


def build_network(cfg: CfgNode) -> torch.nn.Module:
    """The network of a config on MODEL.DEVICE, with random weights. ValueError: no network can be
    made of these values, or none for crops of this size."""
    try:
        model = build_meta_arch(cfg)
    except ValueError:
        raise
    except Exception as error:  # which one depends on the part of the network that a key is for
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"no network can be built of these values of MODEL: {reason}") from error
    size, training = cfg.INPUT.TEMPLATE_SIZE, model.training
    try:
        with torch.no_grad():
            model.eval().template(torch.zeros(1, 3, size, size, device=cfg.MODEL.DEVICE))
    except RuntimeError as error:
        raise ValueError(
            f"INPUT.TEMPLATE_SIZE {size} does not suit this network, papers use 127: {error}"
        ) from error
    return model.train(training)


def build_model(cfg: CfgNode) -> torch.nn.Module:
    """The network of a config on MODEL.DEVICE, in eval mode, with the weights of MODEL.WEIGHTS.
    ValueError: MODEL.DEVICE asks for a GPU that is not there, or the weights do not fit."""
    if torch.device(cfg.MODEL.DEVICE).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device {cfg.MODEL.DEVICE!r} asked for, but no CUDA GPU is available; use 'cpu'"
        )
    model = build_network(cfg)
    if cfg.MODEL.WEIGHTS:
        SOTCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    return model.eval()


def build_tracker(config, weights=None, device=None, opts=()) -> SiameseTracker:
    """A tracker that is ready for ``init``, with the calibration of its score that lies beside the
    weights, if there is one (see tools/calibrate_score.py).

    Args:
        config: a CfgNode, a yaml path, or the name of a config that comes with the project.
        weights (str): file to load instead of MODEL.WEIGHTS; ``""`` for random weights.
        device (str): "cpu", "cuda", ...; by default MODEL.DEVICE, or the CPU if that is missing.
        opts: further ``KEY VALUE ...`` overrides.

    Raises:
        FileNotFoundError, ValueError: see load_config and build_model; or no weights are named.
    """
    cfg = config.clone() if isinstance(config, CfgNode) else load_config(config)
    cfg.defrost()
    merge_opts(cfg, opts)
    if weights is not None:
        cfg.MODEL.WEIGHTS = str(weights)
    elif not cfg.MODEL.WEIGHTS:
        raise ValueError(
            "this config comes without trained weights: name a file (MODEL.WEIGHTS, or weights=)"
        )
    cfg.MODEL.DEVICE = device or resolve_device(cfg.MODEL.DEVICE)
    tracker = build_siamese_tracker(cfg, build_model(cfg))
    tracker.calibration = _calibration_of(cfg.MODEL.WEIGHTS)
    return tracker


def _calibration_of(weights: str) -> Optional[Calibration]:
    """The one beside a file of weights; None if there is none, or the weights have an address of
    the network, where nothing else is asked for."""
    if not weights or ("://" in weights and not weights.startswith(_WeightsHandler.PREFIX)):
        return None
    path = PathManager.get_local_path(Calibration.path(weights))
    return Calibration.load(path) if os.path.isfile(path) else None


def track(
    video: Union[str, os.PathLike, int, Iterable[np.ndarray]],
    boxes: Sequence,
    config="SiamRPN/siamrpn_lite.yaml",
    **options,
) -> Iterator[Tuple[Frame, List[TrackResult]]]:
    """Follow one or several targets through a video.

    Args:
        video: a file, a folder of images, a stream URL or the number of a camera (see
            sot.data.video.open_source), or images (H, W, 3) uint8 BGR.
        boxes: (x, y, w, h) of each target in the first frame, in pixels; or of one.
        config, options: see :func:`build_tracker`.

    Yields:
        each frame, and a TrackResult of each target. Where a frame does not decode its image is
        None, and the results are those of the one before.

    Raises:
        OSError, ValueError: see open_source and build_tracker; or the first frame does not decode,
            or a box is not in it.
    """
    targets = [check_box(box, mode=BoxMode.XYWH_ABS) for box in np.atleast_2d(boxes)]
    tracker = build_tracker(config, **options)
    with contextlib.ExitStack() as stack:
        if isinstance(video, (str, int, os.PathLike)):
            frames = stack.enter_context(contextlib.closing(open_source(str(video))))
        else:
            frames = (Frame(i, f"frame {i}", image) for i, image in enumerate(video))
        frames = iter(frames)
        first = next(frames, None)
        if first is None:
            raise ValueError("no frame of the video can be read")
        starts = [Target({first.index: box}) for box in targets]
        for frame, states, _ in follow(tracker, itertools.chain([first], frames), starts):
            yield (
                frame,
                [
                    TrackResult(tuple(to_xywh(s.box).tolist()), s.score, s.status)
                    for s in states.values()
                ],
            )
