"""Draws pairs of a template and a search frame from tracks."""

from typing import Dict, Sequence

import numpy as np
from torch.utils.data import Dataset

from .datasets import TrackList


class PairDataset(Dataset):
    """An endless, reproducible series of pairs over one or more lists of tracks.

    Item ``k`` depends only on the seed and on ``k``, for any k >= 0. So a run can go on from any
    iteration, and ranks and workers share the series by index. An epoch has ``len()`` items. In it
    every track of every dataset comes up as often as the repeat factor says, in an order that
    changes with the epoch.
    """

    def __init__(
        self,
        datasets: Sequence[Sequence[Dict]],
        repeat_factors: Sequence[float] = (),
        *,
        frame_ranges: Sequence[int] = (),
        epoch_sizes: Sequence[int] = (),
        negative_fraction: float = 0.0,
        seed: int = 0,
    ):
        """
        Args:
            datasets: lists of track dicts (see sot.data.datasets).
            repeat_factors: for each dataset, how often each of its tracks comes up in an epoch; ()
                means once.
            frame_ranges: for each dataset, the largest distance between the two frames of a pair;
                () means 100.
            epoch_sizes: for each dataset, the number of its pairs in an epoch, which takes the
                place of its repeat factor; 0 or () leaves that in place.
            negative_fraction: fraction of pairs whose search frame shows the object of another
            track.
            seed: a number that is not negative.

        Raises:
            ValueError: a dataset has no visible box; or a list does not hold one valid number for
                each dataset.
        """
        self._lists = [TrackList.pack(tracks) for tracks in datasets]
        self._usable = [np.flatnonzero(tracks.num_visible()) for tracks in self._lists]
        sizes = [len(usable) for usable in self._usable]
        if not sizes or not all(sizes):
            raise ValueError(f"a training set has no track with a visible box (sizes: {sizes})")
        factors = _one_each("DATASETS.TRAIN_REPEAT_FACTOR", repeat_factors, len(sizes), 1.0)
        epoch_sizes = _one_each("DATASETS.TRAIN_EPOCH_SIZE", epoch_sizes, len(sizes), 0)
        self._frame_ranges = _one_each("DATASETS.FRAME_RANGE", frame_ranges, len(sizes), 100)
        self._starts = np.cumsum([0, *sizes])
        self._counts = [e or max(1, round(r * k)) for e, r, k in zip(epoch_sizes, factors, sizes)]
        # with a single track there is no other track for a negative pair
        several = sum(min(count, k) for count, k in zip(self._counts, sizes)) > 1
        self.negative_fraction = negative_fraction if several else 0.0
        self.seed = seed
        self._epoch, self._order = -1, None

    def __len__(self):
        return sum(self._counts)

    def _epoch_order(self, epoch: int) -> np.ndarray:
        """The track index of each position of an epoch. The last epoch is cached."""
        if epoch != self._epoch:
            rng = np.random.default_rng((self.seed, 0, epoch))
            parts = []
            for start, end, count in zip(self._starts, self._starts[1:], self._counts):
                rounds = -(-count // (end - start))
                shuffled = np.concatenate([rng.permutation(end - start) for _ in range(rounds)])
                parts.append(start + shuffled[:count])
            self._epoch, self._order = epoch, rng.permutation(np.concatenate(parts))
        return self._order

    def _track(self, number: int):
        """The track with this number among all usable tracks, and the number of its dataset."""
        dataset = int(np.searchsorted(self._starts, number, side="right")) - 1
        usable = self._usable[dataset]
        return self._lists[dataset][int(usable[number - self._starts[dataset]])], dataset

    def _near_frame(self, track: Dict, index: int, frame_range: int, rng) -> int:
        """A random visible frame within the frame range around frame ``index``."""
        low = max(0, index - frame_range)
        window = track["visible"][low : index + frame_range + 1]
        return low + int(rng.choice(np.flatnonzero(window)))

    def __getitem__(self, index: int) -> Dict:
        """``template`` and ``search``, each with ``name``, ``frames``, ``index`` and ``box`` (XYXY,
        frame pixels); ``negative`` (bool); ``seed`` for the mapper's own draws."""
        epoch, position = divmod(index, len(self))
        rng = np.random.default_rng((self.seed, 1, index))
        number = self._epoch_order(epoch)[position]
        track, dataset = self._track(number)
        first = int(rng.choice(np.flatnonzero(track["visible"])))
        negative = bool(rng.random() < self.negative_fraction)
        if negative:
            other = number
            while other == number:
                # uniform over the positions of an epoch, so that repeat factors count
                other = self._epoch_order(epoch)[rng.integers(len(self))]
            search_track, _ = self._track(other)
            second = int(rng.choice(np.flatnonzero(search_track["visible"])))
        else:
            search_track = track
            second = self._near_frame(track, first, self._frame_ranges[dataset], rng)
        return {
            "template": _frame(track, first),
            "search": _frame(search_track, second),
            "negative": negative,
            "seed": int(rng.integers(2**32)),
        }


def _frame(track: Dict, index: int) -> Dict:
    frame = {"name": track["name"], "frames": track["frames"]}
    return {**frame, "index": index, "box": track["boxes"][index]}


def _one_each(key: str, values: Sequence, count: int, default) -> list:
    """``values``, or the default for each of ``count`` datasets if ``values`` is empty. ValueError:
    the length is wrong; a number is not positive (0 is allowed if it is the default); or a number
    is not whole although the default is."""
    values = list(values) or [default] * count
    kind = type(default)
    if len(values) != count or not all((v > 0 or v == default) and v == kind(v) for v in values):
        sign = "positive" if default else "non-negative"
        whole = " whole" if kind is int else ""
        raise ValueError(
            f"{key} must hold one {sign}{whole} number for each of the {count} training sets, got "
            f'{values}; if you change DATASETS.TRAIN, change this key, too, for instance to "()"'
        )
    return [kind(v) for v in values]
