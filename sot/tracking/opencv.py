"""The trackers of OpenCV behind `start` and `step`, as baselines.

MIL comes with every OpenCV; KCF, CSRT and MOSSE with its contrib build; Nano, ViT and DaSiamRPN
need files with their networks, which OpenCV's model zoo (github.com/opencv/opencv_zoo) and its
documentation of these classes link to.
"""

import hashlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import cv2
import numpy as np

from ..boxes import check_box

# By name: the files that a tracker needs, as the fields of its parameters are called.
MODEL_FILES = {
    "MIL": (),
    "KCF": (),
    "CSRT": (),
    "MOSSE": (),
    "Nano": ("backbone", "neckhead"),
    "ViT": ("net",),
    "DaSiamRPN": ("model", "kernel_cls1", "kernel_r1"),
}
CLASSES = {"ViT": "Vit"}  # where OpenCV spells a name in another way


def make_opencv_tracker(name: str, models: Dict[str, str]):
    """A tracker of OpenCV, of a name in MODEL_FILES, that was not started; ``models``: its files by
    field. ValueError: no such tracker, also in the OpenCV that is installed; not the files it
    needs, or OpenCV cannot read them. FileNotFoundError: a file is missing."""
    if name not in MODEL_FILES:
        raise ValueError(f"no tracker {name!r}: there are {', '.join(MODEL_FILES)}")
    if set(models) != set(MODEL_FILES[name]):
        needed = ", ".join(f"{name}.{field}" for field in MODEL_FILES[name]) or "none"
        given = ", ".join(f"{name}.{field}" for field in models) or "none"
        raise ValueError(f"model files of {name}: needed {needed}; given {given}")
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
    """As TargetState; ``tracker`` is changed by a step, so that each state is good for one."""

    tracker: Any
    box: np.ndarray
    score: float
    status: str


class OpenCVTracker:
    """A tracker of OpenCV behind the `start` and `step` of a SiameseTracker; ``make`` gives a new
    one, as `make_opencv_tracker` does."""

    def __init__(self, make):
        self.make = make

    def start(self, image: np.ndarray, box) -> OpenCVState:
        """Start on a box, XYXY in pixels of an image (H, W, 3) uint8 BGR. The tracker itself is
        given whole pixels inside of the image: OpenCV takes nothing else.

        Raises:
            ValueError: the box is not finite, has no positive size, or lies outside the image.
            RuntimeError: the tracker does not take this target.
        """
        box = check_box(box, image.shape[:2])
        limit = np.array(image.shape[1::-1])
        low = np.clip(np.round(box[:2]), 0, limit - 1).astype(int)
        high = np.maximum(np.clip(np.round(box[2:]), 0, limit).astype(int), low + 1)
        tracker = self.make()
        # the older trackers say whether it went well, the newer ones nothing
        if tracker.init(image, tuple(int(v) for v in (*low, *(high - low)))) is False:
            raise RuntimeError("the tracker cannot be started on this target")
        return OpenCVState(tracker, box, 1.0, "init")

    def step_all(self, image: np.ndarray, states: List[OpenCVState]) -> List[OpenCVState]:
        """One step of each."""
        return [self.step(image, state) for state in states]

    def step(self, image: np.ndarray, state: OpenCVState) -> OpenCVState:
        """The next frame. Where the tracker says that it lost the target, the box is the last one
        before, the score 0 and the status "lost"; the score is otherwise what the tracker gives,
        1 if it gives none."""
        found, box = state.tracker.update(image)
        if not found:
            return state._replace(score=0.0, status="lost")
        x, y, w, h = map(float, box)
        score = getattr(state.tracker, "getTrackingScore", lambda: 1.0)()
        return OpenCVState(state.tracker, np.array([x, y, x + w, y + h]), float(score), "tracked")


class OpenCVWorker:
    """An experiment in another process, where OpenCV may take that process down; its ``run(track)``
    and the tracks go there."""

    def __init__(self, experiment):
        self.experiment, self.pool = experiment, None

    def __call__(self, tracks: List[Dict]) -> List[Dict]:
        """What the experiment gives of each track, or `name` and `error`."""
        return [self._run(track) for track in tracks]

    def _run(self, track: Dict) -> Dict:
        if self.pool is None:
            context = multiprocessing.get_context("spawn")  # forks do not go with threads
            self.pool = ProcessPoolExecutor(1, context)
        try:
            return self.pool.submit(self.experiment.run, track).result()
        except BrokenProcessPool:
            self.close()
            return {"name": track["name"], "error": "the process of the tracker ended"}
        except Exception as e:  # whatever OpenCV throws, the other sequences can go on
            return {"name": track["name"], "error": f"{type(e).__name__}: {e}"}

    def close(self):
        if self.pool is not None:
            self.pool.shutdown()
            self.pool = None


def file_digests(models: Dict[str, str]) -> Dict[str, str]:
    """What tells files apart: their SHA-256, by field."""
    return {f: hashlib.sha256(Path(path).read_bytes()).hexdigest() for f, path in models.items()}
