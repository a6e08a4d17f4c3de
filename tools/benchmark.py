#!/usr/bin/env python3
"""
Measure speed; one JSON object a line says what was measured and on what.

    python tools/benchmark.py --task data --config-file configs/SiamRPN/siamrpn_compact.yaml
    python tools/benchmark.py --task data --config-file C DATASETS.TRAIN "('folder:PATH',)"
    python tools/benchmark.py --task index

data   Training pairs that one core draws, reads and crops in a second, and where the time goes.
       Without DATASETS.TRAIN data sets are made of JPEG files with the detail and grain of real
       ones: video_720p_80kb and video_720p_170kb (two frames a pair) and photo_640x480 (both crops
       from one photograph; no negative pairs).
index  A data set as large as TrackingNet, 30,000 tracks of 14 million boxes, with names of frames
       but no frames: time to read its text files, time to read it from the cache, and memory of
       eight loader workers against one (Linux).

Times are those that the processor works for this process, so that waiting for the disk is not in
them, and other programs on the machine disturb less.
"""

import argparse
import functools
import json
import os
import platform
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from multiprocessing import active_children
from pathlib import Path
from unittest import mock

import av
import cv2
import detectron2
import numpy as np
import torch
from detectron2.data import DatasetCatalog
from detectron2.data.transforms import ColorTransform

from sot.config import load_config
from sot.data import PairDataset, PairLoader, build_siamese_train_loader, dataset_mapper
from sot.data.datasets import make_track, read_boxes
from sot.data.datasets.cache import Source, cached_tracks
from sot.data.datasets.synthetic_texture import paint_background
from sot.data.frames import ImageFrames
from sot.data.transforms import ColorJitter, MotionBlur, SubwindowTransform

# Made pictures: height, width, JPEG quality, standard deviation of the grain (noise) in levels.
# Frames of public sets, most of them 1280x720, take 46 KB (GOT-10k: 68 GB, 1.5 million), 65 KB
# (LaSOT: 227 GB, 3.5 million), 83 KB (TrackingNet: 1.2 TB, 14.4 million), photographs of COCO 160.
PICTURES = {
    "video_720p_80kb": (720, 1280, 75, 2.0),
    "video_720p_170kb": (720, 1280, 90, 2.5),
    "photo_640x480": (480, 640, 95, 5.0),
}
NUM_PICTURES, NUM_TRACKS, NUM_FRAMES = 24, 200, 101
NUM_PASSES = 10  # over the same pairs; of each the fastest counts, that was disturbed least
# Side of the target, sqrt(w h), log-uniform as a fraction of the picture's; ratio h / w likewise
TARGET_SIDE, TARGET_RATIO = (0.04, 0.6), (0.5, 2.0)


# ----------------------------------------------------------------------------- data
def benchmark_data(cfg, args):
    """Yield one result for each made set, or one for DATASETS.TRAIN if that was given."""
    if "DATASETS.TRAIN" in args.opts:
        yield {"data": list(cfg.DATASETS.TRAIN), **time_pairs(cfg, args.num_pairs)}
        return
    for name in PICTURES:
        with tempfile.TemporaryDirectory() as folder:
            tracks = make_tracks(name, folder, np.random.default_rng(args.seed))
            size = np.mean([os.path.getsize(p) for p in Path(folder).iterdir()])
            DatasetCatalog.register(name, lambda tracks=tracks: tracks)
            try:
                case = cfg.clone()
                case.merge_from_list(["DATASETS.TRAIN", (name,)])
                if name.startswith("photo"):
                    case.DATALOADER.NEGATIVE_PAIR_FRACTION = 0.0
                result = time_pairs(case, args.num_pairs)
            finally:
                DatasetCatalog.remove(name)
        yield {"data": [name], "kb_per_file": round(size / 1000, 1), **result}


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

    whole, parts = [], []
    for _ in range(NUM_PASSES):
        whole.append([_seconds(pairs.__getitem__, i) for i in range(num_pairs)])
        with ExitStack() as stack:  # apart, as looking at the clock takes time as well
            for part, owner, function in PARTS:
                stack.enter_context(_timed(spent, part, owner, function))
            parts.append([seconds_of_parts(i) for i in range(num_pairs)])
    seconds = np.min(whole, axis=0).mean()
    ms = dict(zip(names, (1000 * np.min(parts, axis=0).mean(axis=0)).tolist()))
    ms["rest"] = 1000 * seconds - sum(ms.values())
    return {
        "pairs": num_pairs,
        "pairs_per_second_and_core": round(1 / seconds, 1),
        "ms_per_pair": {part: round(value, 3) for part, value in ms.items()},
    }


def _seconds(function, *args) -> float:
    begin = time.process_time()
    function(*args)
    return time.process_time() - begin


# functions whose time is counted, none inside another
PARTS = (
    ("draw", PairDataset, "__getitem__"),
    ("decode", dataset_mapper, "read_frame"),
    ("crop", SubwindowTransform, "apply_image"),
    ("color", ColorJitter, "get_transform"),
    ("color", MotionBlur, "get_transform"),
    ("color", ColorTransform, "apply_image"),
)


