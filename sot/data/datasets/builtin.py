"""The public datasets: their names, and where they are looked for.

Each is read from its official layout in a folder under ``$DETECTRON2_DATASETS`` (default
``./datasets``); see datasets/README.md. COCO and other datasets of photographs are detectron2's
own: ``coco_2017_train``, for example, or any dataset that was registered with detectron2.
"""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Callable, Dict, List

from detectron2.data import DatasetCatalog, MetadataCatalog

from . import got10k, ilsvrc, lasot, nfs, otb, trackingnet, uav, vot, ytbb
from .cache import Source, cached_tracks
from .tracks import TrackList


@dataclass(frozen=True)
class Builtin:
    """How a dataset is read."""

    reader: ModuleType  # has TREE and PIXEL_ORIGIN
    # a function of the reader: (root, split) -> sources. FileNotFoundError: their list is missing
    sources: Callable[[Path, str], List[Source]]
    folder: str  # under DETECTRON2_DATASETS
    split: str
    # largest distance between the frames of a training pair, as in published trackers (SiamRPN++
    # and PySOT: VID 100, YouTube-BB 3, photographs 1)
    frame_range: int = 100
    # every sequence must be there; a test set with holes would give wrong scores
    strict: bool = False
    protocol: str = ""  # the protocol of sot.evaluation.protocols that scores it; "" for none


def _benchmark(reader, sources, folder, split, protocol) -> Builtin:
    return Builtin(reader, sources, folder, split, strict=True, protocol=protocol)


def _trackingnet(split: str) -> Builtin:
    args = (trackingnet, trackingnet.trackingnet_sources, "trackingnet", split)
    return Builtin(*args, strict=split == "test", protocol="trackingnet")


BUILTIN: Dict[str, Builtin] = {
    "imagenet_vid_train": Builtin(ilsvrc, ilsvrc.vid_sources, "ILSVRC", "train"),
    "imagenet_vid_val": Builtin(ilsvrc, ilsvrc.vid_sources, "ILSVRC", "val"),
    "imagenet_det_train": Builtin(ilsvrc, ilsvrc.det_sources, "ILSVRC", "train", 1),
    "imagenet_det_val": Builtin(ilsvrc, ilsvrc.det_sources, "ILSVRC", "val", 1),
    "youtube_bb_train": Builtin(ytbb, ytbb.ytbb_sources, "youtube_bb", "train", 3),
    "youtube_bb_val": Builtin(ytbb, ytbb.ytbb_sources, "youtube_bb", "validation", 3),
    "got10k_train": Builtin(got10k, got10k.got10k_sources, "got10k", "train", protocol="got10k"),
    "got10k_val": _benchmark(got10k, got10k.got10k_sources, "got10k", "val", "got10k"),
    "got10k_test": _benchmark(got10k, got10k.got10k_sources, "got10k", "test", "got10k"),
    "lasot_train": Builtin(lasot, lasot.lasot_sources, "lasot", "train", protocol="lasot"),
    "lasot_test": _benchmark(lasot, lasot.lasot_sources, "lasot", "test", "lasot"),
    **{f"trackingnet_{split}": _trackingnet(split) for split in trackingnet.CHUNKS},
    "otb2013": _benchmark(otb, otb.otb_sources, "otb", "2013", "otb"),
    "otb2015": _benchmark(otb, otb.otb_sources, "otb", "2015", "otb"),
    "uav123": _benchmark(uav, uav.uav_sources, "uav123", "UAV123", "uav123"),
    "uav20l": _benchmark(uav, uav.uav_sources, "uav123", "UAV20L", "uav123"),
    "nfs30": _benchmark(nfs, nfs.nfs_sources, "nfs", "30", "nfs"),
    "nfs240": _benchmark(nfs, nfs.nfs_sources, "nfs", "240", "nfs"),
    **{
        name: _benchmark(vot, vot.vot_sources, name, "shortterm", name)
        for name in ("vot2015", "vot2016", "vot2017", "vot2018", "vot2019")
    },
    "vot2018_lt": _benchmark(vot, vot.vot_sources, "vot2018_lt", "longterm", "vot2018_lt"),
}

# Datasets that need no files: one for DATASETS.TRAIN and one for DATASETS.TEST.
STAND_INS = {"TRAIN": "synthetic_train", "TEST": "synthetic_val"}


def datasets_root() -> Path:
    """The folder in which datasets are looked for: ``$DETECTRON2_DATASETS``, or ./datasets."""
    return Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser()


def where_to_put(path: Path) -> str:
    """A hint for the message about a missing absolute path, if it leads into :func:`datasets_root`;
    "" otherwise."""
    root = datasets_root()
    if root.absolute() not in path.parents:
        return ""
    return (
        f"; datasets are looked for in $DETECTRON2_DATASETS ({root}): set it to the folder that "
        f"holds {path.relative_to(root.absolute()).parts[0]}/, and see datasets/README.md"
    )


def builtin_sources(name: str) -> List[Source]:
    """The sources of a dataset of BUILTIN. FileNotFoundError: the dataset or the list of its
    sequences is missing. The message says where it was looked for, which files are expected there,
    and which dataset needs no files."""
    builtin = BUILTIN[name]
    root = datasets_root() / builtin.folder
    try:
        if not root.is_dir():
            raise FileNotFoundError(f"there is no folder {root}")
        return builtin.sources(root, builtin.split)
    except FileNotFoundError as e:
        tree = "".join(f"\n  {line}" for line in builtin.reader.TREE.splitlines())
        hint = where_to_put(root.absolute() / "...")
        key = "TRAIN" if "train" in builtin.split else "TEST"
        hint += f"; without it: DATASETS.{key} \"('{STAND_INS[key]}',)\""
        hint += ' DATASETS.TRAIN_EPOCH_SIZE "()"' if key == "TRAIN" else ""
        expected = f"expected in {root.absolute()}:{tree}"
        raise FileNotFoundError(f"dataset {name!r}: {e}{hint}\n{expected}") from None


def load_builtin(name: str) -> TrackList:
    """The tracks of a dataset of BUILTIN. For errors see builtin_sources. If the dataset is strict,
    the errors of its sources are raised, too."""
    return cached_tracks(name, builtin_sources(name), BUILTIN[name].strict)


def register_builtin() -> None:
    """Register the datasets of BUILTIN with detectron2."""
    for name, builtin in BUILTIN.items():
        DatasetCatalog.register(name, partial(load_builtin, name))
        MetadataCatalog.get(name).set(
            evaluator_type="sot",
            frame_range=builtin.frame_range,
            pixel_origin=builtin.reader.PIXEL_ORIGIN,
        )
        if builtin.protocol:
            MetadataCatalog.get(name).protocol = builtin.protocol
