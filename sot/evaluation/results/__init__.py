"""Files of results: where they are (layouts), one reader and one writer."""

from .layouts import file_name
from .reader import ResultProblem, SequenceResult, read_results, read_sequence
from .writer import ResultWriter

__all__ = [
    "ResultProblem",
    "ResultWriter",
    "SequenceResult",
    "file_name",
    "read_results",
    "read_sequence",
]
