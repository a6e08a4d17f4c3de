"""Index of a data set as large as TrackingNet."""

import functools
import os
import tempfile
import time
from multiprocessing import active_children
from pathlib import Path
from unittest import mock

import numpy as np

from sot.data import PairDataset, PairLoader
from sot.data.datasets import make_track, read_boxes
from sot.data.datasets.cache import Source, cached_tracks
from sot.data.frames import ImageFrames

from .timing import seconds_of

INDEX_TRACKS, INDEX_BOXES = 30_000, 14_000_000
PAIRS_PER_WORKER = 3000


def benchmark_index(cfg, args):
    """Yield the result for one made index."""
    with tempfile.TemporaryDirectory() as folder:
        sources = make_sources(folder, np.random.default_rng(args.seed))
        with mock.patch.dict(os.environ, XDG_CACHE_HOME=f"{folder}/cache"):
            read = cached_tracks, "benchmark", sources, True
            from_files, _ = seconds_of(*read, clock=time.process_time)
            from_cache, tracks = seconds_of(*read, clock=time.process_time)
            memory = {n: memory_of_workers(tracks, n, args.seed) for n in (1, 8)}
            boxes = int(tracks.num_frames().sum())
        yield {
            "tracks": len(tracks),
            "boxes": boxes,
            "seconds_from_files": round(from_files, 2),
            "seconds_from_cache": round(from_cache, 2),
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
