#!/usr/bin/env python3
"""Compare trackers by their result files: plots, tables, and a report for the browser.

    python tools/plot_results.py --dataset otb2015 \\
        --results ours=output/inference/otb2015 KCF=results/KCF --output report

A folder holds the results of one tracker on one dataset: the files that `train_net.py --eval-only`
writes below OUTPUT_DIR/inference/, or text files as in OTB (NAME.txt), GOT-10k (NAME/NAME_001.txt)
or VOT. No network is run. The protocol of the dataset scores the sequences, or that of --protocol:
ope_matlab, ope_pysot and ope_got10k count absent and invalid boxes as those toolkits do. The report
names result files that are missing or bad, and uses the others.

Attributes of sequences are found beside the dataset, if it has them. Otherwise give a JSON file
{"NAME": ["OCC", ...]}, a CSV file with lines NAME,OCC,..., or a folder of NAME.txt.

Exit code: 0 all results are used, 1 some are missing or bad, 2 nothing could be compared.
"""

import logging
import sys
from pathlib import Path

import sot  # noqa: F401  isort: skip  (first, since it silences a warning of detectron2's import)
from tabulate import tabulate

from sot.evaluation.protocols import PROTOCOLS
from sot.evaluation.report import Comparison, compare, write_report
from sot.utils.command_line import make_parser, one_line_errors

ALL, SOME, NOTHING = 0, 1, 2  # exit codes
SHOWN_PROBLEMS = 5  # of each tracker, on the screen


def summary(comparison: Comparison) -> str:
    """Table of the trackers, best first, and how many problems each has."""
    measures, whole = comparison.protocol.measures, comparison.whole
    rows = [
        [
            whole.marked(tracker),
            *(whole.shown(tracker, m) for m in measures),
            tracker.speed,
            f"{len(tracker.scores)}/{len(comparison.tracks)}",
            len(tracker.problems) or "",
        ]
        for tracker in comparison.trackers
    ]
    header = ["tracker", *measures, "fps", "sequences", "problems"]
    lines = [tabulate(rows, header, "pipe", floatfmt=".3f"), *whole.notes()]
    return "\n".join(lines)


def parse_args(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("--dataset", required=True, help="registered name, or folder:PATH")
    parser.add_argument(
        "--results", required=True, nargs="+", metavar="TRACKER=DIR", help="folders to compare"
    )
    parser.add_argument("--output", required=True, help="folder for the report")
    parser.add_argument(
        "--protocol", default="", choices=["", *PROTOCOLS], metavar="NAME",
        help="instead of the dataset's own: " + ", ".join(PROTOCOLS),
    )  # fmt: skip
    parser.add_argument("--attributes", help="attributes of the sequences: JSON, CSV or folder")
    parser.add_argument(
        "--worst", type=int, default=3, help="film strips for each tracker (3; 0 for none)"
    )
    args = parser.parse_args(argv)
    folders = {}
    for entry in args.results:
        name, equals, folder = entry.partition("=")
        if not (name and equals and folder):
            parser.error(f"--results {entry}: expected TRACKER=DIR")
        if name in folders:
            parser.error(f"--results: there are two folders for {name}; give each its own name")
        folders[name] = Path(folder).expanduser()
    if args.worst < 0:
        parser.error(f"--worst {args.worst}: it must be at least 0")
    args.results = folders
    return args


@one_line_errors(NOTHING)
def main(argv=None) -> int:
    args = parse_args(argv)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    comparison = compare(args.dataset, args.results, args.attributes, args.protocol)
    path = write_report(comparison, args.output, args.worst)
    print(f"{args.dataset}, protocol {comparison.protocol.name}\n{summary(comparison)}")
    for tracker in comparison.trackers:
        lines = tracker.problem_lines
        if len(lines) > SHOWN_PROBLEMS:
            lines[SHOWN_PROBLEMS:] = [f"... {len(lines)} in all, see the report"]
        for line in lines:
            print(f"{tracker.name}: {line}", file=sys.stderr)
    print(f"Report: {path}")
    if not comparison.scored:
        return NOTHING
    return SOME if any(t.problems for t in comparison.trackers) else ALL


if __name__ == "__main__":
    sys.exit(main())
