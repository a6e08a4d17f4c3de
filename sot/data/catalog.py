"""Finds datasets by the names that stand in DATASETS.TRAIN and DATASETS.TEST.

A name is registered in detectron2's `DatasetCatalog`, or it says itself what the dataset is and
where it lies, such as ``folder:PATH``: see USAGES. :func:`resolve` gives all facts about a dataset
that are known without reading it."""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable, List, Optional, Tuple

from detectron2.data import DatasetCatalog, MetadataCatalog
from tqdm import tqdm

from ..utils.files import file_name
from .datasets.builtin import BUILTIN, builtin_sources, datasets_root
from .datasets.cache import Source
from .datasets.coco import coco_source, load_coco, read_registered
from .datasets.composite import composite_tracks
from .datasets.composite_cut import CutOuts, cut_out_fields, load_cut_outs
from .datasets.folder import folder_sources, load_folder
from .datasets.tracks import TrackList

# what can stand before the colon of a name
USAGES = {
    "folder": "folder:PATH",
    "coco": "coco:IMAGES_DIR:ANNOTATIONS_JSON",
    "composite": "composite:IMAGES_DIR:ANNOTATIONS_JSON[+folder:VIDEOS]",
}
COMPOSITE_TRACKS = (10000, 64)  # number and length where a name gives none
MIN_CUT_OUTS = 200  # a dataset cuts out at least this many objects, if there are as many


@dataclass(frozen=True)
class DatasetEntry:
    """The dataset that a name stands for."""

    name: str
    load: Callable[[], TrackList]
    slug: str  # its name in the names of folders and files with its results
    root: Optional[Path] = None  # folder that holds it, if that is known
    protocol: str = ""  # the protocol of sot.evaluation.protocols that scores results on it, or ""
    pixel_origin: int = 0  # number of the first pixel in its own files and those of results
    frame_range: int = 100  # largest distance of the frames of a training pair
    # parts that can be read one by one; None if it can only be read as a whole
    sources: Optional[Callable[[], List[Source]]] = None

    def tracks(self) -> TrackList:
        """Read the tracks. ValueError: the dataset cannot be read, or has no usable box.
        FileNotFoundError: a folder or file is missing. The message names it."""
        tracks = self.load()
        if not tracks.num_visible().any():
            raise ValueError(f"dataset {self.name!r} has no usable box")
        return tracks


def get_tracks(name: str) -> TrackList:
    """The tracks of a dataset. For errors see :func:`resolve` and :meth:`DatasetEntry.tracks`."""
    return resolve(name).tracks()


def resolve(name: str) -> DatasetEntry:
    """Find the dataset of a name: a registered dataset, whose dicts are tracks or detectron2's
    photographs with annotations; or a name as in USAGES. ValueError: there is no such dataset; the
    message lists the names that exist."""
    if name in DatasetCatalog.list():
        return _registered(name)
    kind, colon, rest = name.partition(":")
    if colon and kind in USAGES:
        return {"folder": _folder, "coco": _coco, "composite": _composite}[kind](name, rest)
    if name and Path(name).is_dir():
        raise ValueError(f"no dataset {name!r}; for the videos in that folder write folder:{name}")
    known = [n for n in DatasetCatalog.list() if MetadataCatalog.get(n).get("frame_range")]
    raise ValueError(
        f"no dataset {name!r}; use a registered name ({', '.join(known)}, ...), or "
        f"{', '.join(USAGES.values())}"
    )


def _registered(name: str) -> DatasetEntry:
    metadata, files = MetadataCatalog.get(name), _coco_files(name)
    known = ("protocol", "pixel_origin", "frame_range")
    about = {key: metadata.get(key) for key in known if metadata.get(key) is not None}
    if name in BUILTIN:
        about["root"] = datasets_root() / BUILTIN[name].folder
        about["sources"] = partial(builtin_sources, name)
    # a large file is read once and kept as an index
    load = partial(load_coco, *files) if files else partial(_load_registered, name)
    return DatasetEntry(name, load, file_name(name), **about)


