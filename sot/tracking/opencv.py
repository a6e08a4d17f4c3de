"""OpenCV's trackers with the methods `start` and `step`, as baselines.

MIL comes with every OpenCV. KCF, CSRT and MOSSE come with its contrib build. Nano, ViT and
DaSiamRPN need the files of their networks. OpenCV's model zoo (github.com/opencv/opencv_zoo) and
its documentation of these classes link to these files."""

import argparse
import hashlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence

import cv2
import numpy as np

from ..boxes import check_box

# The files that each tracker needs, named as the fields of its parameters.
MODEL_FILES = {
    "MIL": (),
    "KCF": (),
    "CSRT": (),
    "MOSSE": (),
    "Nano": ("backbone", "neckhead"),
    "ViT": ("net",),
    "DaSiamRPN": ("model", "kernel_cls1", "kernel_r1"),
}
CLASSES = {"ViT": "Vit"}  # names that OpenCV spells differently


def model_files(
    parser: argparse.ArgumentParser, entries: Sequence[str], trackers: Sequence[str]
) -> Dict[str, Dict[str, str]]:
    """The files of each tracker by field, from the TRACKER.FIELD=FILE of a program's ``--model``.
    An entry of another form, or for a tracker that is not in ``trackers``, is an error of the
    command line."""
    models: Dict[str, Dict[str, str]] = {name: {} for name in trackers}
    for entry in entries:
        key, _, path = entry.partition("=")
        name, _, field = key.partition(".")
        if not (name and field and path):
            parser.error(f"--model {entry}: expected TRACKER.FIELD=FILE")
        if name not in models:
            known = ", ".join(models) or "none"
            parser.error(f"--model {entry}: {name} is not a tracker of this run ({known})")
        models[name][field] = str(Path(path).expanduser())
    return models


def make_opencv_tracker(name: str, models: Dict[str, str]):
    """Make a tracker of OpenCV, not yet started.

    Args:
        name: a name in MODEL_FILES.
        models: paths of its files, by field.

    Raises:
        ValueError: there is no such tracker, or the installed OpenCV does not have it; or
            ``models`` has other fields than the tracker needs, or OpenCV cannot read the files.
        FileNotFoundError: a file is missing.
    """
    if name not in MODEL_FILES:
        raise ValueError(f"no tracker {name!r}: there are {', '.join(MODEL_FILES)}")
    if set(models) != set(MODEL_FILES[name]):
        fields = "".join(f" {name}.{field}=FILE" for field in MODEL_FILES[name])
        needed = f"--model{fields}" if fields else "no --model"
        given = ", ".join(f"{name}.{field}" for field in models) or "none"
        raise ValueError(f"{name} needs {needed}; given: {given}")
    for path in models.values():
        if not Path(path).is_file():
            raise FileNotFoundError(f"model file {path} of {name} does not exist")
    cls = f"Tracker{CLASSES.get(name, name)}"
    places = [cv2, getattr(cv2, "legacy", None)]
    create = next(
        (getattr(p, f"{cls}_create") for p in places if hasattr(p, f"{cls}_create")), None
    )
    if create is None:
        raise ValueError(
            f"the OpenCV that is installed ({cv2.__version__}) has no tracker {name}; KCF, CSRT "
            "and MOSSE are in the package opencv-contrib-python-headless, which takes the place "
            "of opencv-python-headless: uninstall that one first"
        )
    if not models:
        return create()
    params = getattr(cv2, f"{cls}_Params")()
    for field, path in models.items():
        setattr(params, field, str(path))
    try:
        return create(params)
    except cv2.error as e:
        files = ", ".join(map(str, models.values()))
        raise ValueError(f"OpenCV cannot read the model of {name} ({files}): {e}") from None


class OpenCVState(NamedTuple):
    """The counterpart of TargetState. A step changes ``tracker``, so each state can be stepped only
    once."""

    tracker: Any
    box: np.ndarray
    score: float
    status: str


class OpenCVTracker:
    """A tracker of OpenCV with the methods `start` and `step` of a SiameseTracker. ``make`` returns
    a new tracker, as `make_opencv_tracker` does."""

    def __init__(self, make):
        self.make = make

    def start(self, image: np.ndarray, box) -> OpenCVState:
        """Start on a box, XYXY in pixels of an image (H, W, 3) uint8 BGR. OpenCV takes only boxes
        of whole pixels inside the image, so the box is rounded and clipped for it.

        Raises:
            ValueError: the box is not finite, has no positive size, or lies outside the image.
            RuntimeError: OpenCV cannot start the tracker on this box.
        """
        box = check_box(box, image.shape[:2])
        limit = np.array(image.shape[1::-1])
        low = np.clip(np.round(box[:2]), 0, limit - 1).astype(int)
        high = np.maximum(np.clip(np.round(box[2:]), 0, limit).astype(int), low + 1)
        tracker = self.make()
        # older trackers return whether they could start, newer ones return None
        if tracker.init(image, tuple(int(v) for v in (*low, *(high - low)))) is False:
            raise RuntimeError(f"OpenCV's tracker cannot be started on the box {box}")
        return OpenCVState(tracker, box, 1.0, "init")

    def step_all(self, image: np.ndarray, states: List[OpenCVState]) -> List[OpenCVState]:
        """One step of each state."""
        return [self.step(image, state) for state in states]

    def step(self, image: np.ndarray, state: OpenCVState) -> OpenCVState:
        """Find the target in the next frame. If the tracker reports that it lost the target, the
        box stays, the score is 0 and the status is "lost". Otherwise the score is the tracker's
        own, or 1 if it has none."""
        found, box = state.tracker.update(image)
        if not found:
            return state._replace(score=0.0, status="lost")
        x, y, w, h = map(float, box)
        score = getattr(state.tracker, "getTrackingScore", lambda: 1.0)()
        return OpenCVState(state.tracker, np.array([x, y, x + w, y + h]), float(score), "tracked")


class OpenCVWorker:
    """Runs an experiment in another process, because a crash of OpenCV would end this one. The
    experiment and the tracks are sent to that process."""

    def __init__(self, experiment):
        self.experiment, self.pool = experiment, None

    def __call__(self, tracks: List[Dict]) -> List[Dict]:
        """The result of the experiment for each track, or a dict of `name` and `error`."""
        return [self._run(track) for track in tracks]

    def _run(self, track: Dict) -> Dict:
        if self.pool is None:
            context = multiprocessing.get_context("spawn")  # threads do not survive a fork
            self.pool = ProcessPoolExecutor(1, context)
        try:
            return self.pool.submit(self.experiment.run, track).result()
        except BrokenProcessPool:
            self.close()
            return {"name": track["name"], "error": "the process of the tracker ended"}
        except Exception as e:  # OpenCV may raise anything; the other sequences go on
            return {"name": track["name"], "error": f"{type(e).__name__}: {e}"}

    def close(self):
        if self.pool is not None:
            self.pool.shutdown()
            self.pool = None


def file_digests(models: Dict[str, str]) -> Dict[str, str]:
    """The SHA-256 of each file, by field."""
    return {f: hashlib.sha256(Path(path).read_bytes()).hexdigest() for f, path in models.items()}
