#!/usr/bin/env python3
"""Measure speed. Each line of the output is a JSON object with a result and its conditions.

    python tools/benchmark.py --task track --config-file SiamRPN/siamrpn_lite.yaml --threads 2
    python tools/benchmark.py --task track --targets 1 10 --opencv MIL CSRT --threads 2 \\
        DATASETS.TEST "('folder:DIR',)"
    python tools/benchmark.py --task track --threads 2 --passes 15 --engines onnxruntime torch \\
        --nanotrack nanotrackv3_backbone.onnx nanotrackv3_head.onnx
    python tools/benchmark.py --task train --config-file C SOLVER.IMS_PER_BATCH 8
    python tools/benchmark.py --task data --config-file configs/SiamRPN/siamrpn_lite.yaml
    python tools/benchmark.py --task data --config-file C DATASETS.TRAIN "('folder:PATH',)"
    python tools/benchmark.py --compare before.json after.json

track  Whole tracking steps (crop, network, decoding) on a clip in memory: milliseconds and frames
       per second of the median step, percentiles, and for one target the share of each part in the
       time. It can compare engines and numbers of targets, and in turns with them trackers of
       OpenCV and NanoTrack V3. On a CPU there is also the bound of the network (the time of its
       multiply-adds at the rate of a product of large matrices) and the share of it.
       `ours_times_its_fps` compares with the tracker of the first row; `spread` is the lowest and
       the highest pass. Without DATASETS.TEST the clip is rendered.
train  Whole iterations of training (data, forward and backward pass, optimizer): pairs per second
       of the median iteration, the share of the time spent waiting for data, peak memory. Without
       DATASETS.TRAIN it makes the first dataset of `data`.
data   Training pairs that one core draws, reads and crops in a second, and the time of each part.
       Without DATASETS.TRAIN it makes datasets of JPEG files with the detail and grain of real
       ones: video_720p_80kb and video_720p_170kb (two frames a pair) and photo_640x480 (both crops
       from one photograph; no negative pairs).

--compare reads the output of two runs. For each result it says how many times as fast the second
run is, and which conditions, such as the machine, differ.

`track` and `train` measure elapsed time, so let nothing else run on the machine. `data` measures
the processor time of this process, which does not include waiting for the disk, and which other
programs disturb less. """

import argparse
import json
import os
import platform
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; see utils/cpu.py

import av
import cv2
import detectron2
import numpy as np
import torch
from benchmark_tasks.compare import compare
from benchmark_tasks.data import benchmark_data
from benchmark_tasks.track import benchmark_track
from benchmark_tasks.train import benchmark_train

from sot.config import load_config
from sot.config.checks import CHOICES
from sot.tracking.opencv import MODEL_FILES, model_files
from sot.utils.command_line import add_config_options, make_parser, one_line_errors
from sot.utils.cpu import keep_freed_memory

TASKS = {"data": benchmark_data, "track": benchmark_track, "train": benchmark_train}


def describe_machine() -> dict:
    """The machine and the versions of the measurement."""
    cpu = platform.processor() or platform.machine()
    if os.path.isfile("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((v.split(":")[1].strip() for v in lines if v.startswith("model name")), cpu)
    return {
        "machine": {"cpu": cpu, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)},
        "threads": {"opencv": cv2.getNumThreads(), "torch": torch.get_num_threads()},
        "versions": {
            "python": platform.python_version(),
            **{m.__name__: m.__version__ for m in (av, cv2, detectron2, np, torch)},
        },
    }


def parse_args():
    parser = make_parser(__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--task", choices=sorted(TASKS))
    what.add_argument("--compare", nargs=2, metavar=("BEFORE", "AFTER"), help="files of results")
    add_config_options(parser, default="SiamRPN/siamrpn_lite.yaml")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--threads", type=_positive, help="of PyTorch and OpenCV; by default PyTorch's choice "
        "(track, train) and 1 (data)"
    )  # fmt: skip
    parser.add_argument("--num-pairs", type=_positive, default=200, help="pairs to time (data)")
    track = parser.add_argument_group("track")
    track.add_argument("--targets", type=_positive, nargs="+", default=[1], metavar="N")
    track.add_argument("--num-frames", type=_positive, default=60, help="of the clip at most")
    track.add_argument("--passes", type=_positive, default=5, help="the fastest counts")
    track.add_argument(
        "--opencv", nargs="+", default=[], choices=list(MODEL_FILES), metavar="TRACKER",
        help=", ".join(MODEL_FILES),
    )  # fmt: skip
    track.add_argument(
        "--model", nargs="+", default=[], metavar="TRACKER.FIELD=FILE",
        help="files of OpenCV's trackers, as for tools/run_baseline.py",
    )  # fmt: skip
    track.add_argument(
        "--engines",
        nargs="+",
        choices=CHOICES["TEST.TRACKER.ENGINE"],
        help="by default TEST.TRACKER.ENGINE alone",
    )
    track.add_argument(
        "--nanotrack", nargs=2, metavar=("BACKBONE", "HEAD"), help="ONNX files of NanoTrack V3"
    )
    train = parser.add_argument_group("train")
    train.add_argument("--num-iters", type=_positive, default=20, help="iterations to time")
    train.add_argument("--warmup", type=_positive, default=5, help="iterations before them")
    args = parser.parse_args()
    args.model = model_files(parser, args.model, args.opencv)
    return args


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


@one_line_errors()
def main() -> int:
    args = parse_args()
    if args.compare:
        for result in compare(*args.compare):
            print(json.dumps(result))
        return 0
    keep_freed_memory()
    whole = args.task in ("track", "train")  # "data" measures the work of one core
    if args.threads or not whole:
        torch.set_num_threads(args.threads or 1)
        cv2.setNumThreads(args.threads or 0)
    cfg = load_config(args.config_file, [*args.opts, "SEED", args.seed])
    for result in TASKS[args.task](cfg, args):
        about = {"config": args.config_file, "opts": args.opts, "seed": args.seed}
        print(json.dumps({"task": args.task, **result, **about, **describe_machine()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
