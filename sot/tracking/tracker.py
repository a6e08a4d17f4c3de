"""Following targets through a video: a pure core (start, step) and a thin shell (init, update)."""

from dataclasses import dataclass, replace
from typing import List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np
import torch
from detectron2.structures import BoxMode
from fvcore.common.registry import Registry

from ..boxes import check_box, sides_of, to_xywh
from ..data.transforms import SubwindowTransform, target_rect
from ..modeling.fuse import fuse_for_inference
from .geometry import clip_box, smooth_size

__all__ = [
    "TRACKER_REGISTRY",
    "Match",
    "SiameseTracker",
    "TargetState",
    "TrackResult",
    "build_siamese_tracker",
]

TRACKER_REGISTRY = Registry("TRACKER")
TRACKER_REGISTRY.__doc__ = """
Trackers by name: that of the meta-architecture they run, and "Tracker". Called with a config and
the network; returns a SiameseTracker.
"""

# of the cosine window while a lost target is searched for, as in PySOT's long-term tracker: it may
# come back anywhere
LOST_WINDOW_INFLUENCE = 0.001


@dataclass(frozen=True, eq=False)
class TargetState:
    """All that is known of one target; a step returns a new one.

    Attributes:
        kernels: template kernels of the network, batch of one.
        box: (4,) XYXY in frame pixels.
        score: confidence in the box, 0..1.
        status: "init"; "tracked"; "uncertain" if the score is below the threshold; with long-term
            tracking also "lost": the next step searches the larger region, and until the score
            is at least LOST_BELOW the box is the last one before.
        pad_value: colour outside the frame.
    """

    kernels: Tuple[torch.Tensor, ...]
    box: np.ndarray
    score: float
    status: str
    pad_value: Tuple[float, ...]


class TrackResult(NamedTuple):
    """Result for one frame: box (x, y, w, h) in pixels, score 0..1, status (see TargetState)."""

    box: Tuple[float, float, float, float]
    score: float
    status: str


class Match(NamedTuple):
    """What a network found in a search crop: centre (x, y) and size (w, h) in crop pixels, score
    0..1, and the rate at which the target's size moves towards that size."""

    center: np.ndarray
    size: np.ndarray
    score: float
    rate: float


