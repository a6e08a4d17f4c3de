"""Caches the tracks of a dataset as an index on disk, so that its sources are read only once.

An index is a file of torch.save with checksums. It holds arrays and plain values, and nothing that
could run code. It lies in a folder of the user's own. If anything about it is in doubt, it is made
anew."""

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Tuple, Union

import torch
from detectron2.utils.logger import log_first_n
from iopath.common.file_io import file_lock
from portalocker import LockException
from tqdm import tqdm

from ...utils.command_line import first_few
from ...utils.files import atomic_write, check_zip, file_name
from ...utils.fingerprint import fingerprint
from ..frames import FrameError, VideoFrames
from .tracks import TrackList

# A part of the key of every index. Raise it when the content of an index or the results of a reader
# change.
VERSION = 6
SUFFIX = ".pt"
# An index is written to the disk if making it takes longer than this, in seconds.
KEEP_AFTER = 1.0
READ_ERRORS = (FrameError, ValueError, OSError)
LeftOut = Dict[str, List[str]]  # a defaultdict: reason -> names of entries that are not used


@dataclass(frozen=True)
class Source:
    """The files from which one or more tracks are read."""

    name: str  # for messages
    files: Tuple[Union[str, Path], ...]  # whose time stamps or sizes tell that something changed
    # makes the track dicts, or raises one of READ_ERRORS with a message that names the file
    read: Callable[[], Iterable[Dict]]


def cached_tracks(name: str, sources: Iterable[Source], strict: bool) -> TrackList:
    """The tracks of all sources of a dataset, in order.

    Tracks whose reading takes long are kept in :func:`cache_folder` until VERSION or a file of a
    source changes, if their frames are image files or videos. If nothing can be kept there, the log
    says so, and the sources are read each time.

    A source that cannot be read raises one of READ_ERRORS if ``strict``. Otherwise it is left out,
    and the log counts and names it.
    """
    sources, left_out, tracks = list(sources), [], None

    def failed(source: Source, error: Exception) -> None:
        if strict:
            raise error
        left_out.append([source.name, str(error)])

    with ExitStack() as stack:
        try:
            place = cache_folder() / "tracks"
            place.mkdir(exist_ok=True)
            prefix, state = _key(name, sources, strict)
            path = place / f"{prefix}{state}{SUFFIX}"
            # if several processes start together, one reads and the others wait for its files
            stack.enter_context(file_lock(str(place / prefix)))
        except (OSError, RuntimeError, LockException) as e:
            warn_once(f"the cache cannot be used, so no index of {name} is kept: {e}", __name__)
            path = None
        if path is not None:
            tracks = _load(path, left_out)
        if tracks is None:
            begin = time.perf_counter()
            bar = {"delay": 2, "mininterval": 1}
            tracks = TrackList.pack(read_all(sources, failed, f"reading {name}", **bar))
            if path is not None and time.perf_counter() - begin > KEEP_AFTER:
                # a mapped file instead of memory of this process
                tracks = _keep(tracks, left_out, path, prefix)
    if left_out:
        shown = "\n".join(f"  {source}: {error}" for source, error in left_out[:5])
        more = "\n  ... (tools/check_dataset.py lists all)" if len(left_out) > 5 else ""
        message = f"{len(left_out)} of {len(sources)} sources cannot be read and are left out"
        warn_once(f"{name}: {message}:\n{shown}{more}", __name__)
    return tracks


def cache_folder() -> Path:
    """The user's cache folder: sot/ in ``$XDG_CACHE_HOME``, which is ~/.cache by default. Nobody
    else may enter it. OSError: it cannot be made or belongs to another user. RuntimeError: the user
    has no home."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "sot"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stat = folder.stat()
    if stat.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    if stat.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def _key(name: str, sources: List[Source], strict: bool) -> Tuple[str, str]:
    """The file name of an index, in two parts: a prefix that identifies the dataset, and the rest,
    which identifies the state of its files."""
    files = [str(file) for source in sources for file in source.files]
    stamps = []
    for file in files:
        stat = os.stat(file) if os.path.exists(file) else None
        stamps.append(stat and [stat.st_mtime_ns, stat.st_size])
    state = fingerprint(VERSION, strict, files, stamps)
    return f"{file_name(name)[-60:]}-{fingerprint(files)[:8]}-", state[:16]


def _load(path: Path, left_out: List) -> Optional[TrackList]:
    """Read the index in a file. None: there is none, or it is damaged."""
    if not path.is_file():
        return None
    try:
        check_zip(path)
        tracks = _open_index(str(path))
        left_out += _read_index(str(path))["left_out"]
    except Exception as e:  # damaged bytes may raise anything
        warn_once(f"the index {path} is damaged and made anew: {e}", __name__)
        path.unlink(missing_ok=True)
        return None
    return tracks


def _read_index(path: str) -> Dict:
    """Map an index into memory: its pages are read when they are used, and processes share them."""
    return torch.load(path, map_location="cpu", mmap=True, weights_only=True)


def _open_index(path: str) -> TrackList:
    index = _read_index(path)
    arrays = {key: tensor.numpy() for key, tensor in index["arrays"].items()}
    objects = [VideoFrames.from_state(state) for state in index["videos"]]
    return TrackList(arrays, objects, origin=(_open_index, (path,)))


def _keep(tracks: TrackList, left_out: List, path: Path, prefix: str) -> TrackList:
    """Write an index, and remove outdated indexes of the same data. Returns the tracks, from the
    disk if they could be written."""
    if not all(isinstance(frames, VideoFrames) for frames in tracks.objects):
        return tracks
    index = {
        "arrays": {key: torch.from_numpy(array) for key, array in tracks.arrays.items()},
        "videos": [frames.state() for frames in tracks.objects],
        "left_out": left_out,
    }
    try:
        with atomic_write(path, advice="the dataset is read anew each time") as f:
            torch.save(index, f)
        tracks = _open_index(str(path))
    except OSError as e:
        warn_once(str(e), __name__)
    for old in path.parent.glob(f"{prefix}*{SUFFIX}"):
        if old != path:
            old.unlink(missing_ok=True)
    return tracks


def read_all(
    sources: List[Source], failed: Callable[[Source, Exception], None], progress: str, **options
) -> Iterator[Dict]:
    """Yield the tracks of all sources, in order, with a progress bar; ``options`` are tqdm's. A
    source that cannot be read is given to ``failed`` with its error."""

    def read(source):
        try:
            return source, list(source.read()), None
        except READ_ERRORS as e:
            return source, [], e

    # most of the time is spent waiting for the disk, above all on a network
    pool = ThreadPoolExecutor(8)
    try:
        results = pool.map(read, sources)
        for source, tracks, error in tqdm(results, progress, len(sources), **options):
            if error is not None:
                failed(source, error)
            yield from tracks
    finally:  # if this is left early, the other sources are not read
        pool.shutdown(cancel_futures=True)


def log_left_out(dataset: str, left_out: LeftOut) -> None:
    """Log what of a dataset is not used."""
    kinds = [f"{len(names)} {reason} ({first_few(names)})" for reason, names in left_out.items()]
    if kinds:
        warn_once(f"{dataset}: left out are {'; '.join(kinds)}", __name__)


def warn_once(message: str, logger: str) -> None:
    """Log a warning only once, although both loader and evaluator read a dataset."""
    log_first_n(logging.WARNING, message, key="message", name=logger)
