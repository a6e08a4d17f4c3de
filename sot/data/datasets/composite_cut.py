"""Objects of photographs and their outlines, to be cut out (see `composite`).

Where annotations hold no polygon, GrabCut looks for the outline inside the box. Where it finds
none, the shape that is cut is a rounded box.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Dict, Iterable, List, Optional, Tuple

import cv2
import numpy as np
from tqdm import tqdm

from ...boxes import center_of, sides_of
from ..frames import FrameError, ImageFrames, read_frame
from ..transforms import SubwindowTransform
from .cache import Source, cached_tracks
from .coco import Photographs
from .tracks import TrackList

__all__ = [
    "CutOuts",
    "choose_cut_outs",
    "cut_out_fields",
    "fill_outline",
    "load_cut_outs",
    "paint_cut_out",
]

MIN_SIDE = 20  # pixels of a box that is worth cutting out
MAX_ASPECT = 5.0
SPRITE_SIDE = 128  # pixels; a cut-out whose shorter side is longer is reduced to it

# An outline is kept as int16 (128, 2); the edges of its bounds are at +-UNIT. Zeros: none is known.
OUTLINE_POINTS = 128
UNIT = 32767
NO_OUTLINE = np.zeros((OUTLINE_POINTS, 2), np.int16)
_ANGLES = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
ROUNDED_BOX = np.sign(_CIRCLE) * np.abs(_CIRCLE) ** 0.5


def cut_out_fields(image: Dict, annotation: Dict) -> Dict:
    """What it takes to cut an object out of its photograph, as fields of a track of one frame.

    Args:
        image, annotation: in detectron2's format; the ``bbox`` XYWH.

    Returns:
        ``category`` (1,); ``outline`` (1, 128, 2) of the largest polygon of ``segmentation``; and
        ``boxes`` (1, 4) XYXY, its bounds. A polygon of less than half of the box's width or height
        is only a piece of the object: the box then stays, without an outline.
    """
    x, y, w, h = annotation["bbox"]
    outline, box = NO_OUTLINE, np.array([x, y, x + w, y + h])
    polygons = annotation.get("segmentation")
    polygons = filter(_is_polygon, polygons) if isinstance(polygons, list) else ()
    parts = [np.asarray(p, dtype=np.float32).reshape(-1, 2) for p in polygons]
    largest = max(parts, key=cv2.contourArea, default=np.zeros((1, 2)))
    if (np.ptp(largest, axis=0) > (w / 2, h / 2)).all():
        outline, box = _pack_outline(largest)
    return {
        "category": np.array([annotation.get("category_id", 0)]),
        "outline": outline[None],
        "boxes": box[None].astype(np.float32),
    }


def _is_polygon(points) -> bool:
    """Whether x, y, x, y, ... are three points at least, as detectron2 wants them."""
    is_list = isinstance(points, (list, tuple, np.ndarray))
    return is_list and len(points) >= 6 and len(points) % 2 == 0


def _pack_outline(polygon: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """(N, 2) pixels -> int16 (128, 2), and its bounds XYXY."""
    # repeats some of few points, and leaves out some of many
    points = polygon[np.linspace(0, len(polygon) - 1, OUTLINE_POINTS).round().astype(int)]
    low, high = points.min(axis=0), points.max(axis=0)
    outline = np.rint((2 * points - low - high) / (high - low) * UNIT).astype(np.int16)
    return outline, np.concatenate([low, high])


def fill_outline(outline: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """uint8 (H, W), 255 inside an outline (N, 2) whose units -1 to 1 span the image."""
    fine = np.zeros(np.multiply(size, 4), np.uint8)  # OpenCV's own soft edges are too wide
    points = (outline + 1) / 2 * fine.shape[::-1] - 0.5  # coordinates of pixel centres
    cv2.fillPoly(fine, [np.rint(points).astype(np.int32)], 255)
    return cv2.resize(fine, size[::-1], interpolation=cv2.INTER_AREA)


def premultiply(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """BGR and (H, W) -> uint8 (H, W, 4), the colours being multiplied with alpha."""
    return cv2.merge([cv2.multiply(color, cv2.merge([alpha] * 3), scale=1 / 255), alpha])


def find_outline(photograph: ImageFrames, box: np.ndarray) -> Optional[np.ndarray]:
    """(N, 2) pixels: what GrabCut (Rother et al. 2004) finds in the box XYXY, its middle taken for
    certain; None if that is not most of the box, or the photograph cannot be read."""
    center, sides = center_of(box), sides_of(box)
    try:
        image, reduction = read_frame(photograph, 0, max(1.0, max(sides) / 40))
    except FrameError:  # to be reported when it is needed
        return None
    # 64 x 64 pixels, of which the box takes the 40 x 40 in the middle
    rect = np.concatenate([center - 0.8 * sides, center + 0.8 * sides]) / reduction
    part = SubwindowTransform(rect, (64, 64), image.shape[:2]).apply_image(image)
    mask = np.full((64, 64), cv2.GC_BGD, np.uint8)
    mask[12:52, 12:52] = cv2.GC_PR_FGD
    cv2.circle(mask, (32, 32), 8, cv2.GC_FGD, -1)
    cv2.setRNGSeed(0)  # of this thread; it begins with random clusters
    cv2.grabCut(part, mask, None, *np.zeros((2, 1, 65)), 2, cv2.GC_INIT_WITH_MASK)
    found = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    found = cv2.morphologyEx(found, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    found = cv2.morphologyEx(found, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=cv2.contourArea, default=np.zeros((1, 1, 2), np.float32))[:, 0]
    if np.ptp(contour, axis=0).min() < 0.7 * 40 or cv2.contourArea(contour) < 0.35 * 40**2:
        return None
    return (contour + 0.5 - 32) / 40 * sides + center


def choose_cut_outs(photographs: Iterable[Dict], limit: int, name: str) -> List[Dict]:
    """The objects of photographs that are large enough to be cut out, sorted by category, each
    with its outline.

    Args:
        photographs: tracks with the fields of :func:`cut_out_fields`.
        limit: the most to take; from more, they are drawn at random.
        name: of the dataset, for messages.

    Raises:
        ValueError: there is nothing to cut out.
    """
    photographs = list(photographs)
    chosen = [track for track in photographs if _can_be_cut(track["boxes"][0])]
    if not chosen:
        raise ValueError(
            f"dataset {name!r}: none of its {len(photographs)} boxes can be cut out; it takes "
            f"sides of at least {MIN_SIDE} pixels, the longer up to {MAX_ASPECT:g} times the other"
        )
    order = np.random.default_rng(0).permutation(len(chosen))[:limit]
    chosen = sorted((chosen[i] for i in order), key=lambda track: track["category"][0])
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV lets go of Python's lock
        found = pool.map(_with_outline, chosen)
        return list(tqdm(found, f"outlines of {name}", len(chosen), delay=2, mininterval=1))


def load_cut_outs(photographs: Photographs, limit: int, name: str) -> TrackList:
    """The tracks of :func:`choose_cut_outs`, kept on disk where files tell if they have changed."""

    def choose() -> List[Dict]:
        return choose_cut_outs(photographs.read(cut_out_fields), limit, name)

    if not photographs.files:
        return TrackList.pack(choose())
    source = Source(name, photographs.files, choose)
    return cached_tracks(f"{photographs.name}:{limit} objects", [source], strict=True)


def _can_be_cut(box: np.ndarray) -> bool:
    short, long = sorted(sides_of(box))
    return short >= MIN_SIDE and long <= MAX_ASPECT * short


def _with_outline(track: Dict) -> Dict:
    """The track, its outline found where it has none."""
    if track["outline"].any():
        return track
    found = find_outline(track["frames"], track["boxes"][0].astype(float))
    if found is None:
        return track
    outline, box = _pack_outline(found)
    return {**track, "outline": outline[None], "boxes": box[None].astype(np.float32)}


class CutOuts:
    """Objects that are cut out of photographs, by number."""

    def __init__(self, tracks: TrackList):
        """
        Args:
            tracks: as of :func:`choose_cut_outs`.
        """
        self.tracks = tracks

    def __len__(self):
        return len(self.tracks)

    def shape(self, number: int) -> Tuple[np.ndarray, np.ndarray]:
        """Width and height (2,) in pixels of the photograph; and the outline (N, 2), whose bounds
        are -1 and 1."""
        track = self.tracks[number]
        x0, y0, x1, y1 = track["boxes"][0].tolist()
        outline = track["outline"][0]
        return np.array([x1 - x0, y1 - y0]), outline / UNIT if outline.any() else ROUNDED_BOX

    def sprite(self, number: int) -> np.ndarray:
        """See :func:`paint_cut_out`."""
        return paint_cut_out(self, number)

    def draw_alike(self, rng, number: int) -> int:
        """Number of a random one of the same category."""
        categories = self.tracks.rows("category")
        ends = [np.searchsorted(categories, categories[number], s) for s in ("left", "right")]
        return int(rng.integers(*ends))


@lru_cache(maxsize=64)
def paint_cut_out(cut_outs: CutOuts, number: int) -> np.ndarray:
    """uint8 (H, W, 4): what is in the box of a cut-out, colours premultiplied with alpha.

    Raises:
        FrameError: the photograph cannot be read.
    """
    track, (sides, outline) = cut_outs.tracks[number], cut_outs.shape(number)
    limit = max(1.0, min(sides) / SPRITE_SIDE)
    image, reduction = read_frame(track["frames"], 0, limit)
    width, height = np.rint(sides / limit).astype(int)
    rect = track["boxes"][0] / reduction
    crop = SubwindowTransform(rect, (height, width), image.shape[:2])
    return premultiply(crop.apply_image(image), fill_outline(outline, (height, width)))
