#!/usr/bin/env python3
"""Search for better settings of a tracker on a validation set with Optuna (pip install optuna):

    python tools/tune_tracker.py --config-file SiamRPN/siamrpn_lite.yaml \\
        --dataset folder:kept_out --trials 100 --output output/tuning

Each trial tracks the dataset with other values of some keys of the config. The measure that ranks
trackers decides. The first trial has the present values. After a fourth of the sequences, a trial
whose measure so far is below the median of at least five others ends early. `--search KEY LOW HIGH
STEP` names a key and the values to try; without it the window, the penalty and the rates are
searched.

The same command goes on with the trials in OUTPUT/study.log. Several processes can do so at once.
Frames are decoded once, into OUTPUT/frames, which you may remove afterwards. OUTPUT/tuned.yaml has
the best values on top of the config; use it as --config-file. OUTPUT/trials.png shows how much each
key matters. Settings that were chosen on the test set of a benchmark make its numbers worthless, so
such a set is refused without --on-test-set."""

import contextlib
import functools
import math
import os
import platform
import sys
from pathlib import Path
from typing import Dict, Tuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; see utils/cpu.py

import sot  # isort: skip  (first, since it silences a warning of detectron2's import)
import numpy as np
import yaml
from matplotlib.figure import Figure

try:
    import optuna
except ImportError:  # said in main, so that --help works
    optuna = None

from sot.config import find_config, load_config, merge_opts, resolve_device
from sot.data import get_tracks
from sot.data.datasets import check_start
from sot.data.datasets.builtin import BUILTIN
from sot.data.frames import FrameError
from sot.evaluation.experiments import Restarts, tracker_fingerprint
from sot.evaluation.protocols import get_protocol
from sot.tracking import build_siamese_tracker
from sot.utils.command_line import add_config_options, make_parser, one_line_errors
from sot.utils.figures import panel_grid
from sot.utils.files import file_name, write_text
from sot.utils.fingerprint import fingerprint

Range = Tuple[float, float, float]  # lowest value, highest value, step
SEARCH: Dict[str, Dict[str, Range]] = {  # by MODEL.META_ARCHITECTURE
    "SiamRPN": {
        "TEST.TRACKER.PENALTY_K": (0.0, 0.5, 0.02),
        "TEST.TRACKER.SIZE_LR": (0.1, 0.8, 0.02),
    },
    "SiamFC": {
        "TEST.TRACKER.SCALE_STEP": (1.01, 1.1, 0.0025),
        "TEST.TRACKER.SCALE_PENALTY": (0.9, 1.0, 0.005),
        "TEST.TRACKER.SIZE_LR": (0.1, 0.9, 0.02),
    },
}


OTHERS = 5  # trials that are complete before one may end early


class DecodedFrames:
    """Frames (see sot.data.frames) in an array (T, H, W, 3) that lies in a file."""

    def __init__(self, array: np.ndarray, frames):
        self.array, self.name = array, frames.name

    def __len__(self):
        return len(self.array)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.asarray(self.array[index])


def decode(track: Dict, folder: Path) -> Dict:
    """The track with frames that are decoded into a file of the folder, unless that is there. If a
    frame does not decode, or frames differ in size, the track stays as it is."""
    frames = track["frames"]
    # different names may become the same file name
    which = fingerprint(track["name"], [frames.name(i) for i in range(len(frames))])
    path = folder / f"{file_name(track['name'])[-60:]}-{which[:8]}.npy"
    if not path.is_file():
        part = path.with_suffix(f".{platform.node()}.{os.getpid()}")
        shape = frames[0].shape
        about = {"descr": "|u1", "fortran_order": False, "shape": (len(frames), *shape)}
        try:
            with open(part, "wb") as f:
                np.lib.format.write_array_header_1_0(f, about)
                for i in range(len(frames)):
                    image = frames[i]
                    if image.shape != shape:
                        raise FrameError(f"{frames.name(i)} has another size than the first frame")
                    f.write(image.tobytes())
            os.replace(part, path)
        except FrameError:
            return track
        finally:
            part.unlink(missing_ok=True)
    return {**track, "frames": DecodedFrames(np.load(path, mmap_mode="r"), frames)}


def search_range(key: str, *numbers: str) -> Range:
    """The values of --search for a key. ValueError: they are no range."""
    with contextlib.suppress(ValueError):
        low, high, step = map(float, numbers)
        if low < high and step > 0:
            return low, high, step
    raise ValueError(f"--search {key}: give LOW HIGH STEP, with LOW below HIGH")


def present_values(cfg, search: Dict[str, Range]) -> Dict[str, float]:
    """The values of a config, moved to the nearest ones that the search can try. ValueError: a key
    does not exist or is no number."""
    merge_opts(cfg.clone(), [word for key, (low, *_) in search.items() for word in (key, low)])
    present = {}
    for key, (low, high, step) in search.items():
        value = functools.reduce(getattr, key.split("."), cfg)
        last = math.floor((high - low) / step + 1e-9)  # STEP need not divide the range
        steps = min(round((max(value, low) - low) / step), last)
        present[key] = round(low + step * steps, 6)
    return present


def open_study(output: Path, **about):
    """The study of a folder, which is made if it is missing. ValueError: its trials are about
    something else."""
    (output / "frames").mkdir(parents=True, exist_ok=True)
    log = optuna.storages.journal.JournalFileBackend(str(output / "study.log"))
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(log),
        study_name="tracker",
        load_if_exists=True,
        direction="maximize",
    )
    for key, value in about.items():
        if study.user_attrs.get(key, value) != value:
            raise ValueError(f"{output} has trials of another {key}: name another --output")
        study.set_user_attr(key, value)
    return study


