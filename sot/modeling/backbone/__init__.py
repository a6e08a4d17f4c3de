from . import resnet as _  # only registration
from .alexnet import AlexNet
from .cir import make_cir_network
from .compact import CompactCIRNet
from .mobilenet import InvertedResidualNet
from .neck import AdjustNeck, build_neck

__all__ = [
    "AdjustNeck",
    "AlexNet",
    "CompactCIRNet",
    "InvertedResidualNet",
    "build_neck",
    "make_cir_network",
]
