import numpy as np
import pytest

from sot.data import PairDataset


class Frames(list):
    """Frames that are never looked at."""


def track(name, visible):
    visible = np.array(visible, dtype=bool)
    boxes = np.arange(len(visible) * 4, dtype=np.float32).reshape(-1, 4)
    return {"name": name, "frames": Frames([name]), "boxes": boxes, "visible": visible}


def owner(frame):
    return frame["frames"][0]


VIDEOS = [track(f"v{i}", [1, 1, 0, 1, 1, 1, 0, 1]) for i in range(5)]
STILLS = [track(f"s{i}", [1]) for i in range(10)]


def test_item_depends_on_seed_and_index_only():
    a, b = PairDataset([VIDEOS, STILLS], seed=3), PairDataset([VIDEOS, STILLS], seed=3)
    order = list(range(100))
    first = [a[k] for k in order]
    second = [b[k] for k in reversed(order)][::-1]
    for p, q in zip(first, second):
        assert p["seed"] == q["seed"] and p["negative"] == q["negative"]
        assert owner(p["template"]) == owner(q["template"])
        assert p["search"]["index"] == q["search"]["index"]
    other = PairDataset([VIDEOS, STILLS], seed=4)
    assert [p["seed"] for p in first] != [other[k]["seed"] for k in order]


def test_epoch_holds_every_track_as_often_as_its_repeat_factor():
    pairs = PairDataset([VIDEOS, STILLS], [2.0, 0.5])
    assert len(pairs) == 15
    for epoch in range(3):
        names = [owner(pairs[epoch * 15 + k]["template"]) for k in range(15)]
        assert all(names.count(t["name"]) == 2 for t in VIDEOS)
        assert sum(n.startswith("s") for n in names) == 5
    epochs = [[owner(pairs[e * 15 + k]["template"]) for k in range(15)] for e in range(2)]
    assert epochs[0] != epochs[1]


def test_invisible_frames_are_never_drawn_and_range_is_kept():
    pairs = PairDataset([VIDEOS], frame_ranges=[1])
    gaps = set()
    for k in range(300):
        p = pairs[k]
        assert p["template"]["index"] not in (2, 6) and p["search"]["index"] not in (2, 6)
        gaps.add(p["search"]["index"] - p["template"]["index"])
        assert p["template"]["box"][0] == 4 * p["template"]["index"]
    assert gaps == {-1, 0, 1}


def test_negative_pairs_show_another_track():
    pairs = PairDataset([VIDEOS, STILLS], negative_fraction=0.5)
    items = [pairs[k] for k in range(400)]
    for p in items:
        assert p["negative"] == (owner(p["template"]) != owner(p["search"]))
    assert 150 < sum(p["negative"] for p in items) < 250


def test_one_track_alone_has_no_negative_pairs():
    for pairs in (
        PairDataset([VIDEOS[:1]], negative_fraction=1.0),
        PairDataset([STILLS[:2]], [0.5], negative_fraction=1.0),  # an epoch of one of the two
    ):
        assert not pairs[0]["negative"]


def test_track_without_a_visible_frame_is_left_out():
    pairs = PairDataset([[track("gone", [0, 0]), track("here", [0, 1])]])
    assert len(pairs) == 1 and owner(pairs[0]["template"]) == "here"
    with pytest.raises(ValueError, match="no track"):
        PairDataset([[track("gone", [0, 0])]])


def test_epoch_size_in_pairs_takes_the_place_of_the_repeat_factor():
    pairs = PairDataset([VIDEOS, STILLS], [2.0, 0.5], epoch_sizes=[12, 0])
    assert len(pairs) == 12 + 5
    names = [owner(pairs[k]["template"]) for k in range(17)]
    assert sorted(names.count(t["name"]) for t in VIDEOS) == [2, 2, 2, 3, 3]


def test_each_dataset_has_its_own_frame_range():
    pairs = PairDataset([VIDEOS, [track("w", [1] * 50)]], [1.0, 5.0], frame_ranges=[1, 40])
    gaps = {"v": set(), "w": set()}
    for k in range(500):
        p = pairs[k]
        gap = abs(p["search"]["index"] - p["template"]["index"])
        gaps[owner(p["template"])[0]].add(gap)
    assert max(gaps["v"]) == 1 and 30 < max(gaps["w"]) <= 40


def test_distance_of_a_pair_is_in_frames_also_where_frames_are_invisible():
    pairs = PairDataset([[track("v", [1, 0, 0, 1])]], frame_ranges=[2])
    assert all(pairs[k]["search"]["index"] == pairs[k]["template"]["index"] for k in range(50))


@pytest.mark.parametrize("factors", [[1.0], [1.0, 0.0], [1.0, 1.0, 1.0]])
def test_bad_repeat_factors(factors):
    with pytest.raises(ValueError, match="TRAIN_REPEAT_FACTOR"):
        PairDataset([VIDEOS, STILLS], factors)


def test_bad_frame_ranges_and_epoch_sizes():
    with pytest.raises(ValueError, match="FRAME_RANGE must hold one positive .* 2 training sets"):
        PairDataset([VIDEOS, STILLS], frame_ranges=[100])
    with pytest.raises(ValueError, match="FRAME_RANGE"):
        PairDataset([VIDEOS], frame_ranges=[0])
    with pytest.raises(ValueError, match=r'TRAIN_EPOCH_SIZE .* one non-negative .* "\(\)"$'):
        PairDataset([VIDEOS], epoch_sizes=[-1])
    with pytest.raises(ValueError, match="FRAME_RANGE must hold one positive whole number"):
        PairDataset([VIDEOS], frame_ranges=[1.5])
