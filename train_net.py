#!/usr/bin/env python3
r"""Train or evaluate a tracker.

    python train_net.py --config-file configs/SiamRPN/siamrpn_compact.yaml [--resume]
    python train_net.py --config-file ... --eval-only [--resume] MODEL.WEIGHTS model.pth \
        DATASETS.TEST "('folder:DIR',)"

With --eval-only, --resume goes on with an evaluation that was interrupted; the exit code is not 0
if the tracker failed with an error in any sequence.

See GETTING_STARTED.md for data sets and further options.
"""

import sys

import sot  # isort: skip  (first, since it silences a warning of detectron2's import)
import torch
from detectron2.engine import default_argument_parser, default_setup, launch
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from sot.config import find_config, resolve_device
from sot.data import build_siamese_test_loader
from sot.engine import Trainer
from sot.evaluation import task_prefixes


def setup(args):
    # detectron2 logs the file too, so it needs the path where a name was given
    args.config_file = str(find_config(args.config_file))
    cfg = sot.load_config(args.config_file, args.opts)
    cfg.MODEL.DEVICE = resolve_device(cfg.MODEL.DEVICE)
    cfg.freeze()
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="sot")
    return cfg


def main(args):
    cfg = setup(args)
    for name in cfg.DATASETS.TEST:
        build_siamese_test_loader(cfg, name)  # what is wrong there shows now and not in the end
    tasks = {prefix + "ope" for prefix in task_prefixes(cfg.DATASETS.TEST)}
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
        results = Trainer.test(cfg, sot.build_model(cfg), resume=args.resume)
        if comm.is_main_process():
            verify_results(cfg, results)
        failed = sum(measures.get("failed_sequences", 0) for measures in results.values())
        if failed:
            sys.exit(f"error: the tracker failed in {failed} sequences, see the log")
        return results
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


if __name__ == "__main__":
    parser = default_argument_parser()
    parser.set_defaults(config_file="SiamRPN/siamrpn_compact.yaml")
    args = parser.parse_args()
    if torch.cuda.device_count() < args.num_gpus and args.num_gpus > 1:
        sys.exit(f"error: --num-gpus {args.num_gpus}, but {torch.cuda.device_count()} are here")
    try:
        launch(
            main,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
        )
    except (OSError, ValueError) as e:
        # bad input: one line that names the culprit
        sys.exit(f"error: {e}")
