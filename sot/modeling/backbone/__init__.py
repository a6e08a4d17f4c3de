from .alexnet import AlexNet
from .cir import make_cir_network
from .compact import CompactCIRNet
from .mobilenet import InvertedResidualNet
from .neck import AdjustNeck, build_neck
from .resnet import AtrousBasicBlock, AtrousBottleneckBlock, UnpaddedStem

__all__ = [
    "AdjustNeck",
    "AlexNet",
    "AtrousBasicBlock",
    "AtrousBottleneckBlock",
    "CompactCIRNet",
    "InvertedResidualNet",
    "UnpaddedStem",
    "build_neck",
    "make_cir_network",
]
