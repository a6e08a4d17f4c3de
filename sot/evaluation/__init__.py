from .evaluator import SOTEvaluator, dataset_slug

__all__ = ["SOTEvaluator", "dataset_slug"]
