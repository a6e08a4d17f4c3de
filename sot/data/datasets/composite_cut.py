"""Cuts objects out of photographs along their outlines (see `composite`)."""

from functools import lru_cache
from typing import Dict, Optional, Tuple

import cv2
import numpy as np

from ..frames import read_frame
from ..transforms import SubwindowTransform
from .cache import Source, cached_tracks
from .tracks import TrackList

MIN_SIDE = 20  # pixels of an object that is worth cutting out
MAX_ASPECT = 5.0
SPRITE_SIDE = 128  # pixels; a cut-out whose shorter side is longer is reduced to it
# An outline is kept as int16 (128, 2); the edges of its bounds are at +-UNIT.
OUTLINE_POINTS = 128
UNIT = 32767


def cut_out_fields(annotation: Dict) -> Optional[Dict]:
    """The fields of a track of one frame that are needed to cut an object out of its photograph:
    ``category`` (1,); ``outline`` (1, 128, 2), that of the largest polygon of ``segmentation``; and
    ``boxes`` (1, 4) XYXY, the bounds of the outline.

    None: the outline is less than half as wide or high as the ``bbox`` (XYWH), and so only a piece
    of the object; or it is too small or too thin."""
    polygons = annotation.get("segmentation")
    polygons = filter(_is_polygon, polygons) if isinstance(polygons, list) else ()
    parts = [np.asarray(p, dtype=np.float32).reshape(-1, 2) for p in polygons]
    largest = max(parts, key=cv2.contourArea, default=np.zeros((1, 2)))
    # repeats points if there are few, and leaves out points if there are many
    points = largest[np.linspace(0, len(largest) - 1, OUTLINE_POINTS).round().astype(int)]
    low, high = points.min(axis=0), points.max(axis=0)
    sides = high - low
    is_piece = (np.ptp(largest, axis=0) <= np.array(annotation["bbox"][2:]) / 2).any()
    if is_piece or min(sides) < MIN_SIDE or max(sides) > MAX_ASPECT * min(sides):
        return None
    return {
        "category": np.array([annotation.get("category_id", 0)]),
        "outline": np.rint((2 * points - low - high) / sides * UNIT).astype(np.int16)[None],
        "boxes": np.concatenate([low, high])[None].astype(np.float32),
    }


def _is_polygon(points) -> bool:
    """Whether x, y, x, y, ... are at least three points, as detectron2 requires."""
    is_list = isinstance(points, (list, tuple, np.ndarray))
    return is_list and len(points) >= 6 and len(points) % 2 == 0


def fill_outline(outline: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """uint8 (H, W), 255 inside an outline (N, 2) whose units -1 to 1 span the image."""
    fine = np.zeros(np.multiply(size, 4), np.uint8)  # OpenCV's own soft edges are too wide
    points = (outline + 1) / 2 * fine.shape[::-1] - 0.5  # coordinates of pixel centres
    cv2.fillPoly(fine, [np.rint(points).astype(np.int32)], 255)
    return cv2.resize(fine, size[::-1], interpolation=cv2.INTER_AREA)


def premultiply(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """BGR and (H, W) -> uint8 (H, W, 4), the colours being multiplied with alpha."""
    return cv2.merge([cv2.multiply(color, cv2.merge([alpha] * 3), scale=1 / 255), alpha])


def load_cut_outs(objects: Source, limit: int, name: str) -> TrackList:
    """At most ``limit`` random tracks of a source, with :func:`cut_out_fields`, sorted by category.
    ValueError, with the ``name`` of the dataset: there are none."""

    def choose():
        tracks = list(objects.read())
        if not tracks:
            raise ValueError(
                f"dataset {name!r}: none of its objects can be cut out; it takes polygons, under "
                f'the key "segmentation", with sides of at least {MIN_SIDE} pixels, the longer up '
                f"to {MAX_ASPECT:g} times the other"
            )
        chosen = np.random.default_rng(0).permutation(len(tracks))[:limit]
        return sorted((tracks[i] for i in chosen), key=lambda track: track["category"][0])

    if not objects.files:
        return TrackList.pack(choose())
    source = Source(name, objects.files, choose)
    return cached_tracks(f"{objects.name}:{limit} objects", [source], strict=True)


class CutOuts:
    """Objects that are cut out of photographs. Their numbers are indices of the tracks of
    load_cut_outs."""

    def __init__(self, tracks: TrackList):
        self.tracks = tracks

    def __len__(self):
        return len(self.tracks)

    def shape(self, number: int) -> Tuple[np.ndarray, np.ndarray]:
        """Width and height (2,) in pixels of the photograph; and the outline (N, 2), whose bounds
        are -1 and 1."""
        track = self.tracks[number]
        x0, y0, x1, y1 = track["boxes"][0].tolist()
        return np.array([x1 - x0, y1 - y0]), track["outline"][0] / UNIT

    @lru_cache(maxsize=64)  # noqa: B019  the few sets of cut-outs live as long as the process
    def sprite(self, number: int) -> np.ndarray:
        """The pixels of a cut-out in its box, uint8 (H, W, 4), with colours premultiplied by
        alpha."""
        track, (sides, outline) = self.tracks[number], self.shape(number)
        limit = max(1.0, min(sides) / SPRITE_SIDE)
        image, reduction = read_frame(track["frames"], 0, limit)
        width, height = np.rint(sides / limit).astype(int)
        rect = track["boxes"][0] / reduction
        crop = SubwindowTransform(rect, (height, width))
        return premultiply(crop.apply_image(image), fill_outline(outline, (height, width)))

    def draw_alike(self, rng, number: int) -> int:
        """The number of a random object of the same category."""
        categories = self.tracks.rows("category")
        ends = [np.searchsorted(categories, categories[number], s) for s in ("left", "right")]
        return int(rng.integers(*ends))
