"""Reading and writing of weights: this project's checkpoints, and PySOT's."""

from .checkpointer import SOTCheckpointer, read_checkpoint
from .pysot import convert_pysot, is_pysot

__all__ = ["SOTCheckpointer", "convert_pysot", "is_pysot", "read_checkpoint"]
