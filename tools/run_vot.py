#!/usr/bin/env python3
"""
Run a tracker through the VOT protocol with restarts, on a data set on disk.

    python tools/run_vot.py --config-file C --dataset vot2018 --output output/vot [KEY VALUE ...]
    python tools/run_vot.py --opencv MIL --dataset vot2018 --output output/vot_mil
    python tools/run_vot.py --config-file C --dataset folder:DIR --protocol vot2018 --output DIR

Where the tracker has lost the target it is started again five frames later; accuracy, robustness
and expected average overlap (EAO) are those of the protocol, see sot/evaluation/vot_protocols.py.
Result files go to OUTPUT/DATASET/baseline, in the form of the VOT toolkit, the measures to
OUTPUT/DATASET/metrics.json; tools/plot_results.py reads them too. Sequences that the same tracker
has finished are not run again. If it fails in a sequence with an error, the others go on.

Each sequence is run once: for trackers of this project, which always give the same. The toolkit
repeats trackers that do not up to 15 times.

Exit code: 0 all is done, 1 the tracker failed in some sequence, 2 nothing could be run.
"""

import argparse
import functools
import json
import logging
import sys
from pathlib import Path

import sot  # isort: skip  (first, since it silences a warning of detectron2's import)
from detectron2.utils.logger import setup_logger
from tabulate import tabulate

from sot.config import load_config
from sot.data import get_tracks, resolve
from sot.evaluation.comparison import TrackerScores, scalars, score_tracker
from sot.evaluation.protocols import PROTOCOLS, VOTProtocol, get_protocol
from sot.tracking import SequenceTracker
from sot.tracking.opencv import (
    MODEL_FILES,
    OpenCVWorker,
    make_opencv_tracker,
    opencv_fingerprint,
    restart_with_opencv,
)
from sot.tracking.restart import RestartWriter, track_with_restarts
from sot.utils.files import write_text

DONE, FAILED, NOTHING = 0, 1, 2  # exit codes
VOT_PROTOCOLS = [name for name, protocol in PROTOCOLS.items() if isinstance(protocol, VOTProtocol)]

logger = logging.getLogger("sot.run_vot")


def siamese_runner(config: str, opts):
    """A function that runs the tracker of a config over a track, and the tracker's fingerprint."""
    cfg = load_config(config, opts)
    tracker = sot.build_tracker(cfg)
    return (
        functools.partial(track_with_restarts, tracker),
        SequenceTracker(cfg, tracker.model).fingerprint(),
    )


def opencv_runner(name: str, models: dict):
    """The same for a tracker of OpenCV; it has a process of its own, as it may end it."""
    make = functools.partial(make_opencv_tracker, name, models)
    make()  # what is wrong there shows now
    runner = functools.partial(OpenCVWorker(), restart_with_opencv, make)
    return runner, opencv_fingerprint(name, models)


def run(runner, fingerprint: str, dataset: str, folder: Path) -> dict:
    """
    Run the sequences that are not finished, and write their files.

    Returns:
        {sequence: what went wrong}
    """
    tracks = get_tracks(dataset)
    writer = RestartWriter(folder, resolve(dataset).pixel_origin)
    finished = writer.begin(fingerprint, tracks, resume=True)
    logger.info(f"{dataset}: {len(finished)} of {len(tracks)} sequences are finished in {folder}")
    failed = {}
    for track in tracks:
        if track["name"] in finished:
            continue
        try:
            output = runner(track)
        except Exception as e:  # whatever it is, the other sequences can go on
            logger.exception(f"{track['name']}: tracking failed")
            output = {"error": f"{type(e).__name__}: {e}"}
        if "error" in output:
            failed[track["name"]] = output["error"]
        else:
            writer.write(output)
    return failed


def score(dataset: str, folder: Path, protocol: VOTProtocol, failed: dict) -> TrackerScores:
    """Score what is in the folder, and write metrics.json there."""
    found = score_tracker(
        TrackerScores(folder.name, folder, 0), dataset, get_tracks(dataset), protocol
    )
    report = {
        "dataset": dataset,
        "protocol": protocol.description,
        "restarts": {**scalars(found.summary), "fps": found.speed},
        "sequences": {n: {**scalars(s), "fps": found.fps.get(n)} for n, s in found.scores.items()},
        "failed": failed,
        "curves": found.summary.get("curves", {}),
    }
    write_text(folder / "metrics.json", json.dumps(report, indent=2) + "\n")
    return found


def table(found: TrackerScores) -> str:
    columns = ("frames", "accuracy", "failures", "robustness", "eao", "fps")
    rows = [(n, {**s, "fps": found.fps.get(n)}) for n, s in found.scores.items()]
    frames = sum(s["frames"] for s in found.scores.values())
    rows.append(("all", {**found.summary, "frames": frames, "fps": found.speed}))
    cells = [[name, *map(values.get, columns)] for name, values in rows]
    return tabulate(cells, ["sequence", *columns], "pipe", floatfmt=".3f")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--config-file", help="config of a tracker, a path or a name")
    which.add_argument("--opencv", choices=list(MODEL_FILES), help="a tracker of OpenCV instead")
    parser.add_argument(
        "--model", nargs="+", default=[], metavar="FIELD=FILE",
        help="files of the --opencv tracker, see tools/run_baseline.py",
    )  # fmt: skip
    parser.add_argument("--dataset", required=True, help="registered name, or folder:PATH")
    parser.add_argument("--protocol", choices=VOT_PROTOCOLS, help="by default that of the data set")
    parser.add_argument("--output", required=True, help="folder for the results")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="changes to the config")
    args = parser.parse_args(argv)
    if any("=" not in entry for entry in args.model):
        parser.error("--model: expected FIELD=FILE")
    if args.opencv and args.opts or args.config_file and args.model:
        parser.error("--model is for --opencv, and KEY VALUE for --config-file")
    args.model = dict(entry.split("=", 1) for entry in args.model)
    return args


def main(argv=None) -> int:
    args = parse_args(argv)
    setup_logger(name="sot")
    try:
        folder = Path(args.output).expanduser() / resolve(args.dataset).slug
        get_tracks(args.dataset)
        protocol = PROTOCOLS[args.protocol] if args.protocol else get_protocol(args.dataset)
        if not isinstance(protocol, VOTProtocol):
            raise ValueError(
                f"the protocol {protocol.name} of {args.dataset!r} has no restarts: choose one "
                f"with --protocol ({', '.join(VOT_PROTOCOLS)})"
            )
        if args.opencv:
            runner, fingerprint = opencv_runner(args.opencv, args.model)
        else:
            runner, fingerprint = siamese_runner(args.config_file, args.opts)
        failed = run(runner, fingerprint, args.dataset, folder)
    except (OSError, ValueError) as e:
        print(f"error: {e}", file=sys.stderr)
        return NOTHING
    found = score(args.dataset, folder, protocol, failed)
    print(f"{args.dataset}, protocol {protocol.name} with restarts\n{table(found)}")
    for name, problem in failed.items():
        print(f"the tracker failed in {name}: {problem}", file=sys.stderr)
    if not found.scores:
        return NOTHING
    print(f"results are in {folder}")
    return FAILED if failed else DONE


if __name__ == "__main__":
    sys.exit(main())
