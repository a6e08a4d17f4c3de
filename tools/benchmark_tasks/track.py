"""Measures whole tracking steps."""

import functools
import os
import time
from typing import Callable, Iterable, Iterator, NamedTuple

import numpy as np
import torch
from analyze_model import count_flops
from detectron2.utils.file_io import PathManager

from sot.api import build_model
from sot.config import resolve_device
from sot.data import SubwindowTransform, get_tracks
from sot.data.datasets import check_start
from sot.data.datasets.synthetic import SyntheticFrames
from sot.deploy import OnnxNetwork
from sot.modeling import SiameseNetwork, SiameseRPN
from sot.modeling.meta_arch import siamfc
from sot.tracking import SiameseTracker, build_siamese_tracker
from sot.tracking.nanotrack import build_nanotrack
from sot.tracking.online import OnlineLearner
from sot.tracking.opencv import OpenCVTracker, make_opencv_tracker

from .timing import seconds_of, timed

CLIP_SIZE = (480, 640)  # of the rendered clip
# What is not listed is decoding: from the network's outputs to boxes, and the choice among them.
PARTS = (
    ("crop", SubwindowTransform, "apply_image"),
    ("crop", SiameseTracker, "load"),
    ("network", SiameseNetwork, "features"),
    ("network", SiameseRPN, "predict"),
    ("network", siamfc, "xcorr"),
    ("network", OnnxNetwork, "template"),
    ("network", OnnxNetwork, "detect_with_features"),
    ("online", OnlineLearner, "respond"),
    ("online", OnlineLearner, "learn"),
)


class Run(NamedTuple):
    """A tracker that is timed: what a result says of it, the function of a step, and the function
    that makes the state to start from."""

    about: dict
    step: Callable
    start: Callable


def benchmark_track(cfg, args):
    """Yield one result for each engine and number of targets, then one for each other tracker."""
    name, images, box = load_clip(cfg, args)
    cfg = cfg.clone()
    cfg.MODEL.DEVICE = resolve_device(cfg.MODEL.DEVICE)
    model = build_model(cfg)
    runs = [*own_runs(cfg, args, model, images[0], box), *other_runs(args, images[0], box)]
    # in turns, so that a disturbance affects all of them; the fastest pass of each counts
    passes = [
        [follow(run.step, run.start(), images[1:]) for run in runs] for _ in range(args.passes)
    ]
    first, *_ = all_seconds = list(zip(*passes))
    clip = {"clip": name, "frames": len(images), "size": list(images[0].shape[1::-1])}
    bound = {} if torch.device(cfg.MODEL.DEVICE).type != "cpu" else find_bound(cfg, model)
    for run, seconds in zip(runs, all_seconds):
        speed = describe(min(seconds, key=np.median))
        if "engine" not in run.about:
            yield {**run.about, **speed, **compare_with(first, seconds), **clip}
            continue
        if bound:
            reached = run.about["targets"] * bound["bound_ms"] / speed["median_ms"]
            bound["share_of_bound"] = round(reached, 3)
        yield {
            **run.about,
            **speed,
            **bound,
            # several targets may be searched for at the same time, so their times do not add up
            **(shares(run, images[1:]) if run.about["targets"] == 1 else {}),
            "parameters": sum(p.numel() for p in model.parameters()),
            "weights_mb": size_of_weights(cfg.MODEL.WEIGHTS),
            "device": cfg.MODEL.DEVICE,
            **clip,
        }


def own_runs(cfg, args, model, image, box) -> Iterable[Run]:
    """The tracker of the config, in each engine and with each number of targets."""
    runs = {}  # two names of --engines may be one engine
    for engine in args.engines or [cfg.TEST.TRACKER.ENGINE]:
        cfg.TEST.TRACKER.ENGINE = engine
        ours = build_siamese_tracker(cfg, model)
        for n in args.targets:
            about = {"tracker": cfg.MODEL.META_ARCHITECTURE, "engine": ours.engine, "targets": n}
            start = functools.partial(start_all, ours, image, box, n)
            runs[ours.engine, n] = Run(about, ours.step_all, start)
    return runs.values()


