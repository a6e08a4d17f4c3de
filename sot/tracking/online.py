"""A model of one target that the tracker learns while it follows the target.

The network knows what the template looks like, but not what stands around the target in this video.
A small filter over the network's search features learns to tell the target from its surroundings.
It is fitted by ridge regression onto a Gaussian around the target, as in ATOM (Danelljan et al.
2019), DiMP (Bhat et al. 2019) and DROL (Zhou et al. 2020). The regression is kept as running normal
equations, whose memory does not grow with the length of the video."""

from dataclasses import dataclass, replace
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np
import torch

from ..utils.cpu import one_thread
from . import regression

MAX_CHANNELS = 64  # channels of the projected features
MAX_COLUMNS = 288  # columns of the regression: its two Gram matrices then take 0.7 MB
FIRST_SHARE = 0.3  # weight of the first frame in the normal equations
AWAY_BELOW = 0.1  # a position is away from the target where its label is below this
LEARN_EVERY, SOLVE_EVERY, TEMPLATE_EVERY = 2, 10, 10  # in trusted frames
# A frame is not trusted if the network's score is below this share of the target's usual score:
# something may hide the target, and would be learned.
USUAL_SHARE = 0.85
USUAL_RATE = 0.1  # how far the usual score moves towards the score of a trusted frame
TEMPLATE_RATE = 0.36  # how far the running template moves towards the template of this frame


@dataclass(frozen=True, eq=False)
class TargetModel:
    """The model of one target. Its tensors are batches of one.

    A position of a feature map is described by D = channels * k * k numbers: the k x k features
    around it, projected to fewer channels.

    Attributes:
        basis: (1, C, channels), the projection.
        first_gram, first_moment: (1, D, D) and (1, D), normal equations of the first frame.
        gram, moment: normal equations of all frames. Recent frames have more weight.
        filter: (1, C, k, k), the learned filter, for features that are not projected.
        kernels: the network's template kernels of the first frame.
        age: number of trusted frames so far.
        usual_score: running mean of the network's scores in trusted frames; 0 before the first one.
    """

    basis: torch.Tensor
    first_gram: torch.Tensor
    first_moment: torch.Tensor
    gram: torch.Tensor
    moment: torch.Tensor
    filter: torch.Tensor
    kernels: Tuple[torch.Tensor, ...]
    age: int = 0
    usual_score: float = 0.0


class OnlineResponse(NamedTuple):
    """The responses of N models to N search crops.

    Attributes:
        features: (N, C, h, w), the features of the crops.
        scales: (N, 1, 1), their root mean squares.
        maps: (N, n, n), responses to the features divided by the scales, about 1 at the target and
            0 elsewhere.
    """

    features: torch.Tensor
    scales: torch.Tensor
    maps: torch.Tensor


