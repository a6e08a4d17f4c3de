"""AlexNet without padding, the backbone of SiamFC and SiamRPN."""

import torch.nn.functional as F
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY, Backbone

__all__ = ["AlexNet", "build_alexnet_backbone"]


class AlexNet(Backbone):
    """Five convolutions with batch norm, without padding, total stride 8 (SiamFC, Table 1; all
    groups merged and 96-256-384-384-256 channels, as in SiamRPN).

    Feature sizes: 6x6 for 127, 22x22 for 255, 26x26 for 287.
    """

    def __init__(self, channels=(96, 256, 384, 384, 256), norm: str = "BN"):
        super().__init__()
        kernels, strides = (11, 5, 3, 3, 3), (2, 1, 1, 1, 1)
        ins = (3, *channels[:-1])
        for i, (c_in, c_out, k, s) in enumerate(zip(ins, channels, kernels, strides), start=1):
            conv = Conv2d(c_in, c_out, k, stride=s, norm=get_norm(norm, c_out))
            self.add_module(f"conv{i}", conv)
        self._out_features = ["conv5"]
        self._out_feature_strides = {"conv5": 8}
        self._out_feature_channels = {"conv5": channels[-1]}

    def forward(self, x):
        """{"conv5": (N, 256, h, w)} from (N, 3, H, W)."""
        x = F.relu(F.max_pool2d(self.conv1(x), 3, 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 3, 2))
        x = F.relu(self.conv3(x))
        x = F.relu(self.conv4(x))
        # no ReLU after the last layer: the correlation needs both signs
        return {"conv5": self.conv5(x)}


@BACKBONE_REGISTRY.register()
def build_alexnet_backbone(cfg, input_shape: ShapeSpec) -> AlexNet:
    return AlexNet(norm=cfg.MODEL.SIAMESE.NORM)
