#!/usr/bin/env python3
"""Run trackers of OpenCV and NanoTrack V3 over a dataset, and this project's trackers beside them,
and compare them in a report.

    python tools/run_baseline.py --dataset otb2015 --trackers MIL KCF CSRT MOSSE --output output
    python tools/run_baseline.py --dataset folder:DIR --trackers MIL KCF CSRT --output output \\
        --config-file SiamRPN/siamrpn_lite.yaml --report output/report
    python tools/run_baseline.py --dataset folder:DIR --trackers ViT --output output \\
        --model ViT.net=object_tracking_vittrack_2023sep.onnx

The protocol of the dataset says how each tracker is run: in one pass from the first box of a
sequence, or with restarts (VOT2015 to VOT2019). `--protocol` chooses another protocol. The result
files in OUTPUT/TRACKER/DATASET have the form of those of `train_net.py --eval-only`. `--report`, or
`tools/plot_results.py` later, compares them. Sequences that have a result are not run again. If a
tracker fails in a sequence, even if its process ends, that sequence has no result and the others go
on. If a tracker reports that it lost the target, its last box stays. MOSSE and KCF need almost no
time for such frames, and these count in their frames per second.

MIL is in every OpenCV. KCF, CSRT and MOSSE are in the package opencv-contrib-python-headless. Model
files (--model TRACKER.FIELD=FILE): Nano.backbone, Nano.neckhead, ViT.net, DaSiamRPN.model,
DaSiamRPN.kernel_cls1 and DaSiamRPN.kernel_r1; NanoTrackV3.backbone and NanoTrackV3.head, ONNX files
from github.com/HonglinChu/SiamTrackers, need onnxruntime.

Exit code: 0 if all is done, 1 if a tracker failed in some sequence, 2 if an error ended the run.
"""

import functools
import importlib.metadata
import json
import math
import os
import shlex
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; see utils/cpu.py

import sot  # isort: skip  (first, since it silences a warning of detectron2's import)
import cv2
from detectron2.utils.logger import setup_logger
from tabulate import tabulate

from sot.config import load_config, resolve_device
from sot.data import get_tracks, resolve
from sot.engine import Trainer
from sot.evaluation import SOTEvaluator
from sot.evaluation.protocols import PROTOCOLS, get_protocol
from sot.evaluation.report import compare, write_report
from sot.tracking.nanotrack import build_nanotrack
from sot.tracking.opencv import (
    MODEL_FILES,
    OpenCVTracker,
    OpenCVWorker,
    file_digests,
    make_opencv_tracker,
    model_files,
)
from sot.utils.command_line import make_parser, one_line_errors

NANOTRACK = "NanoTrackV3"
NAMES = [*MODEL_FILES, NANOTRACK]
DONE, FAILED, NOTHING = 0, 1, 2  # exit codes


def make_tracker(name: str, models: dict):
    """The tracker of a name, and its fingerprint, which changes with its files and the version.
    ValueError, FileNotFoundError: it cannot be made; see make_opencv_tracker and NanoTrack."""
    if name != NANOTRACK:
        make = functools.partial(make_opencv_tracker, name, models)
        make()  # so that errors show now and not after hours
        tracker, version = OpenCVTracker(make), cv2.__version__
    elif set(models) == {"backbone", "head"}:
        tracker, version = build_nanotrack(**models), importlib.metadata.version("onnxruntime")
    else:
        raise ValueError(
            f"{NANOTRACK} needs --model {NANOTRACK}.backbone=FILE {NANOTRACK}.head=FILE"
        )
    return tracker, json.dumps([name, version, file_digests(models)], sort_keys=True)


def run(tracker, identity: str, dataset: str, protocol: str, folder: Path) -> dict:
    """Run a tracker of :func:`make_tracker` over the sequences of a dataset that have no result
    yet. The results are written into a subfolder of ``folder`` for the dataset. Returns the
    measures as SOTEvaluator does."""
    evaluator = SOTEvaluator(dataset, str(folder), protocol)
    experiment = evaluator.experiment(tracker)
    if isinstance(tracker, OpenCVTracker):
        experiment = OpenCVWorker(experiment)
    finished = evaluator.begin(identity, resume=True)
    try:
        for track in get_tracks(dataset):
            if track["name"] not in finished:
                evaluator.process([track], experiment([track]))
    finally:
        if isinstance(experiment, OpenCVWorker):
            experiment.close()
    (measures,) = evaluator.evaluate().values()
    return measures


