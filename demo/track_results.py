"""What demo/track_video.py leaves behind: boxes.csv, boxes.json, tracked.mp4, and a score."""

import csv
import json
import logging
import os
import platform

import av
import cv2
import detectron2
import numpy as np
import torch

import sot
from sot.boxes import is_present, to_xywh
from sot.evaluation.measures.metrics import precision, success_auc
from sot.visualization import TRUTH_COLOR, VideoWriter, draw_box, draw_label, target_color

logger = logging.getLogger("demo")

COLUMNS = ("frame", "target", "x", "y", "w", "h", "score", "status")
VERSIONS = {
    "sot": sot.__version__,
    "detectron2": detectron2.__version__,
    "torch": torch.__version__,
    "opencv": cv2.__version__,
    "av": av.__version__,
    "python": platform.python_version(),
}


class Results:
    """The files of one run in a folder; those of an earlier run are replaced.

    ``boxes.csv`` grows with every frame. ``tracked.mp4`` and ``boxes.json`` are completed when the
    ``with`` block ends, however it ends. Nothing is written before the first frame is added.
    """

    def __init__(self, folder, fps: float, info: dict, truth=None):
        """
        Args:
            folder: made if it is missing.
            fps: of tracked.mp4.
            info: entries of boxes.json beside those found out here; may grow until the end.
            truth: (N, 4) XYXY, true boxes of target 0 by frame, NaN where it is absent; drawn and
                scored. None if not known.
        """
        self.folder, self.fps, self.info, self.truth = folder, fps, info, truth
        self.frames = 0
        self.skipped = []  # frame numbers
        self.tracked = {}  # frame -> XYXY of target 0, while there is a truth for it
        self.image = None  # the last that decoded
        self.resized = False

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def __enter__(self):
        return self

    def add(self, frame, states) -> np.ndarray:
        """Write the boxes of all targets after a frame, and the frame with them drawn.

        Args:
            frame: sot.data.video.Frame; one without an image is shown as the last image.
            states: the TargetState of each target.

        Returns:
            the drawn image.
        """
        if self.image is None:
            self._open(frame.image)
        if frame.image is None:
            self.skipped.append(frame.index)
        else:
            self.image = frame.image
            self._check_size(frame)
        self.frames, self.last_index = self.frames + 1, frame.index
        if self.truth is not None and frame.index < len(self.truth):
            self.tracked[frame.index] = states[0].box
        for target, state in enumerate(states):
            numbers = [f"{v:.3f}" for v in to_xywh(state.box)] + [f"{state.score:.4f}"]
            status = "skipped" if frame.image is None else state.status
            self.rows.writerow([frame.index, target, *numbers, status])
        self.table.flush()
        picture = self._draw(frame, states)
        self.video.write(picture, frame.index)
        return picture

    def _open(self, image):
        os.makedirs(self.folder, exist_ok=True)
        self.table = open(self.path("boxes.csv"), "w", newline="")
        self.rows = csv.writer(self.table, lineterminator="\n")
        self.rows.writerow(COLUMNS)
        self.video = VideoWriter(self.path("tracked.mp4"), self.fps)
        self.size = image.shape[1::-1]

    def _check_size(self, frame):
        size = frame.image.shape[1::-1]
        if size != self.size and not self.resized:
            self.resized = True
            logger.warning(
                "{} is {}x{}; tracked.mp4 stays {}x{} as the first frame, boxes are in pixels of "
                "each frame".format(frame.name, *size, *self.size)
            )

    def _draw(self, frame, states) -> np.ndarray:
        picture = self.image.copy()
        if frame.index in self.tracked:
            draw_box(picture, self.truth[frame.index], TRUTH_COLOR)
        for target, state in enumerate(states):
            doubt = "?" if state.status in ("uncertain", "lost") else ""
            label = f"{target}: {state.score:.2f}{doubt}"
            draw_box(picture, state.box, target_color(target), label)
        if frame.image is None:
            draw_label(picture, f"{frame.name} skipped", (0, 0), (255, 255, 255))
        return picture

    def __exit__(self, *exc):
        if self.image is not None:
            self.table.close()
            self.video.close()
            self._write_json()

    def _write_json(self):
        """The entries, and the rows of boxes.csv as objects with its column names."""
        head = {
            **self.info,
            "fps": self.fps,
            "width": self.size[0],
            "height": self.size[1],
            "frames": self.frames,
            "skipped": self.skipped,
            "versions": VERSIONS,
        }
        with (
            open(self.path("boxes.csv"), newline="") as rows,
            open(self.path("boxes.json"), "w") as out,
        ):
            out.write(json.dumps(head, indent=2)[: -len("\n}")] + ',\n  "boxes": [')
            for i, row in enumerate(csv.DictReader(rows)):
                record = {k: v if k == "status" else json.loads(v) for k, v in row.items()}
                out.write((",\n    " if i else "\n    ") + json.dumps(record))
            out.write("\n  ]\n}\n")

    @property
    def dropped(self) -> int:
        """Frames of a live source that came too fast to be tracked."""
        return self.last_index + 1 - self.frames

    def score_line(self) -> str:
        """Success AUC and precision of target 0, in words."""
        frames = [i for i in self.tracked if is_present(self.truth[i])]
        if not frames:
            return "no true box in these frames, so no score"
        boxes, truth = np.array([self.tracked[i] for i in frames]), self.truth[frames]
        return (
            f"success AUC {success_auc(boxes, truth):.3f}, "
            f"precision at 20 px {precision(boxes, truth, threshold=20):.3f} "
            f"({len(frames)} frames with a true box)"
        )
