"""Datasets as lists of tracks.

A track is one object in one video: ``name`` (str), ``frames`` (see sot.data.frames), ``boxes``
((T, 4) float64, XYXY in frame pixels, continuous, 0-based) and ``visible`` ((T,) bool: the target
can be seen). The box of an invisible frame is NaN, or the annotated one where a dataset annotates
those frames too. Some datasets add arrays with T rows, such as ``polygons`` (T, 8) or ``cover``
(T,). An object in a photograph is a track of one frame.
"""

from .box_files import read_boxes, read_table
from .builtin import register_builtin
from .cache import Source, cached_tracks
from .coco import load_coco
from .folder import load_folder
from .synthetic import register_synthetic
from .tracks import TrackList, check_start, make_track

__all__ = [
    "Source",
    "TrackList",
    "cached_tracks",
    "check_start",
    "load_coco",
    "load_folder",
    "make_track",
    "read_boxes",
    "read_table",
]

register_builtin()
register_synthetic()
