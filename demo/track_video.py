#!/usr/bin/env python
"""Follow one or several objects through a video, given a box around each in the first frame:

    python demo/track_video.py --input clip.mp4 --init-box 120,80,60,90 --output results

README.md in this folder describes inputs, results and exit codes.
"""

import contextlib
import itertools
import logging
import math
import os
import sys
import threading
import time
import warnings

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; see utils/cpu.py
os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # errors are said in one line, by the program

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm
from track_arguments import (
    DIED,
    FAILED,
    INCOMPLETE,
    USAGE,
    InitBox,
    UsageError,
    check_first_boxes,
    check_targets,
    parse_args,
    target_names,
    targets_of,
)
from track_results import FILES, LABELS, PLOTS, Results

from sot import build_tracker, load_config
from sot.boxes import to_xywh
from sot.data.datasets import make_track, read_boxes
from sot.data.start_boxes import read_start_boxes
from sot.data.video import open_source, public_name
from sot.tracking import BothWays, Step, follow
from sot.utils.command_line import INTERRUPTED, keep_streams, print_error
from sot.utils.cpu import set_threads
from sot.utils.signals import FirstSignal
from sot.visualization import Window

BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"

logger = logging.getLogger("demo")


def progress(total, text=""):
    """A progress bar on stderr. If stderr is a file, it is a line every 10 s."""
    interval = 0.1 if sys.stderr.isatty() else 10
    return tqdm(total=total, desc=text, unit=" frames", mininterval=interval, bar_format=BAR_FORMAT)


def track(tracker, targets, frames, results, stop, total=None, window=None):
    """Follow all targets until the frames end, ``stop`` (an Event) is set, or the user closes the
    window.

    Returns:
        dict: frames per second, of the tracker alone and with reading, drawing and writing.
    """
    begin = time.perf_counter()
    steps = follow(tracker, frames, targets)
    first = next(steps)  # what the start refuses, before the bar
    in_tracker = write(itertools.chain([first], steps), results, stop, progress(total), window)
    return speed(results.frames, in_tracker, time.perf_counter() - begin)


def track_both_ways(passes, frames, results, stop, total=None, window=None):
    """Follow all targets forward and backward with a BothWays, ``passes``. There are no results
    before its end, so a signal ends the run at once, and the files in the output folder stay."""
    begin, in_tracker = time.perf_counter(), 0.0
    with progress(passes.total, "tracking") as bar, logging_redirect_tqdm():
        for step in passes:
            if stop.is_set():  # a program that called this one ends the run
                raise KeyboardInterrupt
            in_tracker += step.seconds
            bar.update()
    found = passes.estimates()
    steps = (Step(frame, found.get(frame.index, {}), 0.0) for frame in frames)
    write(steps, results, stop, progress(total, "writing"), window)
    return speed(passes.total, in_tracker, time.perf_counter() - begin)


def write(steps, results, stop, bar, window):
    """Add the steps to the results until they end, ``stop`` is set, or the user ends the run.
    Returns the seconds in the tracker."""
    in_tracker = 0.0
    with bar, logging_redirect_tqdm():
        for frame, states, seconds in steps:
            in_tracker += seconds
            picture = results.add(frame, states)
            stop.has_results = True
            lowest = min((s.score for s in states.values()), default=math.nan)
            bar.set_postfix(score=f"{lowest:.2f}", refresh=False)
            bar.update()
            if stop.is_set() or (window and not window.show(picture)):
                break
    return in_tracker


def speed(frames, in_tracker, elapsed):
    rates = {"tracker_fps": in_tracker, "total_fps": elapsed}
    return {name: round(frames / max(seconds, 1e-9), 2) for name, seconds in rates.items()}


def read_truth(path, size):
    """The true boxes (N, 4) XYXY in frames of ``size`` (W, H), NaN if the target is absent. None if
    there is no path."""
    if path is None:
        return None
    boxes = read_boxes(path, size)
    return make_track(path, boxes, boxes)["boxes"] if len(boxes) else boxes