def other_runs(args, image, box) -> Iterator[Run]:
    """The trackers of --opencv and --nanotrack."""
    trackers = {}
    for kind in args.opencv:
        make = functools.partial(make_opencv_tracker, kind, args.model[kind])
        trackers[f"OpenCV {kind}"] = OpenCVTracker(make)
    if args.nanotrack:
        trackers["NanoTrack V3"] = build_nanotrack(*args.nanotrack, torch.get_num_threads())
    for name, tracker in trackers.items():
        start = functools.partial(tracker.start, image, box)
        yield Run({"tracker": name}, tracker.step, start)


def compare_with(ours, theirs) -> dict:
    """How many times as fast as another tracker ours is, from the seconds of their steps in each
    pass: the ratio of the fastest passes, and the range of the ratio over the passes. The trackers
    took turns, so their passes met the same disturbances."""
    ours, theirs = ([np.median(seconds) for seconds in passes] for passes in (ours, theirs))
    paired = [b / a for a, b in zip(ours, theirs)]
    return {
        "ours_times_its_fps": round(min(theirs) / min(ours), 3),
        "spread": {"low": round(min(paired), 3), "high": round(max(paired), 3)},
    }


def start_all(tracker, image, box, n: int) -> list:
    """States of n targets."""
    return [tracker.start(image, box)] * n


def find_bound(cfg, model) -> dict:
    """The least possible time of a search pass: its 10^9 multiply-adds (convolutions and matrix
    products), divided by those that this machine makes in a second in a product of large
    matrices."""
    a, b = torch.rand(2, 1024, 1024)
    with torch.inference_mode():
        peak = len(a) ** 3 / min(seconds_of(torch.mm, a, b)[0] for _ in range(40)) / 1e9
        template, search = (
            torch.zeros(1, 3, size, size, dtype=torch.uint8)
            for size in (cfg.INPUT.TEMPLATE_SIZE, cfg.INPUT.SEARCH_SIZE_TEST)
        )
        flops = count_flops(model, "detect", model.template(template), search)
    scales = cfg.TEST.TRACKER.NUM_SCALES if cfg.MODEL.META_ARCHITECTURE == "SiamFC" else 1
    cost = scales * flops / 1e9
    return {
        "multiply_adds_g": round(cost, 3),
        "gemm_peak_g_per_s": round(peak, 1),
        "bound_ms": round(1000 * cost / peak, 3),
    }


def load_clip(cfg, args):
    """The name, the images and the first box of the first sequence of DATASETS.TEST, or of a
    rendered one if that was not given. The images are in memory, so reading them does not count."""
    if "DATASETS.TEST" in args.opts:
        track = get_tracks(cfg.DATASETS.TEST[0])[0]
        check_start(track)
        name, frames, box = track["name"], track["frames"], track["boxes"][0]
    else:
        frames = SyntheticFrames(args.seed, args.num_frames, CLIP_SIZE)
        name, box = "synthetic", frames.annotation()[0][0]
    if len(frames) < 2:
        raise ValueError(f"{name} has {len(frames)} frames: no step to time")
    return name, [frames[i] for i in range(min(len(frames), args.num_frames))], box


def follow(step, state, images) -> np.ndarray:
    """Seconds of each step."""
    seconds = []
    for image in images:
        spent, state = seconds_of(step, image, state)
        seconds.append(spent)
    return np.array(seconds)


def describe(seconds: np.ndarray) -> dict:
    p10, median, p90, p99 = np.percentile(1000 * seconds, (10, 50, 90, 99))
    return {
        "median_ms": round(median, 3),
        "fps": round(1000 / median, 2),
        "percentiles_ms": {"10": round(p10, 3), "90": round(p90, 3), "99": round(p99, 3)},
    }


def shares(run: Run, images) -> dict:
    """The shares of the parts in the time of the steps. They are measured in a pass of their own,
    because reading the clock takes time, and so does waiting for a GPU."""
    spent, state = dict.fromkeys((part for part, *_ in PARTS), 0.0), run.start()
    with timed(PARTS, spent, _clock):
        total = follow(run.step, state, images).sum()
    spent["decode"] = total - sum(spent.values())
    return {"share": {part: round(value / total, 3) for part, value in spent.items()}}


def _clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def size_of_weights(path: str):
    """The size of a file in MB, or None if there is no file."""
    return round(os.path.getsize(PathManager.get_local_path(path)) / 1e6, 2) if path else None
