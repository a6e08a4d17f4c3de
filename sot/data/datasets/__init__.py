"""Datasets as lists of tracks.

A track is one object in one video: ``name`` (str), ``frames`` (see sot.data.frames), ``boxes``
((T, 4) float32, XYXY in frame pixels, continuous, 0-based) and ``visible`` ((T,) bool; the box of
an invisible frame is NaN). An object in a photograph is a track of one frame.
"""

from .custom import get_tracks, load_coco, load_folder, make_track
from .synthetic import register_synthetic

__all__ = ["get_tracks", "load_coco", "load_folder", "make_track"]

register_synthetic()
