#!/usr/bin/env python3
"""Reproduce a published number by its name: train, evaluate, and compare with the source.

    python tools/reproduce.py --list
    python tools/reproduce.py michigan --budget small --output output/michigan
    python tools/reproduce.py "levels-*" --seeds 0 1           # table 1 of SiamRPN++
    python tools/reproduce.py "design-*" --guidelines           # the variants of SiamDW
    python tools/reproduce.py "design-alex-[3-8]" --config-file SiamRPN/siamrpn_alex_dw.yaml
    python tools/reproduce.py pysot-r50 --eval-only MODEL.WEIGHTS siamrpn_r50_l234_dwxcorr.pth
    python tools/reproduce.py --docs            # write docs/reproduction.md anew

The entries are in docs/reproduction.yaml, with config, data and values. Each seed is a run of
train_net.py in OUTPUT/NAME/seedN. An existing run goes on where it stopped. `--budget full` is the
recipe of the config. `--budget small` is 12,800 pairs, as in the small trainings of MODEL_ZOO.md,
with `synthetic_train` and `synthetic_val` instead of data that is missing. KEY VALUE pairs at the
end change both. --config-file runs the changes of an entry on another network, such as one with an
RPN head. --guidelines and --plot train nothing: one compares the networks with SiamDW's advice, as
analyze_model.py does, and the other draws the first number of each entry, published and measured.
With --measure success_auc it draws that measure of each seed, with its bootstrap interval, and
leaves out entries without results; this is for numbers that no source has.

The measured values are printed beside the published ones and written to
OUTPUT/NAME/reproduction.json, with the mean over the seeds and, for two or more seeds, its 95 %
interval (Student's t). The file also has all measures of each seed."""

import fnmatch
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; see utils/cpu.py

import sot  # noqa: F401  isort: skip  (first, since it silences a warning of detectron2's import)
import numpy as np
import yaml
from analyze_model import GUIDELINES, analyze, guideline_rows
from reproduction_plots import plot, report_file
from tabulate import tabulate

from sot.config import load_config
from sot.data import resolve
from sot.evaluation.protocols import get_protocol
from sot.utils.command_line import make_parser, one_line_errors
from sot.utils.files import write_text

ROOT = Path(__file__).resolve().parents[1]
LEDGER, DOCUMENT = (ROOT / "docs" / f"reproduction.{kind}" for kind in ("yaml", "md"))
STATUS = {
    "exact": "the weights behind the number load here and give the outputs of the source's code; "
    "the number itself was not measured, because it needs those weights and the data",
    "measured": "measured here, on the data that is named; for trained networks this is not the "
    "data of the source",
    "open": "not measured here, because it needs data or a GPU",
    "no recipe": "the tracker or network is not part of this project",
    "empty": "the source's value could not be read",
}
SMALL = {
    "SOLVER.MAX_ITER": 800,
    "SOLVER.IMS_PER_BATCH": 16,
    "SOLVER.OPTIMIZER": "AdamW",
    "SOLVER.BASE_LR": 0.001,
    "SOLVER.BASE_LR_END": 0.00001,
    "SOLVER.LR_SCHEDULER_NAME": "WarmupExponentialLR",
    "SOLVER.WARMUP_ITERS": 100,
    "SOLVER.WEIGHT_DECAY": 0.01,
    "SOLVER.UNFREEZE": [],
    "SOLVER.EMA.ENABLED": True,
    "SOLVER.AMP.ENABLED": True,
}
# 97.5 % points of Student's t for 1, 2, ... degrees of freedom; more have the last one
STUDENT_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def load_ledger() -> List[Dict]:
    """The tables of docs/reproduction.yaml. ValueError: a name is used twice, or a row does not
    have a value for each column."""
    tables = yaml.safe_load(LEDGER.read_text(encoding="utf-8"))["tables"]
    names = set()
    for table in tables:
        for row in table["rows"]:
            if len(row["values"]) != len(table["columns"]):
                raise ValueError(f"{LEDGER}: {row['tracker']} needs one value for each column")
            if row.get("name") in names:
                raise ValueError(f"{LEDGER}: two entries are named {row['name']}")
            names |= {row["name"]} if "name" in row else set()
    return tables


def status_of(row: Dict) -> str:
    if all(value is None for value in row["values"]):
        return "empty"
    return row.get("status", "open" if "config" in row else "no recipe")


