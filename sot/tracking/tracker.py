"""Trackers: a pure core (start, step) that works on states, and a thin shell (init, update)."""

import copy
from dataclasses import replace
from typing import List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
import torch
from detectron2.structures import BoxMode

from ..boxes import check_box, sides_of
from ..data.transforms import target_rect
from ..utils.cpu import ForkGuard, thread_pool
from .adaptation import follow_looks, learn_target
from .calibration import Calibration, next_status
from .crops import CROPS, Region, as_bgr, to_host
from .geometry import clip_box, smooth_size
from .online import OnlineLearner
from .state import Match, TargetState, TrackResult

# Weight of the cosine window while a lost target is searched for, as in PySOT's long-term tracker.
# It is small, because the target may come back anywhere.
LOST_WINDOW_INFLUENCE = 0.001
WIDER_SCALES = (1.5, 2.0)  # widths of further search regions, relative to the usual one
WIDER_GAIN = 0.2  # a match in a wider region needs a raw score that is higher by this
MAX_CROPS_IN_A_PASS = 32  # bounds the memory of a step


class SiameseTracker:
    """Base of the trackers. It cuts crops, follows several targets at once, smooths sizes, and
    handles lost targets. Subclasses add ``_match``, which interprets the predictions of the
    network.

    For one target call ``init(image, box)`` and then ``update(image)`` for each frame. For several
    targets use ``start`` and ``step_all``: the state of a target is a value, so any number of
    targets share one tracker."""

    scales = (1.0,)  # scales of the search regions that are cut for each target

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
            model: a SiameseNetwork in eval mode, or an object with its ``template``, ``detect``,
                ``device`` and ``engine``, and with ``online`` also its ``detect_with_features``.
            template_size, search_size: sides of the crops.
            crop, context, min_side, window_influence, size_lr, confidence_threshold,
                lost_search_size, lost_below, found_above: see sot/config/keys.py,
                INPUT.CONTEXT_AMOUNT and TEST.TRACKER.
            online: learns a model of each target; None for no such models.
            calibration: calibrates the score; None leaves scores as they are.
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
        # A batch is rounded differently from a single crop, and a target may be lost or found
        # because of it. A GPU needs batches. A CPU gains little from them, so there a target does
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
        """The engine that runs the network: "torch", "onnxruntime" or "openvino"."""
        return self.model.engine

    # ------------------------------------------------------------------ core
    @torch.inference_mode()
    def start(self, image: np.ndarray, box: Sequence[float]) -> TargetState:
        """Start a target, and return its state.

        Args:
            image: (H, W, 3) uint8 BGR; or a gray image (H, W), or one with an alpha channel
                (H, W, 4).
            box: XYXY in pixels of the image.

        Raises:
            ValueError: the image has another shape or type; or the box is not finite, has no
                positive size, or lies outside the image.
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
        """Find every target in its next frame, and return the new states.

        On a GPU several targets go through the network in one batch, which changes the rounding;
        lost targets, whose crops are larger, form a batch of their own. On a CPU each target goes
        through the network by itself, and the other targets have no effect on it. In onnxruntime
        several targets do so at the same time, each in a thread.

        Args:
            images: one frame for all targets, as for :meth:`start`, or a list with a frame for
                each. If the size of the frames changes, the box is scaled with it.
            states: the states of the targets after the frame before.

        Raises:
            ValueError: an image has another shape or type, or there is not one for each state.
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
        parts, n = [], self.targets_at_once
        for lost in (False, True):
            group = [i for i, s in enumerate(states) if self._is_lost(s) == lost]
            parts += [(group[begin : begin + n], lost) for begin in range(0, len(group), n)]
        found = self._search_all(
            [([images[i] for i in part], [states[i] for i in part], lost) for part, lost in parts]
        )
        new = {i: s for (part, _), several in zip(parts, found) for i, s in zip(part, several)}
        return [new[i] for i in range(len(states))]

    def _search_all(self, parts: Sequence[Tuple]) -> List[List[TargetState]]:
        """``_search`` for each of ``parts``. If the network can run without threads of its own,
        several parts run at the same time, which uses the cores better. The results are the same.
        """
        workers = torch.get_num_threads()
        if min(workers, len(parts)) < 2 or not hasattr(self.model, "single_threaded"):
            return [self._search(*part) for part in parts]
        single = copy.copy(self)
        single.model = self.model.single_threaded
        # inference mode belongs to a thread
        search = torch.inference_mode()(single._search)
        return list(thread_pool(workers).map(search, *zip(*parts)))

    def _is_lost(self, state: TargetState) -> bool:
        return self.lost_search_size > 0 and state.status == "lost"

    def region(self, box, crop_size: int, scale: float = 1.0) -> Region:
        """The region around a box XYXY. The target has its size in the template divided by
        ``scale``."""
        rect = target_rect(box, scale * crop_size, self.template_size, self.context)
        return Region(rect, crop_size, self.crop_transform)

    def _search(self, images, states: List[TargetState], lost: bool) -> List[TargetState]:
        """The new states. With online models, a target that is not found in its search region is
        searched for in wider ones in the same frame: a fast target may have left the region."""
        new = self._search_once(images, states, lost)
        if self.online is None or self.lost_search_size:
            return new
        for wider in WIDER_SCALES:
            missed = [i for i, s in enumerate(new) if s.misses]
            if not missed:
                break
            again = [images[i] for i in missed], [states[i] for i in missed]
            for i, state in zip(missed, self._search_once(*again, lost, wider)):
                if not state.misses and state.raw_score > new[i].raw_score + WIDER_GAIN:
                    new[i] = state
        return new

    def _search_once(
        self, images, states: List[TargetState], lost: bool, wider: float = 1.0
    ) -> List[TargetState]:
        """The new states after one search. Its regions are ``wider`` times as wide as usual."""
        size, online = self.lost_search_size if lost else self.search_size, self.online
        regions = [self.region(s.box, size, wider * scale) for s in states for scale in self.scales]
        parts = [(image, s.pad_value) for image, s in zip(images, states) for _ in self.scales]
        crops = self.load([region.cut(*part) for region, part in zip(regions, parts)])
        kernels = list(zip(*(s.kernels for s in states for _ in self.scales)))
        kernels = [torch.cat(k) if len(k) > 1 else k[0] for k in kernels]
        middle = slice(len(self.scales) // 2, None, len(self.scales))  # crops of scale 1
        regions = regions[middle]
        # the sizes that the network would predict for these boxes
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
        new = [self._next_state(s, r, m, wider) for s, r, m in zip(states, regions, matches)]
        if online is None:
            return new
        matches = [
            m._replace(confidences=()) if s.misses or self._is_lost(s) else m
            for s, m in zip(new, matches)
        ]
        models = online.learn([s.online for s in states], response, maps, matches, size)
        new = [replace(s, online=m) for s, m in zip(new, models)]
        return follow_looks(self, images, new, matches)

    def size_bias(self, outputs, centers, sizes) -> np.ndarray:
        """The factors (w, h) by which the network's boxes are too large. They are estimated from
        the outputs of its ``detect`` for V views of the first frame, whose box is true. ``centers``
        and ``sizes`` (V, 2) are those of the target in the views, in crop pixels."""
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
            outputs: outputs of the network's ``detect`` for N targets, with the scales of a target
                next to each other.
            maps: (N, n, n), the responses of the targets' online models to the crops of scale 1, or
                None. They have the same centre as the network's response maps.
            sizes: (w, h) of the targets in the last frame, in crop pixels.
            crop_size: side of the crops.
            lost: whether the targets are lost. Their crops are larger, and they may be anywhere.

        Returns:
            the best match of each target, in pixels of a crop of scale 1.
        """
        raise NotImplementedError

    def _next_state(
        self, state: TargetState, region: Region, match: Match, wider: float
    ) -> TargetState:
        """The state after ``match`` in the crop of a region."""
        score = None if self.calibration is None else self.calibration(match.confidences)
        new = replace(
            state,
            score=match.score if score is None else score,
            raw_score=match.score,
            confidences=match.confidences,
        )
        if self.lost_search_size and match.score < self.lost_below:
            return replace(new, status="lost")
        if self.online is not None:
            is_lost = self.online.is_lost(state.misses)
            believed = self.online.believes(match.confidences, surely=is_lost or wider > 1)
            new = replace(new, misses=0 if believed else state.misses + 1)
            if not believed and is_lost and not self.lost_search_size:
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
        """Crops (S, S, 3) -> the input of the network, (N, 3, S, S) on its device."""
        batch = torch.from_numpy(np.stack(crops)).to(self.model.device)
        return batch.permute(0, 3, 1, 2)  # the memory stays in the order of the crops

    def _influence(self, lost: bool) -> float:
        """The weight of the cosine window."""
        return LOST_WINDOW_INFLUENCE if lost else self.window_influence

    # ----------------------------------------------------------------- shell
    def init(self, image: np.ndarray, box: Sequence[float]) -> None:
        """Start following the target in ``box`` (x, y, w, h), in pixels. For errors see
        :meth:`start`."""
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
