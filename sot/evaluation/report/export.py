"""Writes the numbers of a comparison: all of them as JSON, and those of sequences as CSV."""

import csv
import json
from pathlib import Path
from typing import Dict, Optional

import numpy as np

from ...utils.files import write_text
from .comparison import Comparison
from .part import Part, TrackerScores, finite


def scalars(scores: Dict) -> Dict[str, Optional[float]]:
    """The entries of scores that are numbers."""
    return {k: finite(v) for k, v in scores.items() if isinstance(v, (int, float, np.number))}


def write_json(comparison: Comparison, path: Path) -> None:
    """Write everything that was measured."""
    content = {
        "dataset": comparison.dataset,
        "protocol": {
            "name": comparison.protocol.name,
            "description": comparison.protocol.description,
            "primary": comparison.primary,
        },
        "sequences": len(comparison.tracks),
        "common_sequences": comparison.common.names,
        "attributes_from": comparison.attributes_from,
        "problems": comparison.problems,
        "trackers": {t.name: _tracker_json(comparison, t) for t in comparison.trackers},
    }
    write_text(path, json.dumps(content, indent=1, default=_plain))


def _plain(value):
    """NumPy's arrays and numbers as types that JSON has."""
    if isinstance(value, np.ndarray):
        return [finite(v) for v in value.ravel()]
    return finite(value)


def _tracker_json(comparison: Comparison, tracker: TrackerScores) -> Dict:
    def of(part: Part) -> Dict:
        return scalars(part.summaries.get(tracker.number, {}))

    return {
        "folder": str(tracker.folder),
        "sequences_scored": len(tracker.scores),
        "summary": of(comparison.whole),
        "eao_ends_at": comparison.whole.end_of_eao(tracker),
        "common": of(comparison.common),
        "fps": tracker.speed,
        "attributes": {a: of(part) for a, part in comparison.by_attribute.items()},
        "curves": comparison.whole.summaries[tracker.number].get("curves", {}),
        "sequences": {
            name: {**scalars(scores), "fps": tracker.fps.get(name)}
            for name, scores in tracker.scores.items()
        },
        "problems": [problem._asdict() for problem in tracker.problems],
    }


def write_table(comparison: Comparison, path) -> None:
    """Write a CSV file with a line for each tracker and sequence, and a column for each measure. A
    missing number is empty."""
    found = [scalars(s) for t in comparison.trackers for s in t.scores.values()]
    measures = dict.fromkeys(name for scores in found for name in scores)
    measures.pop("frames", None)  # the length of the sequence has a column of its own
    with open(path, "w", newline="") as f:
        rows = csv.writer(f, lineterminator="\n")
        rows.writerow(["tracker", "sequence", "frames", *measures, "fps", "attributes"])
        for tracker in comparison.trackers:
            for track in comparison.tracks:
                name = track["name"]
                scores = scalars(tracker.scores.get(name, {}))
                values = [*(scores.get(m) for m in measures), tracker.fps.get(name)]
                cells = ["" if v is None else f"{v:.6g}" for v in values]
                attributes = " ".join(comparison.attributes.get(name, []))
                rows.writerow([tracker.name, name, len(track["boxes"]), *cells, attributes])
