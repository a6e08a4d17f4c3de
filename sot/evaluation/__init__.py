from .evaluator import SOTEvaluator, dataset_slug, task_prefixes

__all__ = ["SOTEvaluator", "dataset_slug", "task_prefixes"]
