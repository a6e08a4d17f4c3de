"""Evaluation over a dataset, within detectron2's inference loop."""

import json
import logging
import os
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from tabulate import tabulate

from ..boxes import is_present
from ..data import resolve
from ..utils.files import write_text
from .experiments import Restarts
from .measures.metrics import frames_per_second
from .protocols import get_protocol
from .results import ResultWriter, file_name, read_sequence

SPEED = (
    "fps: 1 / median time per tracked frame without reading it; of the set, the median over "
    "sequences."
)


def task_prefixes(datasets: Sequence[str]) -> List[str]:
    """What stands before the names of tasks in the results of an evaluation: nothing for one data
    set, whose results are "ope" or "vot"; "<slug>/" of each of several, for "<slug>/ope".
    ValueError: two of them share a slug, that is a folder of results."""
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
    """
    Scores the outputs of an experiment (`sot.evaluation.experiments`) by the protocol of the
    dataset (`sot.evaluation.protocols`), which also says what experiment it is.

    As soon as a sequence is done its boxes, scores, status and times are in `OUTPUT_DIR/<dataset>/`
    in the benchmark's own form (see `sot.evaluation.results`); what is scored is what is written
    there. At the end, `metrics.json` beside them holds the protocol, the measures of the set with
    their curves, and the scores of each sequence.

    Sequences whose truth is known in the first frame only (a server scores GOT-10k's and
    TrackingNet's test sets) get no scores but `fps`; the zip file that the server takes is
    written instead. A sequence in which the tracker failed with an error has no result: it is
    named in the log and in metrics.json, and the measures are those of the others.
    """

    def __init__(self, dataset_name: str, output_dir: str, protocol: str = ""):
        """
        Args:
            dataset_name: whatever `sot.data.get_tracks` knows; the truth is looked up there.
            output_dir: usually cfg.OUTPUT_DIR/inference.
            protocol: TEST.PROTOCOL; "" for that of the dataset.

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
        self._engine = None  # that the tracker's network runs in, if it has one
        self._finished = set()
        self.reset()

    def experiment(self, tracker):
        """The experiment of the protocol with a tracker, whose outputs :meth:`process` takes."""
        self._engine = getattr(tracker, "engine", None)
        return self._protocol.experiment(tracker)

    def begin(self, tracker: str, resume: bool = False) -> Set[str]:
        """Take the folder of results for a run of the tracker with this `tracker_fingerprint`, and
        remove what is there of others. To be called by all ranks, before the first sequence.
        Returns the names of sequences that need no tracking, as ``resume`` goes on with an
        evaluation of the same tracker on the same data, and their results are there."""
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
        """Score the outputs of an experiment for each track of the inputs. ValueError: an unknown
        sequence, one that was seen before, or one whose number of boxes is not that of the
        truth."""
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
        """{"ope" or "vot": the measures of the protocol, and "fps"}, on the main rank; None on the
        others. Only "fps" if no truth is at hand to score with. "failed_sequences" if there are
        any. ValueError: sequences of the dataset have no result."""
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
        self._log(results, measures, failed)
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
                    f"the truth of {self._dataset_name} is with a server; upload {path}"
                )
        self._logger.info(f"results are in {self._output_dir}")
        return {self._protocol.task: measures}

    def _merge(self, parts: List[Dict]) -> Dict:
        """The results of all sequences, in the dataset's order."""
        results = {name: result for part in parts for name, result in part.items()}
        for name in self._finished - results.keys():
            results[name] = self._score(name)
        missing = [name for name in self._tracks if name not in results]
        if missing:
            raise ValueError(
                f"dataset {self._dataset_name!r}: {len(missing)} of {len(self._tracks)} sequences "
                f"have no result: {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}"
            )
        return {name: results[name] for name in self._tracks}

    def _score(self, name: str) -> Dict:
        track = self._tracks[name]
        result = read_sequence(self._files.folder, track, self._files.pixel_origin)
        if result.times is None:
            raise ValueError("; ".join(result.doubts))
        restarted = self._protocol.experiment is Restarts
        present = is_present(track["boxes"]) & track["visible"]
        # where no frame but the first was tracked, all there is to go by is the start
        start = 1 / max(float(result.times[0]), 1e-9)
        return {
            "scores": self._protocol.score_result(result, track, restarted),
            "fps": frames_per_second(result.times) or start,
            "frames": len(present),
            "absent": int((~present).sum()),
            "skipped": result.status.count("skipped"),
        }

    def _log(self, results: Dict, measures: Dict, failed: Dict):
        scored = [name for result in results.values() for name in result]
        columns = dict.fromkeys([*self._protocol.measures, "failures", "average_overlap", "fps"])
        columns = [c for c in columns if c in measures or c in scored]
        rows = [[name, r["frames"], *map(r.get, columns)] for name, r in results.items()]
        total = sum(r["frames"] for r in results.values())
        rows.append(["all", total, *map(measures.get, columns)])
        table = tabulate(rows, ["sequence", "frames", *columns], "pipe", floatfmt=".3f")
        self._logger.info(f"{self._protocol.name} evaluation on {self._dataset_name}:\n{table}")
        if failed:
            shown = "".join(f"\n  {name}: {error}" for name, error in failed.items())
            self._logger.error(
                f"the tracker failed in {len(failed)} of {len(self._tracks)} sequences of "
                f"{self._dataset_name}; the measures are those of the others:{shown}"
            )


def _flat(result: Dict) -> Dict:
    """Of a sequence, what metrics.json shows."""
    hidden = ("curves", "per_frame", "frames_scored", "runs")
    scores = {k: v for k, v in result["scores"].items() if k not in hidden}
    return {**scores, **{k: v for k, v in result.items() if k != "scores"}}
