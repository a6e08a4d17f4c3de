#!/usr/bin/env python3
"""Calibrate the score of a tracker, so that it is the probability that the box overlaps the true
box by more than 0.5, and measure how well it is calibrated:

    python tools/calibrate_score.py --config-file SiamRPN/siamrpn_lite.yaml \\
        --fit folder:kept_out --check folder:sequences --plot reliability.png \\
        TEST.TRACKER.ENGINE onnxruntime

The tracker of the config follows each target of --fit in one pass from its first box. A logistic
regression is fitted to its confidences in each frame (the network's, and the online model's), and
written beside the weights, as WEIGHTS.score.json for WEIGHTS.pth, where sot.build_tracker finds it.
The videos must not be those of the training, on which trackers are right too often. Run this again
for other weights, and after you have changed settings of the tracker.

The table describes the scores. `ece` is the expected calibration error over ten bins. `auroc` says
how well they tell right boxes from wrong ones, and `auroc_on_target` does so for an overlap above
0.2. `failed_sure` is the fraction of wrong boxes with a score above 0.9. Each video of --fit is
scored by a fit to the other videos. `raw` is the raw score. A frame whose target is absent counts
as wrong. `absence_precision`, `absence_recall` and `absence_f` compare the frames in which the
target cannot be seen with those whose status is "lost". `redetected` is the fraction of the targets
that come back and have a right box within 30 frames. Without --fit the tracker's present
calibration is checked, and nothing is written."""

import json
import os
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple

import sot  # isort: skip  (first, since it silences a warning of detectron2's import)
import numpy as np
from detectron2.utils.file_io import PathManager
from matplotlib.figure import Figure
from tabulate import tabulate
from tqdm import tqdm

from sot.boxes import is_present
from sot.config import load_config
from sot.data import get_tracks, resolve
from sot.data.datasets import check_start
from sot.data.frame_source import frames_of
from sot.evaluation.measures.metrics import iou_xyxy
from sot.evaluation.measures.reliability import absence, reliability, trust
from sot.tracking import Calibration, Target, follow
from sot.tracking.calibration import RIGHT_ABOVE, next_status
from sot.utils.command_line import add_config_options, make_parser, one_line_errors
from sot.utils.files import write_text


class Frames(NamedTuple):
    """N frames: the confidences (N, K); and, each (N,), the raw scores, the overlaps with the true
    box (0 if there is none), whether the target cannot be seen, whether the status is "lost", and
    the number of the video."""

    confidences: np.ndarray
    raw_scores: np.ndarray
    overlaps: np.ndarray
    absent: np.ndarray
    lost: np.ndarray
    videos: np.ndarray

    @property
    def right(self) -> np.ndarray:
        return self.overlaps > RIGHT_ABOVE


def run(tracker, dataset: str) -> Frames:
    """Run one pass over each track of a dataset. Frames of starts and frames that cannot be read
    are left out."""
    columns: List[List] = [[] for _ in Frames._fields]
    for video, track in enumerate(tqdm(get_tracks(dataset), desc=dataset)):
        check_start(track)
        boxes = np.asarray(track["boxes"], dtype=np.float64)
        absent = ~(is_present(boxes) & track["visible"])
        steps = follow(tracker, frames_of(track["frames"]), [Target({0: boxes[0]})])
        for frame, states, _ in steps:
            state, i = states[0], frame.index
            if i == 0 or frame.image is None or not state.confidences:
                continue
            overlap = float(iou_xyxy(state.box[None], boxes[i : i + 1])[0])
            gone, lost = bool(absent[i]), state.status == "lost"
            values = (state.confidences, state.raw_score, overlap, gone, lost, video)
            for column, value in zip(columns, values):
                column.append(value)
    if not columns[0]:
        raise ValueError(f"{dataset} has no frame with a score")
    return Frames(*map(np.array, columns))


def chances(calibration: Calibration, frames: Frames) -> np.ndarray:
    return np.array([calibration(c) for c in frames.confidences])


