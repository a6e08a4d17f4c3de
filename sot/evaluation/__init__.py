from .evaluator import SOTEvaluator, task_prefixes
from .experiments import OnePass, Restarts, follow, tracker_fingerprint

__all__ = ["OnePass", "Restarts", "SOTEvaluator", "follow", "task_prefixes", "tracker_fingerprint"]