def run_config(config: str, dataset: str, protocol: str, folder: Path) -> dict:
    """Evaluate the tracker of a config, with the weights that the config names. The results are
    written into ``folder``/inference. Returns the measures as SOTEvaluator does. ValueError: the
    config has no weights."""
    opts = ["DATASETS.TEST", (dataset,), "TEST.PROTOCOL", protocol, "OUTPUT_DIR", str(folder)]
    cfg = load_config(config, opts)
    cfg.MODEL.DEVICE = resolve_device(cfg.MODEL.DEVICE)
    if not cfg.MODEL.WEIGHTS:
        raise ValueError(f"{config} has no trained weights: set MODEL.WEIGHTS in the file")
    (measures,) = Trainer.test(cfg, sot.build_model(cfg), resume=True).values()
    return measures


def table(measures: dict, dataset: str, protocol: str) -> str:
    """The measures of the trackers, best first by the measure that ranks. Trackers that failed in a
    sequence come last, because their measures are of the other sequences."""
    protocol = get_protocol(dataset, protocol)
    columns = (*protocol.measures, "fps", "failed_sequences")
    columns = [c for c in columns if any(c in found for found in measures.values())]

    def key(name: str):
        found = measures[name]
        return "failed_sequences" in found, -found.get(protocol.primary, -math.inf)

    rows = [[name, *map(measures[name].get, columns)] for name in sorted(measures, key=key)]
    return tabulate(rows, ["tracker", *columns], "pipe", floatfmt=".3f")


def parse_args(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("--dataset", required=True, help="registered name, or folder:PATH")
    parser.add_argument(
        "--trackers", nargs="+", required=True, choices=NAMES, metavar="TRACKER",
        help=", ".join(NAMES),
    )  # fmt: skip
    parser.add_argument("--output", required=True, help="folder for the results")
    parser.add_argument(
        "--model", nargs="+", default=[], metavar="TRACKER.FIELD=FILE", help="see above"
    )
    parser.add_argument(
        "--config-file", nargs="+", default=[], metavar="C", help="trackers of this project"
    )
    parser.add_argument(
        "--protocol", default="", choices=["", *PROTOCOLS], metavar="NAME",
        help="instead of the dataset's own: " + ", ".join(PROTOCOLS),
    )  # fmt: skip
    parser.add_argument("--report", metavar="DIR", help="also write plots and report.html there")
    args = parser.parse_args(argv)
    args.model = model_files(parser, args.model, args.trackers)
    names = [*args.trackers, *(Path(config).stem for config in args.config_file)]
    for name in names:
        if names.count(name) > 1:
            parser.error(
                f"two trackers are named {name}, so their results would be in one folder: run them "
                "one by one"
            )
    return args


@one_line_errors(NOTHING)
def main(argv=None) -> int:
    args = parse_args(argv)
    setup_logger(name="sot")
    output, measures = Path(args.output).expanduser(), {}
    configs = {Path(config).stem: config for config in args.config_file}
    slug = resolve(args.dataset).slug
    folders = {name: output / name / slug for name in args.trackers}
    folders.update({name: output / name / "inference" / slug for name in configs})
    trackers = {name: make_tracker(name, args.model[name]) for name in args.trackers}
    chosen = args.dataset, args.protocol
    for name, (tracker, identity) in trackers.items():
        measures[name] = run(tracker, identity, *chosen, output / name)
    for name, config in configs.items():
        measures[name] = run_config(config, *chosen, output / name)
    print(table(measures, *chosen))
    if args.report:
        comparison = compare(args.dataset, folders, protocol=args.protocol)
        print(f"Report: {write_report(comparison, args.report)}")
    else:
        shown = shlex.join(f"{name}={folder}" for name, folder in folders.items())
        dataset = shlex.quote(args.dataset)
        print(f"python tools/plot_results.py --dataset {dataset} --results {shown} --output ...")
    return FAILED if any("failed_sequences" in found for found in measures.values()) else DONE


if __name__ == "__main__":
    sys.exit(main())
