"""Result files of an evaluation, in the text format of the benchmark, and archives for servers.

As `sot.evaluation.result_files` reads them. NAME is that of a sequence, with `_` for what is not
safe in a file name; boxes are x,y,w,h in pixels that count from where the data set counts:

=================  ==========================================  ===============================
data sets          boxes                                       beside them
=================  ==========================================  ===============================
OTB and others     NAME.txt                                    NAME_time.value,
                                                               NAME_confidence.value,
                                                               NAME.status
GOT-10k            NAME/NAME_001.txt                           NAME/NAME_time.txt,
                                                               NAME/NAME_001_confidence.value,
                                                               NAME/NAME_001.status
VOT, one pass      unsupervised/NAME/NAME_001.txt, or          NAME_001_time.value,
                   longterm/..., as in a workspace of its      NAME_001_confidence.value,
                   toolkit; the first line is 1 (a start)      NAME_001.status
=================  ==========================================  ===============================

Times are seconds; confidences and status are those of `sot.tracking.SequenceTracker`; one line for
each frame. In VOT's form the confidence of the first frame is left empty.
"""

import hashlib
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Set, Tuple

import numpy as np

from ..boxes import to_xywh, to_xyxy
from ..data.frames import FrameError
from ..utils.files import write_text
from .result_files import read_column, read_result_table
from .vot import STARTED

__all__ = ["ResultWriter", "file_name", "vot_layout"]

RUN_FILE = "run.json"


@dataclass(frozen=True)
class Layout:
    """Paths in the folder of results, with {0} for the sequence.

    Attributes:
        started: the first line of the boxes says that the tracker was started.
    """

    boxes: str
    times: str
    scores: str
    status: str
    started: bool = False

    def paths(self, name: str) -> List[str]:
        """The boxes last: once they are there, so are the others."""
        patterns = (self.times, self.scores, self.status, self.boxes)
        return [pattern.format(file_name(name)) for pattern in patterns]


def vot_layout(experiment: str) -> Layout:
    """Of the results of an experiment in a workspace of the VOT toolkit."""
    stem = f"{experiment}/{{0}}/{{0}}_001"
    parts = (".txt", "_time.value", "_confidence.value", ".status")
    return Layout(*(stem + part for part in parts), started=True)


FLAT = Layout("{0}.txt", "{0}_time.value", "{0}_confidence.value", "{0}.status")
LAYOUTS = {
    "got10k": Layout(
        "{0}/{0}_001.txt",
        "{0}/{0}_time.txt",
        "{0}/{0}_001_confidence.value",
        "{0}/{0}_001.status",
    ),
    "vot2016": vot_layout("unsupervised"),
    "vot2018": vot_layout("unsupervised"),
    "vot2019": vot_layout("unsupervised"),
    "vot2018_lt": vot_layout("longterm"),
}

# What servers want to find in the archive. GOT-10k: boxes and times, in a folder for each sequence,
# as its toolkit packs them (experiments/got10k.py, report); one run is enough of a tracker that
# always gives the same. TrackingNet: a file of boxes for each sequence (metrics.py, evaluate).
SUBMISSIONS = {"got10k": ("boxes", "times"), "trackingnet": ("boxes",)}


