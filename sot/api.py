"""The functions that build a network or a tracker from a config, and follow targets with it."""

import contextlib
import itertools
import os
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model as build_meta_arch
from detectron2.structures import BoxMode
from detectron2.utils.file_io import PathManager
from iopath.common.file_io import PathHandler

from .boxes import check_box
from .checkpoint import SOTCheckpointer
from .config import load_config, merge_opts, resolve_device, resource_dir
from .data.frame_source import Frame
from .data.video import open_source
from .tracking import (
    Calibration,
    SiameseTracker,
    Target,
    TrackResult,
    build_siamese_tracker,
    follow,
)


class _WeightsHandler(PathHandler):
    """Resolves ``sot://FILE``, the address of a weights file that comes with the project."""

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
    """Build the network of a config on MODEL.DEVICE, with random weights. ValueError: no network
    can be built from these values, or it does not work on template crops of INPUT.TEMPLATE_SIZE."""
    try:
        model = build_meta_arch(cfg)
    except Exception as error:  # each part of a network has errors of its own for wrong values
        if isinstance(error, ValueError) and "MODEL." in str(error):  # it names the key
            raise
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
    """Build the network of a config on MODEL.DEVICE, in eval mode, with the weights of
    MODEL.WEIGHTS.

    ValueError: MODEL.DEVICE is a GPU that is not there, or the weights do not fit the network."""
    if torch.device(cfg.MODEL.DEVICE).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device {cfg.MODEL.DEVICE!r} asked for, but no CUDA GPU is available; use 'cpu'"
        )
    model = build_network(cfg)
    if cfg.MODEL.WEIGHTS:
        SOTCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    return model.eval()


def build_tracker(
    config: Union[str, os.PathLike, CfgNode],
    weights: Union[str, os.PathLike, None] = None,
    device: Optional[str] = None,
    opts: Sequence[Any] = (),
) -> SiameseTracker:
    """Build a tracker that is ready for ``init``.

    If a calibration of the score lies beside the weights (tools/calibrate_score.py writes it), the
    tracker uses it.

    Args:
        config: the path of a yaml file, the name of a config that comes with the project, or a
            CfgNode, which is not changed.
        weights: the file to load instead of MODEL.WEIGHTS; ``""`` for random weights.
        device: "cpu", "cuda" or "cuda:1", for example. The default is MODEL.DEVICE, or the CPU if
            that device is not there.
        opts: overrides of the config, as ``[KEY, VALUE, KEY, VALUE, ...]``.

    Returns:
        SiameseTracker: call ``init(image, (x, y, w, h))``, then ``update(image)`` for each frame.

    Raises:
        FileNotFoundError, ValueError: as load_config and build_model raise them; ValueError also if
            neither the config nor ``weights`` names trained weights.
    """
    cfg = config.clone() if isinstance(config, CfgNode) else load_config(config)
    cfg.defrost()
    merge_opts(cfg, [*opts, *(["MODEL.DEVICE", str(device)] if device else [])])
    if weights is not None:
        cfg.MODEL.WEIGHTS = str(weights)
    elif not cfg.MODEL.WEIGHTS:
        raise ValueError(
            "this config comes without trained weights: name a file (MODEL.WEIGHTS, or weights=)"
        )
    if not device:
        cfg.MODEL.DEVICE = resolve_device(cfg.MODEL.DEVICE)
    tracker = build_siamese_tracker(cfg, build_model(cfg))
    tracker.calibration = _calibration_of(cfg.MODEL.WEIGHTS)
    return tracker


def _calibration_of(weights: str) -> Optional[Calibration]:
    """The calibration beside a file of weights, or None if there is none. Weights with an internet
    address have none: nothing but the weights is downloaded."""
    if not weights or ("://" in weights and not weights.startswith(_WeightsHandler.PREFIX)):
        return None
    path = PathManager.get_local_path(Calibration.path(weights))
    return Calibration.load(path) if os.path.isfile(path) else None


def track(
    video: Union[str, os.PathLike, int, Iterable[np.ndarray]],
    boxes: Union[Sequence[Any], Mapping[int, Sequence[float]]],
    config: Union[str, os.PathLike, CfgNode] = "SiamRPN/siamrpn_lite.yaml",
    **options: Any,
) -> Iterator[Tuple[Frame, List[Optional[TrackResult]]]]:
    """Follow one or several targets through a video.

    Args:
        video: a file, a folder of images, a stream URL or the number of a camera (see
            sot.data.video.open_source); or an iterable of images, (H, W, 3) uint8 BGR.
        boxes: one (x, y, w, h) for each target, in pixels of the first frame. A target that appears
            later has ``{FRAME: (x, y, w, h)}`` instead, where frames count from 0. It is started
            anew on each further box in this dict. A single target may stand without a list around
            it.
        config: the tracker, see :func:`build_tracker`.
        options: ``weights``, ``device`` and ``opts`` of :func:`build_tracker`.

    Yields:
        tuple: a Frame (``.image``, ``.index``) and the list of one TrackResult for each target,
        which is None before its first box. If a frame does not decode, its image is None and the
        results are those of the frame before.

    Raises:
        OSError, ValueError: as open_source and build_tracker raise them; ValueError also if the
            frame of a box does not decode or is no whole number from 0 on, a box lies outside of
            its frame, or the video ends before the frame of a box.
    """
    given = _boxes_by_frame(boxes)
    tracker = build_tracker(config, **options)
    with contextlib.ExitStack() as stack:
        if isinstance(video, (str, int, os.PathLike)):
            frames = stack.enter_context(contextlib.closing(open_source(str(video))))
        else:
            images = enumerate(video)
            frames = (Frame(i, f"frame {i}", image, "there is no image") for i, image in images)
        frames = iter(frames)
        first = next(frames, None)
        if first is None:
            name = video if isinstance(video, (str, int, os.PathLike)) else "the video"
            raise ValueError(f"no frame of {name} can be read")
        targets = [
            Target({first.index if i is None else i: box for i, box in boxes_of.items()})
            for boxes_of in given
        ]
        for frame, states, _ in follow(tracker, itertools.chain([first], frames), targets):
            found = [states.get(number) for number in range(len(targets))]
            yield frame, [None if state is None else TrackResult.of(state) for state in found]
        for number, target in enumerate(targets):
            if max(target.boxes) > frame.index:
                raise ValueError(
                    f"target {number} has a box in frame {max(target.boxes)}, but the last frame "
                    f"of the video is {frame.index}"
                )


def _boxes_by_frame(boxes) -> List[Dict[Optional[int], np.ndarray]]:
    """The boxes (4,) XYXY of each target by frame, from the argument of :func:`track`. The frame
    None is the first one of the video."""
    if isinstance(boxes, Mapping):
        boxes = [boxes]
    elif not any(isinstance(box, Mapping) for box in boxes):
        boxes = np.atleast_2d(boxes)
    by_frame = [box if isinstance(box, Mapping) else {None: box} for box in boxes]
    if not all(by_frame):
        raise ValueError(f"target {by_frame.index({})} has no box: give {{FRAME: (x, y, w, h)}}")
    for number, some in enumerate(by_frame):
        for i in some:
            if i is not None and not (isinstance(i, (int, np.integer)) and i >= 0):
                raise ValueError(
                    f"target {number} has a box in frame {i!r}: frames are whole numbers from 0 on"
                )
    return [
        {i: check_box(box, mode=BoxMode.XYWH_ABS) for i, box in some.items()} for some in by_frame
    ]
