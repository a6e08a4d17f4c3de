"""Following targets through a video: a pure core (start, step) and a thin shell (init, update)."""

import math
from dataclasses import dataclass, replace
from typing import List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np
import torch
from detectron2.config import configurable

from ..data.transforms import SubwindowTransform, target_rect
from .geometry import change_penalty, clip_box, cosine_window, smooth_size

__all__ = ["SiamRPNTracker", "TargetState", "TrackResult"]


@dataclass(frozen=True, eq=False)
class TargetState:
    """All that is known of one target; a step returns a new one.

    Attributes:
        kernels: template kernels of the network, batch of one.
        box: (4,) XYXY in frame pixels.
        score: confidence in the box, 0..1.
        status: "init", "tracked", or "uncertain" if the score is below the threshold.
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


class SiamRPNTracker:
    """Inference of SiamRPN (Li et al. 2018, Sec. 3.4).

    Targets are states, not objects: any number of them share the model, and
    ``step_all`` runs them in one forward pass.
    """

    @configurable
    def __init__(
        self,
        model,
        *,
        template_size: int = 127,
        search_size: int = 255,
        context: float = 0.5,
        penalty_k: float = 0.16,
        window_influence: float = 0.4,
        size_lr: float = 0.3,
        confidence_threshold: float = 0.5,
    ):
        """
        Args:
            model: a SiamRPN in eval mode.
            template_size, search_size: sides of the crops.
            context, penalty_k, window_influence, size_lr, confidence_threshold: see
                sot/config.py, INPUT.CONTEXT_AMOUNT and TEST.TRACKER.
        """
        self.model = model
        self.template_size = template_size
        self.search_size = search_size
        self.context = context
        self.penalty_k = penalty_k
        self.window_influence = window_influence
        self.size_lr = size_lr
        self.confidence_threshold = confidence_threshold
        self.state = None
        self._windows = {}

    @classmethod
    def from_config(cls, cfg, model):
        t = cfg.TEST.TRACKER
        return {
            "model": model,
            "template_size": cfg.INPUT.TEMPLATE_SIZE,
            "search_size": cfg.INPUT.SEARCH_SIZE_TEST,
            "context": cfg.INPUT.CONTEXT_AMOUNT,
            "penalty_k": t.PENALTY_K,
            "window_influence": t.WINDOW_INFLUENCE,
            "size_lr": t.SIZE_LR,
            "confidence_threshold": t.CONFIDENCE_THRESHOLD,
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
        box = _check_box(box, image)
        pad_value = cv2.mean(image)[:3]
        rect = target_rect(box, self.template_size, self.template_size, self.context)
        crop = self._crop(image, rect, self.template_size, pad_value)
        kernels = tuple(self.model.template(crop[None]))
        return TargetState(kernels, box, 1.0, "init", pad_value)

    def step(self, image: np.ndarray, state: TargetState) -> TargetState:
        """Find the target of ``state`` in the next frame; see :meth:`step_all`."""
        return self.step_all(image, [state])[0]

    @torch.inference_mode()
    def step_all(self, image: np.ndarray, states: Sequence[TargetState]) -> List[TargetState]:
        """Find every target in the next frame, in one forward pass.

        Args:
            image: (H, W, 3) uint8 BGR, of the size of the first one.

        Raises:
            ValueError: not such an image.
        """
        _check_image(image)
        if not states:
            return []
        size = self.search_size
        rects = [target_rect(s.box, size, self.template_size, self.context) for s in states]
        crops = torch.stack(
            [self._crop(image, r, size, s.pad_value) for r, s in zip(rects, states)]
        )
        kernels = [torch.cat(k) for k in zip(*(s.kernels for s in states))]
        boxes, scores = self.model.detect(kernels, crops)
        window = self._window(boxes.shape[1], boxes.device)
        return [
            self._next_state(state, image.shape[:2], rect, boxes_i, scores_i, window)
            for state, rect, boxes_i, scores_i in zip(states, rects, boxes, scores)
        ]

    def _next_state(self, state, image_size, rect, boxes, scores, window) -> TargetState:
        """Choose among the boxes (R, 4), XYXY in crop pixels, with their scores (R,)."""
        per_pixel = (rect[2] - rect[0]) / self.search_size  # frame pixels per crop pixel
        previous_size = state.box[2:] - state.box[:2]
        sizes = boxes[:, 2:] - boxes[:, :2]
        target = boxes.new_tensor(previous_size / per_pixel)
        penalty = change_penalty(sizes, target, self.penalty_k)
        ranking = penalty * scores
        ranking = (1 - self.window_influence) * ranking + self.window_influence * window
        best = int(ranking.argmax())
        box, score = boxes[best].cpu().numpy().astype(float), float(scores[best])
        center = np.array(rect[:2]) + (box[:2] + box[2:]) / 2 * per_pixel
        rate = float(penalty[best]) * score * self.size_lr
        size = smooth_size(previous_size, (box[2:] - box[:2]) * per_pixel, rate)
        return replace(
            state,
            box=clip_box(center, size, image_size),
            score=score,
            status="tracked" if score >= self.confidence_threshold else "uncertain",
        )

    def _window(self, num_boxes: int, device) -> torch.Tensor:
        """Cosine window over the response map, (R,) in the order of the boxes."""
        if num_boxes not in self._windows:
            num_anchors = self.model.num_anchors
            side = math.isqrt(num_boxes // num_anchors)
            window = cosine_window(side, side).reshape(-1).repeat_interleave(num_anchors)
            self._windows[num_boxes] = window.to(device)
        return self._windows[num_boxes]

    def _crop(self, image, rect, size, pad_value) -> torch.Tensor:
        """(3, size, size) uint8 tensor on the model's device."""
        crop = SubwindowTransform(rect, (size, size), image.shape[:2], pad_value).apply_image(image)
        return torch.from_numpy(crop).permute(2, 0, 1).to(self.model.device)

    # ----------------------------------------------------------------- shell
    def init(self, image: np.ndarray, box: Sequence[float]) -> None:
        """Start following the target in ``box`` (x, y, w, h), pixels; errors as in start."""
        x, y, w, h = _four_numbers(box)
        self.state = self.start(image, (x, y, x + w, y + h))

    def update(self, image: np.ndarray) -> TrackResult:
        """Find the target in the next frame.

        Raises:
            RuntimeError: ``init`` was not called.
        """
        if self.state is None:
            raise RuntimeError("call tracker.init(image, (x, y, w, h)) before tracker.update")
        self.state = self.step(image, self.state)
        x0, y0, x1, y1 = (float(v) for v in self.state.box)
        return TrackResult((x0, y0, x1 - x0, y1 - y0), self.state.score, self.state.status)


def _check_image(image) -> None:
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3):
        raise ValueError("image must be an array (H, W, 3) of uint8, BGR")
    if image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image must be (H, W, 3), got shape {image.shape}")


def _four_numbers(box) -> np.ndarray:
    values = np.asarray(box, dtype=float).reshape(-1)
    if values.shape != (4,) or not np.isfinite(values).all():
        raise ValueError(f"a box must be four finite numbers, got {box}")
    return values


def _check_box(box, image) -> np.ndarray:
    """XYXY as float64, or ValueError."""
    box, (h, w) = _four_numbers(box), image.shape[:2]
    x0, y0, x1, y1 = box
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"box has no positive size: width {x1 - x0:g}, height {y1 - y0:g}")
    if x1 <= 0 or y1 <= 0 or x0 >= w or y0 >= h:
        raise ValueError(
            f"box x={x0:g} y={y0:g} w={x1 - x0:g} h={y1 - y0:g} lies outside the {w}x{h} image"
        )
    return box
