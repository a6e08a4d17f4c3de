import torch

from sot.api import build_model
from sot.config import load_config

PIXELS = ["MODEL.PIXEL_MEAN", "[10.0, 20.0, 30.0]", "MODEL.PIXEL_STD", "[1.0, 2.0, 4.0]"]


def build(*opts):
    opts = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", *PIXELS, *opts]
    return build_model(load_config("SiamRPN/siamrpn_compact.yaml", opts))


def test_pixels_by_hand():
    crops = torch.tensor([11, 24, 22], dtype=torch.uint8).view(1, 3, 1, 1).repeat(2, 1, 2, 4)
    crops[0, :, 1, 2] = torch.tensor([10, 20, 50])
    out = build()._normalize(crops)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert out.dtype == torch.float32 and out.shape == crops.shape
    assert out[1, :, 0, 0].tolist() == [1, 2, -2]
    assert out[0, :, 1, 2].tolist() == [0, 0, 5]
    assert (out == torch.tensor([1.0, 2, -2])[:, None, None]).sum() == out.numel() - 3
