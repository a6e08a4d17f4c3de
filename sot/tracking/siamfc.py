"""Tracking with SiamFC: the peak of the response map, over several scales of the search region."""

from typing import List

import numpy as np
import torch
import torch.nn.functional as F
from detectron2.config import configurable

from .geometry import cosine_window
from .tracker import TRACKER_REGISTRY, Match, SiameseTracker

__all__ = ["SiamFCTracker"]


@TRACKER_REGISTRY.register()
class SiamFCTracker(SiameseTracker):
    """Inference of SiamFC (Bertinetto et al. 2016, Sec. 4.1), by default as the authors' SiamFC-3s.

    The score is the sigmoid of the response where the target was found: how probable it is,
    under the balanced loss of training, that its centre is there.
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
            num_scales, scale_step, scale_penalty, response_up: see sot/config.py, TEST.TRACKER.
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

    def _match(self, kernels, crops, sizes, lost) -> List[Match]:
        n, s = len(sizes), len(self.scales)
        responses = self.model.detect([k.repeat_interleave(s, dim=0) for k in kernels], crops)
        responses = F.interpolate(
            responses[:, None], scale_factor=self.response_up, mode="bicubic", align_corners=False
        )
        responses = responses.view(n, s, *responses.shape[-2:])  # (N*S, 1, H, W) -> (N, S, H, W)
        scales = self._best_scale(responses)
        responses = responses[torch.arange(n, device=scales.device), scales]
        where = self._best_position(responses, self._influence(lost))
        scores = responses.flatten(1).gather(1, where[:, None])[:, 0].sigmoid()

        matches, (height, width) = [], responses.shape[1:]
        for size, k, index, score in zip(sizes, scales.tolist(), where.tolist(), scores.tolist()):
            y, x = divmod(index, width)
            offset = np.array([x - (width - 1) / 2, y - (height - 1) / 2])
            offset *= self.model.stride / self.response_up * self.scales[k]
            center = crops.shape[-1] / 2 + offset
            matches.append(Match(center, size * self.scales[k], score, self.size_lr))
        return matches

    def _best_scale(self, responses: torch.Tensor) -> torch.Tensor:
        """Index (N,) of the scale with the highest peak in responses (N, S, H, W), after the
        penalty for a change. A negative peak is divided by it: a penalty must not raise."""
        peaks, penalties = responses.amax(dim=(2, 3)), self.penalties.to(responses.device)
        return torch.where(peaks > 0, peaks * penalties, peaks / penalties).argmax(dim=1)

    @staticmethod
    def _best_position(responses: torch.Tensor, influence: float) -> torch.Tensor:
        """Index (N,) in the flattened responses (N, H, W) of their maximum under the cosine window;
        both are brought to a minimum of 0 and a sum of 1 first."""
        window = cosine_window(*responses.shape[1:]).to(responses.device).flatten()
        positive = (responses - responses.amin(dim=(1, 2), keepdim=True)).flatten(1)
        positive = positive / positive.sum(dim=1, keepdim=True).clamp(min=1e-16)
        return ((1 - influence) * positive + influence * window / window.sum()).argmax(dim=1)
