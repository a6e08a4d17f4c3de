"""Training with detectron2's engine: pairs of crops go in, and evaluations track videos."""

from .trainer import Trainer

__all__ = ["Trainer"]
