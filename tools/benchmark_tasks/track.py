"""Measures whole tracking steps."""

import functools
import os
import time

import numpy as np
import torch
from analyze_model import count_flops
from detectron2.utils.file_io import PathManager

from sot.api import build_model
from sot.config import resolve_device
from sot.data import SubwindowTransform, get_tracks
from sot.data.datasets.synthetic import SyntheticFrames
from sot.deploy import OnnxNetwork
from sot.modeling import SiameseNetwork, SiameseRPN
from sot.modeling.meta_arch import siamfc
from sot.tracking import SiameseTracker, build_siamese_tracker
from sot.tracking.nanotrack import build_nanotrack
from sot.tracking.online import OnlineLearner
from sot.tracking.opencv import OpenCVTracker, make_opencv_tracker

from .timing import seconds_of, timed

CLIP_SIZE = (480, 640)  # of the made clip
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


def benchmark_track(cfg, args):
    """Yield one result for each engine and number of targets, then one for each other tracker."""
    name, images, box = load_clip(cfg, args)
    cfg = cfg.clone()
    cfg.MODEL.DEVICE = resolve_device(cfg.MODEL.DEVICE)
    model = build_model(cfg)
    runs = {}  # of each tracker what takes a step, and what makes the state to start from
    for engine in args.engines or [cfg.TEST.TRACKER.ENGINE]:
        cfg.TEST.TRACKER.ENGINE = engine
        ours = build_siamese_tracker(cfg, model)
        for n in args.targets:
            start = functools.partial(start_all, ours, images[0], box, n)
            runs[ours.engine, n] = ours.step_all, start
    own = list(runs)
    others = {
        f"OpenCV {kind}": OpenCVTracker(
            functools.partial(make_opencv_tracker, kind, args.model[kind])
        )
        for kind in args.opencv
    }
    if args.nanotrack:
        others["NanoTrack V3"] = build_nanotrack(*args.nanotrack, torch.get_num_threads())
    for kind, tracker in others.items():
        runs[kind] = tracker.step, functools.partial(tracker.start, images[0], box)

    # in turns, so that a disturbance affects all of them; the fastest pass of each counts
    passes = [
        {key: follow(step, start(), images[1:]) for key, (step, start) in runs.items()}
        for _ in range(args.passes)
    ]
    best = {key: describe(min((p[key] for p in passes), key=np.median)) for key in runs}
    clip = {"clip": name, "frames": len(images), "size": list(images[0].shape[1::-1])}
    bound = {} if torch.device(cfg.MODEL.DEVICE).type != "cpu" else find_bound(cfg, model)
    for engine, n in own:
        if bound:
            reached = n * bound["bound_ms"] / best[engine, n]["median_ms"]
            bound["share_of_bound"] = round(reached, 3)
        yield {
            "tracker": cfg.MODEL.META_ARCHITECTURE,
            "engine": engine,
            "targets": n,
            **best[engine, n],
            **bound,
            "share": shares(*runs[engine, n], images[1:]),
            "parameters": sum(p.numel() for p in model.parameters()),
            "weights_mb": size_of_weights(cfg.MODEL.WEIGHTS),
            "device": cfg.MODEL.DEVICE,
            **clip,
        }
    for kind in others:
        ratio = round(best[own[0]]["fps"] / best[kind]["fps"], 3)
        # of the same pass, which meets the same disturbances
        paired = [np.median(p[kind]) / np.median(p[own[0]]) for p in passes]
        spread = {k: round(v, 3) for k, v in zip(("low", "high"), (min(paired), max(paired)))}
        yield {
            "tracker": kind,
            **best[kind],
            "ours_times_its_fps": ratio,
            "spread": spread,
            **clip,
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


def shares(step, start, images) -> dict:
    """The shares of the parts in the time of the steps. They are measured in a pass of their own,
    because reading the clock takes time, and so does waiting for a GPU."""
    spent, state = dict.fromkeys((part for part, *_ in PARTS), 0.0), start()
    with timed(PARTS, spent, _clock):
        total = follow(step, state, images).sum()
    spent["decode"] = total - sum(spent.values())
    return {part: round(value / total, 3) for part, value in spent.items()}


def _clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def size_of_weights(path: str):
    """MB of the file, None without one."""
    return round(os.path.getsize(PathManager.get_local_path(path)) / 1e6, 2) if path else None
