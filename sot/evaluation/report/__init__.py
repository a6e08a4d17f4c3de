"""Trackers compared by their result files, and the report of it."""

from .comparison import Comparison, TrackerScores, compare
from .page import write_report

__all__ = ["Comparison", "TrackerScores", "compare", "write_report"]
