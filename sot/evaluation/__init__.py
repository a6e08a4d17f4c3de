from .evaluator import SOTEvaluator, task_prefixes
from .experiments import Corrected, OnePass, Restarts, tracker_fingerprint

__all__ = [
    "Corrected",
    "OnePass",
    "Restarts",
    "SOTEvaluator",
    "task_prefixes",
    "tracker_fingerprint",
]
