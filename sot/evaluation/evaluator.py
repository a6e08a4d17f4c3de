"""One-pass evaluation over a dataset, within detectron2's inference loop."""

import json
import logging
import os
import re
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from tabulate import tabulate

from ..data import get_tracks
from .metrics import average_overlap, is_present, precision, success_auc

__all__ = ["SOTEvaluator", "dataset_slug"]

PROTOCOL = (
    "One-pass evaluation. success_auc: fraction of frames whose IoU is above t, mean over "
    "t = 0, 0.05, ..., 1 (perfect boxes: 20/21). precision_20: fraction of frames whose centre is "
    "at most 20 px off. average_overlap: mean IoU. The first frame counts; frames whose truth is "
    "absent or marked invisible are left out; means over frames, then over sequences. fps: 1 / median time per tracked "
    "frame without reading it; of the set, the median over sequences."
)

METRICS = ("success_auc", "precision_20", "average_overlap", "fps")


def dataset_slug(name: str) -> str:
    """
    A folder name for the results of a dataset: `folder:/data/sequences` -> `folder_sequences`,
    `coco:/data/images:/data/val.json` -> `coco_val`; of other names, only letters that are
    safe in a file name stay. Two folders with one base name get one slug.
    """
    kind, _, rest = name.partition(":")
    if kind == "folder":
        name = f"folder_{Path(rest).resolve().name}"
    elif kind == "coco":
        name = f"coco_{Path(rest.rpartition(':')[2]).stem}"
    return _file_name(name)


