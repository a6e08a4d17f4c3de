"""Following targets through a video: a pure core (start, step) and a thin shell (init, update)."""

from dataclasses import replace
from typing import List, Optional, Sequence, Union

import cv2
import numpy as np
import torch
from detectron2.structures import BoxMode

from ..boxes import check_box, sides_of
from ..data.transforms import target_rect
from ..utils.cpu import ForkGuard
from .adaptation import follow_looks, learn_target
from .calibration import Calibration, next_status
from .crops import CROPS, Region, as_bgr, to_host
from .geometry import clip_box, smooth_size
from .online import OnlineLearner
from .state import Match, TargetState, TrackResult

# of the cosine window while a lost target is searched for, as in PySOT's long-term tracker: it may
# come back anywhere
LOST_WINDOW_INFLUENCE = 0.001
MAX_CROPS_IN_A_PASS = 32  # bounds the memory of a step


class SiameseTracker:
    """Base of the trackers: crops, several targets at once, smoothing, lost and found.

    Targets are states, not objects: any number of them share the model, and ``step_all`` finds
    them all. Subclasses add ``_match``, which reads the network's predictions.
    """

    scales = (1.0,)  # of the search regions that are cut for each target

    def __init__(
        self,
        model,
        *,
        template_size: int = 127,
        search_size: int = 255,
        crop: str = "subpixel",
        context: float = 0.5,
        min_side: float = 4.0,
        window_influence: float = 0.4,
        size_lr: float = 0.3,
        confidence_threshold: float = 0.5,
        lost_search_size: int = 0,
        lost_below: float = 0.85,
        found_above: float = 0.998,
        online: Optional[OnlineLearner] = None,
        calibration: Optional[Calibration] = None,
    ):
        """
        Args:
            model: a SiameseNetwork in eval mode, or what has its ``template``, ``detect``,
                ``device`` and ``engine``, and with ``online`` its ``detect_with_features``.
            template_size, search_size: sides of the crops.
            crop, context, min_side, window_influence, size_lr, confidence_threshold,
                lost_search_size, lost_below, found_above: see sot/config/keys.py,
                INPUT.CONTEXT_AMOUNT and TEST.TRACKER.
            online: learns each target's model; None = no such models.
            calibration: of the score; None = scores stay as they are.
        """
        if lost_search_size and not (lost_search_size >= search_size and lost_below <= found_above):
            raise ValueError(
                "long-term tracking needs TEST.TRACKER.LOST_SEARCH_SIZE of at least "
                f"INPUT.SEARCH_SIZE_TEST, not {lost_search_size} and {search_size}, and LOST_BELOW "
                f"of at most FOUND_ABOVE, not {lost_below} and {found_above}"
            )
        if online is not None and not hasattr(model, "detect_with_features"):
            raise ValueError(
                f"{type(model).__name__} does not give the features that an online model learns "
                "from: set TEST.TRACKER.ONLINE.ENABLED False"
            )
        self.model = model
        self.template_size = template_size
        self.search_size = search_size
        self.crop_transform = CROPS[crop]
        self.context = context
        self.min_side = min_side
        self.window_influence = window_influence if online is None else online.window_influence
        self.size_lr = size_lr
        self.confidence_threshold = confidence_threshold
        self.lost_search_size = lost_search_size
        self.lost_below = lost_below
        self.found_above = found_above
        self.online = online
        self.calibration = calibration
        # What is computed in one batch is rounded otherwise than alone, and a box may be lost or
        # found by that. A GPU needs the batch; on a CPU, which gains little by it, a target does
        # not depend on the others.
        on_cpu = model.device.type == "cpu"
        self.targets_at_once = 1 if on_cpu else max(1, MAX_CROPS_IN_A_PASS // len(self.scales))
        self.state = None
        self._fork_guard = ForkGuard()

    @classmethod
    def from_config(cls, cfg, model):
        t = cfg.TEST.TRACKER
        return {
            "model": model,
            "template_size": cfg.INPUT.TEMPLATE_SIZE,
            "search_size": cfg.INPUT.SEARCH_SIZE_TEST,
            "crop": t.CROP,
            "context": cfg.INPUT.CONTEXT_AMOUNT,
            "min_side": t.MIN_SIDE,
            "window_influence": t.WINDOW_INFLUENCE,
            "size_lr": t.SIZE_LR,
            "confidence_threshold": t.CONFIDENCE_THRESHOLD,
            "lost_search_size": t.LOST_SEARCH_SIZE,
            "lost_below": t.LOST_BELOW,
            "found_above": t.FOUND_ABOVE,
            "online": OnlineLearner.from_config(cfg, model.stride) if t.ONLINE.ENABLED else None,
        }

    @property
    def engine(self) -> str:
        """What the network runs in, "torch" or "onnxruntime"."""
        return self.model.engine

    # ------------------------------------------------------------------ core
    @torch.inference_mode()
    def start(self, image: np.ndarray, box: Sequence[float]) -> TargetState:
        """Learn a target.

        Args:
            image: (H, W, 3) uint8 BGR; or gray (H, W), or with an alpha channel, (H, W, 4).
            box: XYXY in pixels of the image.

        Raises:
            ValueError: not such an image; or a box that is not finite, has no positive size, or
                lies outside the image.
            RuntimeError: as in :meth:`step_all`.
        """
        self._fork_guard.check()
        image = as_bgr(image)
        box, pad_value = check_box(box, image.shape[:2]), cv2.mean(image)[:3]
        crop = self.region(box, self.template_size).cut(image, pad_value)
        kernels = tuple(self.model.template(self.load([crop])))
        state = TargetState(kernels, box, 1.0, "init", pad_value, image.shape[:2])
        return state if self.online is None else learn_target(self, image, state)

    def step(self, image: np.ndarray, state: TargetState) -> TargetState:
        """Find the target of ``state`` in the next frame; see :meth:`step_all`."""
        return self.step_all(image, [state])[0]

    @torch.inference_mode()
    def step_all(
        self, images: Union[np.ndarray, Sequence[np.ndarray]], states: Sequence[TargetState]
    ) -> List[TargetState]:
        """Find every target in its next frame. On a GPU several go through the network at once
        (lost targets, whose crops are larger, apart), which rounds otherwise than alone; on a CPU
        each by itself, and the others make no difference to it.

        Args:
            images: the frame of all targets, as for :meth:`start`, or a list with one for each. If
                it has another size than the one before, the box is scaled with it.

        Raises:
            ValueError: not such images, or not one for each state.
            RuntimeError: the process was forked after the tracker was built, and has several
                threads.
        """
        self._fork_guard.check()
        if not isinstance(images, (list, tuple)):
            images = [as_bgr(images)] * len(states)
        if len(images) != len(states):
            raise ValueError(f"{len(images)} images for {len(states)} states")
        images = [as_bgr(image) for image in images]
        states = [s.in_frame(image.shape[:2]) for s, image in zip(states, images)]
        found = list(states)
        for lost in (False, True):
            group = [i for i, s in enumerate(states) if self._is_lost(s) == lost]
            for begin in range(0, len(group), self.targets_at_once):
                part = group[begin : begin + self.targets_at_once]
                new = self._search([images[i] for i in part], [states[i] for i in part], lost)
                for i, state in zip(part, new):
                    found[i] = state
        return found

    def _is_lost(self, state: TargetState) -> bool:
        return self.lost_search_size > 0 and state.status == "lost"

    def region(self, box, crop_size: int, scale: float = 1.0) -> Region:
        """Region about a box XYXY; the target's size in it is that in the template / ``scale``."""
        rect = target_rect(box, scale * crop_size, self.template_size, self.context)
        return Region(rect, crop_size, self.crop_transform)

    def _search(self, images, states: List[TargetState], lost: bool) -> List[TargetState]:
        size, online = self.lost_search_size if lost else self.search_size, self.online
        regions = [self.region(s.box, size, scale) for s in states for scale in self.scales]
        parts = [(image, s.pad_value) for image, s in zip(images, states) for _ in self.scales]
        crops = self.load([region.cut(*part) for region, part in zip(regions, parts)])
        kernels = list(zip(*(s.kernels for s in states for _ in self.scales)))
        kernels = [torch.cat(k) if len(k) > 1 else k[0] for k in kernels]
        middle = slice(len(self.scales) // 2, None, len(self.scales))  # crops of scale 1
        regions = regions[middle]
        # as large as the network would say
        sizes = [r.size_in_crop(s.box) * s.size_bias for r, s in zip(regions, states)]
        if online is None:
            outputs, maps = to_host(self.model.detect(kernels, crops)), None
        else:
            outputs, features = self.model.detect_with_features(kernels, crops)
            response = online.respond([s.online for s in states], features[middle])
            *outputs, maps = to_host(outputs, response.maps)
        matches = [
            m._replace(size=m.size / s.size_bias)
            for m, s in zip(self._match(outputs, maps, sizes, size, lost), states)
        ]
        new = [self._next_state(s, r, m) for s, r, m in zip(states, regions, matches)]
        if online is None:
            return new
        matches = [
            m._replace(confidences=()) if self._is_lost(s) else m for s, m in zip(new, matches)
        ]
        models = online.learn([s.online for s in states], response, maps, matches, size)
        new = [replace(s, online=m) for s, m in zip(new, models)]
        return follow_looks(self, images, new, matches)

    def size_bias(self, outputs, centers, sizes) -> np.ndarray:
        """(w, h): how many times too large the network's boxes are to be taken for. This is judged
        by what its ``detect`` gives for V views of the first frame, whose box is true; ``centers``
        and ``sizes`` (V, 2) are the target's in the views, in crop pixels."""
        return np.ones(2)

    def _match(
        self,
        outputs: List[np.ndarray],
        maps: Optional[np.ndarray],
        sizes: List[np.ndarray],
        crop_size: int,
        lost: bool,
    ) -> List[Match]:
        """Find each target in its search crops.

        Args:
            outputs: what the network's ``detect`` gives for N targets, the scales of a target next
                to each other.
            maps: (N, n, n), the responses of the targets' online models to the crops of scale 1, or
                None. Their middle lies on the network's response map.
            sizes: (w, h) that the targets had in the last frame, in crop pixels.
            crop_size: side of the crops.
            lost: the targets are lost; the crops are larger, and they may be anywhere.

        Returns:
            the best match of each target, in pixels of a crop of scale 1.
        """
        raise NotImplementedError

    def _next_state(self, state: TargetState, region: Region, match: Match) -> TargetState:
        """State after ``match`` in the crop of a region."""
        score = None if self.calibration is None else self.calibration(match.confidences)
        new = replace(
            state,
            score=match.score if score is None else score,
            raw_score=match.score,
            confidences=match.confidences,
        )
        if self.lost_search_size and match.score < self.lost_below:
            return replace(new, status="lost")
        size = smooth_size(sides_of(state.box), match.size * region.per_pixel, match.rate)
        status = "tracked" if match.score >= self.confidence_threshold else "uncertain"
        if self._is_lost(state) and match.score <= self.found_above:
            status = "lost"
        if score is not None and not self.lost_search_size:
            status = next_status(state.status, score)
        center = region.to_frame(match.center)
        box = clip_box(center, size, state.frame_size, self.min_side)
        return replace(new, box=box, status=status)

    def load(self, crops: List[np.ndarray]) -> torch.Tensor:
        """Crops (S, S, 3) as the network takes them, (N, 3, S, S) on its device."""
        batch = torch.from_numpy(np.stack(crops)).to(self.model.device)
        return batch.permute(0, 3, 1, 2)  # the memory stays in the order of the crops

    def _influence(self, lost: bool) -> float:
        """Weight of the cosine window."""
        return LOST_WINDOW_INFLUENCE if lost else self.window_influence

    # ----------------------------------------------------------------- shell
    def init(self, image: np.ndarray, box: Sequence[float]) -> None:
        """Start following the target in ``box`` (x, y, w, h), pixels; errors as in start."""
        self.state = self.start(image, check_box(box, mode=BoxMode.XYWH_ABS))

    def update(self, image: np.ndarray) -> TrackResult:
        """Find the target in the next frame.

        Raises:
            RuntimeError: ``init`` was not called.
        """
        if self.state is None:
            raise RuntimeError("call tracker.init(image, (x, y, w, h)) before tracker.update")
        self.state = self.step(image, self.state)
        return TrackResult.of(self.state)
