"""The command line of demo/track_video.py, and the targets that it asks for."""

import argparse
import os
import re
import sys
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch

from sot.boxes import check_box, to_xyxy
from sot.data.frames import FrameError, frame_size
from sot.data.labels import CATEGORY, FORMATS
from sot.tracking import DIRECTIONS, Target
from sot.utils.command_line import WRONG_USAGE, make_parser

DEFAULT_CONFIG = "SiamRPN/siamrpn_lite.yaml"
FAILED, USAGE, INCOMPLETE, DIED = 1, WRONG_USAGE, 3, 4  # exit codes; see docs/exit_codes.md
BOX_OPTIONS = ("--init-box", "--reinit")


class UsageError(ValueError):
    """The command line asks for something impossible."""


class InitBox(NamedTuple):
    """A value of --init-box: x, y, w, h, the first frame (None: the first one that is tracked), and
    the last frame. ``place`` names the file and the place of a box of --init-from."""

    box: Tuple[float, ...]
    first: Optional[int] = None
    last: Optional[int] = None
    place: str = ""


class Correction(NamedTuple):
    """A value of --reinit: the number of the target (None: the only one), the frame, and x, y, w,
    h."""

    target: Optional[int]
    frame: int
    box: Tuple[float, ...]


def box_argument(text):
    """'x,y,w,h' -> four floats."""
    try:
        x, y, w, h = (float(v) for v in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a box; give four numbers x,y,w,h, for example 120,80,60,90"
        ) from None
    if not (np.isfinite([x, y, w, h]).all() and w > 0 and h > 0):
        raise argparse.ArgumentTypeError(f"box {text!r} must have a width and height above 0")
    return x, y, w, h


def init_box_argument(text):
    """'x,y,w,h', 'x,y,w,h@FRAME' or 'x,y,w,h@FRAME-LAST' -> InitBox."""
    box, at, frames = text.partition("@")
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", frames)
    if at and not match:
        raise argparse.ArgumentTypeError(
            f"{text!r}: after the @ comes a frame, or the first and the last one, as in @120-300"
        )
    first, last = (None if g is None else int(g) for g in match.groups()) if at else (None, None)
    if last is not None and last < first:
        raise argparse.ArgumentTypeError(f"{text!r}: its last frame is before its first one")
    return InitBox(box_argument(box), first, last)


def reinit_argument(text):
    """'FRAME:x,y,w,h' or 'TARGET:FRAME:x,y,w,h' -> Correction."""
    match = re.fullmatch(r"(?:(\d+):)?(\d+):([^:]*)", text)
    if not match:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a frame and a box; give FRAME:x,y,w,h, or TARGET:FRAME:x,y,w,h"
        )
    target, frame, box = match.groups()
    return Correction(None if target is None else int(target), int(frame), box_argument(box))


