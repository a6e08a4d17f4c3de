"""Pairs of template and search frame, drawn from tracks."""

from typing import Dict, List, Sequence

import numpy as np
from torch.utils.data import Dataset

__all__ = ["PairDataset"]


class PairDataset(Dataset):
    """An endless, reproducible series of pairs over one or more lists of tracks.

    Item ``k`` depends on the seed and on ``k`` alone, for any k >= 0, so that a run can go on
    from any iteration, and ranks and workers share the series by index. ``len()`` items are an
    epoch: every track of every dataset comes up as often as its repeat factor says, in a new
    order each epoch.
    """

    def __init__(
        self,
        datasets: Sequence[List[Dict]],
        repeat_factors: Sequence[float] = (),
        *,
        frame_range: int = 100,
        negative_fraction: float = 0.0,
        seed: int = 0,
    ):
        """
        Args:
            datasets: lists of track dicts (see sot.data.datasets).
            repeat_factors: length of an epoch of each dataset in multiples of its tracks.
            frame_range: largest distance between the frames of a pair.
            negative_fraction: of pairs whose search frame shows another track's object.
            seed: non-negative.

        Raises:
            ValueError: no tracks; or not one positive repeat factor for each dataset.
        """
        repeat_factors = list(repeat_factors) or [1.0] * len(datasets)
        if len(repeat_factors) != len(datasets) or min(repeat_factors, default=0) <= 0:
            raise ValueError(
                f"DATASETS.TRAIN_REPEAT_FACTOR must hold one positive number for each of the "
                f"{len(datasets)} training sets, got {repeat_factors}"
            )
        usable = [[t for t in tracks if t["visible"].any()] for tracks in datasets]
        self.tracks = [t for tracks in usable for t in tracks]
        sizes = [len(tracks) for tracks in usable]
        if not all(sizes):
            raise ValueError(f"a training set has no track with a visible box (sizes: {sizes})")
        self._starts = np.cumsum([0, *sizes])
        self._counts = [max(1, round(r * n)) for r, n in zip(repeat_factors, sizes)]
        # an epoch of one track alone has no other to pair it with
        several = sum(min(count, n) for count, n in zip(self._counts, sizes)) > 1
        self.frame_range = frame_range
        self.negative_fraction = negative_fraction if several else 0.0
        self.seed = seed
        self._epoch, self._order = -1, None

    def __len__(self):
        return sum(self._counts)

    def _epoch_order(self, epoch: int) -> np.ndarray:
        """Track index of each position of an epoch; the last epoch asked for is kept."""
        if epoch != self._epoch:
            rng = np.random.default_rng((self.seed, 0, epoch))
            parts = []
            for start, end, count in zip(self._starts, self._starts[1:], self._counts):
                rounds = -(-count // (end - start))
                shuffled = np.concatenate([rng.permutation(end - start) for _ in range(rounds)])
                parts.append(start + shuffled[:count])
            self._epoch, self._order = epoch, rng.permutation(np.concatenate(parts))
        return self._order

    def _near_frame(self, track: Dict, index: int, rng) -> int:
        """A visible frame within the range of frame ``index``."""
        low = max(0, index - self.frame_range)
        window = track["visible"][low : index + self.frame_range + 1]
        return low + int(rng.choice(np.flatnonzero(window)))

    def __getitem__(self, index: int) -> Dict:
        """
        Returns:
            dict: ``template`` and ``search``, each with ``frames``, ``index`` and ``box``
            (XYXY, frame pixels); ``negative`` (bool); ``seed`` for the mapper's own draws.
        """
        epoch, position = divmod(index, len(self))
        rng = np.random.default_rng((self.seed, 1, index))
        track = self.tracks[self._epoch_order(epoch)[position]]
        first = int(rng.choice(np.flatnonzero(track["visible"])))
        negative = bool(rng.random() < self.negative_fraction)
        if negative:
            other = track
            while other is track:
                # uniform over positions, hence by repeat factor and not by number of tracks
                other = self.tracks[self._epoch_order(epoch)[rng.integers(len(self))]]
            second = int(rng.choice(np.flatnonzero(other["visible"])))
        else:
            other, second = track, self._near_frame(track, first, rng)
        return {
            "template": _frame(track, first),
            "search": _frame(other, second),
            "negative": negative,
            "seed": int(rng.integers(2**32)),
        }


def _frame(track: Dict, index: int) -> Dict:
    return {"frames": track["frames"], "index": index, "box": track["boxes"][index]}
