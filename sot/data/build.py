"""Data loaders: pairs for training, and sequences for tests."""

import functools
import gc
import itertools
import logging
import multiprocessing
import os
import signal
from dataclasses import dataclass
from multiprocessing.util import Finalize
from typing import Callable, Collection, Dict, Iterator, List

import cv2
import torch
from detectron2.config import CfgNode
from detectron2.data.common import DatasetFromList
from detectron2.data.samplers import InferenceSampler
from detectron2.structures import Instances
from detectron2.utils import comm
from torch.utils.data import DataLoader

from ..utils.cpu import keep_freed_memory
from .catalog import resolve
from .dataset_mapper import SiameseDatasetMapper
from .pair_dataset import PairDataset

# A pair whose frames do not decode is replaced by the next pair, at most this many times in a row.
MAX_REPLACEMENTS = 100


@dataclass
class _MappedPairs:
    pairs: PairDataset
    mapper: Callable

    def __getitem__(self, index: int) -> Dict:
        # detectron2's MapDataset replaces a sample by a random one, which would not be reproducible
        for k in range(MAX_REPLACEMENTS):
            item = self.mapper(self.pairs[index + k])
            if item is not None:
                return item
        raise RuntimeError(
            f"{MAX_REPLACEMENTS} pairs in a row could not be read; see the log, and check "
            "DATASETS.TRAIN with tools/check_dataset.py"
        )


class PairLoader:
    """Endless iterable of training batches (lists of mapped pairs) that can start anywhere.

    Its workers start with the first batch. :meth:`skip_to` works until then, also after ``iter()``,
    which detectron2 0.6 calls when it builds the trainer.
    """

    def __init__(self, pairs: PairDataset, mapper, total_batch_size: int, num_workers: int):
        """ValueError: the batch cannot be split evenly over the ranks."""
        world_size = comm.get_world_size()
        if total_batch_size <= 0 or total_batch_size % world_size:
            raise ValueError(
                f"SOLVER.IMS_PER_BATCH {total_batch_size} is not a positive multiple of the "
                f"{world_size} processes"
            )
        self.dataset = _MappedPairs(pairs, mapper)
        self.total_batch_size = total_batch_size
        self.num_workers = num_workers
        self.start = 0  # number of the first pair of the first batch

    def wrap_mapper(self, wrap) -> None:
        """Replace the mapper by ``wrap(mapper)``. This works until the first batch is asked for."""
        self.dataset.mapper = wrap(self.dataset.mapper)

    def skip_to(self, iteration: int) -> None:
        """Begin with the batch of ``iteration``."""
        self.start = iteration * self.total_batch_size

    def __iter__(self) -> Iterator[List[Dict]]:
        exiting = multiprocessing.Event()
        # before multiprocessing ends the workers that are left
        Finalize(None, exiting.set, exitpriority=0)
        loader = DataLoader(
            self.dataset,
            batch_size=self.total_batch_size // comm.get_world_size(),
            sampler=itertools.count(self.start + comm.get_rank(), comm.get_world_size()),
            num_workers=self.num_workers,
            collate_fn=_stack,
            worker_init_fn=functools.partial(_prepare_worker, exiting),
            # its own generator, so that starting the loader does not change the random numbers of
            # training
            generator=torch.Generator(),
        )
        for batch in loader:
            yield _unstack(batch)


def _stack(items: List[Dict]) -> Dict:
    """Stack the tensors that the items have under each key, if they can be stacked: sending a
    tensor from a worker costs about as much as making a crop."""
    stacked = {key: [item[key] for item in items] for key in items[0]}
    for key, values in stacked.items():
        if all(isinstance(v, torch.Tensor) and v.shape == values[0].shape for v in values):
            stacked[key] = torch.stack(values)
        elif all(isinstance(v, Instances) and len(v) == 1 for v in values):
            if len({v.image_size for v in values}) == 1:
                stacked[key] = Instances.cat(values)
    return stacked


def _unstack(stacked: Dict) -> List[Dict]:
    """The items that were stacked, as views of the tensors."""
    length = len(next(iter(stacked.values())))
    return [{key: values[i] for key, values in stacked.items()} for i in range(length)]


def _prepare_worker(exiting, _worker_id):
    # Freeing a decoder that the parent process opened would wait for its threads, which a fork does
    # not have.
    gc.freeze()
    # the workers run in parallel already, and more threads of OpenCV would slow each other down
    cv2.setNumThreads(0)
    keep_freed_memory()
    # Terminals and clusters send their signals to all processes, but the trainer needs batches
    # until it stops. It ends the workers itself. Those that are left when it exits get SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0) if exiting.is_set() else None)


def build_siamese_train_loader(cfg: CfgNode) -> PairLoader:
    """The loader of training batches from DATASETS.TRAIN. ValueError, FileNotFoundError: a dataset
    is unknown, missing or empty; the message names it."""
    if not cfg.DATASETS.TRAIN:
        raise ValueError("DATASETS.TRAIN is empty: name at least one training set")
    entries = [resolve(name) for name in cfg.DATASETS.TRAIN]
    datasets = [entry.tracks() for entry in entries]
    pairs = PairDataset(
        datasets,
        cfg.DATASETS.TRAIN_REPEAT_FACTOR,
        frame_ranges=cfg.DATASETS.FRAME_RANGE or [entry.frame_range for entry in entries],
        epoch_sizes=cfg.DATASETS.TRAIN_EPOCH_SIZE,
        negative_fraction=cfg.DATALOADER.NEGATIVE_PAIR_FRACTION,
        seed=max(cfg.SEED, 0),
    )
    sizes = ", ".join(f"{n}: {len(d)} tracks" for n, d in zip(cfg.DATASETS.TRAIN, datasets))
    logging.getLogger(__name__).info(f"training pairs from {sizes}; an epoch is {len(pairs)} pairs")
    mapper = SiameseDatasetMapper(cfg)
    return PairLoader(pairs, mapper, cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_WORKERS)


def build_siamese_test_loader(
    cfg: CfgNode, dataset_name: str, skip: Collection[str] = ()
) -> DataLoader:
    """The loader of the tracks of a dataset, in batches of TEST.TRACKER.BATCH_SEQUENCES tracks,
    split over the ranks without repetition. Tracks named in ``skip`` are left out.

    ValueError: the first frame of a track has no box to start from. For further errors see
    `sot.data.get_tracks`."""
    tracks = resolve(dataset_name).tracks()
    for track in tracks:
        if not track["visible"][0]:
            raise ValueError(
                f"dataset {dataset_name!r}: sequence {track['name']} has no box in its first frame"
            )
    tracks = [track for track in tracks if track["name"] not in skip]
    if cfg.TEST.TRACKER.BATCH_SEQUENCES > 1:
        # sorted, so that the tracks of a batch are about equally long
        tracks.sort(key=lambda track: len(track["boxes"]))
        # InferenceSampler gives each rank a contiguous part
        ranks = comm.get_world_size()
        tracks = [track for rank in range(ranks) for track in tracks[rank::ranks]]
    return DataLoader(
        DatasetFromList(tracks, copy=False, serialize=False),
        # InferenceSampler refuses an empty dataset
        sampler=InferenceSampler(len(tracks)) if tracks else None,
        batch_size=cfg.TEST.TRACKER.BATCH_SEQUENCES,
        collate_fn=list,
    )