@contextmanager
def _timed(spent: dict, part: str, owner, function: str):
    """Count the time that ``owner.function`` takes in ``spent[part]``."""
    original = getattr(owner, function)

    @functools.wraps(original)  # detectron2 looks at the signature
    def timed(*args, **kwargs):
        begin = time.process_time()
        try:
            return original(*args, **kwargs)
        finally:
            spent[part] += time.process_time() - begin

    with mock.patch.object(owner, function, timed):
        yield


# ---------------------------------------------------------------------------- index
INDEX_TRACKS, INDEX_BOXES = 30_000, 14_000_000
PAIRS_PER_WORKER = 3000


def benchmark_index(cfg, args):
    """Yield the result for one made index."""
    with tempfile.TemporaryDirectory() as folder:
        sources = make_sources(folder, np.random.default_rng(args.seed))
        with mock.patch.dict(os.environ, FVCORE_CACHE=f"{folder}/cache"):
            seconds = []
            for _ in range(2):  # from the text files, then from the cache
                begin = time.process_time()
                tracks = cached_tracks("benchmark", sources, strict=True)
                seconds.append(round(time.process_time() - begin, 2))
            memory = {n: memory_of_workers(tracks, n, args.seed) for n in (1, 8)}
            boxes = int(tracks.num_frames().sum())
        yield {
            "tracks": len(tracks),
            "boxes": boxes,
            "seconds_from_files": seconds[0],
            "seconds_from_cache": seconds[1],
            "pairs_per_worker": PAIRS_PER_WORKER,
            "private_mb_of_a_worker": {n: round(m["private"] / n, 1) for n, m in memory.items()},
            "growth_mb_per_worker": round((memory[8]["all"] - memory[1]["all"]) / 7, 1),
        }


def make_sources(folder: str, rng) -> list:
    """One text file of boxes for each track."""
    length = INDEX_BOXES // INDEX_TRACKS
    text = "".join(f"{x:.2f},{y:.2f},{w:.2f},{h:.2f}\n" for x, y, w, h in rng.random((length, 4)))
    sources = []
    for i in range(INDEX_TRACKS):
        file = Path(folder, f"track-{i:05d}.txt")
        file.write_text(text)
        sources.append(Source(file.stem, (str(file),), functools.partial(_read_track, str(file))))
    return sources


def _read_track(file: str) -> list:
    boxes = read_boxes(file)
    frames = ImageFrames([f"{file[:-4]}/{i}.jpg" for i in range(len(boxes))])
    return [make_track(Path(file).stem, frames, boxes)]


def memory_of_workers(tracks, num_workers: int, seed: int) -> dict:
    """MB after drawing pairs: ``private`` to the workers, and of ``all``, this process included."""
    batch = 100
    loader = PairLoader(PairDataset([tracks], seed=seed), _name_of, batch, num_workers)
    batches = iter(loader)
    for _ in range(num_workers * PAIRS_PER_WORKER // batch):
        next(batches)
    ours, *workers = [_memory(pid) for pid in (os.getpid(), *(p.pid for p in active_children()))]
    batches.close()
    private = sum(m["Private_Clean"] + m["Private_Dirty"] for m in workers)
    return {"private": private, "all": ours["Pss"] + sum(m["Pss"] for m in workers)}


def _name_of(pair: dict) -> dict:
    """Stands for the mapper: there are no frames."""
    return {"name": pair["search"]["frames"].name(pair["search"]["index"])}


def _memory(pid: int) -> dict:
    """MB by kind, of one process; Pss divides shared pages among those who share them."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}


# ----------------------------------------------------------------------------- tool
# A task takes the config and the arguments, and yields results as dicts.
TASKS = {"data": benchmark_data, "index": benchmark_index}


def describe_machine() -> dict:
    """What the numbers were measured on."""
    cpu = platform.processor() or platform.machine()
    if os.path.isfile("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((v.split(":")[1].strip() for v in lines if v.startswith("model name")), cpu)
    return {
        "machine": {"cpu": cpu, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)},
        "threads": {"opencv": cv2.getNumThreads(), "torch": torch.get_num_threads()},
        "versions": {
            "python": platform.python_version(),
            **{m.__name__: m.__version__ for m in (av, cv2, detectron2, np, torch)},
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", required=True, choices=sorted(TASKS))
    parser.add_argument("--config-file", default="SiamRPN/siamrpn_compact.yaml", metavar="FILE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-pairs", type=int, default=200, help="pairs to time (data)")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE ... of the config")
    args = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    try:
        cfg = load_config(args.config_file, [*args.opts, "SEED", args.seed])
        for result in TASKS[args.task](cfg, args):
            about = {"config": args.config_file, "opts": args.opts, "seed": args.seed}
            print(json.dumps({"task": args.task, **result, **about, **describe_machine()}))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
