"""Follows the targets of a video from all of their given boxes, forward and backward."""

from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np
import torch
from detectron2.structures import Boxes, pairwise_iou

from ..boxes import center_of, from_center, sides_of
from ..data.frame_source import frames_of
from .follow import Estimate, Step, Target, follow

DIRECTIONS = ("between", "forward", "backward", "both")
AGREEMENT = 0.5  # overlap of the two passes below which they disagree


class BothWays:
    """Follows the targets of a video from each of their boxes to the next one and to the one
    before, and blends the two passes (see :func:`blend`). The frames must be readable by number.

    Iterate over it first, which tracks the targets. Then :meth:`estimates` returns their places. It
    keeps boxes but no states, so that the memory hardly grows with the video.
    """

    def __init__(
        self,
        tracker,
        frames,
        targets: Sequence[Target],
        direction: str = "between",
        indices: Optional[range] = None,
    ):
        """
        Args:
            tracker: see :func:`follow`.
            frames: see sot.data.frames.
            direction: "between": forward, and between two boxes of a target also backward;
                "forward" or "backward": one way only; "both": everywhere.
            indices: indices of the frames to use, with a step above 0; by default all.
        """
        if direction not in DIRECTIONS:
            raise ValueError(f"no direction {direction!r}; there are {', '.join(DIRECTIONS)}")
        self.tracker, self.frames, self.targets = tracker, frames, targets
        indices = range(len(frames)) if indices is None else indices
        parts = self._parts(indices)
        ways = {
            "between": [(1, parts), (-1, [p for p in parts if None not in (p.before, p.after)])],
            "forward": [(1, parts)],
            "backward": [(-1, parts)],
            "both": [(1, parts), (-1, parts)],
        }
        self._passes = [_Pass(sign, some, indices) for sign, some in ways[direction]]
        self.total = sum(len(p.indices) for p in self._passes)

    def _parts(self, indices: range) -> List["_Part"]:
        parts = []
        for number, target in enumerate(self.targets):
            known = sorted(target.boxes)
            last = indices[-1] if target.last is None else target.last
            spans = zip([indices[0], *known], [*known, last])
            ends = zip([None, *known], [*known, None])
            for (begin, end), (before, after) in zip(spans, ends):
                parts.append(_Part(number, begin, end, before, after))
        return parts

    def __iter__(self) -> Iterator[Step]:
        """Yield the Steps of the passes, ``total`` of them, the backward pass last. For errors see
        :func:`follow`."""
        for one in self._passes:
            starts = [self._start(part, one.sign) for part in one.parts]
            frames = frames_of(self.frames, one.indices)
            for frame, states, seconds in follow(self.tracker, frames, starts, one.sign < 0):
                numbers = {}
                for place, state in states.items():
                    part = one.parts[place]
                    one.found.setdefault(part, {})[frame.index] = Estimate.of(state)
                    numbers[part.number] = state
                yield Step(frame, numbers, seconds)

    def _start(self, part: "_Part", sign: int) -> Target:
        given, last = (part.before, part.end) if sign > 0 else (part.after, part.begin)
        return Target({given: self.targets[part.number].boxes[given]}, last)

    def estimates(self) -> Dict[int, Dict[int, Estimate]]:
        """The estimates by frame and number of the target."""
        result: Dict[int, Dict[int, Estimate]] = {}
        for part in dict.fromkeys(part for one in self._passes for part in one.parts):
            ways = [one.found[part] for one in self._passes if part in one.found]
            if len(ways) == 2 and None not in (part.before, part.after):
                indices = sorted(ways[0].keys() & ways[1].keys())
                merged = blend(indices, *([way[i] for i in indices] for way in ways))
            else:
                indices = sorted({i for way in ways for i in way})
                merged = [way[i] for i in indices for way in ways if i in way]
            for index, estimate in zip(indices, merged):
                known = result.setdefault(index, {}).setdefault(part.number, estimate)
                if known.status != "init":
                    result[index][part.number] = estimate
        return result


class _Part(NamedTuple):
    """The frames of a target from one of its boxes to the next."""

    number: int
    begin: int
    end: int
    before: Optional[int]  # frames of the two boxes, None if there is none
    after: Optional[int]


