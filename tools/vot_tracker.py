#!/usr/bin/env python3
r"""Let the VOT toolkit (github.com/votchallenge/toolkit) drive a tracker.

    python tools/vot_tracker.py --config-file C --write-ini WORKSPACE/trackers.ini [KEY VALUE ...]
    vot evaluate --workspace WORKSPACE sot

The first command adds a tracker to the list of trackers of a workspace of the toolkit. From then on
the toolkit starts this file by itself. The package vot-trax (4 or later) must be in the Python
environment of this project; the toolkit may be in another environment. With
VOT_RESULTS_BINARY=false in the environment of the second command, its results are text files in
WORKSPACE/results/sot, which tools/plot_results.py reads, too.

The toolkit gives bounding boxes to the tracker, which answers with boxes and confidences.
"""

import configparser
import os
import re
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; see utils/cpu.py

import sot  # isort: skip  (first, since it silences a warning of detectron2's import)
from sot.config import find_config
from sot.data.frames import ImageFrames
from sot.utils.command_line import add_config_options, make_parser, one_line_errors
from sot.utils.files import atomic_write

DONE, FAILED = 0, 1  # exit codes


def serve(tracker, name: str) -> None:
    """Answer the toolkit over the standard streams until it ends. ``name`` is the name for the
    toolkit. ImportError: vot-trax is not installed."""
    from trax import Image, Rectangle, Region, Server, TraxStatus

    formats = {"region_formats": [Region.RECTANGLE], "image_formats": [Image.PATH]}
    with Server(**formats, tracker_name=name) as server:
        while True:
            request = server.wait()
            if request.type not in (TraxStatus.INITIALIZE, TraxStatus.FRAME):
                return
            image = ImageFrames([request.image["color"].path()])[0]
            if request.type == TraxStatus.INITIALIZE:
                ((region, _),) = request.objects
                box, confidence = region.bounds(), 1.0
                tracker.init(image, box)
            else:
                box, confidence, _ = tracker.update(image)
            server.status([(Rectangle.create(*box), {"confidence": f"{confidence:.6f}"})])


def write_ini(path: Path, name: str, arguments: list) -> None:
    """Add a tracker to a file of trackers, or replace it there, with arguments for this program
    (whose paths may be relative to the current folder). The other entries of the file stay, without
    its comments. ValueError: the toolkit does not take the name, or the file is no file of
    trackers."""
    if not re.fullmatch(r"[a-zA-Z0-9_-]+", name):
        raise ValueError(f"{name!r} cannot be the name of a tracker: only letters, digits, - and _")
    ini = configparser.ConfigParser()
    try:
        ini.read(path)
    except configparser.Error as e:
        raise ValueError(f"{path} is not a file of trackers: {e}") from None
    here = Path(__file__).resolve()
    command = f"import os; os.chdir({os.getcwd()!r}); import {here.stem}; {here.stem}.main("
    entry = {
        "label": name,
        "protocol": "traxpython",
        "command": f"{command}{[*arguments, '--name', name]!r})",
        "python": sys.executable,
        # the toolkit puts them before sys.path
        "paths": os.pathsep.join(str(folder) for folder in (here.parent, here.parent.parent)),
        "timeout": "120",  # seconds for an answer; the first ones on a GPU are slow
    }
    ini[name] = {key: value.replace("%", "%%") for key, value in entry.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w") as f:
        ini.write(f)


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add_config_options(parser, required=True)
    parser.add_argument("--write-ini", metavar="FILE", help="add the tracker to this file and stop")
    parser.add_argument("--name", default="sot", help="of the tracker in the toolkit (sot)")
    return parser.parse_args(argv)


@one_line_errors(FAILED)
def main(argv=None) -> int:
    args = parse_args(argv)
    if args.write_ini:
        path = Path(args.write_ini).expanduser()
        config = str(Path(find_config(args.config_file)).resolve())
        write_ini(path, args.name, ["--config-file", config, *args.opts])
        print(f"{args.name} is in {path}")
        return DONE
    # before the toolkit is told that we are there, as it measures times from then on
    tracker = sot.build_tracker(args.config_file, opts=args.opts)
    try:
        serve(tracker, args.name)
    except ImportError as e:
        raise ImportError(f"{e}: install the package vot-trax (4 or later)") from e
    return DONE


if __name__ == "__main__":
    sys.exit(main())