def check_output(path):
    """Check the output folder before the start. ValueError: no results can be written there."""
    if not path:
        raise ValueError("--output: name a folder")
    if os.path.exists(path) and not os.path.isdir(path):
        raise ValueError(f"--output: {path} is a file; name a folder")
    parent = os.path.abspath(path)
    while not os.path.exists(parent):
        parent = os.path.dirname(parent)
    if not (os.path.isdir(parent) and os.access(parent, os.W_OK)):
        raise ValueError(f"--output: cannot write to {parent}; name another folder")


def check_inputs_stay(folder, inputs):
    """UsageError: a result would replace one of the inputs (paths), directly or by a link."""
    results = [os.path.join(folder, name) for name in FILES]
    for kind in (LABELS, PLOTS):
        for place, _, names in os.walk(os.path.join(folder, kind)):
            results += [os.path.join(place, name) for name in names]
    results = {(s.st_dev, s.st_ino): p for p in results if os.path.exists(p) for s in [os.stat(p)]}
    for path in inputs if results else ():
        with contextlib.suppress(OSError):
            stat = os.stat(path)
            if (stat.st_dev, stat.st_ino) in results:
                result = results[stat.st_dev, stat.st_ino]
                raise UsageError(f"--output: {result} is an input of this run; name another folder")


def plan_passes(tracker, source, targets, names, direction, counted):
    """The BothWays of a run, or None if one pass forward is enough. UsageError: a box is not in the
    video, or the source cannot be read again for a pass backward."""
    corrected = any(len(target.boxes) > 1 for target in targets)
    one_pass = direction == "forward" or (direction == "between" and not corrected)
    frames = None
    if not one_pass or any(i != counted.start for target in targets for i in target.boxes):
        frames = source.indexed()
    if frames is not None:
        check_targets(targets, names, frames)
        counted = counted[: len(range(counted.start, len(frames), counted.step))]
    elif not one_pass:
        raise UsageError(f"{source.name} can be read only once: use --direction forward")
    return None if one_pass else BothWays(tracker, frames, targets, direction, counted)


def run(args, stop, window=None):
    """Run the whole job, and return the exit code. ``window`` gets each drawn frame, as a
    sot.visualization.Window does."""
    set_threads(args.threads)
    check_output(args.output)
    if args.gt is not None and not os.path.exists(args.gt):
        raise FileNotFoundError(f"--gt: no such file: {args.gt}")
    window = Window("track_video") if args.show else window
    cfg = load_config(args.config_file, args.opts)
    with contextlib.closing(open_source(args.input, stop, args.frames)) as source:
        inputs = ["/dev/stdin"] if args.input == "-" else source.files
        boxes = [args.gt or "", args.init_from or ""]
        check_inputs_stay(args.output, [*inputs, *boxes, args.config_file])
        # MODEL.WEIGHTS "" asks for random weights
        weights = cfg.MODEL.WEIGHTS if "MODEL.WEIGHTS" in args.opts else None
        tracker = build_tracker(cfg, weights, device=args.device)
        frames = itertools.islice(source, args.max_frames)
        first = next(frames, None)
        if first is None:
            problem = f": it {source.problem}" if source.problem else ""
            begin = f" from frame {args.start} on" if args.start else ""
            raise ValueError(f"no frame of {source.name}{begin} can be read{problem}")
        if first.image is None:
            raise ValueError(
                f"cannot start: the first frame, {first.name}, cannot be read: {first.error}"
            )
        size, init_boxes = first.image.shape[1::-1], list(args.init_box)
        if args.init_from is not None:
            for start in read_start_boxes(args.init_from, size):
                place = f"{args.init_from} {start.place}"
                init_boxes.append(InitBox(start.box, start.frame, place=place))
        init_boxes = init_boxes or [InitBox(window.ask_box(first.image))]
        counted = args.frames if source.live else args.frames[: args.max_frames]
        targets = targets_of(init_boxes, args.reinit, counted, first.index, args.direction)
        names = target_names(init_boxes)
        check_first_boxes(targets, names, first.index, size)
        passes = plan_passes(tracker, source, targets, names, args.direction, counted)
        truth = read_truth(args.gt, size)
        info = {
            "source": public_name(args.input),
            "config": args.config_file,
            "opts": args.opts,
            "weights": cfg.MODEL.WEIGHTS,
            "device": str(tracker.model.device),
            "engine": tracker.engine,
            "init_boxes": [b.box for b in init_boxes],
            "direction": args.direction,
            "label": args.label,
            "targets": [
                {"boxes": {i: list(to_xywh(b)) for i, b in t.boxes.items()}, "last": t.last}
                for t in targets
            ],
        }
        total = min((n for n in (source.total, args.max_frames) if n), default=None)
        options = {"video": not args.no_video, "shown": window is not None}
        with Results(args.output, source, args.frames, info, truth, **options) as results:
            frames = itertools.chain([first], frames)
            if passes is None:
                rates = track(tracker, targets, frames, results, stop, total, window)
            else:
                rates = track_both_ways(passes, frames, results, stop, total, window)
            results.outcome = {**rates, "interrupted": stop.is_set()}
            if source.live:
                live = {"dropped": results.dropped, "reconnects": source.reconnects}
                results.outcome.update(latency=source.latency, **live)
        results.save(args.save, args.plot)
    problem = "" if stop.is_set() else source.problem
    report(results, f"{source.name} {problem}" if problem else "")
    if stop.is_set():
        return INTERRUPTED
    if problem and source.live:
        return DIED
    return INCOMPLETE if results.skipped or problem else 0


