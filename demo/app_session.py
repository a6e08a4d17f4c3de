"""The state of the browser app for one video: the boxes that were drawn, and the tracked ones."""

import os
import shutil
import tempfile
import threading
from typing import Dict, List, Optional, Tuple

import cv2
import numpy as np
from matplotlib.figure import Figure
from track_arguments import parse_args
from track_plots import plot_scores
from track_results import DOUBTS, FILES, LABELS
from track_video import run

from sot.boxes import check_box, to_xyxy
from sot.data.labels import FORMATS, Label, read_labels
from sot.data.video import open_source
from sot.visualization import draw_box, draw_target

Box = Tuple[float, float, float, float]  # x, y, w, h in pixels of the frame
DOUBTFUL = (*DOUBTS, "skipped")


class Session:
    """A video, its boxes by target and frame, and the results of the last run. Everything that is
    written lies in a temporary folder, which :meth:`close` or the end of the program removes."""

    def __init__(self, video: str):
        """ValueError or OSError if ``video`` is not a video file that can be read."""
        source = open_source(video)
        try:
            self.frames = None if source.live else source.indexed()
        finally:
            source.close()
        if self.frames is None or not len(self.frames):
            raise ValueError(f"{os.path.basename(video)} cannot be read as a video")
        self.video = video
        self._temporary = tempfile.TemporaryDirectory(prefix="sot-app-")
        self.folder = self._temporary.name
        self.boxes: List[Dict[int, Box]] = [{}]
        self.corner: Optional[Tuple[int, float, float]] = None  # frame, x, y of a first click
        self.labels: Dict[int, Dict[int, Label]] = {}  # by frame and target
        self.stop = threading.Event()

    def close(self) -> None:
        self.stop.set()
        self._temporary.cleanup()

    # ------------------------------------------------------------------ boxes
    def click(self, target: int, frame: int, x: float, y: float) -> str:
        """Take a click on a frame: the first of two sets a corner, the second the opposite one.
        Returns what to tell the user.

        Raises:
            ValueError: the box has no area or lies outside the frame.
        """
        if self.corner is None or self.corner[0] != frame:
            self.corner = (frame, x, y)
            return "Now click the opposite corner."
        (_, x0, y0), self.corner = self.corner, None
        box = (min(x0, x), min(y0, y), abs(x - x0), abs(y - y0))
        check_box(to_xyxy(box), self.frames[frame].shape[:2])
        self.boxes[target][frame] = box
        return f"Target {target} has a box in frame {frame}."

    def add_target(self) -> int:
        """The number of a further target; the last one's, if that has no box yet."""
        if self.boxes[-1]:
            self.boxes.append({})
        return len(self.boxes) - 1

    def remove(self, target: int, frame: int) -> None:
        """Forget the box of a target in a frame, and a corner that was clicked."""
        self.boxes[target].pop(frame, None)
        self.corner = None

    # --------------------------------------------------------------- tracking
    def arguments(self) -> List[str]:
        """The command line of track_video.py for the boxes. ValueError: there are none."""
        drawn = [boxes for boxes in self.boxes if boxes]
        if not drawn:
            raise ValueError("draw a box first: click two opposite corners of the target")
        words = ["--input", self.video, "--output", self.folder]
        for number, boxes in enumerate(drawn):
            first, *others = sorted(boxes)
            words += ["--init-box", _text(boxes[first]) + f"@{first}"]
            for frame in others:
                words += ["--reinit", f"{number}:{frame}:" + _text(boxes[frame])]
        start = min(min(boxes) for boxes in drawn)
        return [*words, "--start", str(start), *(w for f in FORMATS for w in ("--save", f))]

    def track(self, preview=None) -> int:
        """Run track_video.py on the boxes and read its results.

        Args:
            preview: its ``show(picture)`` is called with each drawn frame (H, W, 3) uint8 BGR, and
                returns False to end the run.

        Returns:
            the exit code of track_video.py.

        Raises:
            ValueError, OSError: what track_video.py says of wrong boxes or files.
        """
        self.boxes = [boxes for boxes in self.boxes if boxes] or self.boxes[:1]
        self.stop.clear()
        code = run(parse_args(self.arguments()), self.stop, preview)
        self.labels = {}
        for label in read_labels(os.path.join(self.folder, "boxes.json")).labels:
            self.labels.setdefault(label.frame, {})[label.target] = label
        return code

    # ---------------------------------------------------------------- results
    def files(self) -> List[str]:
        """Paths of the results; the labels in one archive."""
        paths = [os.path.join(self.folder, name) for name in FILES]
        labels = os.path.join(self.folder, LABELS)
        if os.path.isdir(labels):
            paths.append(shutil.make_archive(labels, "zip", labels))
        return [path for path in paths if os.path.exists(path)]

    def doubts(self) -> Dict[int, int]:
        """The frames in which a target is not surely tracked, in order, and the first such
        target."""
        found = {}
        for frame, labels in sorted(self.labels.items()):
            targets = [target for target, label in labels.items() if label.status in DOUBTFUL]
            if targets:
                found[frame] = min(targets)
        return found

    def next_doubt(self, frame: int) -> Optional[Tuple[int, int]]:
        """The first frame of the next stretch of doubts after ``frame``, and the target in doubt.
        From the end of the video the search goes on at its beginning. None without doubts."""
        doubts = self.doubts()
        begins = [f for f in doubts if f - 1 not in doubts]
        found = next((f for f in begins if f > frame), begins[0] if begins else None)
        return None if found is None else (found, doubts[found])

    def draw(self, frame: int) -> np.ndarray:
        """A frame, (H, W, 3) uint8 RGB: results in the colours of their targets, boxes that were
        drawn in white, and the corner that was clicked as a cross."""
        picture = self.frames[frame].copy()
        for target, label in self.labels.get(frame, {}).items():
            box = to_xyxy((label.x, label.y, label.w, label.h))
            draw_target(picture, target, box, label.score, label.status)
        for target, boxes in enumerate(self.boxes):
            if frame in boxes:
                draw_box(picture, to_xyxy(boxes[frame]), (255, 255, 255), f"{target}: given")
        if self.corner is not None and self.corner[0] == frame:
            center = tuple(int(round(v)) for v in self.corner[1:])
            cv2.drawMarker(picture, center, (255, 255, 255), cv2.MARKER_CROSS, 15, 2)
        return picture[..., ::-1]

    def plot(self, frame: int) -> Figure:
        """The targets' scores over the frames, and where ``frame`` is."""
        labels = [label for row in self.labels.values() for label in row.values()]
        figure = plot_scores(labels, len(self.frames) - 1)
        figure.axes[0].axvline(frame, color="0.6", linewidth=1)
        return figure


def _text(box: Box) -> str:
    return ",".join(f"{v:.3f}" for v in box)
