"""Files of results: their layouts, a reader and a writer."""

from .reader import ResultProblem, SequenceResult, read_results, read_sequence
from .writer import ResultWriter

__all__ = [
    "ResultProblem",
    "ResultWriter",
    "SequenceResult",
    "read_results",
    "read_sequence",
]
