#!/usr/bin/env python
"""Follow one or several objects through a video, given a box around each in the first frame:

    python demo/track_video.py --input clip.mp4 --init-box 120,80,60,90 --output results

README.md in this folder describes inputs, results and exit codes.
"""

import argparse
import contextlib
import itertools
import logging
import os
import sys
import threading
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; see utils/cpu.py

import numpy as np
import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm
from track_results import FILES, Results

from sot import build_tracker, load_config
from sot.boxes import to_xyxy
from sot.data.datasets import make_track, read_boxes
from sot.data.video import open_source, public_name
from sot.evaluation.experiments import follow
from sot.utils.command_line import INTERRUPTED, keep_streams, print_error
from sot.utils.cpu import set_threads
from sot.utils.signals import FirstSignal
from sot.visualization import Window

DEFAULT_CONFIG = "SiamRPN/siamrpn_lite.yaml"
FAILED, USAGE, INCOMPLETE, DIED = 1, 2, 3, 4  # exit codes; see README.md
BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"

logger = logging.getLogger("demo")


class UsageError(ValueError):
    """The command line asks for what cannot be done."""


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(USAGE, f"error: {message}\n")


def box_argument(text):
    """'x,y,w,h' -> four floats."""
    try:
        x, y, w, h = (float(v) for v in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no box; give four numbers x,y,w,h, for example 120,80,60,90"
        ) from None
    if not (np.isfinite([x, y, w, h]).all() and w > 0 and h > 0):
        raise argparse.ArgumentTypeError(f"box {text!r} must have a width and height above 0")
    return x, y, w, h


def count_argument(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return int(text)


def threads_argument(text):
    count = count_argument(text)
    if count > (os.cpu_count() or 1):
        raise argparse.ArgumentTypeError(f"{text} threads, but this machine has {os.cpu_count()}")
    return count


def device_argument(text):
    try:
        return str(torch.device(text))
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"{text!r} is no device; try cpu or cuda") from None


def parse_args(argv=None):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add(name, help_text, **kwargs):
        parser.add_argument(name, help=help_text, **kwargs)

    add("--input", "video, folder or 'glob' of images, stream URL, camera, - (pipe)", required=True)
    add("--output", "folder for tracked.mp4, boxes.csv and boxes.json", required=True)
    add(
        "--init-box",
        "x,y,w,h in the first frame, pixels from its top left corner; once for each target",
        type=box_argument,
        action="append",
        default=[],
    )
    add("--config-file", "yaml file, or name in configs/ (%(default)s)", default=DEFAULT_CONFIG)
    add("--gt", "file with the true boxes of the first target, x,y,w,h in each line")
    add("--device", "cpu, cuda, ... (the GPU if there is one)", type=device_argument)
    add(
        "--threads",
        "of PyTorch and OpenCV each (the cores that this process may use, but at most 4)",
        type=threads_argument,
    )
    add("--max-frames", "stop after so many frames", type=count_argument)
    add("--show", "open a window; q ends, a missing box is drawn there", action="store_true")
    add("opts", "KEY VALUE ...: overrides of the config", nargs="*")
    # argparse would take the value in "--init-box -5,3,20,20" for an option
    words = iter(sys.argv[1:] if argv is None else argv)
    argv = [f"{w}={next(words, '')}" if w == "--init-box" else w for w in words]
    args = parser.parse_intermixed_args(argv)
    if not (args.init_box or args.show):
        parser.error("--init-box x,y,w,h is missing (or use --show to draw the box)")
    return args


def track(tracker, boxes, frames, results, stop, total=None, window=None):
    """Follow all targets to the end of the frames, or until ``stop`` (an Event) is set or the
    user ends it in the window.

    Returns:
        dict: frames per second, of the tracker alone and with reading, drawing and writing.
    """
    begin, in_tracker = time.perf_counter(), 0.0
    steps = follow(tracker, frames, [to_xyxy(box) for box in boxes])
    try:
        first = next(steps)  # what the start refuses, before the bar
    except ValueError as e:
        raise UsageError(f"--init-box: {e}") from None
    interval = 0.1 if sys.stderr.isatty() else 10
    bar = tqdm(total=total, unit=" frames", mininterval=interval, bar_format=BAR_FORMAT)
    with bar, logging_redirect_tqdm():
        for frame, states, seconds in itertools.chain([first], steps):
            in_tracker += seconds
            picture = results.add(frame, states)
            stop.has_results = True
            bar.set_postfix(score=f"{min(s.score for s in states):.2f}", refresh=False)
            bar.update()
            if stop.is_set() or (window and not window.show(picture)):
                break
    elapsed = time.perf_counter() - begin
    n = results.frames
    return {"tracker_fps": round(n / in_tracker, 2), "total_fps": round(n / elapsed, 2)}


def read_truth(path, size):
    """(N, 4) XYXY in a frame of ``size`` (W, H), NaN where the target is absent; None without a
    path."""
    if path is None:
        return None
    boxes = read_boxes(path, size)
    return make_track(path, boxes, boxes)["boxes"] if len(boxes) else boxes


