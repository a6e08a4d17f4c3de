"""Caches the tracks of a dataset as an index on disk, so that its sources are read only once.

An index holds arrays and JSON with checksums, and nothing that could run code. It lies in a folder
of the user's own. If anything about it is in doubt, it is made anew."""

import json
import logging
import os
import shutil
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Tuple, Union

import numpy as np
from detectron2.utils.logger import log_first_n
from iopath.common.file_io import file_lock
from portalocker import LockException
from tqdm import tqdm

from ...utils.fingerprint import fingerprint
from ..frames import FrameError, VideoFrames
from .tracks import TrackList

# A part of the key of every index. Raise it when the files of an index or the results of a reader
# change.
VERSION = 5
# An index is written to the disk if making it takes longer than this, in seconds.
KEEP_AFTER = 1.0
READ_ERRORS = (FrameError, ValueError, OSError)


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
    with ExitStack() as stack:
        try:
            place = cache_folder() / "tracks"
            place.mkdir(exist_ok=True)
            prefix, state = _key(name, sources, strict)
            folder = place / (prefix + state)
            # if several processes start together, one reads and the others wait for its files
            stack.enter_context(file_lock(str(place / prefix)))
        except (OSError, RuntimeError, LockException) as e:
            warn_once(f"no index of {name} is kept, as the cache cannot be used: {e}", __name__)
            folder = None
        if folder is not None:
            tracks = _load(folder, left_out)
        if tracks is None:
            begin = time.perf_counter()
            tracks = TrackList.pack(_read_all(name, sources, strict, left_out))
            if folder is not None and time.perf_counter() - begin > KEEP_AFTER:
                # mapped files instead of memory of this process
                tracks = _keep(tracks, left_out, folder, prefix)
    _log_left_out(name, len(sources), left_out)
    return tracks


def cache_folder() -> Path:
    """The user's cache folder: sot/ in ``$XDG_CACHE_HOME``, which is ~/.cache by default. Nobody
    else may enter it. OSError: it cannot be made or belongs to another user. RuntimeError: the user
    has no home."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "sot"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stat = folder.stat()
    if hasattr(os, "getuid") and stat.st_uid != os.getuid():
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
    slug = "".join(c if c.isalnum() else "_" for c in name)[-60:]
    state = fingerprint(VERSION, strict, files, stamps)
    return f"{slug}-{fingerprint(files)[:8]}-", state[:16]


def _load(folder: Path, left_out: List) -> Optional[TrackList]:
    """Read the index in a folder. None: there is none, or it is damaged."""
    if not folder.is_dir():
        return None
    try:
        index = _read_index(folder)
        for key, checksum in index["checksums"].items():
            if _checksum(folder / f"{key}.npy") != checksum:
                raise ValueError(f"{key}.npy has changed")
        tracks = _open_index(str(folder))
    except (OSError, ValueError, KeyError, TypeError) as e:
        warn_once(f"the index {folder} is damaged and made anew: {e}", __name__)
        shutil.rmtree(folder, ignore_errors=True)
        return None
    left_out += index["left_out"]
    return tracks


def _read_index(folder: Path) -> Dict:
    checksum, _, text = (folder / "index.json").read_bytes().partition(b"\n")
    if checksum.decode(errors="replace") != f"{zlib.crc32(text):08x}":
        raise ValueError("index.json has changed")
    return json.loads(text)


def _checksum(path: Path) -> int:
    return zlib.crc32(np.memmap(path, np.uint8, "r"))


def _open_index(folder: str) -> TrackList:
    """Map an index into memory: its pages are read when they are used, and processes share them."""
    index = _read_index(Path(folder))
    # plain arrays, since views of np.memmap are slow to make
    arrays = {
        key: np.load(f"{folder}/{key}.npy", mmap_mode="r", allow_pickle=False).view(np.ndarray)
        for key in index["checksums"]
    }
    objects = [VideoFrames.from_state(state) for state in index["objects"]]
    return TrackList(arrays, objects, origin=(_open_index, (folder,)))


def _keep(tracks: TrackList, left_out: List, folder: Path, prefix: str) -> TrackList:
    """Write an index into a new folder and then rename the folder, so that nobody finds a
    half-written index. Outdated indexes of the same data are removed. Returns the tracks, from the
    disk if they could be written."""
    if not all(isinstance(frames, VideoFrames) for frames in tracks.objects):
        return tracks
    temporary = None
    try:
        temporary = Path(tempfile.mkdtemp(dir=folder.parent))
        for key, array in tracks.arrays.items():
            np.save(temporary / f"{key}.npy", array, allow_pickle=False)
        index = {
            "checksums": {key: _checksum(temporary / f"{key}.npy") for key in tracks.arrays},
            "objects": [frames.state() for frames in tracks.objects],
            "left_out": left_out,
        }
        text = json.dumps(index).encode()
        (temporary / "index.json").write_bytes(f"{zlib.crc32(text):08x}\n".encode() + text)
        os.rename(temporary, folder)
        tracks = _open_index(str(folder))
    except OSError as e:
        warn_once(f"the index {folder} cannot be written: {e}", __name__)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)  # if it is still there
    for old in folder.parent.glob(f"{prefix}*"):
        if old.is_dir() and old != folder:
            shutil.rmtree(old, ignore_errors=True)
    return tracks


def read_each(sources: List[Source]) -> Iterator[Tuple[Source, List[Dict], Optional[Exception]]]:
    """Yield for each source, in order, (source, tracks, None), or (source, [], error) if it cannot
    be read. Close the generator if you leave it early, so that the other sources are not read."""

    def read(source):
        try:
            return source, list(source.read()), None
        except READ_ERRORS as e:
            return source, [], e

    # most of the time is spent waiting for the disk, above all on a network
    pool = ThreadPoolExecutor(8)
    try:
        yield from pool.map(read, sources)
    finally:
        pool.shutdown(cancel_futures=True)


def _read_all(name: str, sources: List[Source], strict: bool, left_out: List) -> Iterator[Dict]:
    """The tracks of all sources. [source, error] of each source that cannot be read is appended to
    ``left_out``."""
    with closing(read_each(sources)) as results:
        progress = tqdm(results, f"reading {name}", len(sources), delay=2, mininterval=1)
        for source, tracks, error in progress:
            if error is not None and strict:
                raise error
            if error is not None:
                left_out.append([source.name, str(error)])
            yield from tracks


def _log_left_out(name: str, total: int, left_out: List) -> None:
    if left_out:
        shown = "\n".join(f"  {source}: {error}" for source, error in left_out[:5])
        more = "\n  ... (tools/check_dataset.py lists all)" if len(left_out) > 5 else ""
        message = f"{len(left_out)} of {total} sources cannot be read and are left out"
        warn_once(f"{name}: {message}:\n{shown}{more}", __name__)


def warn_once(message: str, logger: str) -> None:
    """Log a warning only once, although both loader and evaluator read a dataset."""
    log_first_n(logging.WARNING, message, key="message", name=logger)