class SOTEvaluator(DatasetEvaluator):
    """
    Scores the outputs of :class:`sot.tracking.SequenceTracker` with the measures of
    `sot.evaluation.metrics`.

    As soon as a sequence is done its boxes are in `OUTPUT_DIR/<dataset>/<sequence>.txt`, one
    `x,y,w,h` per frame in pixels, counted from where the dataset counts (its metadata's
    `pixel_origin`, 0 if it has none), so that they compare with the benchmark's own files; at the
    end, `OUTPUT_DIR/<dataset>/metrics.json` holds the protocol, the means and the scores of each
    sequence. Sequences whose truth is known in the first frame only (a server scores GOT-10k's
    and TrackingNet's test sets) get no scores but `fps`.
    """

    def __init__(self, dataset_name: str, output_dir: str, distributed: bool = True):
        """
        Args:
            dataset_name: whatever `sot.data.get_tracks` knows; the truth is looked up there.
            output_dir: usually cfg.OUTPUT_DIR/inference.
            distributed: gather the results of all ranks; else score those of this process.

        Raises:
            ValueError: two sequences of the dataset would share a result file.
        """
        self._logger = logging.getLogger(__name__)
        self._dataset_name = dataset_name
        self._output_dir = os.path.join(output_dir, dataset_slug(dataset_name))
        self._distributed = distributed
        self._pixel_origin = MetadataCatalog.get(dataset_name).get("pixel_origin", 0)
        self._truth = {}
        files = {}
        for track in get_tracks(dataset_name):
            name = track["name"]
            other = files.setdefault(_file_name(name), name)
            if name in self._truth or other != name:
                raise ValueError(
                    f"dataset {dataset_name!r}: sequences {other!r} and {name!r} "
                    f"would both be written to {_file_name(name)}.txt"
                )
            self._truth[name] = np.where(track["visible"][:, None], track["boxes"], np.nan)
        self.reset()

    def reset(self):
        self._results = {}

    def process(self, inputs: List[Dict], outputs: List[Dict]):
        """
        Args:
            inputs: track dicts; only the names are looked at.
            outputs: for each of them `name`, `boxes` (T, 4) XYXY, `times` (T,) in seconds and
                `skipped`, the frames that could not be read.

        Raises:
            ValueError: an unknown sequence, one that was seen before, or one whose number of
                boxes is not that of the truth.
        """
        for track, output in zip(inputs, outputs):
            name, boxes = track["name"], np.asarray(output["boxes"], dtype=np.float64)
            if output["name"] != name:
                raise ValueError(f"result of sequence {output['name']!r} given for {name!r}")
            if name not in self._truth:
                raise ValueError(f"dataset {self._dataset_name!r} has no sequence {name!r}")
            if name in self._results:
                raise ValueError(f"sequence {name!r} was given twice")
            if len(boxes) != len(self._truth[name]):
                raise ValueError(
                    f"sequence {name!r}: {len(boxes)} predicted boxes for "
                    f"{len(self._truth[name])} frames"
                )
            self._write_boxes(name, boxes)
            self._results[name] = self._score(name, boxes, output)

    def evaluate(self) -> Optional[Dict]:
        """
        Returns:
            {"ope": {"success_auc", "precision_20", "average_overlap" as fractions, "fps"}}, on
            the main rank; None on the others. Only "fps" if no truth is at hand to score with.

        Raises:
            ValueError: sequences of the dataset have no result.
        """
        results = self._results
        if self._distributed:
            gathered = comm.gather(self._results)
            if not comm.is_main_process():
                return None
            results = self._merge(gathered)
        missing = [name for name in self._truth if name not in results]
        if missing:
            raise ValueError(
                f"dataset {self._dataset_name!r}: {len(missing)} of {len(self._truth)} sequences "
                f"have no result: {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}"
            )
        results = {name: results[name] for name in self._truth}  # in the dataset's order
        scored = [r for r in results.values() if "success_auc" in r]
        means = {k: float(np.mean([r[k] for r in scored])) for k in METRICS[:-1] if scored}
        means["fps"] = float(np.median([r["fps"] for r in results.values()]))
        self._report(results, means)
        return {"ope": means}

    def _merge(self, gathered: List[Dict]) -> Dict:
        results = {}
        for part in gathered:
            for name in part:
                if name in results:
                    raise ValueError(f"sequence {name!r} was given by two processes")
            results.update(part)
        return results

    def _score(self, name: str, boxes: np.ndarray, output: Dict) -> Dict:
        truth = self._truth[name]
        present = is_present(truth)
        scores = {}
        if present[1:].any() or len(truth) == 1:
            scores = {
                "success_auc": success_auc(boxes, truth),
                "precision_20": precision(boxes, truth, 20),
                "average_overlap": average_overlap(boxes, truth),
            }
        return {
            **scores,
            "fps": _frames_per_second(output["times"], output["skipped"]),
            "frames": len(truth),
            "absent": int((~present).sum()),
            "skipped": len(output["skipped"]),
        }

    def _write_boxes(self, name: str, boxes: np.ndarray):
        xy, wh = boxes[:, :2] + self._pixel_origin, boxes[:, 2:] - boxes[:, :2]
        xywh = np.concatenate([xy, wh], axis=1)
        PathManager.mkdirs(self._output_dir)
        with PathManager.open(os.path.join(self._output_dir, f"{_file_name(name)}.txt"), "w") as f:
            f.writelines(",".join(f"{v:.4f}" for v in row) + "\n" for row in xywh)

    def _report(self, results: Dict, means: Dict):
        rows = [[name, r["frames"], *map(r.get, METRICS)] for name, r in results.items()]
        total = sum(r["frames"] for r in results.values())
        rows.append(["all", total, *map(means.get, METRICS)])
        table = tabulate(rows, ["sequence", "frames", *METRICS], "pipe", floatfmt=".3f")
        self._logger.info(f"one-pass evaluation on {self._dataset_name}:\n{table}")
        report = {
            "dataset": self._dataset_name,
            "protocol": PROTOCOL,
            "ope": means,
            "sequences": results,
        }
        PathManager.mkdirs(self._output_dir)
        path = os.path.join(self._output_dir, "metrics.json")
        with PathManager.open(path, "w") as f:
            json.dump(report, f, indent=2)
        self._logger.info(f"results are in {self._output_dir}")


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.#+-]+", "_", text)


def _frames_per_second(times: np.ndarray, skipped: List[int]) -> float:
    """From the median over the frames that were read; the first, if there are more, is left out."""
    times = np.delete(np.asarray(times, dtype=np.float64), skipped)
    return 1 / max(float(np.median(times[1:] if len(times) > 1 else times)), 1e-9)