def make_document(tables: List[Dict]) -> str:
    """The text of docs/reproduction.md."""
    lines = [
        "# Published numbers, and what was measured here",
        "",
        "Made by `python tools/reproduce.py --docs` from [reproduction.yaml](reproduction.yaml).",
        "`python tools/reproduce.py NAME` trains and evaluates the tracker of the row with that",
        "name, and compares the results with the source. `--budget small` trains on 12,800 pairs",
        "of the data that is there. The values are those of the sources, percentages divided by",
        "100. A dash means that the source has no value or that it could not be read.",
        "",
        *(f"* *{name}*: {meaning}." for name, meaning in STATUS.items()),
    ]
    for table in tables:
        note = table.get("note", "")
        if "opts" in table:
            note += f" All rows have `{_changes(table['opts'])}`."
        place, _, about = table["where"].partition(": ")
        text = f"{about[:1].upper()}{about[1:]}. {note}" if about else note.strip()
        lines += ["", f"## {table['source']}: {place}", *(["", text] if text else []), ""]
        columns = [c.replace("/", ", ") for c in table["columns"]]
        cells = [_cells(row) for row in table["rows"]]
        header = ["name", "tracker", *columns, "config", "status", "measured here"]
        lines += [tabulate(cells, header, "pipe", disable_numparse=True)]
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines()) + "\n"


def options_of(table: Dict, row: Dict) -> List:
    """KEY VALUE pairs of an entry."""
    return [*table.get("opts", []), *row.get("opts", [])]


def _cells(row: Dict) -> List[str]:
    config = row.get("config", "")
    link = f"[{Path(config).stem}](../configs/{config})" if config else ""
    found = ", ".join(f"{k} {_shown(v)}" for k, v in row.get("measured", {}).items())
    return [
        row.get("name", ""),
        row["tracker"],
        *map(_shown, row["values"]),
        f"{link} {_changes(row.get('opts', []))}".strip(),
        status_of(row),
        f"{found} ({row['data']})" if found else "",
    ]


def _changes(opts: Sequence) -> str:
    return " ".join(str(o).replace("'", "") for o in opts)


def _shown(value) -> str:
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def find(tables: List[Dict], pattern: str) -> List[Tuple[Dict, Dict]]:
    """The tables and rows of entries, by a name in which * stands for any letters; ValueError lists
    the names."""
    rows = {row["name"]: (table, row) for table in tables for row in table["rows"] if "name" in row}
    found = [rows[name] for name in fnmatch.filter(rows, pattern)]
    if not found:
        raise ValueError(f"no entry {pattern!r} in {LEDGER}; there are {', '.join(rows)}")
    return found


def is_here(dataset: str) -> bool:
    try:
        resolve(dataset).tracks()
    except (OSError, ValueError):
        return False
    return True


def small_options(cfg, tests: Sequence[str]) -> List:
    """KEY VALUE pairs of the small budget, for the data that is there."""
    sizes = cfg.DATASETS.TRAIN_EPOCH_SIZE or (0,) * len(cfg.DATASETS.TRAIN)
    train = [(n, size) for n, size in zip(cfg.DATASETS.TRAIN, sizes) if is_here(n)]
    train = train or [("synthetic_train", 0)]
    tests = [name for name in tests if is_here(name)] or ["synthetic_val"]
    options = {
        **SMALL,
        "DATASETS.TRAIN": tuple(name for name, _ in train),
        "DATASETS.TRAIN_EPOCH_SIZE": tuple(size for _, size in train),
        "DATASETS.TEST": tuple(tests),
    }
    return [item for pair in options.items() for item in pair]


def run_seed(config: str, opts: Sequence, folder: Path, seed: int, eval_only: bool) -> Dict:
    """Train and evaluate; {dataset: measures}. Among the measures is ``interval_95``, the bootstrap
    intervals {measure: [low, high]}. ValueError: train_net.py failed, or the training was complete
    before and was not evaluated on a dataset."""
    opts = [*opts, "SEED", seed, "OUTPUT_DIR", folder]
    program = [sys.executable, ROOT / "train_net.py", "--config-file", config, "--resume"]
    command = [*program, *(["--eval-only"] if eval_only else []), *opts]
    if subprocess.run([str(part) for part in command]).returncode:
        raise ValueError(f"train_net.py failed, see {folder}/log.txt")
    cfg, measures = load_config(config, [str(o) for o in opts]), {}
    for name in cfg.DATASETS.TEST:
        path = folder / "inference" / resolve(name).slug / "metrics.json"
        if not path.is_file():  # a training that was complete before is not evaluated again
            raise ValueError(
                f"{folder} was trained before and has no result on {name}: evaluate it with "
                f"--eval-only MODEL.WEIGHTS {folder / 'model_final.pth'}"
            )
        report = json.loads(path.read_text(encoding="utf-8"))
        task = get_protocol(name, cfg.TEST.PROTOCOL).task
        measures[name] = {**report[task], "interval_95": report.get("interval_95", {})}
    return measures


def network_numbers(config: str, opts: Sequence) -> Dict[str, float]:
    """The values of the columns network/...; see analyze_model.py."""
    result = analyze(load_config(config, [str(o) for o in opts]))
    features = list(result["features"].values())[-1]
    return {
        "backbone": result["parameters"]["backbone"] / 1e6,
        "head": result["parameters"]["head"] / 1e6,
        "parameters": result["parameters"]["total"] / 1e6,
        "flops": sum(result["flops"].values()) / 1e9,
        "receptive_field": features["receptive_field"],
        "template_features": features["template_size"],
    }


