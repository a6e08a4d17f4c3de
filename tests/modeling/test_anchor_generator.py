import pytest
import torch

from sot.modeling import CenteredAnchorGenerator

RATIOS = [[0.33, 0.5, 1.0, 2.0, 3.0]]


def make(truncate=False, ratios=RATIOS):
    return CenteredAnchorGenerator(
        sizes=[[64]], aspect_ratios=ratios, strides=[8], truncate=truncate
    )


def centers(boxes):
    return boxes.get_centers()


def test_truncated_shapes_are_the_published_ones():
    cell = make(truncate=True).generate_cell_anchors([64], RATIOS[0])
    sizes = (cell[:, 2:] - cell[:, :2]).tolist()
    assert sizes == [[104, 32], [88, 40], [64, 64], [40, 80], [32, 96]]
    assert (cell[:, 2:] + cell[:, :2]).abs().max() == 0


def test_exact_shapes_keep_the_area():
    cell = make().generate_cell_anchors([64], [0.25, 1.0, 4.0])
    sizes = (cell[:, 2:] - cell[:, :2]).tolist()
    assert sizes == [[128, 32], [64, 64], [32, 128]]  # ratio is height / width


def test_grid_for_255_and_25():
    (boxes,) = make(ratios=[[1.0]])([torch.zeros(1, 5, 25, 25)], 255)
    c = centers(boxes)
    assert len(boxes) == 625
    assert c[0].tolist() == [31.5, 31.5]  # (255 - 8 * 24) / 2
    assert c[1].tolist() == [39.5, 31.5]  # x runs first
    assert c[25].tolist() == [31.5, 39.5]
    assert c[312].tolist() == [127.5, 127.5]  # the middle of the crop
    assert boxes.tensor[0].tolist() == [-0.5, -0.5, 63.5, 63.5]


@pytest.mark.parametrize("crop, n", [(255, 17), (271, 27), (287, 21)])
def test_grid_is_symmetric_for_any_size(crop, n):
    (boxes,) = make()([torch.zeros(1, 5, n, n)], crop)
    c = centers(boxes)
    assert torch.allclose(c, crop - c.flip(0), atol=1e-3)
    assert len(boxes) == n * n * 5


def test_order_is_row_column_anchor():
    (boxes,) = make(ratios=[[0.25, 1.0]])([torch.zeros(1, 2, 2, 3)], 64)
    sizes = boxes.tensor[:, 2:] - boxes.tensor[:, :2]
    assert sizes[0].tolist() == [128, 32] and sizes[1].tolist() == [64, 64]
    assert centers(boxes)[0].tolist() == centers(boxes)[1].tolist() == [24.0, 28.0]
    assert centers(boxes)[2].tolist() == [32.0, 28.0]
    assert centers(boxes)[6].tolist() == [24.0, 36.0]
