import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from sot.data import PairDataset, PairLoader


class Frames(list):
    """Frames that are never looked at."""


TRACKS = [
    {
        "name": f"t{i}",
        "frames": Frames([None]),
        "boxes": np.full((1, 4), i, np.float32),
        "visible": np.ones(1, bool),
    }
    for i in range(7)
]


class Mapper:
    """Marks each item with its pair's box; search crops of two sizes if ``sizes`` says so."""

    def __init__(self, sizes=(6, 6)):
        self.sizes = sizes

    def __call__(self, pair):
        k = int(pair["template"]["box"][0])
        size = self.sizes[k % 2]
        instances = Instances((size, size))
        instances.gt_boxes = Boxes(torch.tensor([[0.0, 0.0, k, k]]))
        instances.gt_negative = torch.tensor([k > 3])
        search = torch.full((3, size, size), k, dtype=torch.uint8)
        return {"name": f"t{k}", "search": search, "instances": instances}


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("sizes", [(6, 6), (6, 8)])
def test_batches_hold_what_the_mapper_made(num_workers, sizes):
    pairs = PairDataset([TRACKS], seed=1)
    batches = iter(PairLoader(pairs, Mapper(sizes), 4, num_workers))
    items = [item for _ in range(3) for item in next(batches)]
    assert len(items) == 12
    expected = [pairs[k]["template"]["name"] for k in range(12)]
    assert [item["name"] for item in items] == expected
    for item in items:
        k = int(item["name"][1:])
        size = sizes[k % 2]
        assert item["search"].shape == (3, size, size) and (item["search"] == k).all()
        instances = item["instances"]
        assert instances.image_size == (size, size) and len(instances) == 1
        assert instances.gt_boxes.tensor.tolist() == [[0, 0, k, k]]
        assert instances.gt_negative.tolist() == [k > 3]


def test_starts_anywhere():
    loader = PairLoader(PairDataset([TRACKS], seed=1), Mapper(), 2, 0)
    first = iter(loader)
    names = [item["name"] for _ in range(5) for item in next(first)]
    loader.skip_to(3)
    assert [item["name"] for item in next(iter(loader))] == names[6:8]


def test_batch_must_be_positive():
    with pytest.raises(ValueError, match="IMS_PER_BATCH 0"):
        PairLoader(PairDataset([TRACKS]), Mapper(), 0, 0)
