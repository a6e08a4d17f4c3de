"""The three-level networks (ResNet-50, MobileNetV2) under PySOT's names and conventions, written
from their description; see pysot_reference. It shares nothing with sot.modeling.
"""

import torch
from pysot_reference import Branch
from torch import nn


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, and a shortcut of its own if the block changes the channels. A stride takes
    the padding away, from the shortcut too."""

    def __init__(self, c_in, width, stride=1, dilation=1, shortcut_kernel=0):
        super().__init__()
        window = {
            "stride": stride,
            "padding": dilation if stride == 1 else 0,
            "dilation": dilation,
            "bias": False,
        }
        self.conv1 = nn.Conv2d(c_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, **window)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        if shortcut_kernel:
            if shortcut_kernel == 1:
                window["padding"] = 0
            conv = nn.Conv2d(c_in, 4 * width, shortcut_kernel, **window)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(4 * width))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class ResNet50(nn.Module):
    """Unpadded stem, padded pool. The first block of a dilated layer has half its dilation."""

    CHANNELS = (512, 1024, 2048)
    # blocks, width, stride, dilation of the first block and of the others, shortcut's kernel
    LAYERS = (
        (3, 64, 1, 1, 1, 1),
        (4, 128, 2, 1, 1, 3),
        (6, 256, 1, 1, 2, 3),
        (3, 512, 1, 2, 4, 3),
    )

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for i, (blocks, width, stride, first, others, kernel) in enumerate(self.LAYERS, start=1):
            layer = [Bottleneck(channels, width, stride, first, kernel)]
            channels = 4 * width
            layer += [Bottleneck(channels, width, dilation=others) for _ in range(blocks - 1)]
            self.add_module(f"layer{i}", nn.Sequential(*layer))

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
        x2 = self.layer2(self.layer1(x))
        x3 = self.layer3(x2)
        return x2, x3, self.layer4(x3)


class InvertedResidual(nn.Module):
    """1x1 by the expansion (also where that is 1), 3x3 depthwise, linear 1x1."""

    def __init__(self, c_in, c_out, stride, expansion, dilation):
        super().__init__()
        wide = c_in * expansion
        padding = dilation if stride == 1 else 0
        self.conv = nn.Sequential(
            nn.Conv2d(c_in, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, padding, dilation=dilation, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.add = stride == 1 and c_in == c_out

    def forward(self, x):
        return x + self.conv(x) if self.add else self.conv(x)


class MobileNetV2(nn.Module):
    """Width 1.4, rounded down; the first block of a layer has the dilation of the layer before."""

    CHANNELS = (44, 134, 448)
    # blocks, channels at width 1, stride, expansion, dilation of the first block and the others
    LAYERS = (
        (1, 16, 1, 1, 1, 1),
        (2, 24, 2, 6, 1, 1),
        (3, 32, 2, 6, 1, 1),
        (4, 64, 1, 6, 1, 2),
        (3, 96, 1, 6, 2, 2),
        (3, 160, 1, 6, 2, 4),
        (1, 320, 1, 6, 4, 4),
    )

    def __init__(self):
        super().__init__()
        self.layer0 = nn.Sequential(
            nn.Conv2d(3, 44, 3, 2, bias=False), nn.BatchNorm2d(44), nn.ReLU6()
        )
        channels = 44
        for i, (blocks, width, stride, expansion, first, others) in enumerate(self.LAYERS, start=1):
            width = int(width * 1.4)
            layer = [InvertedResidual(channels, width, stride, expansion, first)]
            for _ in range(blocks - 1):
                layer.append(InvertedResidual(width, width, 1, expansion, others))
            self.add_module(f"layer{i}", nn.Sequential(*layer))
            channels = width

    def forward(self, x):
        outputs = []
        for i in range(8):
            x = getattr(self, f"layer{i}")(x)
            outputs.append(x)
        return outputs[3], outputs[5], outputs[7]


class Adjust(nn.Module):
    """1x1 and norm; of maps smaller than 20 only the 7x7 in the middle goes on."""

    def __init__(self, c_in, c_out):
        super().__init__()
        self.downsample = nn.Sequential(
            nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out)
        )

    def forward(self, x):
        x = self.downsample(x)
        margin = (x.shape[-1] - 7) // 2
        return x[..., margin : margin + 7, margin : margin + 7] if x.shape[-1] < 20 else x


class Levels(nn.Module):
    """Depthwise branches on each level; the mean of their outputs, weighted if so asked."""

    def __init__(self, channels, weighted, num_anchors=5):
        super().__init__()
        for i, width in enumerate(channels, start=2):
            branches = {
                "cls": Branch(2 * num_anchors, width),
                "loc": Branch(4 * num_anchors, width),
            }
            self.add_module(f"rpn{i}", nn.ModuleDict(branches))
        self.weighted = weighted
        if weighted:
            self.cls_weight = nn.Parameter(torch.ones(len(channels)))
            self.loc_weight = nn.Parameter(torch.ones(len(channels)))

    def forward(self, z, x):
        outputs = []
        for name in ("cls", "loc"):
            parts = [getattr(self, f"rpn{i}")[name](z[i - 2], x[i - 2]) for i in (2, 3, 4)]
            weight = torch.full((3,), 1 / 3, dtype=parts[0].dtype)
            if self.weighted:
                weight = getattr(self, f"{name}_weight").exp()
                weight = weight / weight.sum()
            outputs.append(torch.einsum("l,lnchw->nchw", weight, torch.stack(parts)))
        return outputs


class PySOTLevelsNet(nn.Module):
    """
    Args:
        backbone: ResNet50 or MobileNetV2.
        channels: of the neck, one for each level.
        weighted: whether the levels have learned weights.

    Call and result as of pysot_reference.PySOTNet.
    """

    def __init__(self, backbone, channels=(256, 256, 256), weighted=True):
        super().__init__()
        self.backbone = backbone()
        self.neck = nn.ModuleDict(
            {
                f"downsample{i}": Adjust(c_in, c_out)
                for i, (c_in, c_out) in enumerate(zip(backbone.CHANNELS, channels), start=2)
            }
        )
        self.rpn_head = Levels(channels, weighted)

    def forward(self, template, search):
        z, x = (
            [adjust(f) for adjust, f in zip(self.neck.values(), self.backbone(crops))]
            for crops in (template, search)
        )
        return self.rpn_head(z, x)
