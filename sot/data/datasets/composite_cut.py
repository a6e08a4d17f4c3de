"""Objects of photographs and their outlines, to be cut out (see `composite`).

Where annotations hold no polygons, GrabCut looks for the outline inside the box. Where it finds
none, the shape that is cut is a rounded box.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from tqdm import tqdm

from ..frames import FrameError, ImageFrames, read_frame
from .synthetic_texture import Outline, fit_unit_box
from .tracks import TrackList

__all__ = ["CutOut", "CutOuts", "cut_out_fields", "find_outline", "is_polygon"]

MIN_SIDE = 20  # pixels of a box that is worth cutting out
MAX_ASPECT = 5.0
OUTLINE_POINTS = 64
# An outline is kept as int8 (64, 2), the edges of the box being at +-127; zeros: none is known.
UNIT = 127
NO_OUTLINE = np.zeros((OUTLINE_POINTS, 2), np.int8)


def cut_out_fields(image: Dict, annotation: Dict) -> Dict:
    """What it takes to cut an object out of its photograph, as fields of a track of one frame.

    Args:
        image, annotation: in detectron2's format; the ``bbox`` XYWH.

    Returns:
        ``category`` (1,); ``image_size`` (1, 2) height and width, 0 where not known; ``outline``
        (1, 64, 2) of the largest polygon of ``segmentation``.
    """
    polygons, outline = annotation.get("segmentation"), NO_OUTLINE
    polygons = filter(is_polygon, polygons) if isinstance(polygons, list) else ()
    parts = [np.asarray(p, dtype=np.float32).reshape(-1, 2) for p in polygons]
    if parts:
        x, y, w, h = annotation["bbox"]
        outline = _pack_outline(max(parts, key=cv2.contourArea), np.array([x, y, x + w, y + h]))
    return {
        "category": np.array([annotation.get("category_id", 0)]),
        "image_size": np.array([[image.get("height") or 0, image.get("width") or 0]]),
        "outline": outline[None],
    }


def is_polygon(points) -> bool:
    """Whether x, y, x, y, ... are three points at least, as detectron2 wants them."""
    is_list = isinstance(points, (list, tuple, np.ndarray))
    return is_list and len(points) >= 6 and len(points) % 2 == 0


def _pack_outline(polygon: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(N, 2) and XYXY, both in pixels -> int8 (64, 2), points evenly along the line."""
    closed = np.concatenate([polygon, polygon[:1]])
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    at = np.linspace(0, along[-1], OUTLINE_POINTS, endpoint=False)
    points = np.stack([np.interp(at, along, closed[:, axis]) for axis in (0, 1)], axis=1)
    points = (points - (box[:2] + box[2:]) / 2) / ((box[2:] - box[:2]) / 2)
    return np.rint(points.clip(-1, 1) * UNIT).astype(np.int8)


