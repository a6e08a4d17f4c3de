"""Reads and writes weights: the checkpoints of this project, and those of PySOT."""

from .checkpointer import SOTCheckpointer, read_checkpoint
from .pysot import convert_pysot, is_pysot

__all__ = ["SOTCheckpointer", "convert_pysot", "is_pysot", "read_checkpoint"]