def report(results, problem):
    """Print what was done, what was not, and where the results are. ``problem`` says what was wrong
    with the end of the source, or is ""."""
    n, truth, outcome = results.frames, results.truth, results.outcome
    if problem:
        logger.warning(f"{problem}, after frame {results.last_index}")
    if truth is not None:
        wanted = results.wanted
        given = len(truth[wanted.start : wanted.stop : wanted.step])
        if given != n:
            logger.warning(f"--gt has {given} true boxes for {n} tracked frames")
    if results.aspect != 1:
        shape = f"{results.aspect} times as wide as high"
        logger.warning(f"pixels are {shape}; boxes are in pixels as they are stored")
    print(
        f"{n} frames, {len(results.skipped)} of them skipped; "
        f"{len(results.info['init_boxes'])} target(s); {outcome['total_fps']} frames/s in all, "
        f"{outcome['tracker_fps']} frames/s in the tracker ({results.info['engine']})"
    )
    if outcome.get("latency") is not None:
        print(
            f"live: {outcome['latency']:.3f} s from the arrival of a frame until it is drawn and "
            f"written, {outcome['dropped']} frames that came too fast were left out, "
            f"{outcome['reconnects']} reconnections"
        )
    if truth is not None:
        print(results.score_line())
    for line in results.doubt_lines():
        print(line)
    print("results: " + ", ".join(results.files))


class Stop(threading.Event):
    """Set by Ctrl-C, a polite kill or a closed terminal inside of a ``with`` block, to end after
    the present frame. A second one ends the process at once, as does the first while there are no
    results."""

    has_results = False

    def __init__(self):
        super().__init__()
        self._signal = FirstSignal(self._receive, repeat=0.1, watch=True)

    def __enter__(self) -> "Stop":
        self._signal.catch()
        return self

    def __exit__(self, *_) -> None:
        self._signal.restore()

    def _receive(self, number):
        self.set()
        if not self.has_results:
            os.write(2, b"error: interrupted\n")
            os._exit(INTERRUPTED)


def main(argv=None, stop=None):
    """Run the program. ``stop`` is an Event that ends the run early. Returns the exit code."""
    keep_streams()
    args = parse_args(argv, __doc__)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    warnings.filterwarnings("ignore", module="PIL")  # its errors say enough
    try:
        return run(args, stop or threading.Event())
    except KeyboardInterrupt:
        code, message = INTERRUPTED, "interrupted"
    except (ValueError, OSError) as e:
        code, message = (USAGE if isinstance(e, UsageError) else FAILED), e
    print_error(message)
    return code


if __name__ == "__main__":
    with Stop() as until_signal:
        sys.exit(main(stop=until_signal))
