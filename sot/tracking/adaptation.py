"""Adapts a SiameseTracker with an online model to its targets: to their first frame, and to changes
of their appearance."""

from dataclasses import replace
from typing import List, Sequence

import cv2
import numpy as np

from .crops import to_host
from .state import Match, TargetState

# Views of the first frame: shift (x, y) as a fraction of the template's side, whether it is
# mirrored, and the standard deviation of a Gaussian blur (0: none).
VIEWS = (
    (0, 0, False, 0),
    (0.45, 0, False, 0),
    (-0.45, 0, False, 0),
    (0, 0.45, False, 0),
    (0, -0.45, False, 0),
    (0, 0, True, 0),
    (0.07, 0.07, False, 2),
)


def learn_target(tracker, image: np.ndarray, state: TargetState) -> TargetState:
    """The state with the online model and the size bias of the network, both learned from the first
    frame."""
    side = tracker.search_size
    # larger than a search crop, so that the views can be shifted
    region = tracker.region(state.box, side + 2 * tracker.template_size)
    views, centers = first_frame_views(
        region.cut(image, state.pad_value), side, tracker.template_size
    )
    sizes = np.tile(region.size_in_crop(state.box), (len(views), 1))
    outputs, features = tracker.model.detect_with_features(state.kernels, tracker.load(views))
    model = tracker.online.start(features, centers, sizes, side, state.kernels)
    bias = tracker.size_bias(to_host(outputs), centers, sizes)
    return replace(state, online=model, size_bias=bias)


def follow_looks(
    tracker, images: Sequence[np.ndarray], states: List[TargetState], matches: Sequence[Match]
) -> List[TargetState]:
    """The states with updated kernels, for targets that are surely recognized and whose template is
    due for an update."""
    pairs = enumerate(zip(states, matches))
    due = [i for i, (s, m) in pairs if tracker.online.is_template_due(s.online, m)]
    if not due:
        return states
    crops = [
        tracker.region(states[i].box, tracker.template_size).cut(images[i], states[i].pad_value)
        for i in due
    ]
    kernels, new = tracker.model.template(tracker.load(crops)), list(states)
    for j, i in enumerate(due):
        seen = [k[j : j + 1] for k in kernels]
        mixed = tracker.online.mix(states[i].online, states[i].kernels, seen)
        new[i] = replace(states[i], kernels=mixed)
    return new


def first_frame_views(crop: np.ndarray, side: int, template_size: int):
    """Cut views of a target out of one larger crop that has the target in its centre.

    Returns:
        list: the views, (side, side, 3) each.
        array: (V, 2), the target's centre (x, y) in each view.
    """
    views, centers = [], []
    for x, y, mirrored, blur in VIEWS:
        shift = np.round(np.array([x, y]) * template_size).astype(int)
        left, top = origin = (len(crop) - side) // 2 - shift
        view = crop[top : top + side, left : left + side]
        view = view[:, ::-1] if mirrored else view
        views.append(cv2.GaussianBlur(view, (0, 0), blur) if blur else view)
        centers.append(len(crop) / 2 - origin)
    return views, np.stack(centers)
