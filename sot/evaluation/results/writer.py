"""Writes the results of an evaluation in the text format of the benchmark (see `layouts`), and the
archives for servers."""

import json
import zipfile
from pathlib import Path
from typing import Dict, Iterable, Optional, Set

import numpy as np

from ...boxes import to_xywh
from ...data.frames import FrameError
from ...utils.files import file_name, write_text
from ...utils.fingerprint import fingerprint
from ..measures.vot import BOX, STARTED
from .layouts import FLAT, LAYOUTS

RUN_FILE = "run.json"

# The files that servers expect in the archive. GOT-10k: boxes and times, in a folder for each
# sequence, as its toolkit packs them (experiments/got10k.py, report). One run is enough for a
# deterministic tracker. TrackingNet: a file of boxes for each sequence (metrics.py, evaluate).
SUBMISSIONS = {"got10k": ("boxes", "times"), "trackingnet": ("boxes",)}


class ResultWriter:
    """The result files of one tracker on one dataset, in ``folder``, in the layout of the protocol
    with this name. Pixels count from ``pixel_origin``."""

    def __init__(self, folder, protocol: str, pixel_origin: float):
        self.folder = Path(folder)
        self.protocol = protocol
        self.layout = LAYOUTS.get(protocol, FLAT)
        self.pixel_origin = pixel_origin

    def begin(self, tracker: str, tracks: Iterable[Dict], resume: bool) -> Set[str]:
        """Prepare the folder for a run of a tracker, whose fingerprint changes with its weights and
        settings. The results of other runs are removed. With ``resume`` the results of the same
        tracker on the same data stay. Data are the same if the first frames, first boxes, names and
        lengths are.

        Returns the names of the sequences that are finished."""
        tracks = list(tracks)
        state = {"tracker": tracker, "data": _data_fingerprint(tracks)}
        trusted = resume and self._state() == state
        finished = {t["name"] for t in tracks if trusted and self.is_finished(t)}
        for track in tracks:
            if track["name"] not in finished:
                for path in self.layout.paths(track["name"]):
                    (self.folder / path).unlink(missing_ok=True)
        for path in (self.folder / "metrics.json", self._archive):
            path.unlink(missing_ok=True)
        write_text(self.folder / RUN_FILE, json.dumps(state, indent=2) + "\n")
        return finished

    def write(self, output: Dict) -> None:
        """Write the files of one sequence from the output of an experiment (see Experiment.run).
        Each file is written completely or not at all."""
        boxes = np.asarray(output["boxes"], dtype=np.float64)
        marks, scores = np.array(output["marks"]), np.array(output["scores"], dtype=np.float64)
        if self.layout.started:
            marks[0], scores[0] = STARTED, np.nan
        rows = to_xywh(boxes) + [self.pixel_origin, self.pixel_origin, 0, 0]
        lines = [
            ",".join(map(_number, row)) if mark == BOX else str(mark)
            for row, mark in zip(rows, marks)
        ]
        times = [f"{t:.8f}" for t in output["times"]]
        scores = ["" if np.isnan(s) else f"{s:.8f}" for s in scores]
        columns = (times, scores, output["status"], lines)
        for path, column in zip(self.layout.paths(output["name"]), columns):
            write_text(self.folder / path, "\n".join(column) + "\n")

    def is_finished(self, track: Dict) -> bool:
        """Whether all files that `write` writes for a sequence exist, with a line for each
        frame."""
        paths = [self.folder / path for path in self.layout.paths(track["name"])]
        counts = {
            len(p.read_text(errors="replace").splitlines()) if p.is_file() else 0 for p in paths
        }
        return counts == {len(track["boxes"])}

    def write_submission(self, names: Iterable[str]) -> Optional[Path]:
        """Write the zip file of all sequences for the server of GOT-10k or TrackingNet. None if the
        dataset has no such server."""
        if self.protocol not in SUBMISSIONS:
            return None
        with zipfile.ZipFile(self._archive, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                for part in SUBMISSIONS[self.protocol]:
                    path = getattr(self.layout, part).format(file_name(name))
                    archive.write(self.folder / path, path)
        return self._archive

    @property
    def _archive(self) -> Path:
        return self.folder / f"{self.protocol}_submission.zip"

    def _state(self) -> Optional[Dict]:
        try:
            return json.loads((self.folder / RUN_FILE).read_text())
        except (OSError, ValueError):
            return None


def _number(value: float) -> str:
    """A number with at least four decimals, and with enough of them to read back the same number: a
    centre that is off by 1e-7 px would not be right at the threshold 0."""
    return np.format_float_positional(value, min_digits=4)


def _data_fingerprint(tracks: Iterable[Dict]) -> str:
    parts = []
    for track in tracks:
        parts += [track["name"], len(track["boxes"]), list(map(float, track["boxes"][0]))]
        try:
            parts.append(np.ascontiguousarray(track["frames"][0]))
        except FrameError as e:
            parts.append(str(e))
    return fingerprint(*parts)
