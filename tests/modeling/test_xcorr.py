import pytest
import torch

from sot.modeling import xcorr, xcorr_depthwise

SEARCH = torch.arange(9.0).view(1, 1, 3, 3)


def test_depthwise_by_hand():
    kernel = torch.tensor([[[[1.0, 0.0], [0.0, 2.0]]]])
    # top left: 1 * 0 + 2 * 4; then 1 + 2 * 5, 3 + 2 * 7, 4 + 2 * 8
    assert xcorr_depthwise(kernel, SEARCH).view(-1).tolist() == [8.0, 11.0, 17.0, 20.0]


def test_by_hand():
    search = torch.cat([SEARCH, 10 * SEARCH], dim=1)
    # two outputs of two channels each: the sum of both corners, and the middle of the second
    kernel = torch.tensor([1.0, 1.0, 0.0, 1.0]).view(1, 4, 1, 1)
    out = xcorr(kernel, search)
    assert out.shape == (1, 2, 3, 3)
    assert out[0, :, 1].tolist() == [[33.0, 44.0, 55.0], [30.0, 40.0, 50.0]]


def test_channels_and_samples_do_not_mix():
    search, kernel = torch.randn(2, 3, 6, 6), torch.randn(2, 3, 4, 4)
    out = xcorr_depthwise(kernel, search)
    assert out.shape == (2, 3, 3, 3)
    for n in range(2):
        for c in range(3):
            alone = xcorr_depthwise(kernel[n : n + 1, c : c + 1], search[n : n + 1, c : c + 1])
            assert torch.allclose(out[n, c], alone[0, 0], atol=1e-5)


def test_outputs_are_sums_of_the_depthwise_ones():
    search, kernel = torch.randn(2, 3, 6, 6), torch.randn(2, 5 * 3, 4, 4)
    out = xcorr(kernel, search)
    assert out.shape == (2, 5, 3, 3)
    for o, part in enumerate(kernel.split(3, dim=1)):
        assert torch.allclose(out[:, o], xcorr_depthwise(part, search).sum(dim=1), atol=1e-4)


@pytest.mark.parametrize("correlate, channels", [(xcorr_depthwise, 2), (xcorr, 6)])
def test_one_kernel_for_many_searches(correlate, channels):
    search, kernel = torch.randn(3, 2, 5, 5), torch.randn(1, channels, 2, 2)
    many = correlate(kernel, search)
    assert many.shape == (3, channels if correlate is xcorr_depthwise else 3, 4, 4)
    assert torch.allclose(many, correlate(kernel.repeat(3, 1, 1, 1), search), atol=1e-5)


@pytest.mark.parametrize("correlate", [xcorr, xcorr_depthwise])
@pytest.mark.parametrize("shape", [(2, 4, 3, 3), (3, 5, 3, 3)])
def test_wrong_shapes_are_named(correlate, shape):
    with pytest.raises(ValueError, match=r"\(%d, %d, 3, 3\).*\(3, 4, 8, 8\)" % shape[:2]):
        correlate(torch.zeros(shape), torch.zeros(3, 4, 8, 8))
