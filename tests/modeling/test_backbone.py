import pytest
import torch
from detectron2.layers import ShapeSpec

from sot.modeling import AlexNet, CompactCIRNet
from sot.modeling.backbone import AdjustNeck
from sot.modeling.backbone.compact import CropInsideBlock


@pytest.mark.parametrize("crop, size", [(127, 6), (255, 22), (287, 26)])
@pytest.mark.parametrize("backbone", [AlexNet, CompactCIRNet])
def test_feature_sizes(backbone, crop, size):
    net = backbone().eval()
    (name,) = net.output_shape()
    with torch.no_grad():
        out = net(torch.zeros(1, 3, crop, crop))[name]
    shape = net.output_shape()[name]
    assert out.shape == (1, shape.channels, size, size)
    assert shape.stride == 8


@pytest.mark.parametrize("backbone", [AlexNet, CompactCIRNet])
def test_no_padding_moving_the_input_moves_the_features(backbone):
    net = backbone().eval()
    image = torch.rand(1, 3, 135, 135)
    with torch.no_grad():
        a, b = (next(iter(net(x).values())) for x in (image[..., :127, :127], image[..., 8:, 8:]))
    assert torch.allclose(a[..., 1:, 1:], b[..., :-1, :-1], atol=1e-5)


def test_alexnet_has_no_relu_at_the_end():
    with torch.no_grad():
        out = AlexNet().eval()(torch.randn(1, 3, 127, 127))["conv5"]
    assert (out < 0).any()


def test_alexnet_of_another_length_and_padding():
    net = AlexNet([4, 8, 8, 4], 1, [3, 3, 3, 3], [2, 1, 2, 1], [0, 2, 0, 1], padded=True)
    assert net.output_shape()["conv4"].stride == 8
    assert net.output_shape()["conv4"].channels == 4
    assert net.eval()(torch.zeros(1, 3, 127, 127))["conv4"].shape == (1, 4, 16, 16)


def test_alexnet_needs_one_value_for_each_convolution():
    with pytest.raises(ValueError, match="MODEL.ALEXNET.CHANNELS, KERNELS.* not 4, 5, 5 and 5"):
        AlexNet([4, 8, 8, 4])


def test_crop_inside_block_is_a_padded_block_with_the_border_cropped():
    block = CropInsideBlock(4, "BN").eval()
    x = torch.randn(2, 4, 9, 9)
    with torch.no_grad():
        out = block(x)
        for conv in (block.conv1, block.conv2):
            conv.padding = (1, 1)
        padded = torch.relu(block.conv2(block.conv1(x)) + x)[..., 2:-2, 2:-2]
    assert out.shape == (2, 4, 5, 5)
    assert torch.allclose(out, padded, atol=1e-5)


def test_neck_crops_the_middle_of_the_template_only():
    neck = AdjustNeck({"f": ShapeSpec(channels=1, stride=8)}, [], 3, "BN")
    x = torch.arange(25.0).view(1, 1, 5, 5)
    assert neck({"f": x}, is_template=True)["f"].flatten().tolist() == [
        6, 7, 8, 11, 12, 13, 16, 17, 18,
    ]  # fmt: skip
    assert neck({"f": x}, is_template=False)["f"].shape == (1, 1, 5, 5)


def test_neck_adjusts_channels():
    neck = AdjustNeck({"f": ShapeSpec(channels=3, stride=8)}, [2], 0, "BN")
    assert neck({"f": torch.zeros(1, 3, 4, 4)}, is_template=True)["f"].shape == (1, 2, 4, 4)
    assert neck.output_shape()["f"].channels == 2
