#!/usr/bin/env python3
"""Walk a dataset and report what is wrong with it:

    python tools/check_dataset.py got10k_train
    python tools/check_dataset.py folder:videos --output report.json
    python tools/check_dataset.py coco:photos:photos.json --workers 4

It reads every frame and reports: sequences that cannot be read; numbers of frames and boxes that
differ; frames that are missing or do not decode; pictures whose size or rotation is not that of
their annotations; boxes that have no size, are smaller than a pixel, lie outside the picture or are
far larger than it; and tracks in which the target is never visible. Frames count from 0.

Exit code: 0 nothing found, 1 problems found, 2 the dataset cannot be found, 130 interrupted.
"""

import json
import os
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Dict, List, Tuple

import sot  # noqa: F401  isort: skip  (first, since it silences a warning of detectron2's import)
import numpy as np
from dataset_checks import KINDS, Checker, Problem, make_units, start_worker
from torch.utils.data import DataLoader
from tqdm import tqdm

from sot.data import resolve
from sot.data.datasets import Source, TrackList
from sot.data.datasets.cache import read_all
from sot.utils.command_line import first_few, make_parser, one_line_errors
from sot.utils.files import file_name, write_text

CLEAN, PROBLEMS, USAGE = 0, 1, 2  # exit codes
SHOWN = 5  # of each kind on the screen; the report has all


def read_dataset(name: str) -> Tuple[TrackList, List[Problem]]:
    """The tracks of a dataset, and the problems of sequences that cannot be read. For errors see
    sot.data.get_tracks."""
    entry = resolve(name)
    if entry.sources is None:
        return entry.tracks(), []
    sources = entry.sources()
    problems = folders_left_out(entry.root, sources) if name.startswith("folder:") else []

    def failed(source: Source, error: Exception) -> None:
        problems.append(describe_error(source, error))

    bar = {"unit": " sequences", "mininterval": _interval()}
    return TrackList.pack(read_all(sources, failed, "reading", **bar)), problems


def folders_left_out(root: Path, sources: List[Source]) -> List[Problem]:
    """The problems of folders in a ``folder:`` dataset that have no boxes and are left out."""
    known = {source.name for source in sources}
    folders = [] if known == {root.name} else sorted(root.glob("[!.]*/"))
    return [
        Problem("unreadable", folder.name, None, f"{folder} has no groundtruth_rect.txt")
        for folder in folders
        if folder.name not in known and folder.is_dir()
    ]


def describe_error(source: Source, error: Exception) -> Problem:
    """The problem of a source that cannot be read."""
    detail = str(error)
    if isinstance(error, OSError) and error.filename:
        detail = f"{error.filename}: {error.strerror}"
    differ = re.search(r"\d+ \w+ but \d+", detail)  # as make_track words it
    kind = "numbers" if differ else "unreadable"
    return Problem(kind, source.name, None, detail + (missing_numbers(source) if differ else ""))


def missing_numbers(source: Source) -> str:
    """Which file names a folder of numbered frames passes over, for a message."""
    for folder in filter(os.path.isdir, source.files):
        stems = [p.stem for p in Path(folder).iterdir() if re.search(r"\d$", p.stem)]
        numbers = {int(re.search(r"\d+$", stem)[0]) for stem in stems}
        gaps = sorted(set(range(min(numbers, default=0), max(numbers, default=0))) - numbers)
        if 0 < len(gaps) < len(numbers) / 2:  # otherwise they do not count by ones
            return f"; numbers missing in {folder}: {first_few(gaps, SHOWN)}"
    return ""


def walk(tracks: TrackList, problems: List[Problem], decode: bool, workers: int) -> None:
    """Check all units, and append their problems."""
    loader = DataLoader(
        Checker(tracks, decode),
        sampler=make_units(tracks),
        batch_size=None,
        collate_fn=_as_is,
        num_workers=workers,
        worker_init_fn=start_worker,
    )
    total = int(tracks.num_frames().sum())
    with tqdm(desc="checking", total=total, unit=" boxes", mininterval=_interval()) as bar:
        for unit, found in loader:
            problems += found
            bar.update(unit.num_boxes)