def check_output(path):
    """ValueError now, rather than after the start, if no results can be written there."""
    if os.path.exists(path) and not os.path.isdir(path):
        raise ValueError(f"--output: {path} is a file; name a folder")
    parent = os.path.abspath(path)
    while not os.path.exists(parent):
        parent = os.path.dirname(parent)
    if not (os.path.isdir(parent) and os.access(parent, os.W_OK)):
        raise ValueError(f"--output: cannot write to {parent}")


def check_inputs_stay(folder, inputs):
    """UsageError if a result would take the place of one of the inputs (paths), also by a link."""
    results = [os.path.join(folder, name) for name in FILES]
    results = {(s.st_dev, s.st_ino): p for p in results if os.path.exists(p) for s in [os.stat(p)]}
    for path in inputs if results else ():
        with contextlib.suppress(OSError):
            stat = os.stat(path)
            if (stat.st_dev, stat.st_ino) in results:
                result = results[stat.st_dev, stat.st_ino]
                raise UsageError(f"--output: {result} is an input of this run; name another folder")


def run(args, stop):
    """The whole job; returns the exit code."""
    set_threads(args.threads)
    check_output(args.output)
    if args.gt and not os.path.isfile(args.gt):
        raise FileNotFoundError(f"--gt: no such file: {args.gt}")
    window = Window("track_video") if args.show else None
    cfg = load_config(args.config_file, args.opts)
    with contextlib.closing(open_source(args.input, stop)) as source:
        inputs = ["/dev/stdin"] if args.input == "-" else source.files
        check_inputs_stay(args.output, [*inputs, args.gt or "", args.config_file])
        # random weights only for those who ask for them: MODEL.WEIGHTS ""
        weights = cfg.MODEL.WEIGHTS if "MODEL.WEIGHTS" in args.opts else None
        tracker = build_tracker(cfg, weights, device=args.device)
        frames = itertools.islice(source, args.max_frames)
        first = next(frames, None)
        if first is None:
            problem = f": it {source.problem}" if source.problem else ""
            raise ValueError(f"no frame of {source.name} can be read{problem}")
        if first.image is None:
            raise ValueError(f"nothing to start from, {first.name} cannot be read: {first.error}")
        truth = read_truth(args.gt, first.image.shape[1::-1])
        info = {
            "source": public_name(args.input),
            "config": args.config_file,
            "opts": args.opts,
            "weights": cfg.MODEL.WEIGHTS,
            "device": str(tracker.model.device),
            "engine": tracker.engine,
            "init_boxes": args.init_box or [window.ask_box(first.image)],
        }
        total = min((n for n in (source.total, args.max_frames) if n), default=None)
        with Results(args.output, source.fps, source.aspect, info, truth) as results:
            frames = itertools.chain([first], frames)
            speed = track(tracker, info["init_boxes"], frames, results, stop, total, window)
            results.outcome = {**speed, "interrupted": stop.is_set()}
    problem = "" if stop.is_set() else source.problem
    report(results, f"{source.name} {problem}" if problem else "")
    if stop.is_set():
        return INTERRUPTED
    if problem and source.live:
        return DIED
    return INCOMPLETE if results.skipped or problem else 0


def report(results, problem):
    """Say what was done, what was not (``problem``: how the source ended, if not in order), and
    where the results are."""
    n, truth, outcome = results.frames, results.truth, results.outcome
    if problem:
        logger.warning(f"{problem}, after frame {results.last_index}")
    if results.dropped:
        logger.warning(f"{results.dropped} live frames came too fast and were left out")
    if truth is not None and len(truth) != n:
        logger.warning(f"{len(truth)} true boxes for {n} tracked frames")
    if results.aspect != 1:
        logger.warning(f"pixels are {results.aspect} as wide as high; boxes are in stored pixels")
    print(
        f"{n} frames, {len(results.skipped)} of them skipped; "
        f"{len(results.info['init_boxes'])} target(s); {outcome['total_fps']} frames/s in all, "
        f"{outcome['tracker_fps']} frames/s in the tracker ({results.info['engine']})"
    )
    if truth is not None:
        print(results.score_line())
    print("results: " + ", ".join(map(results.path, FILES)))


class Stop(threading.Event):
    """Set by Ctrl-C, a polite kill or a closed terminal, to end after the present frame. A second
    one ends the process at once, as does the first while there are no results."""

    has_results = False

    def __init__(self):
        super().__init__()
        self.signal = FirstSignal(self._receive, repeat=0.1, watch=True)
        self.signal.catch()

    def _receive(self, number):
        self.set()
        if not self.has_results:
            os.write(2, b"error: interrupted\n")
            os._exit(INTERRUPTED)


def main(argv=None, stop=None):
    """Returns the exit code; ``stop`` is an Event that ends the run early."""
    keep_streams()
    args = parse_args(argv)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    try:
        return run(args, stop or threading.Event())
    except KeyboardInterrupt:
        code, message = INTERRUPTED, "interrupted"
    except (ValueError, OSError) as e:
        code, message = (USAGE if isinstance(e, UsageError) else FAILED), e
    print_error(message)
    return code


if __name__ == "__main__":
    sys.exit(main(stop=Stop()))
