"""The networks. This package uses these letters for shapes:

N: batch (pairs in training, targets in tracking)    C: channels    A: anchors per position
Hz, Wz: template (exemplar) feature size             Hx, Wx: search-region feature size
H, W: size of the response map                       R = H * W * A: all anchors

Boxes are XYXY, float, in pixels of the search crop, continuous coordinates: a crop of side S
spans [0, S] x [0, S]. ``logits`` are one number for each anchor (SiamFC: for each position), which
is positive for the foreground. ``deltas`` are the four anchor deltas (dx, dy, dw, dh) of
detectron2's Box2BoxTransform."""

from .anchor_generator import CenteredAnchorGenerator
from .backbone import AlexNet, CompactCIRNet, InvertedResidualNet
from .fuse import fuse_for_inference
from .meta_arch import SiameseNetwork, SiamFC, SiamRPN
from .rpn_heads import DepthwiseRPNHead, MultiLevelRPNHead, UpChannelRPNHead
from .siamese_rpn import SiameseRPN
from .xcorr import xcorr, xcorr_depthwise

__all__ = [
    "AlexNet",
    "CenteredAnchorGenerator",
    "CompactCIRNet",
    "DepthwiseRPNHead",
    "InvertedResidualNet",
    "MultiLevelRPNHead",
    "SiamFC",
    "SiamRPN",
    "SiameseNetwork",
    "SiameseRPN",
    "UpChannelRPNHead",
    "fuse_for_inference",
    "xcorr",
    "xcorr_depthwise",
]
