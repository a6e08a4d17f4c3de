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
import signal
import sys
import threading
import time

import numpy as np
import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm
from track_results import Results

from sot import build_tracker, load_config
from sot.boxes import to_xyxy
from sot.data.datasets import make_track, read_boxes
from sot.data.video import open_source
from sot.visualization import Window

DEFAULT_CONFIG = "SiamRPN/siamrpn_lite.yaml"
FAILED, USAGE, INCOMPLETE, INTERRUPTED = 1, 2, 3, 130  # exit codes
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


def device_argument(text):
    try:
        return str(torch.device(text))
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"{text!r} is no device; try cpu or cuda") from None


def parse_args(argv=None):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add(name, help_text, **kwargs):
        parser.add_argument(name, help=help_text, **kwargs)

    add("--input", "video, folder or 'glob' of images, stream URL, camera number", required=True)
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


def follow(tracker, boxes, frames):
    """Track through frames, starting in the first.

    Args:
        tracker: a SiameseTracker, or what has its start and step_all.
        boxes: (x, y, w, h) of each target in the first frame.
        frames: iterable of sot.data.video.Frame.

    Yields:
        (frame, states, seconds in the tracker). For a frame without an image the states stay
        what they were.

    Raises:
        UsageError: the tracker cannot start in one of the boxes.
        ValueError: the first frame has no image.
    """
    states = None
    for frame in frames:
        begin = time.perf_counter()
        if states is None:
            states = start(tracker, boxes, frame)
        elif frame.image is None:
            logger.warning(f"{frame.name} skipped: {frame.error}")
        else:
            states = tracker.step_all(frame.image, states)
        yield frame, states, time.perf_counter() - begin


def start(tracker, boxes, frame):
    """The states in the first frame; see follow."""
    if frame.image is None:
        raise ValueError(f"nothing to start from, {frame.name} cannot be read: {frame.error}")
    try:
        return [tracker.start(frame.image, to_xyxy(box)) for box in boxes]
    except ValueError as e:
        raise UsageError(f"--init-box: {e}") from None


def track(tracker, boxes, frames, results, stop, total=None, window=None):
    """Follow all targets to the end of the frames, or until ``stop`` (an Event) is set or the
    user ends it in the window.

    Returns:
        dict: frames per second, of the tracker alone and with reading, drawing and writing.
    """
    begin, in_tracker = time.perf_counter(), 0.0
    steps = follow(tracker, boxes, frames)
    steps = itertools.chain([next(steps)], steps)  # what the start refuses, before the bar
    interval = 0.1 if sys.stderr.isatty() else 10
    bar = tqdm(total=total, unit=" frames", mininterval=interval, bar_format=BAR_FORMAT)
    with bar, logging_redirect_tqdm():
        for frame, states, seconds in steps:
            in_tracker += seconds
            picture = results.add(frame, states)
            bar.set_postfix(score=f"{min(s.score for s in states):.2f}", refresh=False)
            bar.update()
            if stop.is_set() or (window and not window.show(picture)):
                break
    elapsed = time.perf_counter() - begin
    n = results.frames
    return {"tracker_fps": round(n / in_tracker, 2), "total_fps": round(n / elapsed, 2)}


def read_truth(path):
    """(N, 4) XYXY, NaN where the target is absent; None without a path."""
    if path is None:
        return None
    if not os.path.isfile(path):
        raise FileNotFoundError(f"--gt: no such file: {path}")
    boxes = read_boxes(path)
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


def run(args, stop):
    """The whole job; returns the exit code."""
    check_output(args.output)
    truth = read_truth(args.gt)
    window = Window("track_video") if args.show else None
    cfg = load_config(args.config_file, args.opts)
    with contextlib.closing(open_source(args.input)) as source:
        # random weights only for those who ask for them: MODEL.WEIGHTS ""
        weights = cfg.MODEL.WEIGHTS if "MODEL.WEIGHTS" in args.opts else None
        tracker = build_tracker(cfg, weights, device=args.device)
        frames = itertools.islice(source, args.max_frames)
        first = next(frames, None)
        if first is None:
            raise ValueError(f"no frame of {args.input} can be read")
        info = {
            "source": args.input,
            "config": args.config_file,
            "opts": args.opts,
            "weights": cfg.MODEL.WEIGHTS,
            "device": str(tracker.model.device),
            "init_boxes": args.init_box or [window.ask_box(first.image)],
        }
        total = min((n for n in (source.total, args.max_frames) if n), default=None)
        with Results(args.output, float(source.fps), info, truth) as results:
            frames = itertools.chain([first], frames)
            speed = track(tracker, info["init_boxes"], frames, results, stop, total, window)
            info.update(speed, interrupted=stop.is_set())
    report(results, source.problem)
    if stop.is_set():
        return INTERRUPTED
    return INCOMPLETE if results.skipped or source.problem else 0


def report(results, problem):
    """Say what was done, what was not (``problem``: how the source ended, if not in order), and
    where the results are."""
    info, n, truth = results.info, results.frames, results.truth
    if problem and not info["interrupted"]:
        logger.warning(f"{info['source']} {problem}, after {n} frames")
    if results.dropped:
        logger.warning(f"{results.dropped} live frames came too fast and were left out")
    if truth is not None and len(truth) != n:
        logger.warning(f"{len(truth)} true boxes for {n} tracked frames")
    print(
        f"{n} frames, {len(results.skipped)} of them skipped; {len(info['init_boxes'])} target(s); "
        f"{info['total_fps']} frames/s in all, {info['tracker_fps']} frames/s in the tracker"
    )
    if truth is not None:
        print(results.score_line())
    print("results: " + ", ".join(map(results.path, ("tracked.mp4", "boxes.csv", "boxes.json"))))


def stop_on_signals():
    """Event that Ctrl-C or a polite kill sets, to end after the frame at hand; the second one
    raises KeyboardInterrupt at once."""
    stop = threading.Event()

    def handle(signum, _):
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, handle)
    return stop


def main(argv=None, stop=None):
    """Returns the exit code; ``stop`` is an Event that ends the run early."""
    args = parse_args(argv)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    try:
        return run(args, stop or threading.Event())
    except KeyboardInterrupt:
        code, message = INTERRUPTED, "interrupted"
    except (ValueError, OSError) as e:
        code, message = (USAGE if isinstance(e, UsageError) else FAILED), e
    print("error:", *str(message).split(), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(stop=stop_on_signals()))
