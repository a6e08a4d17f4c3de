"""Measures how many training pairs one core makes."""

import functools
import os
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from detectron2.data import DatasetCatalog
from detectron2.data.transforms import ColorTransform

from sot.data import PairDataset, build_siamese_train_loader, dataset_mapper
from sot.data.corruptions import ColorJitter, MotionBlur
from sot.data.datasets import make_track
from sot.data.datasets.synthetic import paint_background
from sot.data.frames import ImageFrames
from sot.data.transforms import SubwindowTransform

from .timing import seconds_of, timed

# Made pictures: height, width, JPEG quality, standard deviation of the grain (noise) in levels.
# Frames of public sets, most of them 1280x720, take 46 KB (GOT-10k: 68 GB, 1.5 million), 65 KB
# (LaSOT: 227 GB, 3.5 million), 83 KB (TrackingNet: 1.2 TB, 14.4 million), photographs of COCO 160.
PICTURES = {
    "video_720p_80kb": (720, 1280, 75, 2.0),
    "video_720p_170kb": (720, 1280, 90, 2.5),
    "photo_640x480": (480, 640, 95, 5.0),
}
NUM_PICTURES, NUM_TRACKS, NUM_FRAMES = 24, 200, 101
# all passes are over the same pairs; the fastest one counts, because it was disturbed least
NUM_PASSES = 10
# Side of the target, sqrt(w h), log-uniform as a fraction of the picture's; ratio h / w likewise
TARGET_SIDE, TARGET_RATIO = (0.04, 0.6), (0.5, 2.0)


def benchmark_data(cfg, args):
    """Yield one result for each dataset that is made, or one for DATASETS.TRAIN if it was given."""
    if "DATASETS.TRAIN" in args.opts:
        yield {"data": list(cfg.DATASETS.TRAIN), **time_pairs(cfg, args.num_pairs)}
        return
    for name in PICTURES:
        with made_set(name, args.seed) as kb_per_file:
            case = cfg.clone()
            use_made_set(case, name)
            if name.startswith("photo"):
                case.DATALOADER.NEGATIVE_PAIR_FRACTION = 0.0
            result = time_pairs(case, args.num_pairs)
        yield {"data": [name], "kb_per_file": kb_per_file, **result}


def use_made_set(cfg, name: str) -> None:
    """Make that set the only training set, and reset the keys that have a value for each training
    set of the config."""
    cfg.DATASETS.TRAIN = (name,)
    for key in ("TRAIN_REPEAT_FACTOR", "TRAIN_EPOCH_SIZE", "FRAME_RANGE"):
        cfg.DATASETS[key] = ()


@contextmanager
def made_set(name: str, seed: int):
    """For a ``with`` block: a dataset of one entry of PICTURES. The value of the block is the mean
    size of a file in kB."""
    with tempfile.TemporaryDirectory() as folder:
        tracks = make_tracks(name, folder, np.random.default_rng(seed))
        size = np.mean([os.path.getsize(p) for p in Path(folder).iterdir()])
        DatasetCatalog.register(name, lambda: tracks)
        try:
            yield round(size / 1000, 1)
        finally:
            DatasetCatalog.remove(name)


def make_tracks(name: str, folder: str, rng) -> list:
    """Tracks over a few pictures, each shown many times, written into ``folder``."""
    height, width, quality, grain = PICTURES[name]
    files = [f"{folder}/{i:04d}.jpg" for i in range(NUM_PICTURES + NUM_FRAMES)]
    for file in files[:NUM_PICTURES]:
        picture = paint_background(rng, (height, width))
        picture = picture + rng.normal(0, grain, (height, width, 1))
        picture = np.clip(picture, 0, 255).astype(np.uint8)
        cv2.imwrite(file, picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    for i in range(NUM_PICTURES, len(files)):
        os.link(files[i % NUM_PICTURES], files[i])
    length = NUM_FRAMES if name.startswith("video") else 1
    tracks = []
    for i in range(NUM_TRACKS):
        side = np.sqrt(width * height) * np.exp(rng.uniform(*np.log(TARGET_SIDE)))
        ratio = np.sqrt(np.exp(rng.uniform(*np.log(TARGET_RATIO))))
        size = np.minimum([side / ratio, side * ratio], [width, height])
        corners = rng.uniform(0, 1, (length, 2)) * ([width, height] - size)
        boxes = np.hstack([corners, np.tile(size, (length, 1))])
        start = rng.integers(NUM_PICTURES)
        frames = ImageFrames(files[start : start + length])
        tracks.append(make_track(f"{name}-{i}", frames, boxes))
    return tracks


def time_pairs(cfg, num_pairs: int) -> dict:
    """Draw, read and map ``num_pairs`` pairs of DATASETS.TRAIN as a loader worker does."""
    pairs = build_siamese_train_loader(cfg).dataset
    names = list(dict.fromkeys(part for part, *_ in PARTS))
    spent = defaultdict(float)

    def seconds_of_parts(index):
        spent.clear()
        pairs[index]
        return [spent[part] for part in names]

    seconds = functools.partial(seconds_of, clock=time.process_time)
    whole, parts = [], []
    for _ in range(NUM_PASSES):
        whole.append([seconds(pairs.__getitem__, i)[0] for i in range(num_pairs)])
        # in a pass of its own, because reading the clock takes time
        with timed(PARTS, spent, time.process_time):
            parts.append([seconds_of_parts(i) for i in range(num_pairs)])
    mean = np.min(whole, axis=0).mean()
    ms = dict(zip(names, (1000 * np.min(parts, axis=0).mean(axis=0)).tolist()))
    ms["rest"] = 1000 * mean - sum(ms.values())
    return {
        "pairs": num_pairs,
        "pairs_per_second_and_core": round(1 / mean, 1),
        "ms_per_pair": {part: round(value, 3) for part, value in ms.items()},
    }


# functions whose time is counted, none inside another
PARTS = (
    ("draw", PairDataset, "__getitem__"),
    ("decode", dataset_mapper, "read_frame"),
    ("crop", SubwindowTransform, "apply_image"),
    ("color", ColorJitter, "get_transform"),
    ("color", MotionBlur, "get_transform"),
    ("color", ColorTransform, "apply_image"),
)
