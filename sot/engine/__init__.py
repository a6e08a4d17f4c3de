"""Training: detectron2's engine with pairs in and trajectories out."""

from .trainer import Trainer

__all__ = ["Trainer"]
