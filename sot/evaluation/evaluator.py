"""Evaluates a tracker on a dataset, within detectron2's inference loop."""

import json
import logging
import os
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set, Tuple

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from tabulate import tabulate

from ..boxes import is_present
from ..data import resolve
from ..utils.command_line import first_few
from ..utils.files import file_name, write_text
from .experiments import Restarts
from .measures.metrics import frames_per_second
from .protocols import get_protocol
from .results import ResultWriter, read_sequence

SPEED = (
    "fps: 1 / median time per tracked frame without reading it; of the set, the median over "
    "sequences."
)


def task_prefixes(datasets: Sequence[str]) -> List[str]:
    """The prefixes of the task names in the results of an evaluation. A single dataset has no
    prefix: its results are "ope" or "vot". Each of several datasets has "<slug>/": its results are
    "<slug>/ope". ValueError: two datasets share a slug, and so a folder of results."""
    slugs = {}
    for name in datasets:
        slug = resolve(name).slug
        if slug in slugs:
            raise ValueError(
                f"the test sets {slugs[slug]!r} and {name!r} would both be written to the folder "
                f"{slug}: evaluate them one by one"
            )
        slugs[slug] = name
    return [""] * len(slugs) if len(slugs) < 2 else [f"{slug}/" for slug in slugs]


