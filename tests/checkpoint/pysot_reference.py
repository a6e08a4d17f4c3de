"""The AlexNet depthwise network under PySOT's names and conventions, written from its description.

It stands in for PySOT in tests: what the converter must reproduce is what this network computes.
It shares nothing with sot.modeling.
"""

import torch
from torch import nn

WIDTHS = (3, 96, 256, 384, 384, 256)
KERNELS = (11, 5, 3, 3, 3)


def stages():
    """The five stages: conv with bias, norm, then a pool (first two) and a ReLU (first four)."""
    for i, kernel in enumerate(KERNELS):
        conv = nn.Conv2d(WIDTHS[i], WIDTHS[i + 1], kernel, stride=2 if i == 0 else 1)
        stage = [conv, nn.BatchNorm2d(WIDTHS[i + 1])]
        if i < 2:
            stage.append(nn.MaxPool2d(3, 2))
        if i < 4:
            stage.append(nn.ReLU())
        yield stage


class FeaturesBackbone(nn.Module):
    """The zoo's naming: features.0 ... features.15."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(*sum(stages(), []))

    def forward(self, x):
        return self.features(x)


class LayersBackbone(nn.Sequential):
    """The other naming: layer1.0 ... layer5.1."""

    def __init__(self):
        super().__init__()
        for i, stage in enumerate(stages(), start=1):
            self.add_module(f"layer{i}", nn.Sequential(*stage))


class Branch(nn.Module):
    """Template and search each through conv_*, correlated channel by channel, then head."""

    def __init__(self, out_channels, width=256):
        super().__init__()

        def adapt(kernel):
            conv = nn.Conv2d(width, width, kernel, bias=False)
            return [conv, nn.BatchNorm2d(width), nn.ReLU()]

        self.conv_kernel = nn.Sequential(*adapt(3))
        self.conv_search = nn.Sequential(*adapt(3))
        self.head = nn.Sequential(*adapt(1), nn.Conv2d(width, out_channels, 1))

    def forward(self, z, x):
        z, x = self.conv_kernel(z), self.conv_search(x)
        windows = x.unfold(2, z.shape[2], 1).unfold(3, z.shape[3], 1)  # (N, C, H, W, kh, kw)
        return self.head(torch.einsum("nchwij,ncij->nchw", windows, z))


class PySOTNet(nn.Module):
    """
    Args:
        backbone: FeaturesBackbone or LayersBackbone.

    Call it with template (N, 3, 127, 127) and search (N, 3, S, S) crops, raw BGR 0..255. Gives
    cls (N, 2*A, H, W), all negatives first, and loc (N, 4*A, H, W), all dx, then dy, dw, dh.
    """

    def __init__(self, backbone=FeaturesBackbone, num_anchors=5):
        super().__init__()
        self.backbone = backbone()
        self.rpn_head = nn.ModuleDict(
            {"cls": Branch(2 * num_anchors), "loc": Branch(4 * num_anchors)}
        )

    def forward(self, template, search):
        z, x = self.backbone(template), self.backbone(search)
        return self.rpn_head["cls"](z, x), self.rpn_head["loc"](z, x)


def random_pysot_net(backbone=FeaturesBackbone, seed=0):
    """A network of this file with random weights."""
    return randomize(PySOTNet(backbone), seed)


def randomize(net, seed=0, noise=1.0):
    """Random weights, and running statistics near those of the network's own activations, as
    training leaves them: else the outputs overflow any absolute tolerance. In eval mode.
    ``noise`` tells how near; it adds up over the layers."""
    generator = torch.Generator().manual_seed(seed)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() == 4:
                parameter.normal_(0, (2 / parameter[0].numel()) ** 0.5, generator=generator)
            else:
                parameter.uniform_(-0.5, 0.5, generator=generator)
        for norm in norms:
            norm.weight += 1
            norm.momentum = 1.0
        net.train()(random_crops(1, 127, generator), random_crops(1, 191, generator))
        for norm in norms:
            size = norm.running_mean.shape
            spread = norm.running_var.sqrt()
            norm.running_mean += noise * spread * 0.2 * torch.randn(size, generator=generator)
            norm.running_var *= 1 + noise * 0.6 * (torch.rand(size, generator=generator) - 0.5)
    return net.eval()


def random_crops(number, side, generator):
    """Crops of raw BGR pixels: coarse random blocks and fine noise, (number, 3, side, side)."""
    blocks = torch.rand(number, 3, side // 8 + 1, side // 8 + 1, generator=generator)
    blocks = nn.functional.interpolate(blocks, size=(side, side), mode="bilinear")
    noise = torch.rand(number, 3, side, side, generator=generator)
    return (255 * (0.8 * blocks + 0.2 * noise)).round()