def frame_argument(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a frame number; frames count from 0")
    return int(text)


def count_argument(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def label_argument(text):
    if not text.strip() or not text.isprintable():  # XML cannot hold other characters
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a class")
    return text


def threads_argument(text):
    count = count_argument(text)
    if count > (os.cpu_count() or 1):
        raise argparse.ArgumentTypeError(f"{text} is more than the {os.cpu_count()} cores here")
    return count


def device_argument(text):
    try:
        return str(torch.device(text))
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a device; try cpu or cuda") from None


def parse_args(argv=None, description=""):
    """The arguments. ``frames`` is the range of the frames that are tracked."""
    parser = make_parser(description)

    def add(name, help_text, **kwargs):
        parser.add_argument(name, help=help_text, **kwargs)

    add("--input", "video, folder or 'glob' of images, stream URL, camera, - (pipe)", required=True)
    add(
        "--output",
        "folder for tracked.mp4, boxes.csv and boxes.json",
        required=True,
        type=os.path.expanduser,  # a shell leaves --output=~/x as it is
    )
    add(
        "--init-box",
        "x,y,w,h in the first frame, pixels from its top left corner; once for each target. "
        "x,y,w,h@FRAME: it appears there; x,y,w,h@FRAME-LAST: and ends there",
        type=init_box_argument,
        action="append",
        default=[],
    )
    add(
        "--init-from",
        "file with the boxes of further targets: COCO or a detector's JSON, YOLO, MOTChallenge or "
        "VOT text",
        metavar="FILE",
    )
    add(
        "--reinit",
        "FRAME:x,y,w,h or TARGET:FRAME:x,y,w,h, the true box of a target in a further frame; any "
        "number of them",
        type=reinit_argument,
        action="append",
        default=[],
    )
    add(
        "--direction",
        "in which targets are followed. between: forward, and between two given boxes of a target "
        "also backward; both: forward and backward everywhere (%(default)s)",
        choices=DIRECTIONS,
        default="between",
    )
    add("--start", "first frame (0)", type=frame_argument, default=0)
    add("--end", "last frame (that of the video)", type=frame_argument)
    add("--stride", "track each STRIDE-th frame only (1)", type=count_argument, default=1)
    add("--config-file", "yaml file, or name in configs/ (%(default)s)", default=DEFAULT_CONFIG)
    add("--gt", "file with the true boxes of the first target, x,y,w,h in each line")
    add("--device", "cpu, cuda, ... (the GPU if there is one)", type=device_argument)
    add(
        "--threads",
        "of PyTorch and OpenCV each (the cores that this process may use, but at most 4)",
        type=threads_argument,
    )
    add(
        "--save",
        "write the boxes in other formats, too, into labels/ in the output folder: "
        + ", ".join(FORMATS),
        choices=list(FORMATS),
        metavar="FORMAT",
        action="append",
        default=[],
    )
    about = "class of the targets in the labels of coco and cvat (%(default)s)"
    add("--label", about, type=label_argument, default=CATEGORY)
    add("--plot", "draw scores and trajectories into plots/, too", action="store_true")
    add("--no-video", "write no tracked.mp4, which saves time", action="store_true")
    add("--max-frames", "stop after so many frames", type=count_argument)
    add("--show", "open a window; q ends, a missing box is drawn there", action="store_true")
    add("opts", "KEY VALUE ...: overrides of the config", nargs="*")
    # argparse would treat the value in "--init-box -5,3,20,20" as an option
    words = iter(sys.argv[1:] if argv is None else argv)
    argv = [f"{w}={next(words, '')}" if w in BOX_OPTIONS else w for w in words]
    args = parser.parse_intermixed_args(argv)
    if not (args.init_box or args.init_from or args.show):
        parser.error("--init-box x,y,w,h is missing (or --init-from FILE, or --show to draw it)")
    end = sys.maxsize if args.end is None else args.end + 1
    if end <= args.start:
        parser.error(f"--end {args.end} comes before --start {args.start}")
    args.frames = range(args.start, end, args.stride)
    return args


def targets_of(
    init_boxes: Sequence[InitBox],
    corrections: Sequence[Correction],
    frames: range,
    first: int,
    direction: str,
) -> List[Target]:
    """The targets of a command line.

    Args:
        frames: the frames that are tracked.
        first: the first of them that the video has. Boxes without a frame belong to it.
        direction: one of DIRECTIONS. A correction before the first box of its target needs a pass
            backward from that box.

    Raises:
        UsageError: boxes contradict each other, or their frames are not tracked.
    """
    known: List[Dict] = [{first if b.first is None else b.first: b.box} for b in init_boxes]
    for correction in corrections:
        number, frame = correction.target, correction.frame
        if number is None and len(known) > 1:
            raise UsageError(
                f"--reinit {frame}:...: there are {len(known)} targets; write which one is "
                f"meant, as in 0:{frame}:... for the first one"
            )
        number = number or 0
        if number >= len(known):
            raise UsageError(
                f"--reinit {number}:{frame}:...: there is no target {number}; the last one is "
                f"{len(known) - 1}"
            )
        if frame in known[number]:
            raise UsageError(f"target {number} has two boxes in frame {frame}: give one of them")
        start = next(iter(known[number]))
        if frame < start and direction in ("between", "forward"):
            raise UsageError(
                f"--reinit {frame}:...: target {number} appears in frame {start} only; write "
                f"--init-box x,y,w,h@{frame} and --reinit {start}:..., or --direction both"
            )
        known[number][frame] = correction.box
    targets = []
    for name, init, boxes in zip(target_names(init_boxes), init_boxes, known):
        for frame in boxes:
            where = f"{name} has a box in frame {frame}, "
            if frame not in frames:
                raise UsageError(where + "which --start, --end, --stride or --max-frames leave out")
            if init.last is not None and frame > init.last:
                raise UsageError(where + f"but --init-box ends it with frame {init.last}")
        targets.append(Target({f: to_xyxy(box) for f, box in boxes.items()}, init.last))
    return targets


def target_names(init_boxes: Sequence[InitBox]) -> List[str]:
    """The names of the targets in messages."""
    return [
        f"target {number}" + (f" ({box.place})" if box.place else "")
        for number, box in enumerate(init_boxes)
    ]


def check_first_boxes(
    targets: Sequence[Target], names: Sequence[str], index: int, size: Tuple[int, int]
) -> None:
    """Check the boxes in the first frame, of the number ``index`` and the size (W, H), on which
    targets are started. UsageError: a box is outside of it."""
    for target, name in zip(targets, names):
        for frame, box in target.boxes.items():
            if frame <= index:
                _check_box(box, size, f"{name}, frame {frame}: ")


def check_targets(targets: Sequence[Target], names: Sequence[str], frames) -> None:
    """Check the boxes against a video whose ``frames`` can be read by number. UsageError: a box is
    outside the video or outside its frame, or the frame does not decode."""
    for target, name in zip(targets, names):
        for index, box in target.boxes.items():
            where = f"{name}, frame {index}: "
            if index >= len(frames):
                raise UsageError(
                    where + f"the video has {len(frames)} frames, 0 to {len(frames) - 1}"
                )
            try:
                size = frame_size(frames, index)
            except FrameError as e:
                raise UsageError(where + f"it does not decode: {e}") from None
            _check_box(box, size, where)


def _check_box(box, size: Tuple[int, int], where: str) -> None:
    try:
        check_box(box, size[::-1])
    except ValueError as e:
        raise UsageError(where + str(e)) from None