def leave_one_out(frames: Frames) -> np.ndarray:
    """The calibrated scores (N,). Those of each video are from a fit to the other videos."""
    found, videos = np.empty(len(frames.videos)), np.unique(frames.videos)
    if len(videos) < 2:
        raise ValueError("--fit needs two videos or more: each is scored by a fit to the others")
    for video in videos:
        inside = frames.videos == video
        others = Frames(*(column[~inside] for column in frames))
        fit = Calibration.fit(others.confidences, others.right, others.videos)
        found[inside] = chances(fit, Frames(*(column[inside] for column in frames)))
    return found


def with_status(scores: np.ndarray, frames: Frames) -> Frames:
    """The frames with the status "lost" that follows from the scores (N,)."""
    lost, status = [], "init"
    for i, score in enumerate(scores):
        begins = i == 0 or frames.videos[i] != frames.videos[i - 1]
        status = next_status("init" if begins else status, score)
        lost.append(status == "lost")
    return frames._replace(lost=np.array(lost))


def draw(curves: Dict[str, np.ndarray]) -> Figure:
    """The reliability diagram of each (bins, 3), see measures.reliability.reliability."""
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axes = figure.add_subplot(xlabel="score", ylabel="fraction of right boxes")
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--")
    for name, curve in curves.items():
        mean, fraction, count = curve.T
        used = count > 0
        line = axes.plot(mean[used], fraction[used], label=name)[0]
        share = 300 * count[used] / count.sum()
        axes.scatter(mean[used], fraction[used], share, color=line.get_color(), alpha=0.6)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(title="areas: share of the frames")
    return figure


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add_config_options(parser, default="SiamRPN/siamrpn_lite.yaml")
    parser.add_argument("--fit", help="dataset to fit a calibration on, such as folder:DIR")
    parser.add_argument("--check", help="dataset to measure scores on, without a fit")
    parser.add_argument("--output", help="file to write (by default beside the weights)")
    parser.add_argument("--plot", help="picture of the reliability diagram")
    args = parser.parse_args(argv)
    if not (args.fit or args.check):
        parser.error("name videos with --fit, --check or both")
    return args


@one_line_errors()
def main(argv=None) -> int:
    args = parse_args(argv)
    cfg = load_config(args.config_file, args.opts)
    tracker, scores, about = sot.build_tracker(cfg), {}, {}
    if args.fit:
        tracker.calibration = None
        fitted, name = run(tracker, args.fit), resolve(args.fit).slug
        others = leave_one_out(fitted)
        scores[f"{name} (others)"] = (others, with_status(others, fitted))
        about = {"config": os.path.basename(args.config_file), "engine": tracker.engine}
        about["fitted_on"] = name
        about.update(videos=len(np.unique(fitted.videos)), frames=len(fitted.videos))
        columns = fitted.confidences, fitted.right, fitted.videos
        tracker.calibration = Calibration.fit(*columns, about)
    if tracker.calibration is None:
        raise ValueError(f"{cfg.MODEL.WEIGHTS} has no calibration: name videos with --fit")
    if args.check:
        checked = run(tracker, args.check)
        scores[resolve(args.check).slug] = (chances(tracker.calibration, checked), checked)
    table = {}
    for name, (values, frames) in scores.items():
        raw = trust(frames.raw_scores, frames.overlaps)
        table[f"{name}, raw"] = raw
        found = absence(frames.lost, frames.absent, frames.right, frames.videos)
        table[name] = {**trust(values, frames.overlaps), **found}
    results = [args.plot] if args.plot else []
    if args.fit:
        measures = {k: {m: round(v, 4) for m, v in row.items()} for k, row in table.items()}
        about["measures"] = measures
        weights = PathManager.get_local_path(cfg.MODEL.WEIGHTS)
        results.insert(0, args.output or Calibration.path(weights))
        write_text(Path(results[0]), tracker.calibration.to_json())
    columns = list(dict.fromkeys(m for row in table.values() for m in row))
    rows = [[name, *map(row.get, columns)] for name, row in table.items()]
    print(tabulate(rows, ["scores on", *columns], "pipe", floatfmt=".3f"))
    print(json.dumps({"weights": tracker.calibration.weights, "bias": tracker.calibration.bias}))
    if args.plot:
        curves = {}
        for name, (values, frames) in scores.items():
            curves[name] = reliability(values, frames.right)
        draw(curves).savefig(args.plot, dpi=120)
    if results:
        print(f"results: {', '.join(results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