def measure(trial, cfg, model, protocol, tracks, search: Dict[str, Range]) -> float:
    """The measure that ranks trackers, with values for the keys of ``search`` from a trial."""
    values = {k: round(trial.suggest_float(k, *r[:2], step=r[2]), 6) for k, r in search.items()}
    cfg = merge_opts(cfg.clone(), [word for pair in values.items() for word in pair])
    experiment, scores = protocol.experiment(build_siamese_tracker(cfg, model)), {}
    for step, track in enumerate(tracks):
        result = experiment.run(track)
        scores[track["name"]] = protocol.score(result["boxes"], track, result["scores"])
        value = protocol.summarize(scores).get(protocol.primary, float("nan"))
        trial.report(value, step)
        if len(tracks) // 4 <= step < len(tracks) - 1 and is_behind(trial, value, step):
            raise optuna.TrialPruned
    return value


def is_behind(trial, value: float, step: int) -> bool:
    """Whether the measure of a trial after some sequences is below the median of the complete
    trials. (Optuna's MedianPruner would compare the best measure that the trial had so far, which
    may be the one after an easy first sequence.)"""
    complete = trial.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    others = [t.intermediate_values[step] for t in complete if step in t.intermediate_values]
    return len(others) >= OTHERS and value < np.median(others)


def plot(study, measure_name: str) -> Figure:
    """The measure of each complete trial over the values of each key; the best one is red."""
    done = [t for t in study.trials if t.state.name == "COMPLETE"]
    keys = list(study.best_params)
    figure, cells = panel_grid(len(keys), 3, 3.6, 2.8)
    for key, axes in zip(keys, cells):
        axes.scatter([t.params[key] for t in done], [t.value for t in done], 12, color="0.4")
        axes.scatter([study.best_params[key]], [study.best_value], 30, color="#d62728")
        axes.set_xlabel(key.replace("TEST.TRACKER.", ""))
    cells[0].set_ylabel(measure_name)
    return figure


def to_yaml(config, opts, best: Dict[str, float]) -> str:
    """A config with the overrides and the best values on top of a config file."""
    tree = {"_BASE_": str(find_config(config).resolve())}
    for key, value in {**dict(zip(opts[::2], opts[1::2])), **best}.items():
        *parents, name = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = value
    return yaml.safe_dump(tree, sort_keys=False)


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add_config_options(parser, default="SiamRPN/siamrpn_lite.yaml")
    parser.add_argument("--dataset", required=True, help="validation set, such as folder:DIR")
    parser.add_argument("--output", required=True, type=Path, help="folder")
    parser.add_argument("--trials", type=int, default=100, help="in this process (%(default)s)")
    parser.add_argument(
        "--search", nargs=4, action="append", default=[], metavar=("KEY", "LOW", "HIGH", "STEP")
    )
    parser.add_argument("--on-test-set", action="store_true", help="see above")
    return parser.parse_args(argv)


@one_line_errors()
def main(argv=None) -> int:
    args = parse_args(argv)
    builtin = BUILTIN.get(args.dataset)
    if builtin and builtin.strict and builtin.split != "val" and not args.on_test_set:
        raise ValueError(f"{args.dataset} is a test set: tune on another one (or --on-test-set)")
    if optuna is None:
        raise ImportError("this tool needs Optuna: pip install optuna")
    cfg = load_config(args.config_file, args.opts)
    cfg.MODEL.DEVICE = resolve_device(cfg.MODEL.DEVICE)
    protocol = get_protocol(args.dataset, cfg.TEST.PROTOCOL)
    if protocol.experiment is Restarts:
        raise ValueError(f"protocol {protocol.name} has restarts: set TEST.PROTOCOL otb")
    search = {key: search_range(key, *numbers) for key, *numbers in args.search}
    if not search:
        part = "TEST.TRACKER.ONLINE" if cfg.TEST.TRACKER.ONLINE.ENABLED else "TEST.TRACKER"
        search = {f"{part}.WINDOW_INFLUENCE": (0.0, 0.6, 0.02)}
        search.update(SEARCH.get(cfg.MODEL.META_ARCHITECTURE, {}))
    present = present_values(cfg, search)
    tracks = list(get_tracks(args.dataset))
    for track in tracks:
        check_start(track)
    model = sot.build_model(cfg)
    study = open_study(
        args.output,
        dataset=args.dataset,
        tracker=tracker_fingerprint(cfg, model, cfg.TEST.TRACKER.ENGINE),
        search={key: list(numbers) for key, numbers in search.items()},
    )
    study.enqueue_trial(present, skip_if_exists=True)
    tracks = [decode(track, args.output / "frames") for track in tracks]
    try:
        study.optimize(
            lambda trial: measure(trial, cfg, model, protocol, tracks, search), n_trials=args.trials
        )
    finally:  # also after Ctrl-C
        if any(t.state.name == "COMPLETE" for t in study.trials):
            best = {key: round(value, 6) for key, value in study.best_params.items()}
            write_text(args.output / "tuned.yaml", to_yaml(args.config_file, args.opts, best))
            plot(study, protocol.primary).savefig(args.output / "trials.png", dpi=120)
            print(f"{len(study.trials)} trials; best {protocol.primary} {study.best_value:.4f}")
            print(f"results: {args.output / 'tuned.yaml'}, {args.output / 'trials.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