def _coco_files(name: str) -> Tuple[str, ...]:
    """The image folder and the json file of a registered dataset in the COCO format; () for another
    dataset."""
    metadata = MetadataCatalog.get(name)
    if metadata.get("evaluator_type") == "coco" and metadata.get("json_file"):
        return metadata.image_root, metadata.json_file
    return ()


def _load_registered(name: str) -> TrackList:
    items = DatasetCatalog.get(name)
    if len(items) and "annotations" in items[0]:
        items = read_registered(items, name)
    return TrackList.pack(items)


def _folder(name: str, path: str) -> DatasetEntry:
    root = Path(path).resolve()
    load, sources = partial(load_folder, root), partial(folder_sources, root)
    return DatasetEntry(name, load, file_name(f"folder_{root.name}"), root, sources=sources)


def _coco(name: str, rest: str) -> DatasetEntry:
    images, _, annotations = rest.rpartition(":")
    if not images:
        raise ValueError(f"dataset {name!r}: expected {USAGES['coco']}")
    load = partial(load_coco, images, annotations)
    return DatasetEntry(name, load, file_name(f"coco_{Path(annotations).stem}"), Path(images))


def _composite(name: str, rest: str) -> DatasetEntry:
    """The dataset ``composite:[NxT:]PHOTOGRAPHS[+BACKGROUNDS]``: N sequences of T frames, in which
    objects that are cut from photographs move over real backgrounds (see `datasets.composite`).
    PHOTOGRAPHS is ``[coco:]IMAGES_DIR:ANNOTATIONS_JSON`` or the name of a registered dataset.
    BACKGROUNDS is a name that :func:`resolve` takes. Without it other photographs are the
    background."""
    *counts, source = re.fullmatch(r"(?:(\d+)x(\d+):)?(?:coco:)?(.*)", rest, re.DOTALL).groups()
    number, length = (int(v or default) for v, default in zip(counts, COMPOSITE_TRACKS))
    if not number or not length:
        raise ValueError(
            f"dataset {name!r}: COUNT and LENGTH of composite:COUNTxLENGTH:... must be positive, "
            f"got {number}x{length}"
        )
    backgrounds, photographs, plus, other = None, *source.rpartition("+")
    # other plus signs belong to paths
    is_kind = re.match(f"({'|'.join(USAGES)}):", other)
    if plus and (is_kind or other in DatasetCatalog.list()):
        source, backgrounds = photographs, resolve(other)
    if source not in DatasetCatalog.list() and ":" not in source:
        raise ValueError(
            f"dataset {name!r}: expected {USAGES['composite']} or composite:NAME of a "
            "registered set of photographs"
        )

    def load() -> TrackList:
        limit = max(MIN_CUT_OUTS, 2 * number)
        objects = load_cut_outs(_objects(name, source), limit, name)
        behind = backgrounds.tracks() if backgrounds else objects
        found = composite_tracks(CutOuts(objects), behind, number, length, name)
        return TrackList.pack(tqdm(found, f"sequences of {name}", number, delay=2, mininterval=1))

    return DatasetEntry(name, load, file_name(name))


def _objects(name: str, source: str) -> Source:
    """The objects that can be cut out of a registered dataset, or of
    ``IMAGES_DIR:ANNOTATIONS_JSON``. Messages use ``name``."""
    if source not in DatasetCatalog.list():
        return coco_source(*source.rsplit(":", 1), cut_out_fields)
    files = _coco_files(source)
    if files:
        return coco_source(*files, cut_out_fields)
    items = DatasetCatalog.get(source)
    if not len(items) or "annotations" not in items[0]:
        raise ValueError(f"dataset {name!r}: {source} holds no photographs with annotations")
    return Source(source, (), partial(read_registered, items, source, cut_out_fields))
