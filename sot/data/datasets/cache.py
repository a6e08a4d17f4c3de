"""Data sets as sources that are read once and kept on disk."""

import hashlib
import json
import logging
import os
import pickle
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Tuple

from detectron2.utils.logger import log_first_n
from iopath.common.file_io import file_lock, get_cache_dir
from tqdm import tqdm

from ..frames import FrameError
from .tracks import TrackList

__all__ = ["READ_ERRORS", "Source", "cached_tracks", "read_each"]

# An index that takes longer than this to make, in seconds, is kept on disk.
KEEP_AFTER = 1.0
READ_ERRORS = (FrameError, ValueError, OSError)


@dataclass(frozen=True)
class Source:
    """What one or more tracks are read from.

    Attributes:
        name: for messages.
        files: files and folders whose time stamp or size tells that something has changed.
        read: makes the track dicts; raises one of READ_ERRORS with a message that names the file.
    """

    name: str
    files: Tuple[str, ...]
    read: Callable[[], Iterable[Dict]]


def cached_tracks(name: str, sources: Iterable[Source], strict: bool) -> TrackList:
    """The tracks of all sources, in order.

    What takes long to read is kept in fvcore's cache folder (``$FVCORE_CACHE``, by default
    ~/.torch/iopath_cache) until a file of a source, or the code that reads it, changes.

    Args:
        name: of the data set.
        sources: see Source.
        strict: a source that cannot be read is an error; otherwise it is left out, counted and
            named in the log.

    Raises:
        one of READ_ERRORS: if strict, that of the first source that cannot be read.
    """
    sources = list(sources)
    where, state = _signature(sources, strict)
    slug = "".join(c if c.isalnum() else "_" for c in name)[-60:]
    prefix = f"{slug}-{where}-"
    folder = Path(get_cache_dir()) / "sot_tracks" / (prefix + state)
    os.makedirs(folder.parent, exist_ok=True)
    left_out = []
    # of several processes that start together, one reads and the others wait for its files
    with file_lock(str(folder.parent / prefix)):
        tracks = _load(folder, left_out)
        if tracks is None:
            begin = time.perf_counter()
            tracks = TrackList.pack(_read_all(name, sources, strict, left_out))
            if time.perf_counter() - begin > KEEP_AFTER:
                _keep(tracks, left_out, folder, prefix)
                tracks = TrackList.load(folder)  # mapped files instead of memory of this process
    _log_left_out(name, len(sources), left_out)
    return tracks


def _load(folder: Path, left_out: List):
    """The index that is kept there, or None if there is none or it is damaged."""
    try:
        left_out += json.loads((folder / "left_out.json").read_text())
        return TrackList.load(folder)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as e:
        logging.getLogger(__name__).warning(f"the index {folder} is damaged and made anew: {e}")
        shutil.rmtree(folder)
        left_out.clear()
        return None


def _signature(sources: List[Source], strict: bool) -> Tuple[str, str]:
    """Hashes of where the data is, and of the state that it and our readers are in."""
    where, state = hashlib.sha256(), hashlib.sha256(str(strict).encode())
    here = Path(__file__).parent
    for module in [here.parent / "frames.py", *sorted(here.glob("*.py"))]:
        state.update(module.read_bytes())
    for source in sources:
        for file in source.files:
            where.update(os.fsencode(file))
            try:
                stat = os.stat(file)
                state.update(f"{file} {stat.st_mtime_ns} {stat.st_size}\n".encode(errors="replace"))
            except OSError:
                state.update(f"{file} is missing\n".encode(errors="replace"))
    return where.hexdigest()[:8], state.hexdigest()[:16]


def read_each(sources: List[Source]) -> Iterator[Tuple[Source, List[Dict], Optional[Exception]]]:
    """Each source, in order, with its tracks and None, or with none and its error. To be closed
    when it is left early, so that the rest is not read."""

    def read(source):
        try:
            return source, list(source.read()), None
        except READ_ERRORS as e:
            return source, [], e

    # reading many small files is waiting for the disk, above all on a network
    pool = ThreadPoolExecutor(8)
    try:
        yield from pool.map(read, sources)
    finally:
        pool.shutdown(cancel_futures=True)


def _read_all(name: str, sources: List[Source], strict: bool, left_out: List) -> Iterator[Dict]:
    """Tracks of all sources; ``left_out`` gets [source, error] of those that cannot be read."""
    with closing(read_each(sources)) as results:
        progress = tqdm(results, f"reading {name}", len(sources), delay=2, mininterval=1)
        for source, tracks, error in progress:
            if error is not None and strict:
                raise error
            if error is not None:
                left_out.append([source.name, str(error)])
            yield from tracks


def _keep(tracks: TrackList, left_out: List, folder: Path, prefix: str) -> None:
    """Write into a new folder and rename it, so that no half-written index is ever found; then
    drop the outdated ones of the same data."""
    temporary = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        tracks.save(temporary)
        (temporary / "left_out.json").write_text(json.dumps(left_out))
        os.rename(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for old in folder.parent.glob(f"{prefix}*"):
        if old.is_dir() and old != folder:
            shutil.rmtree(old, ignore_errors=True)


def _log_left_out(name: str, total: int, left_out: List) -> None:
    if left_out:
        shown = "\n".join(f"  {source}: {error}" for source, error in left_out[:5])
        message = (
            f"{name}: {len(left_out)} of {total} sources cannot be read and are left out:\n{shown}"
            + ("\n  ... (tools/check_dataset.py lists all)" if len(left_out) > 5 else "")
        )
        # once, though loader and evaluator both read the set
        log_first_n(logging.WARNING, message, key="message", name=__name__)
