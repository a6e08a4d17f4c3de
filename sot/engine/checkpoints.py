"""Decides which checkpoints a folder keeps, and whether they belong to the run that starts
there."""

import json
import logging
import os
import re
from typing import Any, Dict, List

import torch
import yaml
from detectron2.checkpoint import Checkpointer
from detectron2.config import CfgNode
from detectron2.engine import hooks
from torch import nn

from ..checkpoint import SOTCheckpointer
from ..config.checks import flat
from ..utils.command_line import first_few
from ..utils.files import atomic_write, remove_partial_files


class LastCheckpoints(hooks.PeriodicCheckpointer):
    """Writes periodic checkpoints and keeps the last ``keep`` of them (0: all), including those
    from before a resume. model_final, model_best and the checkpoints of another run always stay.
    Parts of files that a killed run was writing are removed."""

    def __init__(self, checkpointer: Checkpointer, period: int, keep: int):
        super().__init__(checkpointer, period, max_to_keep=keep if keep > 0 else None)

    def before_train(self):
        super().before_train()
        remove_partial_files(self.checkpointer.save_dir)
        if self.max_to_keep is None:
            return
        earlier = {}
        for path in self.checkpointer.get_all_checkpoint_files():
            match = re.fullmatch(rf"{self.file_prefix}_(\d+)\.pth", os.path.basename(path))
            if match and int(match[1]) < self.trainer.start_iter:
                earlier[int(match[1])] = path
        self.recent_checkpoints = [earlier[iteration] for iteration in sorted(earlier)]
        while len(self.recent_checkpoints) > self.max_to_keep:
            self.path_manager.rm(self.recent_checkpoints.pop(0))


class BestCheckpointer(hooks.BestCheckpointer):
    """Like detectron2's BestCheckpointer, but for weights only. After an evaluation with the best
    result so far it writes ``model_best.pth``, and ``model_best.json`` with measure, value and
    iteration, so that a resumed run knows the result to beat. It must come after the hook that
    evaluates."""

    def __init__(self, eval_period: int, model: nn.Module, output_dir: str, measure: str):
        """``model``: not wrapped in DistributedDataParallel; ``measure``: name of a result in the
        event storage; more is better."""
        super().__init__(eval_period, _UntaggedCheckpointer(model, output_dir), measure)
        self.measure = measure
        self.note = os.path.join(output_dir, "model_best.json")

    def before_train(self):
        if self.trainer.start_iter == 0 or not os.path.isfile(self.note):
            return
        try:
            with open(self.note, encoding="utf-8") as f:
                best = json.load(f)
            value, iteration = float(best["value"]), int(best["iteration"])
            same = best["measure"] == self.measure
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise ValueError(
                f"{self.note} is damaged: remove it and resume again; the next evaluation then "
                "counts as the best"
            ) from None
        if same:
            self.best_metric, self.best_iter = value, iteration

    def after_step(self):
        self._check(super().after_step)

    def after_train(self):
        self._check(super().after_train)

    def _check(self, check):
        before = self.best_metric
        check()
        if self.best_metric != before:
            best = {"measure": self.measure, "value": self.best_metric}
            with atomic_write(self.note, "w") as f:
                json.dump({**best, "iteration": self.best_iter}, f)


class _UntaggedCheckpointer(SOTCheckpointer):
    """For files that --resume does not go on from."""

    def tag_last_checkpoint(self, last_filename_basename):
        pass


def check_output_dir(cfg: CfgNode, resume: bool) -> None:
    """Warn if a training in cfg.OUTPUT_DIR would overwrite files or mix up two runs. Call this
    before detectron2's default_setup, which replaces the config.yaml in that folder."""
    folder = cfg.OUTPUT_DIR
    logger = logging.getLogger(__name__)
    checkpointed = os.path.exists(os.path.join(folder, "last_checkpoint"))
    if resume and not checkpointed:
        logger.warning(f"{folder} has no checkpoint to resume from: training starts anew")
    elif resume:
        changes = _changes(os.path.join(folder, "config.yaml"), cfg)
        if changes:
            logger.warning(
                f"{folder} was begun with another config (the optimizer keeps the settings of the "
                f"checkpoint): {'; '.join(changes)}"
            )
    elif checkpointed:
        logger.warning(
            f"{folder} holds the checkpoints of another training: those of the same iterations "
            "will be overwritten. Give --resume to go on with it, or another OUTPUT_DIR"
        )


def optimizer_mismatch(state: Dict[str, Any], optimizer: torch.optim.Optimizer) -> str:
    """The reason why an optimizer cannot load a state_dict, in a few words; "" if it can. The
    settings of the groups may differ: the optimizer takes those of the state."""
    saved, ours = state["param_groups"], optimizer.param_groups
    members, our_members = _members(saved), _members(ours)
    if members != our_members:
        return f"it trains the parameters {members}, this one {our_members}"
    # a newer version of the same optimizer has more settings; another optimizer lacks some, too
    settings, our_settings = (set().union(*groups) for groups in (saved, ours))
    unknown, missing = sorted(settings - our_settings), sorted(our_settings - settings)
    if unknown and missing:
        return f"its optimizer has {first_few(unknown)}, this one {first_few(missing)}"
    return ""


def _members(groups: List[Dict[str, Any]]) -> str:
    """Names and sizes of an optimizer's groups: "backbone (12), head (6)"."""
    return ", ".join(f"{g.get('name', 'unnamed')} ({len(g['params'])})" for g in groups)


def _changes(file: str, cfg: CfgNode) -> List[str]:
    """ "KEY: old -> new" for each key that changed, of the keys that both configs have. If there is
    no such file, nothing is returned; if it is damaged, the log says so, too."""
    if not os.path.isfile(file):
        return []
    with open(file, "rb") as f:
        data = f.read()
    try:
        content = yaml.safe_load(data.decode("utf-8"))
    except Exception:  # odd tags raise anything
        content = None
    if not isinstance(content, dict):
        logging.getLogger(__name__).warning(
            f"{file} is damaged, so it cannot tell whether the run began with another config"
        )
        return []
    before, now = dict(flat(content)), dict(flat(yaml.safe_load(cfg.dump())))
    return [f"{k}: {before[k]} -> {v}" for k, v in now.items() if before.get(k, v) != v]
