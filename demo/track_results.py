"""The results of demo/track_video.py: boxes.csv, boxes.json, tracked.mp4, and a score."""

import contextlib
import csv
import errno
import io
import json
import logging
import os
import platform
from typing import List, Optional

import av
import cv2
import detectron2
import numpy as np
import torch
from track_plots import save_plots

import sot
from sot.boxes import is_present, to_xywh
from sot.data.labels import read_labels, save_labels
from sot.evaluation.protocols import PROTOCOLS
from sot.tracking import Estimate
from sot.utils.command_line import first_few
from sot.utils.files import GrowingFile
from sot.utils.locks import FolderLock
from sot.visualization import (
    TRUTH_COLOR,
    VideoWriter,
    draw_box,
    draw_frame_number,
    draw_label,
    draw_target,
)

logger = logging.getLogger("demo")

FILES = ("tracked.mp4", "boxes.csv", "boxes.json")
LABELS, PLOTS = "labels", "plots"  # folders of other formats, and of pictures
COLUMNS = ("frame", "target", "x", "y", "w", "h", "score", "status", "time", "name", "raw_score")
TEXTS = ("status", "name")
DOUBTS = ("uncertain", "lost")  # statuses that the summary counts
VERSIONS = {
    "sot": sot.__version__,
    "detectron2": detectron2.__version__,
    "torch": torch.__version__,
    "opencv": cv2.__version__,
    "av": av.__version__,
    "python": platform.python_version(),
}


