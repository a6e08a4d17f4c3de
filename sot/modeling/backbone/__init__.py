from .alexnet import AlexNet
from .compact import CompactCIRNet
from .neck import AdjustNeck, build_neck

__all__ = ["AdjustNeck", "AlexNet", "CompactCIRNet", "build_neck"]