def _as_is(item):
    return item


def _interval() -> float:
    """Seconds between two updates of the progress bar. In a log file each update is a line."""
    return 0.1 if sys.stderr.isatty() else 10


def absent_frames(tracks: TrackList) -> Dict[str, List[Tuple[int, int]]]:
    """The first and the last frame of each part in which the target is invisible, by track."""
    absent = {}
    for i in np.flatnonzero(tracks.num_frames() - tracks.num_visible()).tolist():
        track = tracks[i]
        steps = np.diff(np.concatenate([[False], ~track["visible"], [False]]).astype(int))
        begins, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
        absent[track["name"]] = list(zip(begins.tolist(), (ends - 1).tolist()))
    return absent


def summarize(problems: List[Problem], absent: Dict[str, List[Tuple[int, int]]]) -> str:
    """Totals, and the first problems of each kind."""
    by_kind = defaultdict(list)
    for problem in problems:
        by_kind[problem.kind].append(problem)
    lines = [] if problems else ["No problems found."]
    for kind in filter(by_kind.get, KINDS):
        found = by_kind[kind]
        lines.append(f"{KINDS[kind]}: {len(found)}")
        for p in found[:SHOWN]:
            frame = "" if p.frame is None else f" frame {p.frame}"
            lines.append(f"  {p.sequence}{frame}: {p.detail}")
        if len(found) > SHOWN:
            lines.append(f"  ... and {len(found) - SHOWN} more")
    if absent:
        counts = {name: sum(b - a + 1 for a, b in parts) for name, parts in absent.items()}
        names = [f"{name} ({count})" for name, count in counts.items()]
        lines.append(
            f"Note: {sum(counts.values())} frames of {len(counts)} tracks have no box or are "
            f"marked as invisible, and are not trained on: {first_few(names, SHOWN)}"
        )
    return "\n".join(lines)


def check(name: str, output: Path, decode: bool, workers: int) -> int:
    """Check a dataset, print the result and write the report; returns the exit code."""
    tracks, problems = read_dataset(name)
    absent = absent_frames(tracks)
    try:
        walk(tracks, problems, decode, workers)
    except KeyboardInterrupt:
        print(f"Found so far: {summarize(problems, absent)}")
        raise
    boxes = int(tracks.num_frames().sum())
    facts = {"dataset": name, "decoded": decode, "tracks": len(tracks), "boxes": boxes}
    totals = {kind: sum(p.kind == kind for p in problems) for kind in KINDS}
    found = [p._asdict() for p in problems]
    facts.update(absent=absent, totals=totals, problems=found)
    write_text(output, json.dumps(facts, indent=1) + "\n")
    print(f"{name}: {len(tracks)} tracks, {boxes} boxes")
    print(f"{summarize(problems, absent)}\nReport: {output}")
    return PROBLEMS if problems else CLEAN


def parse_args(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("name", help="registered name, folder:PATH, or coco:IMAGES_DIR:JSON")
    parser.add_argument("--output", help="report (output/check_dataset/NAME.json)")
    parser.add_argument("--workers", type=int, help="processes that read (the number of CPUs)")
    parser.add_argument(
        "--no-decode",
        action="store_true",
        help="read only the sizes of images, which is quicker and finds less",
    )
    args = parser.parse_args(argv)
    if args.workers is None:
        args.workers = os.cpu_count() or 1
    if args.workers < 1:
        parser.error(f"--workers {args.workers}: it must be at least 1")
    # the end of the name tells more than its beginning; a file name has at most 255 bytes
    report = file_name(args.name).replace(".json", "")[-80:]
    args.output = Path(args.output or f"output/check_dataset/{report}.json")
    if args.output.is_dir():
        parser.error(f"--output {args.output} is a folder: name a file")
    return args


@one_line_errors(USAGE)
def main(argv=None) -> int:
    args = parse_args(argv)
    return check(args.name, args.output, not args.no_decode, args.workers)


if __name__ == "__main__":
    sys.exit(main())