class SiameseTracker:
    """Base of the trackers: crops, several targets at once, smoothing, lost and found.

    Targets are states, not objects: any number of them share the model, and ``step_all`` runs
    them in one forward pass. Subclasses add ``_match``, which reads the network's predictions.
    """

    scales = (1.0,)  # of the search regions that are cut for each target

    def __init__(
        self,
        model,
        *,
        template_size: int = 127,
        search_size: int = 255,
        context: float = 0.5,
        window_influence: float = 0.4,
        size_lr: float = 0.3,
        confidence_threshold: float = 0.5,
        lost_search_size: int = 0,
        lost_below: float = 0.85,
        found_above: float = 0.998,
    ):
        """
        Args:
            model: a SiameseNetwork in eval mode.
            template_size, search_size: sides of the crops.
            context, window_influence, size_lr, confidence_threshold, lost_search_size, lost_below,
                found_above: see sot/config.py, INPUT.CONTEXT_AMOUNT and TEST.TRACKER.
        """
        if lost_search_size and not (lost_search_size >= search_size and lost_below <= found_above):
            raise ValueError(
                "long-term tracking needs TEST.TRACKER.LOST_SEARCH_SIZE of at least "
                f"INPUT.SEARCH_SIZE_TEST, not {lost_search_size} and {search_size}, and LOST_BELOW "
                f"of at most FOUND_ABOVE, not {lost_below} and {found_above}"
            )
        self.model = model
        self.template_size = template_size
        self.search_size = search_size
        self.context = context
        self.window_influence = window_influence
        self.size_lr = size_lr
        self.confidence_threshold = confidence_threshold
        self.lost_search_size = lost_search_size
        self.lost_below = lost_below
        self.found_above = found_above
        self.state = None

    @classmethod
    def from_config(cls, cfg, model):
        t = cfg.TEST.TRACKER
        return {
            "model": model,
            "template_size": cfg.INPUT.TEMPLATE_SIZE,
            "search_size": cfg.INPUT.SEARCH_SIZE_TEST,
            "context": cfg.INPUT.CONTEXT_AMOUNT,
            "window_influence": t.WINDOW_INFLUENCE,
            "size_lr": t.SIZE_LR,
            "confidence_threshold": t.CONFIDENCE_THRESHOLD,
            "lost_search_size": t.LOST_SEARCH_SIZE,
            "lost_below": t.LOST_BELOW,
            "found_above": t.FOUND_ABOVE,
        }

    # ------------------------------------------------------------------ core
    @torch.inference_mode()
    def start(self, image: np.ndarray, box: Sequence[float]) -> TargetState:
        """Learn a target.

        Args:
            image: (H, W, 3) uint8 BGR.
            box: XYXY in pixels of the image.

        Raises:
            ValueError: not such an image; or a box that is not finite, has no positive size, or
                lies outside the image.
        """
        _check_image(image)
        box = check_box(box, image.shape[:2])
        pad_value = cv2.mean(image)[:3]
        rect = target_rect(box, self.template_size, self.template_size, self.context)
        crop = self._crop(image, rect, self.template_size, pad_value)
        kernels = tuple(self.model.template(self._tensor([crop])))
        return TargetState(kernels, box, 1.0, "init", pad_value)

    def step(self, image: np.ndarray, state: TargetState) -> TargetState:
        """Find the target of ``state`` in the next frame; see :meth:`step_all`."""
        return self.step_all(image, [state])[0]

    @torch.inference_mode()
    def step_all(self, image: np.ndarray, states: Sequence[TargetState]) -> List[TargetState]:
        """Find every target in the next frame, in one forward pass (lost targets, whose crops are
        larger, in another).

        Args:
            image: (H, W, 3) uint8 BGR, of the size of the first one.

        Raises:
            ValueError: not such an image.
        """
        _check_image(image)
        found = {}
        for lost in (False, True):
            group = {i: s for i, s in enumerate(states) if self._is_lost(s) == lost}
            if group:
                found.update(zip(group, self._search(image, list(group.values()), lost)))
        return [found[i] for i in range(len(states))]

    def _is_lost(self, state: TargetState) -> bool:
        return self.lost_search_size > 0 and state.status == "lost"

    def _search(self, image, states: List[TargetState], lost: bool) -> List[TargetState]:
        size = self.lost_search_size if lost else self.search_size

        def rect(state, scale=1.0):
            return target_rect(state.box, scale * size, self.template_size, self.context)

        crops = [
            self._crop(image, rect(s, f), size, s.pad_value) for s in states for f in self.scales
        ]
        kernels = [torch.cat(k) for k in zip(*(s.kernels for s in states))]
        rects = [rect(s) for s in states]
        per_pixel = [(r[2] - r[0]) / size for r in rects]  # frame pixels per crop pixel
        sizes = [sides_of(s.box) / p for s, p in zip(states, per_pixel)]
        matches = self._match(kernels, self._tensor(crops), sizes, lost)
        return [
            self._next_state(s, image.shape[:2], r[:2], p, m)
            for s, r, p, m in zip(states, rects, per_pixel, matches)
        ]

    def _match(
        self,
        kernels: List[torch.Tensor],
        crops: torch.Tensor,
        sizes: List[np.ndarray],
        lost: bool,
    ) -> List[Match]:
        """Find each target in its search crops.

        Args:
            kernels: of N targets, batch first.
            crops: (N * len(scales), 3, S, S), the scales of a target next to each other.
            sizes: (w, h) that the targets had in the last frame, in crop pixels.
            lost: the targets are lost; the crops are larger, and they may be anywhere.

        Returns:
            the best match of each target, in pixels of a crop of scale 1.
        """
        raise NotImplementedError

    def _next_state(self, state, image_size, origin, per_pixel, match: Match) -> TargetState:
        """State after ``match`` in a crop that begins at ``origin`` (x, y) of the frame."""
        if self.lost_search_size and match.score < self.lost_below:
            return replace(state, score=match.score, status="lost")
        size = smooth_size(sides_of(state.box), match.size * per_pixel, match.rate)
        status = "tracked" if match.score >= self.confidence_threshold else "uncertain"
        if self._is_lost(state) and match.score <= self.found_above:
            status = "lost"
        center = np.array(origin) + match.center * per_pixel
        return replace(
            state, box=clip_box(center, size, image_size), score=match.score, status=status
        )

    def _influence(self, lost: bool) -> float:
        """Weight of the cosine window."""
        return LOST_WINDOW_INFLUENCE if lost else self.window_influence

    @staticmethod
    def _crop(image, rect, size, pad_value) -> np.ndarray:
        """(size, size, 3) uint8."""
        return SubwindowTransform(rect, (size, size), image.shape[:2], pad_value).apply_image(image)

    def _tensor(self, crops: List[np.ndarray]) -> torch.Tensor:
        """(N, 3, S, S) uint8 on the model's device, its memory in the order of the crops."""
        return torch.from_numpy(np.stack(crops)).to(self.model.device).permute(0, 3, 1, 2)

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
        box = tuple(to_xywh(self.state.box).tolist())
        return TrackResult(box, self.state.score, self.state.status)


def build_siamese_tracker(cfg, model) -> SiameseTracker:
    """The tracker of MODEL.META_ARCHITECTURE, with a copy of a network made for inference: what
    becomes of the network later does not change the tracker.

    Raises:
        ValueError: there is none for it.
    """
    name = cfg.MODEL.META_ARCHITECTURE + "Tracker"
    if name not in TRACKER_REGISTRY:
        known = ", ".join(sorted(n for n, _ in TRACKER_REGISTRY))
        raise ValueError(f"no {name} for MODEL.META_ARCHITECTURE; registered trackers: {known}")
    return TRACKER_REGISTRY.get(name)(cfg, fuse_for_inference(model))


def _check_image(image) -> None:
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3):
        raise ValueError("image must be an array (H, W, 3) of uint8, BGR")
    if image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image must be (H, W, 3), got shape {image.shape}")
