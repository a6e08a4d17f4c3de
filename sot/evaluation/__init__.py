from .evaluator import SOTEvaluator, task_prefixes

__all__ = ["SOTEvaluator", "task_prefixes"]
