#!/usr/bin/env python3
r"""Train or evaluate a tracker.

    python train_net.py --config-file configs/SiamRPN/siamrpn_lite.yaml [--resume]
    python train_net.py --config-file ... --eval-only [--resume] MODEL.WEIGHTS model.pth \
        DATASETS.TEST "('folder:DIR',)"

With --eval-only, --resume goes on with an evaluation that was interrupted; the exit code is not 0
if the tracker failed with an error in any sequence.

Several processes share each batch of SOLVER.IMS_PER_BATCH pairs:

    python train_net.py --num-gpus 8 ...                     one process for each GPU
    python train_net.py --num-gpus 2 ... MODEL.DEVICE cpu    two processes on the CPU
    torchrun --nproc_per_node 8 train_net.py ...
    python train_net.py --num-gpus 8 --num-machines 2 --machine-rank 0 --dist-url tcp://HOST:PORT \
        ...                            on each machine, with its rank and the HOST of machine 0

See GETTING_STARTED.md for datasets and further options.
"""

import contextlib
import errno
import logging
import os
import shlex
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; see utils/cpu.py
os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # errors are said in one line, by the program

import sot  # isort: skip  (first, since it silences a warning of detectron2's import)
import torch
from detectron2.engine import default_argument_parser, default_setup
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from sot.config import find_config, resolve_device
from sot.data import build_siamese_test_loader
from sot.engine import Trainer
from sot.engine.checkpoints import check_output_dir
from sot.engine.distributed import launch, one_line_errors, same_on_all_ranks
from sot.evaluation import task_prefixes
from sot.evaluation.protocols import get_protocol
from sot.utils.command_line import keep_streams
from sot.utils.cpu import keep_freed_memory
from sot.utils.files import atomic_write
from sot.utils.locks import FolderLock


def load_config(args):
    # detectron2 logs the file too, so it needs the path where a name was given
    args.config_file = str(find_config(args.config_file))
    cfg = sot.load_config(args.config_file, args.opts)
    wants_gpus = torch.device(cfg.MODEL.DEVICE).type == "cuda" and args.num_gpus > 1
    if wants_gpus and torch.cuda.device_count() < args.num_gpus:
        raise ValueError(
            f"--num-gpus {args.num_gpus}, but {torch.cuda.device_count()} are available "
            "(with MODEL.DEVICE cpu it is the number of processes on the CPU)"
        )
    cfg.MODEL.DEVICE = resolve_device(cfg.MODEL.DEVICE)
    cfg.freeze()
    return cfg


def check_test_sets(cfg, args):
    for name in cfg.DATASETS.TEST:
        # so that errors in the test sets show now and not at the end
        build_siamese_test_loader(cfg, name)
        Trainer.build_evaluator(cfg, name)
    prefixes = zip(task_prefixes(cfg.DATASETS.TEST), cfg.DATASETS.TEST)
    tasks = {prefix + get_protocol(name, cfg.TEST.PROTOCOL).task for prefix, name in prefixes}
    unknown = {task for task, *_ in cfg.TEST.EXPECTED_RESULTS} - tasks
    if unknown:
        raise ValueError(
            f"TEST.EXPECTED_RESULTS names {', '.join(sorted(unknown))}, but the results of "
            f"DATASETS.TEST are {', '.join(sorted(tasks))}"
        )
    if args.eval_only:
        if not cfg.DATASETS.TEST:
            raise ValueError("--eval-only needs test sets: set DATASETS.TEST")
        if not cfg.MODEL.WEIGHTS:
            raise ValueError("--eval-only needs trained weights: set MODEL.WEIGHTS")


def set_up(cfg, args):
    """Like default_setup, but the config.yaml of an earlier run in OUTPUT_DIR stays: this run may
    still be refused, and --resume compares with config.yaml."""
    file = os.path.join(cfg.OUTPUT_DIR, "config.yaml")
    earlier = file + ".earlier"
    if comm.is_main_process():
        with contextlib.suppress(FileNotFoundError):
            os.replace(file, earlier)
    try:
        default_setup(cfg, args)
    finally:
        if comm.is_main_process():
            with contextlib.suppress(FileNotFoundError):
                os.replace(earlier, file)


def save_config(cfg):
    """Write config.yaml. Call this when the run has started without an error."""
    if comm.is_main_process():
        with atomic_write(os.path.join(cfg.OUTPUT_DIR, "config.yaml"), "w") as f:
            f.write(cfg.dump())


def run(cfg, args):
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="sot")
    if comm.is_main_process() and not args.eval_only:
        check_output_dir(cfg, args.resume)
    set_up(cfg, args)
    with same_on_all_ranks():
        check_test_sets(cfg, args)
    if args.eval_only:
        with same_on_all_ranks():
            model = sot.build_model(cfg)
        results = Trainer.test(cfg, model, resume=args.resume)
        save_config(cfg)
        if comm.is_main_process():
            verify_results(cfg, results)
        failed = sum(measures.get("failed_sequences", 0) for measures in results.values())
        if failed:
            sys.exit(f"error: the tracker failed in {failed} sequences, see the log")
        return
    trainer = Trainer(cfg)
    with same_on_all_ranks():
        trainer.resume_or_load(resume=args.resume)
    save_config(cfg)
    begins = trainer.start_iter < trainer.max_iter
    trainer.train()
    if begins and comm.is_main_process():
        weights = shlex.quote(trainer.weights_file)
        config = shlex.quote(os.path.join(cfg.OUTPUT_DIR, "config.yaml"))
        logging.getLogger("sot").info(
            f"weights: {weights}; use them with --config-file {config} MODEL.WEIGHTS {weights}"
        )


@contextlib.contextmanager
def full_disk_names(folder):
    """For a ``with`` block: adds a hint where to make room to the error of a full disk that names
    no file, such as an error of logs and metrics."""
    try:
        yield
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) and not e.filename:
            e.strerror += (
                f", most likely where {os.path.abspath(folder)} (OUTPUT_DIR) is: make room, or "
                "give another OUTPUT_DIR; --resume goes on from the last checkpoint"
            )
        raise


@contextlib.contextmanager
def alone_in(folder):
    """For a ``with`` block: refuses a folder that another run uses, and names its process."""
    with contextlib.ExitStack() as stack:
        with same_on_all_ranks():
            if comm.is_main_process():
                os.makedirs(folder, exist_ok=True)
                stack.enter_context(FolderLock(folder))
        yield


def main(cfg, args):
    """Run the training or the evaluation; each process calls this."""
    keep_freed_memory()
    # otherwise a full disk would turn each line of the log into a traceback
    logging.raiseExceptions = False
    folder = cfg.OUTPUT_DIR
    with one_line_errors(), full_disk_names(folder), alone_in(folder):
        run(cfg, args)


if __name__ == "__main__":
    keep_streams()
    parser = default_argument_parser(epilog=__doc__)
    parser.add_argument(
        "--timeout",
        type=float,
        default=1800,
        help="seconds after which a process that waits for the others gives up (default: 1800); "
        "one that waits for the others' test sequences needs as long as they take",
    )
    parser.set_defaults(config_file="SiamRPN/siamrpn_lite.yaml", dist_url="auto")
    arguments = parser.parse_args()
    with one_line_errors():
        config = load_config(arguments)
        launch(
            main,
            config.MODEL.DEVICE,
            arguments.num_gpus,
            arguments.num_machines,
            arguments.machine_rank,
            arguments.dist_url,
            args=(config, arguments),
            timeout=arguments.timeout,
        )