class _Pass:
    """A pass over all parts that have a box to start from, forward (sign 1) or backward (-1)."""

    def __init__(self, sign: int, parts: Sequence[_Part], indices: range):
        self.sign = sign
        self.parts = [p for p in parts if (p.before if sign > 0 else p.after) is not None]
        self.found: Dict[_Part, Dict[int, Estimate]] = {}
        self.indices = indices[:0]
        if self.parts:
            begin, end = min(p.begin for p in self.parts), max(p.end for p in self.parts)
            inside = [i - indices.start for i in (begin + indices.step - 1, end + indices.step)]
            self.indices = indices[inside[0] // indices.step : inside[1] // indices.step][::sign]


def blend(frames: Sequence[int], forward: Sequence, backward: Sequence) -> List[Estimate]:
    """Blend a forward and a backward pass between two given boxes of a target.

    Each pass ends at a given box, so its error there is known. Trackers drift, above all in the
    size, so this error is taken off the pass in proportion to the time since its start. If the end
    overlaps the given box by less than AGREEMENT, the pass has lost the target rather than drifted,
    and less of its error is taken off: nothing without an overlap. Then the centre, the logarithm
    of the size and the scores move linearly in time from those of the forward pass to those of the
    backward pass. The status is that of the pass with the higher score.

    The passes disagree where their original boxes overlap by less than AGREEMENT. There one of them
    is probably right, and a blend of both would be at neither place. The smaller the overlap, the
    more the result moves from the blend to one of them: to the forward pass up to some frame, and
    to the backward pass after it. That frame is chosen by the scores and by the overlaps of the
    passes with the given boxes at their ends. The status is "uncertain", and the score is
    multiplied by the overlap + 0.5, because without an overlap either of the two places may be
    right.

    Args:
        frames: numbers of the T frames in order, from that of one given box to that of the other.
        forward, backward: the passes: for each of these frames an object with the box, score and
            status of an Estimate. The forward pass starts on the box in the first frame, the
            backward pass on the box in the last frame.
    """
    ways = [np.stack([e.box for e in way]).astype(np.float64) for way in (forward, backward)]
    overlaps = pairwise_iou(*(Boxes(torch.from_numpy(way).float()) for way in ways)).diagonal()
    overlaps = overlaps.double().numpy()
    doubts = (1 - overlaps / AGREEMENT).clip(0, 1)
    times = np.asarray(frames, dtype=np.float64)
    share = (times - times[0]) / (times[-1] - times[0])
    there, back = (np.concatenate([center_of(w), np.log(sides_of(w))], axis=1) for w in ways)
    there_drift = (1 - doubts[-1]) * (there[-1] - back[-1])
    back_drift = (1 - doubts[0]) * (back[0] - there[0])
    there = there - share[:, None] * there_drift
    back = back - (1 - share)[:, None] * back_drift
    share = (1 - doubts) * share + doubts * _choose(forward, backward, overlaps, doubts)
    mixed = (1 - share)[:, None] * there + share[:, None] * back
    boxes = from_center(mixed[:, :2], np.exp(mixed[:, 2:]))
    estimates = [Estimate.of(forward[0])]
    for i in range(1, len(times) - 1):
        one, other, w = Estimate.of(forward[i]), Estimate.of(backward[i]), float(share[i])
        status = max(one, other, key=lambda e: e.score).status
        score = (1 - w) * one.score + w * other.score
        raw_score = (1 - w) * one.raw_score + w * other.raw_score
        if overlaps[i] < AGREEMENT:
            status, score = "uncertain", score * (0.5 + float(overlaps[i]))
        estimates.append(Estimate(boxes[i], score, status, raw_score))
    return [*estimates, Estimate.of(backward[-1])]


def _choose(forward: Sequence, backward: Sequence, overlaps, doubts) -> np.ndarray:
    """Choose the pass to believe in each of the T frames: False for the forward pass, True for the
    backward pass. A pass is right from its start until it loses the target. So the forward pass is
    chosen up to one frame, and the backward pass after it, where the sum of the trust in the chosen
    passes is greatest. The trust in a pass is its score in the frame and the overlap of its end
    with the given box there.

    Args:
        forward, backward: see :func:`blend`.
        overlaps: (T,), of the boxes of the passes.
        doubts: (T,), 0 where the passes agree, 1 where they do not overlap: weights of the trust.
    """
    there = np.array([e.score for e in forward]) + overlaps[-1]
    back = np.array([e.score for e in backward]) + overlaps[0]
    gains = np.cumsum(doubts * (there - back))
    return np.arange(len(gains)) >= np.argmax([0, *gains])
