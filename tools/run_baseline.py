#!/usr/bin/env python3
"""
Run trackers of OpenCV over a data set, to compare with; and ours beside them, with a report.

    python tools/run_baseline.py --dataset otb2015 --trackers MIL KCF CSRT MOSSE --output output
    python tools/run_baseline.py --dataset folder:DIR --trackers MIL KCF CSRT --output output \\
        --config-file SiamRPN/siamrpn_lite.yaml --report output/report
    python tools/run_baseline.py --dataset folder:DIR --trackers ViT --output output \\
        --model ViT.net=object_tracking_vittrack_2023sep.onnx

One pass: each is started on the first box of a sequence and then never helped. The result files in
OUTPUT/TRACKER/DATASET are those that `train_net.py --eval-only` writes, scored by the data set's
protocol; `--report`, or `tools/plot_results.py` later, compares them. What is finished is not run
again. If a tracker fails in a sequence, also by taking its process down, that sequence has no
result and the others go on. Where a tracker says that it lost the target its last box stands; such
frames take it no time (MOSSE, KCF), and are in the frames per second.

MIL is in every OpenCV, KCF, CSRT and MOSSE in the package opencv-contrib-python-headless. Model
files (--model TRACKER.FIELD=FILE): Nano.backbone, Nano.neckhead, ViT.net, DaSiamRPN.model,
DaSiamRPN.kernel_cls1 and DaSiamRPN.kernel_r1.

Exit code: 0 all is done, 1 a tracker failed in some sequence, 2 nothing could be run.
"""

import argparse
import functools
import sys
from collections import defaultdict
from pathlib import Path

import sot  # isort: skip  (first, since it silences a warning of detectron2's import)
from detectron2.utils.logger import setup_logger
from tabulate import tabulate

from sot.config import load_config, resolve_device
from sot.data import get_tracks, resolve
from sot.engine import Trainer
from sot.evaluation import SOTEvaluator
from sot.evaluation.comparison import compare
from sot.evaluation.protocols import get_protocol
from sot.evaluation.report import write_report
from sot.tracking.opencv import (
    MODEL_FILES,
    OpenCVWorker,
    make_opencv_tracker,
    opencv_fingerprint,
    track_with_opencv,
)

DONE, FAILED, NOTHING = 0, 1, 2  # exit codes


def run(make, identity: str, dataset: str, folder: Path, worker: OpenCVWorker) -> dict:
    """
    Run one tracker over the sequences that have no result yet.

    Args:
        make: gives a new tracker; see OpenCVTracker.
        identity: tells trackers with other files or of another OpenCV apart.
        dataset: whatever `sot.data.get_tracks` knows.
        folder: for the results, in a folder of the data set.

    Returns:
        the measures, as of SOTEvaluator.
    """
    evaluator = SOTEvaluator(dataset, str(folder), distributed=False)
    finished = evaluator.begin(identity, resume=True)
    for track in get_tracks(dataset):
        if track["name"] not in finished:
            evaluator.process([track], [worker(track_with_opencv, make, track)])
    (measures,) = evaluator.evaluate().values()
    return measures


def run_config(config: str, dataset: str, folder: Path) -> dict:
    """Evaluate the tracker of a config, with the weights that the config names.

    Returns:
        the measures, as of SOTEvaluator; result files are in ``folder``/inference.

    Raises:
        FileNotFoundError: no such config.
        ValueError: it has no weights.
    """
    cfg = load_config(config, ["DATASETS.TEST", (dataset,), "OUTPUT_DIR", str(folder)])
    cfg.MODEL.DEVICE = resolve_device(cfg.MODEL.DEVICE)
    if not cfg.MODEL.WEIGHTS:
        raise ValueError(f"{config} has no trained weights: set MODEL.WEIGHTS in the file")
    (measures,) = Trainer.test(cfg, sot.build_model(cfg), resume=True).values()
    return measures


def table(measures: dict, dataset: str) -> str:
    columns = (*get_protocol(dataset).measures, "fps", "failed_sequences")
    columns = [c for c in columns if any(c in found for found in measures.values())]
    rows = [[name, *map(found.get, columns)] for name, found in measures.items()]
    return tabulate(rows, ["tracker", *columns], "pipe", floatfmt=".3f")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="registered name, or folder:PATH")
    parser.add_argument(
        "--trackers", nargs="+", required=True, choices=list(MODEL_FILES), metavar="TRACKER",
        help=", ".join(MODEL_FILES),
    )  # fmt: skip
    parser.add_argument("--output", required=True, help="folder for the results")
    parser.add_argument(
        "--model", nargs="+", default=[], metavar="TRACKER.FIELD=FILE", help="see above"
    )
    parser.add_argument(
        "--config-file", nargs="+", default=[], metavar="C", help="trackers of this project"
    )
    parser.add_argument("--report", metavar="DIR", help="also write plots and report.html there")
    args = parser.parse_args(argv)
    models = defaultdict(dict)
    for entry in args.model:
        key, _, path = entry.partition("=")
        name, _, field = key.partition(".")
        if not (name and field and path):
            parser.error(f"--model {entry}: expected TRACKER.FIELD=FILE")
        if name not in args.trackers:
            parser.error(f"--model {entry}: {name} is not among --trackers")
        models[name][field] = str(Path(path).expanduser())
    args.model = models
    return args


def main(argv=None) -> int:
    args = parse_args(argv)
    setup_logger(name="sot")
    output, worker, measures = Path(args.output).expanduser(), OpenCVWorker(), {}
    configs = {Path(config).stem: config for config in args.config_file}
    try:
        slug = resolve(args.dataset).slug
        folders = {name: output / name / slug for name in args.trackers}
        folders.update({name: output / name / "inference" / slug for name in configs})
        makes = {}
        for name in args.trackers:
            makes[name] = functools.partial(make_opencv_tracker, name, args.model[name])
            makes[name]()  # what is wrong there shows now and not after hours
        for name, make in makes.items():
            identity = opencv_fingerprint(name, args.model[name])
            measures[name] = run(make, identity, args.dataset, output / name, worker)
        for name, config in configs.items():
            measures[name] = run_config(config, args.dataset, output / name)
    except (OSError, ValueError) as e:
        print(f"error: {e}", file=sys.stderr)
        return NOTHING
    finally:
        worker.close()
    print(table(measures, args.dataset))
    if args.report:
        print(f"Report: {write_report(compare(args.dataset, folders), args.report)}")
    else:
        shown = " ".join(f"{name}={folder}" for name, folder in folders.items())
        print(
            f"python tools/plot_results.py --dataset {args.dataset} --results {shown} --output ..."
        )
    return FAILED if any("failed_sequences" in found for found in measures.values()) else DONE


if __name__ == "__main__":
    sys.exit(main())