class Results(contextlib.ExitStack):
    """Writes the files of one run into a folder. They replace those of an earlier run.

    After each frame the files are complete up to that frame, whatever ends the process or fills the
    disk. (tracked.mp4 lacks the last frames, which the encoder still holds.) Nothing is written
    before the first frame is added.
    """

    def __init__(
        self, folder, source, wanted: range, info: dict, truth=None, video=True, shown=False
    ):
        """
        Args:
            folder: made if it is missing.
            source: the source of the frames, see sot.data.video.
            wanted: numbers of the frames that are tracked.
            info: further entries of boxes.json.
            truth: (N, 4) XYXY, the true boxes of target 0 by frame, NaN if it is absent, which are
                drawn and scored; or None.
            video: whether to write tracked.mp4.
            shown: whether :meth:`add` returns the drawn images even without a video.
        """
        super().__init__()
        self.folder, self.wanted, self.truth = folder, wanted, truth
        self.fps, self.aspect = source.fps, source.aspect  # Fractions
        self.with_video, self.shown = video, shown
        self.info, self.outcome = info, {"interrupted": True}  # what the end of a run replaces
        self.frames, self.time, self.begin = 0, 0.0, None
        self.rows, self.skipped = 0, []  # number of rows of boxes.csv; numbers of skipped frames
        self.tracked = {}  # frame -> XYXY of target 0, while there is a truth for it
        self.image = self.video = None  # image: the last that decoded
        self.sizes = {}  # size of frames -> name of the first frame of that size
        self.last_index = None  # number of the last frame so far
        self.doubts = {}  # target -> status in DOUBTS -> ranges [first frame, last frame, count]

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def add(self, frame, states) -> Optional[np.ndarray]:
        """Write the boxes of all targets after a frame, and the frame with them drawn.

        Args:
            frame: sot.data.frame_source.Frame; one without an image is shown as the last image.
            states: the states of the targets in the frame, by number; see sot.tracking.

        Returns:
            the drawn image, or None if it is neither written nor shown.

        Raises:
            OSError: a file cannot be written.
            ValueError: another run writes into the folder.
        """
        if self.image is None:
            self._open(frame.image)
            self.time = frame.index / float(self.fps)
        elif frame.time is None:
            self.time += (frame.index - self.last_index) / float(self.fps)
        self.time = self.time if frame.time is None else frame.time
        self.begin = self.time if self.begin is None else self.begin
        if frame.image is None:
            self.skipped.append(frame.index)
        else:
            self.image = frame.image
            self._say_size(frame)
        before = self.last_index
        self.frames, self.last_index = self.frames + 1, frame.index
        if frame.image is not None:
            self._note_doubts(frame.index, before, states)
        if 0 in states and self.truth is not None and frame.index < len(self.truth):
            self.tracked[frame.index] = states[0].box
        self._write_rows(frame, states)
        if self.video is None and not self.shown:
            return None
        picture = self._draw(frame, states)
        self._write_picture(picture, frame)
        return picture

    def _open(self, image):
        os.makedirs(self.folder, exist_ok=True)
        self.enter_context(FolderLock(self.folder))
        for name in FILES:  # removed first, because one may be a link to a file elsewhere
            with contextlib.suppress(FileNotFoundError):
                os.remove(self.path(name))
        size = image.shape[1::-1]
        head = {**self.info, "fps": float(self.fps), "width": size[0], "height": size[1]}
        head = json.dumps({**head, "versions": VERSIONS}, indent=2)[: -len("\n}")]
        self.table = self.enter_context(GrowingFile(self.path("boxes.csv")))
        self.table.add(",".join(COLUMNS) + "\n")
        self.json = self.enter_context(GrowingFile(self.path("boxes.json")))
        self.json.add(head + ',\n  "boxes": [', self._tail())
        if self.with_video:
            self.video = VideoWriter(self.path("tracked.mp4"), self.fps, self.aspect)
        if self.with_video and max(size) > VideoWriter.LARGEST:
            logger.warning(
                "frames are {}x{}; tracked.mp4 is made smaller, boxes are not".format(*size)
            )

    def _tail(self) -> str:
        """The text at the end of boxes.json."""
        last = {"frames": self.frames, "skipped": self.skipped, **self.outcome}
        return "\n  ],\n" + json.dumps(last, indent=2)[len("{\n") :] + "\n"

    def _write_rows(self, frame, states):
        text, objects = io.StringIO(), []
        rows = csv.writer(text, lineterminator="\n")
        for target, state in states.items():
            numbers = [f"{v:.3f}" for v in to_xywh(state.box)] + [f"{state.score:.4f}"]
            status = "skipped" if frame.image is None else state.status
            raw_score = f"{Estimate.of(state).raw_score:.4f}"
            row = [frame.index, target, *numbers, status, f"{self.time:.6f}", frame.file, raw_score]
            rows.writerow(row)
            row = zip(COLUMNS, row)
            objects.append({k: v if k in TEXTS else json.loads(str(v)) for k, v in row})
        self.table.add(text.getvalue())
        lines = [
            (",\n    " if self.rows + i else "\n    ") + json.dumps(o)
            for i, o in enumerate(objects)
        ]
        self.rows += len(objects)
        self.json.add("".join(lines), self._tail())

    def _say_size(self, frame):
        size = frame.image.shape[1::-1]
        if self.sizes and size not in self.sizes:
            (w, h), name = next(iter(self.sizes.items()))
            shape = "of another shape than" if abs(size[0] * h / size[1] / w - 1) > 0.02 else "not"
            logger.warning(
                "{} is {}x{}, {} {}x{} as {}: its boxes are in its own pixels, tracked.mp4 stays "
                "as it is".format(frame.name, *size, shape, w, h, name)
            )
        self.sizes.setdefault(size, frame.name)

    def _note_doubts(self, index, before, states):
        """Note the targets that are in doubt in a frame. A range goes on if it ended in ``before``,
        the frame before, whose number is lower by more than 1 with a stride."""
        for target, state in states.items():
            if state.status in DOUBTS:
                ranges = self.doubts.setdefault(target, {}).setdefault(state.status, [])
                if not ranges or ranges[-1][1] != before:
                    ranges.append([index, index, 0])
                ranges[-1][1:] = index, ranges[-1][2] + 1

    def doubt_lines(self) -> List[str]:
        """A line for each target that is in doubt somewhere, for example "target 0: uncertain in 12
        frames (40-48, 77-79), lost in 5 (90-94)"."""
        lines = []
        for target, statuses in sorted(self.doubts.items()):
            parts = []
            for status in (s for s in DOUBTS if s in statuses):
                ranges = statuses[status]
                count = sum(n for _, _, n in ranges)
                unit = "" if parts else " frame" if count == 1 else " frames"
                texts = [f"{a}" if a == b else f"{a}-{b}" for a, b, _ in ranges]
                parts.append(f"{status} in {count}{unit} ({first_few(texts)})")
            lines.append(f"target {target}: " + ", ".join(parts))
        return lines

    def _draw(self, frame, states) -> np.ndarray:
        picture = self.image.copy()
        if frame.index in self.tracked:
            draw_box(picture, self.truth[frame.index], TRUTH_COLOR)
        for target, state in states.items():
            draw_target(picture, target, state.box, state.score, state.status)
        draw_frame_number(picture, frame.index)
        if frame.image is None:
            draw_label(picture, f"{frame.name} skipped", (0, 0), (255, 255, 255))
        return picture

    def _write_picture(self, picture, frame):
        if self.video is not None:
            with self._encoder_fault(f"tracked.mp4 ends before {frame.name}"):
                self.video.write(picture, self.time - self.begin)

    @contextlib.contextmanager
    def _encoder_fault(self, words):
        """For a ``with`` block: a fault of the encoder ends the video with a warning, and the boxes
        go on. A full disk is an error."""
        try:
            yield
        except (av.FFmpegError, ValueError, OSError) as e:
            if getattr(e, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                path = self.path("tracked.mp4")
                raise OSError(f"could not write {path}: {os.strerror(e.errno)}") from None
            self.video = None
            logger.warning(f"{words}: {getattr(e, 'strerror', None) or e}")

    def __exit__(self, kind, error, trace):
        try:
            if self.image is not None and error is None:
                self.json.add("", self._tail())  # else the one after the last frame stays
            if self.video is not None:
                with contextlib.suppress(OSError) if error else contextlib.nullcontext():
                    with self._encoder_fault("tracked.mp4 may lack its last frames"):
                        self.video.close()
        finally:
            super().__exit__(kind, error, trace)

    def save(self, formats, plot=False) -> None:
        """Also write the boxes in formats of sot.data.labels, and plots of them. Labels and plots
        of an earlier run are removed."""
        video = read_labels(self.path("boxes.json"))
        save_labels(video, formats, self.path(LABELS))
        save_plots(video, self.image if plot else None, self.path(PLOTS))

    @property
    def files(self) -> List[str]:
        """The paths of the files that were written, and of the folders with others of them."""
        folders = [f for f in map(self.path, (LABELS, PLOTS)) if any(n for *_, n in os.walk(f))]
        return [path for path in map(self.path, FILES) if os.path.exists(path)] + folders

    @property
    def dropped(self) -> int:
        """The number of frames of a live source that came too fast to be tracked."""
        return self.wanted.index(self.last_index) + 1 - self.frames

    def score_line(self) -> str:
        """Success AUC and precision of target 0, as text."""
        frames, scores = list(self.tracked), {"frames_scored": 0}
        if frames:
            truth = self.truth[frames]
            track = {"name": "target 0", "boxes": truth, "visible": is_present(truth)}
            scores = PROTOCOLS["otb"].score(np.array([self.tracked[i] for i in frames]), track)
        if not scores["frames_scored"]:
            return "no true box in these frames after the first one, so no score"
        return (
            f"success AUC {scores['success_auc']:.3f}, "
            f"precision at 20 px {scores['precision_20']:.3f} "
            f"({scores['frames_scored']} frames with a true box)"
        )