def find_outline(photograph: ImageFrames, box: np.ndarray) -> np.ndarray:
    """int8 (64, 2): what GrabCut (Rother et al. 2004) finds in the box XYXY, its middle taken for
    certain; zeros if that is not most of the box, or the photograph cannot be read."""
    side = 48  # of the box when it is searched, pixels
    try:
        image, reduction = read_frame(photograph, 0, max(1.0, max(box[2:] - box[:2]) / side))
    except FrameError:  # to be reported when it is needed
        return NO_OUTLINE
    box = box / reduction
    pad = 0.3 * (box[2:] - box[:2])
    x0, y0 = np.maximum(box[:2] - pad, 0).astype(int)
    x1, y1 = np.ceil(box[2:] + pad).astype(int)
    part = image[y0:y1, x0:x1]
    if not part.size:
        return NO_OUTLINE  # the box is outside
    scale = min(1.0, side / max(box[2:] - box[:2]))
    part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    low, high = (box[:2] - (x0, y0)) * scale, (box[2:] - (x0, y0)) * scale
    (left, top), (right, bottom) = np.rint(low).astype(int), np.rint(high).astype(int)
    mask = np.full(part.shape[:2], cv2.GC_BGD, np.uint8)
    mask[top:bottom, left:right] = cv2.GC_PR_FGD
    center, radii = (low + high) / 2, 0.2 * (high - low)
    cv2.ellipse(mask, (tuple(center), tuple(2 * radii), 0), cv2.GC_FGD, -1)
    if not 0.05 < np.mean(mask == cv2.GC_BGD) < 0.9:
        return NO_OUTLINE  # the box is the picture, or hardly in it
    cv2.setRNGSeed(0)  # of this thread; it begins with random clusters
    models = np.zeros((2, 1, 65))
    cv2.grabCut(part, mask, None, *models, 2, cv2.GC_INIT_WITH_MASK)
    found = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    found = cv2.morphologyEx(found, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    found = cv2.morphologyEx(found, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return NO_OUTLINE
    contour = max(contours, key=cv2.contourArea)
    sides = high - low
    if (np.ptp(contour[:, 0], axis=0) < 0.7 * sides).any():
        return NO_OUTLINE
    if cv2.contourArea(contour) < 0.35 * sides.prod():
        return NO_OUTLINE
    return _pack_outline(contour[:, 0] + 0.5, np.concatenate([low, high]))


@dataclass
class CutOut:
    """An object to be cut from a photograph."""

    photograph: ImageFrames
    photograph_size: Tuple[int, int]  # (height, width), 0 where not known
    box: np.ndarray  # (4,) XYXY
    outline: Optional[Outline]  # fills the box; None where only the box is known


class CutOuts:
    """Objects of photographs that are large enough to be cut out, sorted by category."""

    def __init__(self, photographs: Sequence[Dict], limit: int, name: str):
        """
        Args:
            photographs: tracks with the fields of :func:`cut_out_fields`.
            limit: the most to take; from more, they are drawn at random.
            name: of the data set, for messages.

        Raises:
            ValueError: there is nothing to cut out, or only one photograph.
        """
        chosen = [track for track in photographs if _can_be_cut(track["boxes"][0])]
        if not chosen:
            raise ValueError(
                f"dataset {name!r}: none of its {len(photographs)} boxes can be cut out; it takes "
                f"sides of at least {MIN_SIDE} pixels, the longer up to {MAX_ASPECT:g} times the "
                "other"
            )
        order = np.random.default_rng(0).permutation(len(chosen))[:limit]
        chosen = sorted((chosen[i] for i in order), key=lambda track: track["category"][0])
        first = chosen[0]["frames"].name(0)
        if all(track["frames"].name(0) == first for track in chosen):
            raise ValueError(
                f"dataset {name!r}: all objects are of {first}; another photograph is needed for "
                "the background"
            )
        self._tracks = TrackList.pack(_with_outlines(chosen, name))
        self._categories = self._tracks.rows("category")

    def __len__(self):
        return len(self._tracks)

    def __getitem__(self, number: int) -> CutOut:
        track = self._tracks[number]
        box, outline = track["boxes"][0].astype(float), None
        points = track["outline"][0].astype(float) / UNIT
        if np.ptp(points, axis=0).min() > 1:  # otherwise it is none, or only a piece of the object
            outline, bounds = fit_unit_box([points])
            center, half = box.reshape(2, 2).mean(axis=0), (box[2:] - box[:2]) / 2
            box = (center + half * bounds).reshape(4)
        size = tuple(track["image_size"][0].tolist())
        return CutOut(track["frames"], size, box, outline)

    def draw_alike(self, rng, number: int) -> int:
        """Number of a random one of the same category."""
        category = self._categories[number]
        low, high = (np.searchsorted(self._categories, category, s) for s in ("left", "right"))
        return int(rng.integers(low, high))


def _can_be_cut(box: np.ndarray) -> bool:
    short, long = sorted(box[2:] - box[:2])
    return short >= MIN_SIDE and long <= MAX_ASPECT * short


def _with_outlines(tracks: List[Dict], name: str) -> List[Dict]:
    """The tracks, outlines found where they have none."""

    def outline(track):
        if track["outline"].any():
            return track["outline"]
        return find_outline(track["frames"], track["boxes"][0])[None]

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV lets go of Python's lock
        found = pool.map(outline, tracks)
        bar = tqdm(found, f"outlines of {name}", len(tracks), delay=2, mininterval=1)
        return [{**track, "outline": outline} for track, outline in zip(tracks, bar)]
