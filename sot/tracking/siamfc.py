"""Tracking with SiamFC: the peak of the response map, over several scales of the search region."""

from typing import List

import numpy as np
import torch
import torch.nn.functional as F
from detectron2.config import configurable

from .build import TRACKER_REGISTRY
from .geometry import cosine_window, cut_middle
from .state import Match
from .tracker import SiameseTracker


@TRACKER_REGISTRY.register()
class SiamFCTracker(SiameseTracker):
    """Inference of SiamFC (Bertinetto et al. 2016, Sec. 4.1). The defaults are those of the
    authors' SiamFC-3s.

    The score is the sigmoid of the response at the position that was chosen: the probability, under
    the balanced loss of training, that the target's centre is there.
    """

    @configurable
    def __init__(
        self,
        model,
        *,
        window_influence: float = 0.176,
        size_lr: float = 0.59,
        num_scales: int = 3,
        scale_step: float = 1.0375,
        scale_penalty: float = 0.9745,
        response_up: int = 16,
        **kwargs,
    ):
        """
        Args:
            model: a SiamFC in eval mode.
            num_scales, scale_step, scale_penalty, response_up: TEST.TRACKER in sot/config/keys.py.
            window_influence, size_lr, kwargs: see SiameseTracker.
        """
        super().__init__(model, window_influence=window_influence, size_lr=size_lr, **kwargs)
        if num_scales < 1 or num_scales % 2 == 0:
            raise ValueError(f"TEST.TRACKER.NUM_SCALES must be odd, not {num_scales}")
        steps = np.arange(num_scales) - num_scales // 2
        self.scales = tuple(float(scale_step**s) for s in steps)
        self.penalties = torch.tensor([1.0 if s == 0 else scale_penalty for s in steps])
        self.response_up = response_up

    @classmethod
    def from_config(cls, cfg, model):
        t = cfg.TEST.TRACKER
        return {
            **super().from_config(cfg, model),
            "num_scales": t.NUM_SCALES,
            "scale_step": t.SCALE_STEP,
            "scale_penalty": t.SCALE_PENALTY,
            "response_up": t.RESPONSE_UP,
        }

    def _match(self, outputs, maps, sizes, crop_size, lost) -> List[Match]:
        n, s = len(sizes), len(self.scales)
        (responses,) = outputs
        side = responses.shape[-1]
        responses = self._finer(responses)
        responses = responses.view(n, s, *responses.shape[-2:])  # (N*S, H, W) -> (N, S, H, W)
        scales = self._best_scale(responses)
        responses = values = responses[torch.arange(n), scales]
        if maps is not None:
            own = self._finer(cut_middle(maps, side)).clamp(0, 1)
            values = torch.lerp(responses.sigmoid(), own, self.online.share)
        where = self._best_position(values, self._influence(lost)).tolist()

        matches, width = [], responses.shape[-1]
        for i, (size, k, index) in enumerate(zip(sizes, scales.tolist(), where)):
            y, x = divmod(index, width)
            offset = np.array([x, y]) - (width - 1) / 2
            offset *= self.model.stride / self.response_up * self.scales[k]
            confidences = (responses[i, y, x].sigmoid().item(),)
            if maps is not None:
                confidences += (own[i, y, x].item(),)
            matches.append(
                Match(
                    center=crop_size / 2 + offset,
                    size=size * self.scales[k],
                    score=sum(confidences) / len(confidences),
                    rate=self.size_lr,
                    confidences=confidences,
                )
            )
        return matches

    def _finer(self, maps: np.ndarray) -> torch.Tensor:
        """Maps (N, H, W) -> (N, r H, r W), interpolated by the factor r = ``response_up``."""
        return F.interpolate(
            torch.from_numpy(maps)[:, None],
            scale_factor=self.response_up,
            mode="bicubic",
            align_corners=False,
        )[:, 0]

    def _best_scale(self, responses: torch.Tensor) -> torch.Tensor:
        """Index (N,) of the scale with the highest peak in responses (N, S, H, W), after the
        penalty for a change of scale. A negative peak is divided by the penalty factor instead,
        because multiplying would raise it."""
        peaks = responses.amax(dim=(2, 3))
        return torch.where(peaks > 0, peaks * self.penalties, peaks / self.penalties).argmax(dim=1)

    @staticmethod
    def _best_position(responses: torch.Tensor, influence: float) -> torch.Tensor:
        """Index (N,) of the best position in the flattened responses (N, H, W), weighted with the
        cosine window. Responses are first shifted to a minimum of 0; responses and window are then
        scaled to a sum of 1."""
        window = cosine_window(*responses.shape[1:]).flatten()
        positive = (responses - responses.amin(dim=(1, 2), keepdim=True)).flatten(1)
        positive = positive / positive.sum(dim=1, keepdim=True).clamp(min=1e-16)
        return ((1 - influence) * positive + influence * window / window.sum()).argmax(dim=1)
