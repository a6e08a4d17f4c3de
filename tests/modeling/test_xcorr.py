import pytest
import torch

from sot.modeling import xcorr_depthwise


def test_hand_computed():
    search = torch.arange(9.0).view(1, 1, 3, 3)
    kernel = torch.tensor([[[[1.0, 0.0], [0.0, 2.0]]]])
    # top left: 1 * 0 + 2 * 4; then 1 + 2 * 5, 3 + 2 * 7, 4 + 2 * 8
    assert xcorr_depthwise(kernel, search).view(-1).tolist() == [8.0, 11.0, 17.0, 20.0]


def test_channels_and_samples_do_not_mix():
    search, kernel = torch.randn(2, 3, 6, 6), torch.randn(2, 3, 4, 4)
    out = xcorr_depthwise(kernel, search)
    assert out.shape == (2, 3, 3, 3)
    for n in range(2):
        for c in range(3):
            alone = xcorr_depthwise(kernel[n : n + 1, c : c + 1], search[n : n + 1, c : c + 1])
            assert torch.allclose(out[n, c], alone[0, 0], atol=1e-5)


def test_one_kernel_for_many_searches():
    search, kernel = torch.randn(3, 2, 5, 5), torch.randn(1, 2, 2, 2)
    many = xcorr_depthwise(kernel, search)
    assert torch.allclose(many, xcorr_depthwise(kernel.repeat(3, 1, 1, 1), search), atol=1e-6)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(2, 4, 3, 3\).*\(3, 4, 8, 8\)"):
        xcorr_depthwise(torch.zeros(2, 4, 3, 3), torch.zeros(3, 4, 8, 8))