class ResultWriter:
    """The result files of one tracker on one data set; see above."""

    def __init__(self, folder, protocol: str, pixel_origin: float):
        """
        Args:
            folder: where they go; made when the first is written.
            protocol: name of the data set's protocol, which decides on the layout.
            pixel_origin: the number of the first pixel in files of the data set.
        """
        self.folder = Path(folder)
        self.protocol = protocol
        self.layout = LAYOUTS.get(protocol, FLAT)
        self.pixel_origin = pixel_origin

    def begin(self, tracker: str, tracks: Iterable[Dict], resume: bool) -> Set[str]:
        """Take the folder for a run of a tracker: what is there of another run is removed.

        Args:
            tracker: tells trackers with other weights or settings apart.
            tracks: the data set.
            resume: keep what the same tracker has finished on the same data, as far as first
                frames, first boxes, names and lengths tell.

        Returns:
            names of the sequences that are finished.
        """
        tracks = list(tracks)
        state = {"tracker": tracker, "data": _data_fingerprint(tracks)}
        trusted = resume and self._state() == state
        finished = {t["name"] for t in tracks if trusted and self.read(t) is not None}
        for track in tracks:
            if track["name"] not in finished:
                for path in self.layout.paths(track["name"]):
                    (self.folder / path).unlink(missing_ok=True)
        for path in (self.folder / "metrics.json", self._archive):
            path.unlink(missing_ok=True)
        write_text(self.folder / RUN_FILE, json.dumps(state, indent=2) + "\n")
        return finished

    def forget_run(self) -> None:
        """The files are not of the run that `begin` was called for, if it was."""
        (self.folder / RUN_FILE).unlink(missing_ok=True)

    def write(self, output: Dict) -> None:
        """Write the files of one sequence, each whole or not at all.

        Args:
            output: `name`, `boxes` (T, 4) XYXY in frame pixels from 0, `times` (T,); `skipped`:
                frames whose status is "skipped"; optionally `scores` (T,) and `status`.

        Raises:
            ValueError: they differ in length, or a time is not finite.
        """
        boxes = np.asarray(output["boxes"], dtype=np.float64)
        rows = to_xywh(boxes) + [self.pixel_origin, self.pixel_origin, 0, 0]
        lines = [",".join(map(_number, row)) for row in rows]
        status = list(output.get("status") or ["tracked"] * len(boxes))
        for i in output["skipped"]:
            status[i] = "skipped"
        scores = output.get("scores")
        scores = None if scores is None else [f"{s:.8f}" for s in scores]
        if self.layout.started:
            lines[0] = str(STARTED)
            if scores:
                scores[0] = ""
        times = [f"{t:.8f}" for t in output["times"]]
        columns = (times, scores, status, lines)
        if {len(column) for column in columns if column is not None} != {len(boxes)}:
            raise ValueError(
                f"sequence {output['name']!r}: not as many times, scores or status as boxes, "
                f"{len(boxes)}"
            )
        if not np.isfinite(output["times"]).all():
            raise ValueError(f"sequence {output['name']!r}: times must be finite")
        for path, column in zip(self.layout.paths(output["name"]), columns):
            if column is None:
                (self.folder / path).unlink(missing_ok=True)
            else:
                write_text(self.folder / path, "\n".join(column) + "\n")

    def read(self, track: Dict) -> Optional[Dict]:
        """What was written of a sequence: as for `write`, and `scores` None if there were none.
        None if a file is missing or does not fit the track."""
        paths = [self.folder / path for path in self.layout.paths(track["name"])]
        times, scores, status, path = paths
        length = len(track["boxes"])
        try:
            table, _ = read_result_table(path)
            status = status.read_text().splitlines()
            columns = {
                "scores": read_column(path, [scores.name], length),
                "times": read_column(path, [times.name], length),
            }
        except (OSError, ValueError):
            return None
        times = columns["times"]
        if table.shape != (length, 4) or len(status) != length or times is None:
            return None
        if not np.isfinite(times).all():  # short by one, which is filled up
            return None
        boxes = to_xyxy(table - [self.pixel_origin, self.pixel_origin, 0, 0])
        if self.layout.started:
            boxes[0] = track["boxes"][0]
        skipped = [i for i, word in enumerate(status) if word == "skipped"]
        return {
            "name": track["name"], "boxes": boxes, **columns, "status": status, "skipped": skipped
        }  # fmt: skip

    def write_submission(self, names: Iterable[str]) -> Optional[Path]:
        """The archive of all sequences that the server of GOT-10k or TrackingNet takes.

        Returns:
            the zip file; None if the data set has no such server.
        """
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


def file_name(text: str) -> str:
    """``text`` with `_` for what is not safe in a file name."""
    return re.sub(r"[^\w.#+-]+", "_", text)


def _number(value: float) -> str:
    """At least four decimals, and all that it takes to read back the same number: a centre that is
    off by 1e-7 px is not right at the threshold 0 any more."""
    return np.format_float_positional(value, min_digits=4)


def _data_fingerprint(tracks: Iterable[Dict]) -> str:
    digest = hashlib.sha256()
    for track in tracks:
        parts: Tuple = (track["name"], len(track["boxes"]), list(map(float, track["boxes"][0])))
        digest.update(repr(parts).encode())
        try:
            image = np.ascontiguousarray(track["frames"][0])
            digest.update(repr(image.shape).encode() + image.tobytes())
        except FrameError as e:
            digest.update(str(e).encode())
    return digest.hexdigest()