class OnlineLearner:
    """Starts, applies and updates target models. It holds no state of any target."""

    def __init__(
        self,
        *,
        stride: int,
        share: float = 0.5,
        window_influence: float = 0.1,
        rate: float = 0.04,
        accept_above: Sequence[float] = (0.3, 0.25),
        sure_above: Sequence[float] = (0.8, 0.5),
        template_share: float = 0.4,
        size_share: float = 0.5,
        lost_after: int = 5,
        found_above: Sequence[float] = (0.4, 0.25),
    ):
        """
        Args:
            stride: stride of the features, in crop pixels.
            others: see TEST.TRACKER.ONLINE in sot/config/keys.py.
        """
        self.stride = stride
        self.share = share
        self.window_influence = window_influence
        self.rate = rate
        self.accept_above = accept_above
        self.sure_above = sure_above
        self.template_share = template_share
        self.size_share = size_share
        self.lost_after = lost_after
        self.found_above = found_above

    @classmethod
    def from_config(cls, cfg, stride: int) -> "OnlineLearner":
        keys = {k.lower(): v for k, v in cfg.TEST.TRACKER.ONLINE.items() if k != "ENABLED"}
        return cls(stride=stride, **keys)

    def is_lost(self, misses: int) -> bool:
        """Whether a target is lost after ``misses`` frames in a row without a believed match."""
        return 0 < self.lost_after <= misses

    def believes(self, confidences: Sequence[float], surely: bool) -> bool:
        """Whether a match with these confidences is the target. ``surely`` asks for higher
        confidences."""
        return _above(confidences, self.found_above if surely else self.accept_above)

    @one_thread()
    def start(self, features, centers, sizes, crop_size: int, kernels) -> TargetModel:
        """Learn a model from the first frame.

        Args:
            features: (V, C, h, w), features of V views of the first frame.
            centers, sizes: (V, 2), where the target is in the views, in crop pixels.
            crop_size: side of the views, in pixels.
            kernels: the network's template kernels of this target.
        """
        channels = features.shape[1]
        # the sides of template features and filter are both odd or both even, so that the response
        # maps of network and filter have the same centre
        k = 3 if kernels[0].shape[-1] % 2 else 2
        width = min(channels, MAX_CHANNELS, MAX_COLUMNS // k**2)
        features = features.float()
        features = features / regression.scales(features)[..., None]
        rows = features.transpose(0, 1).flatten(1)  # (C, V * h * w)
        basis = torch.linalg.eigh(rows @ rows.T)[1][None, :, -width:].contiguous()
        columns = regression.patches(features, basis.expand(len(features), -1, -1), k)
        n = features.shape[-1] - k + 1
        labels = regression.gaussian_labels(centers, sizes, n, self.stride, crop_size).to(columns)
        counts = torch.ones_like(labels)
        for _ in range(5):
            gram, moment = (
                e.mean(dim=0, keepdim=True) for e in regression.equations(columns, labels, counts)
            )
            weights = regression.solve(gram, moment, gram)
            counts = regression.hinge_weights(labels, columns @ weights[0])
        filter = regression.filters(basis, weights, k)
        return TargetModel(basis, gram, moment, gram, moment, filter, tuple(kernels))

    @one_thread()
    def respond(self, models: Sequence[TargetModel], features: torch.Tensor) -> OnlineResponse:
        """The responses of N models to search features (N, C, h, w), one crop for each model."""
        features = features.float()
        scales, filters = regression.scales(features), _batch(models, "filter")
        # As a product and few sums: a convolution to one channel takes several times as long.
        k, n = filters.shape[-1], features.shape[-1] - filters.shape[-1] + 1
        parts = (filters.flatten(2).mT @ features.flatten(2)).unflatten(2, features.shape[2:])
        places = [(y, x) for y in range(k) for x in range(k)]
        maps = sum(parts[:, i, y : y + n, x : x + n] for i, (y, x) in enumerate(places))
        return OnlineResponse(features, scales, maps / scales)

    @one_thread()
    def learn(self, models, response, maps, matches, crop_size: int) -> List[TargetModel]:
        """The models after a frame. A model learns from the frame if both network and model are
        confident, and the network about as much as usual. It learns at double the rate if something
        away from the target responds, too.

        Args:
            models: one TargetModel for each target.
            response: OnlineResponse of the models to the frame.
            maps: its maps, as an array in the main memory.
            matches: the Match of each target.
            crop_size: side of the search crops, in pixels.
        """
        new = list(models)
        trusted = [i for i, m in enumerate(matches) if self._trusts(m, models[i])]
        if not trusted:
            return new
        found = [matches[i] for i in trusted]
        centers, sizes = np.stack([m.center for m in found]), np.stack([m.size for m in found])
        labels = regression.gaussian_labels(centers, sizes, maps.shape[-1], self.stride, crop_size)
        away = np.where(labels < AWAY_BELOW, maps[trusted].reshape(labels.shape), -np.inf)
        hard = away.max(axis=1) > 0.5 * np.array([m.confidences[-1] for m in found])
        for i in trusted:
            score, usual = matches[i].confidences[0], models[i].usual_score
            usual = usual + USUAL_RATE * (score - usual) if usual else score
            new[i] = replace(models[i], age=models[i].age + 1, usual_score=usual)
        rows = [r for r, i in enumerate(trusted) if hard[r] or new[i].age % LEARN_EVERY == 0]
        if not rows:
            return new
        learning = [trusted[r] for r in rows]
        features = response.features / response.scales[..., None]
        responses = response.maps.flatten(1)
        if len(learning) < len(models):
            features, responses = features[learning], responses[learning]
        before = [models[i] for i in learning]
        k = before[0].filter.shape[-1]
        columns = regression.patches(features, _batch(before, "basis"), k)
        labels = labels[rows].to(columns)
        rates = torch.where(torch.from_numpy(hard[rows]), 2 * self.rate, self.rate)
        rates = rates.to(columns)[:, None]
        counts = rates * regression.hinge_weights(labels, responses)
        gram, moment = regression.equations(columns, labels, counts)
        gram += (1 - rates)[..., None] * _batch(before, "gram")
        moment += (1 - rates) * _batch(before, "moment")
        for i, g, m in zip(learning, _apart(gram), _apart(moment)):
            new[i] = replace(new[i], gram=g, moment=m)
        solving = [i for i, r in zip(learning, rows) if hard[r] or new[i].age % SOLVE_EVERY == 0]
        if solving:
            parts = [new[i] for i in solving]
            first = _batch(parts, "first_gram")
            gram = torch.lerp(_batch(parts, "gram"), first, FIRST_SHARE)
            moment = torch.lerp(_batch(parts, "moment"), _batch(parts, "first_moment"), FIRST_SHARE)
            weights = regression.solve(gram, moment, first)
            filters = regression.filters(_batch(parts, "basis"), weights, k)
            for i, f in zip(solving, _apart(filters)):
                new[i] = replace(new[i], filter=f)
        return new

    def _trusts(self, match, model: TargetModel) -> bool:
        return (
            _above(match.confidences, self.accept_above)
            and match.confidences[0] > USUAL_SHARE * model.usual_score
        )

    def is_template_due(self, model: TargetModel, match) -> bool:
        """Whether the running template is to be updated: it is time, and the match is trusted and
        surely the target."""
        return (
            model.age % TEMPLATE_EVERY == 0
            and self._trusts(match, model)
            and _above(match.confidences, self.sure_above)
        )

    def mix(self, model: TargetModel, kernels, seen) -> Tuple[torch.Tensor, ...]:
        """The network's kernels, moved towards ``seen``, the kernels of the target in this frame.
        Those of the first frame keep their share: (1 - share) * first + share * running mean."""
        rate, share = TEMPLATE_RATE, self.template_share
        return tuple(
            (1 - rate) * k + rate * ((1 - share) * first + share * now)
            for k, first, now in zip(kernels, model.kernels, seen)
        )


def _above(confidences, limits) -> bool:
    return bool(confidences) and all(c > limit for c, limit in zip(confidences, limits))


def _batch(models: Sequence[TargetModel], name: str) -> torch.Tensor:
    tensors = [getattr(m, name) for m in models]
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _apart(batch: torch.Tensor) -> List[torch.Tensor]:
    """Split a batch into batches of one, each in its own memory."""
    return [batch] if len(batch) == 1 else [t.clone() for t in batch.split(1)]