class SOTEvaluator(DatasetEvaluator):
    """Scores the outputs of an experiment (`sot.evaluation.experiments`) by the protocol of the
    dataset (`sot.evaluation.protocols`). The protocol also chooses the experiment.

    When a sequence is done, its boxes, scores, status and times are written to
    `OUTPUT_DIR/<dataset>/` in the benchmark's own format (see `sot.evaluation.results`). The scores
    are computed from the written files. At the end `metrics.json` beside them holds the protocol,
    the measures of the dataset with their curves, and the scores of each sequence.

    The test sets of GOT-10k and TrackingNet have true boxes in first frames only, because a server
    scores them. Their only measure is `fps`, and the zip file for the server is written. A sequence
    in which the tracker failed with an error has no result: the log and metrics.json name it, and
    the measures are those of the other sequences.
    """

    def __init__(self, dataset_name: str, output_dir: str, protocol: str = ""):
        """
        Args:
            dataset_name: a name that `sot.data.get_tracks` takes. The true boxes come from there.
            output_dir: usually cfg.OUTPUT_DIR/inference.
            protocol: TEST.PROTOCOL; "" for the protocol of the dataset.

        Raises:
            ValueError: two sequences of the dataset would share a result file.
        """
        self._logger = logging.getLogger(__name__)
        self._dataset_name = dataset_name
        self._protocol = get_protocol(dataset_name, protocol)
        entry = resolve(dataset_name)
        self._output_dir = os.path.join(output_dir, entry.slug)
        self._files = ResultWriter(self._output_dir, self._protocol.name, entry.pixel_origin)
        self._tracks = {}
        files = {}
        for track in entry.tracks():
            name = track["name"]
            other = files.setdefault(file_name(name), name)
            if name in self._tracks or other != name:
                raise ValueError(
                    f"dataset {dataset_name!r}: sequences {other!r} and {name!r} "
                    f"would both be written to {file_name(name)}.txt"
                )
            self._tracks[name] = track
        self._engine = None  # the engine that runs the tracker's network, if it has one
        self._finished = set()
        self.reset()

    def experiment(self, tracker):
        """The experiment of the protocol with this tracker. :meth:`process` takes its outputs."""
        self._engine = getattr(tracker, "engine", None)
        return self._protocol.experiment(tracker)

    def begin(self, tracker: str, resume: bool = False) -> Set[str]:
        """Prepare the folder of results for a run of the tracker with this `tracker_fingerprint`,
        and remove the results of other trackers. All ranks must call this before the first
        sequence.

        Returns:
            the names of the sequences that need no tracking. With ``resume`` these are the ones
            whose results of the same tracker on the same data are there.
        """
        if comm.is_main_process():
            self._finished = self._files.begin(tracker, self._tracks.values(), resume)
        self._finished = comm.all_gather(self._finished)[0]
        if resume:
            self._logger.info(
                f"{self._dataset_name}: {len(self._finished)} of {len(self._tracks)} sequences "
                f"are finished in {self._output_dir}"
            )
        return self._finished

    def reset(self):
        self._results = {}

    def process(self, inputs: List[Dict], outputs: List[Dict]):
        """Score the outputs of the experiment for the tracks of ``inputs``. ValueError: a sequence
        is unknown, was given before, or has another number of boxes than of frames."""
        for track, output in zip(inputs, outputs):
            name = track["name"]
            if name not in self._tracks:
                raise ValueError(f"dataset {self._dataset_name!r} has no sequence {name!r}")
            if name in self._results:
                raise ValueError(f"sequence {name!r} was given twice")
            if "error" in output:
                self._results[name] = {"error": output["error"]}
                continue
            if len(output["boxes"]) != len(self._tracks[name]["boxes"]):
                raise ValueError(
                    f"sequence {name!r}: {len(output['boxes'])} predicted boxes for "
                    f"{len(self._tracks[name]['boxes'])} frames"
                )
            self._files.write(output)
            self._results[name] = self._score(name)

    def evaluate(self) -> Optional[Dict]:
        """Compute the measures of the dataset and write metrics.json.

        Returns:
            on the main rank {"ope" or "vot": measures}, on the others None. The measures are those
            of the protocol (none if there are no true boxes), "fps", and "failed_sequences" if
            there are any.

        Raises:
            ValueError: sequences of the dataset have no result.
        """
        results = comm.gather(self._results)
        if not comm.is_main_process():
            return None
        results = self._merge(results)
        failed = {name: r["error"] for name, r in results.items() if "error" in r}
        results = {name: r for name, r in results.items() if name not in failed}
        scores = {n: r["scores"] for n, r in results.items()}
        summary = self._protocol.summarize(scores)
        interval = self._protocol.confidence_interval(scores)
        curves = summary.pop("curves", {})
        counts = {k: summary.pop(k) for k in ("frames_scored", "sequences_scored")}
        measures = {k: summary[k] for k in (*self._protocol.measures, *summary) if k in summary}
        if results:
            measures["fps"] = float(np.median([r["fps"] for r in results.values()]))
        if failed:
            measures["failed_sequences"] = len(failed)
        results = {name: _flat(result) for name, result in results.items()}
        self._log(results, measures, failed, interval, self._protocol.doubt(scores))
        report = {
            "dataset": self._dataset_name,
            "protocol": self._protocol.description,
            "speed": SPEED,
            **({"engine": self._engine} if self._engine else {}),
            self._protocol.task: measures,
            **({"interval_95": {self._protocol.primary: interval}} if interval else {}),
            **counts,
            "sequences": results,
            "failed": failed,
            "curves": curves,
        }
        write_text(Path(self._output_dir, "metrics.json"), json.dumps(report, indent=2) + "\n")
        if not counts["sequences_scored"] and not failed:
            path = self._files.write_submission(results)
            if path is not None:
                self._logger.info(
                    f"a server scores {self._dataset_name}, because it alone has the true boxes: "
                    f"upload {path}"
                )
            else:
                self._logger.warning(
                    f"{self._dataset_name}: nothing is scored, because no frame after the first "
                    "one of a sequence has a true box"
                )
        self._logger.info(f"results are in {self._output_dir}")
        return {self._protocol.task: measures}

    def _merge(self, parts: List[Dict]) -> Dict:
        """The results of all sequences, in the order of the dataset."""
        results = {name: result for part in parts for name, result in part.items()}
        for name in self._finished - results.keys():
            results[name] = self._score(name)
        missing = [name for name in self._tracks if name not in results]
        if missing:
            raise ValueError(
                f"dataset {self._dataset_name!r}: {len(missing)} of {len(self._tracks)} sequences "
                f"have no result: {first_few(missing)}"
            )
        return {name: results[name] for name in self._tracks}

    def _score(self, name: str) -> Dict:
        track = self._tracks[name]
        result = read_sequence(self._files.folder, track, self._files.pixel_origin)
        if result.times is None:
            raise ValueError("; ".join(result.doubts))
        restarted = self._protocol.experiment is Restarts
        present = is_present(track["boxes"]) & track["visible"]
        # if no frame after the first one was tracked, only the time of the start is known
        start = 1 / max(float(result.times[0]), 1e-9)
        return {
            "scores": self._protocol.score_result(result, track, restarted),
            "fps": frames_per_second(result.times) or start,
            "frames": len(present),
            "absent": int((~present).sum()),
            "skipped": result.status.count("skipped"),
        }

    def _log(
        self,
        results: Dict,
        measures: Dict,
        failed: Dict,
        interval: Optional[Tuple[float, float]],
        doubt: str,
    ):
        scored = [name for result in results.values() for name in result]
        columns = dict.fromkeys([*self._protocol.measures, "failures", "average_overlap", "fps"])
        columns = [c for c in columns if c in measures or c in scored]
        rows = [[name, r["frames"], *map(r.get, columns)] for name, r in results.items()]
        total = sum(r["frames"] for r in results.values())
        rows.append(["all", total, *map(measures.get, columns)])
        table = tabulate(rows, ["sequence", "frames", *columns], "pipe", floatfmt=".3f")
        if interval:
            low, high = interval
            table += (
                f"\n95 % interval of {self._protocol.primary}: {low:.3f} to {high:.3f}, by the "
                f"bootstrap over sequences{doubt}"
            )
        self._logger.info(f"{self._protocol.name} evaluation on {self._dataset_name}:\n{table}")
        if failed:
            shown = "".join(f"\n  {name}: {error}" for name, error in failed.items())
            self._logger.error(
                f"the tracker failed in {len(failed)} of {len(self._tracks)} sequences of "
                f"{self._dataset_name}; the measures are those of the others:{shown}"
            )


def _flat(result: Dict) -> Dict:
    """The scores of a sequence that metrics.json shows."""
    hidden = ("curves", "per_frame", "frames_scored", "runs")
    scores = {k: v for k, v in result["scores"].items() if k not in hidden}
    return {**scores, **{k: v for k, v in result.items() if k != "scores"}}
