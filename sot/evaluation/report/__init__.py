"""Compares trackers by their result files, and writes the report."""

from .comparison import Comparison, compare
from .page import write_report
from .part import TrackerScores

__all__ = ["Comparison", "TrackerScores", "compare", "write_report"]