def interval(values: Sequence[float]) -> Tuple[float, Optional[float]]:
    """The mean over the seeds, and half the width of its 95 % interval, which is None for one
    seed."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return mean, None
    t = STUDENT_T[min(n - 1, len(STUDENT_T)) - 1]
    return mean, t * float(np.std(values, ddof=1)) / n**0.5


def compare(table: Dict, row: Dict, runs: List[Dict]) -> List[Dict]:
    """A dict for each published value, with the value that was measured on its data or on the data
    used instead (``data``)."""
    compared, stand_in = [], next(iter(runs[0]))
    for column, published in zip(table["columns"], row["values"]):
        dataset, _, measure = column.rpartition("/")
        dataset = dataset if dataset in runs[0] else stand_in
        values = [run[dataset][measure] for run in runs if measure in run[dataset]]
        mean, half = interval(values) if values else (None, None)
        found = {"measured": mean, "plus_minus": half, "data": dataset, "values": values}
        compared.append({"number": column, "published": published, **found})
    return compared


def reproduce(table: Dict, row: Dict, args) -> Tuple[List[Dict], List]:
    """The results of each seed, {dataset: measures}, and the KEY VALUE pairs behind them."""
    config, changes = args.config_file or row.get("config"), options_of(table, row)
    if not config:
        raise ValueError(f"{row['tracker']} is not part of this project")
    datasets = list(dict.fromkeys(c.rpartition("/")[0] for c in table["columns"]))
    if datasets == ["network"]:
        return [{"network": network_numbers(config, [*changes, *args.opts])}], changes
    if args.budget == "small":
        changes += small_options(load_config(config, map(str, changes)), datasets)
    elif all(datasets):
        changes += ["DATASETS.TEST", tuple(datasets)]
    changes += args.opts
    folder = Path(args.output, row["name"])
    runs = [run_seed(config, changes, folder / f"seed{n}", n, args.eval_only) for n in args.seeds]
    return runs, changes


def report(table: Dict, row: Dict, args) -> str:
    """Reproduce an entry; the comparison as text, and the file that holds it."""
    runs, changes = reproduce(table, row, args)
    compared = compare(table, row, runs)
    columns = ("number", "published", "measured", "plus_minus", "data")
    rows = [[number[c] for c in columns] for number in compared]
    file = report_file(row, args)
    made = {"name": row["name"], "budget": args.budget, "seeds": args.seeds, "opts": changes}
    made = {**made, "numbers": compared, "results": runs}
    write_text(file, json.dumps(made, indent=2, default=str) + "\n")
    shown = tabulate(rows, columns, "pipe", ".3f")
    return f"{row['tracker']}: {table['source']}, {table['where']}\n{shown}\nwrote {file}"


def guidelines(entries: Sequence[Tuple[Dict, Dict]], args) -> str:
    """The networks of entries beside the advice of SiamDW, as a markdown table; see
    analyze_model.py."""
    rows = []
    for table, row in entries:
        changes = map(str, [*options_of(table, row), *args.opts])
        result = analyze(load_config(args.config_file or row["config"], list(changes)))
        rows += guideline_rows({"config": row["name"], **result})
    return tabulate(rows, GUIDELINES, "pipe", disable_numparse=True)


@one_line_errors()
def main(argv=None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("name", nargs="?", metavar="NAME", help="an entry, or a pattern with *")
    parser.add_argument("--list", action="store_true", help="print the names of the entries")
    parser.add_argument(
        "--guidelines", action="store_true", help="print how the networks fit SiamDW's guidelines"
    )
    parser.add_argument(
        "--plot", metavar="FILE", help="draw the results in --output beside the published numbers"
    )
    parser.add_argument(
        "--measure", metavar="M", help="with --plot: this measure alone, such as success_auc"
    )
    parser.add_argument("--config-file", metavar="C", help="another config for the entries")
    parser.add_argument("--docs", action="store_true", help="write docs/reproduction.md")
    parser.add_argument("--budget", choices=("full", "small"), default="full")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N")
    parser.add_argument("--output", default="output/reproduce", help="folder")
    parser.add_argument("--eval-only", action="store_true", help="with trained MODEL.WEIGHTS")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="for all entries")
    args = parser.parse_intermixed_args(argv)
    if len(set(args.seeds)) < len(args.seeds) or min(args.seeds) < 0:
        # a run that counts twice would make the interval too narrow; -1 is no seed for detectron2
        parser.error("--seeds: give each seed once, and none below 0")
    if args.measure and not args.plot:
        parser.error("--measure needs --plot FILE")
    tables = load_ledger()
    if args.docs:
        write_text(DOCUMENT, make_document(tables))
        print(f"wrote {DOCUMENT}")
    elif args.list:
        print(*(r["name"] for t in tables for r in t["rows"] if "name" in r), sep="\n")
    elif not args.name:
        parser.error("give the NAME of an entry, or --list")
    elif args.guidelines:
        print(guidelines(find(tables, args.name), args))
    elif args.plot:
        plot(find(tables, args.name), args)
    else:
        for table, row in find(tables, args.name):
            print(report(table, row, args), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
