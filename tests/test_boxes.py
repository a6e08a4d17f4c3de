import numpy as np
import pytest
import torch
from detectron2.structures import BoxMode

from sot.boxes import (
    bounding_box,
    center_of,
    check_box,
    find_fault,
    from_center,
    is_present,
    sides_of,
    to_xywh,
    to_xyxy,
)

NAN = float("nan")
XYXY = [[10.0, 20.0, 30.0, 60.0], [-3.5, 0.0, 0.5, 1.0]]
XYWH = [[10.0, 20.0, 20.0, 40.0], [-3.5, 0.0, 4.0, 1.0]]
CENTERS, SIDES = [[20.0, 40.0], [-1.5, 0.5]], [[20.0, 40.0], [4.0, 1.0]]


@pytest.mark.parametrize("make", [np.array, torch.tensor])
class TestFormats:
    def test_all_are_the_same_boxes(self, make):
        xyxy, xywh = make(XYXY), make(XYWH)
        assert to_xywh(xyxy).tolist() == XYWH
        assert to_xyxy(xywh).tolist() == XYXY
        assert center_of(xyxy).tolist() == CENTERS
        assert sides_of(xyxy).tolist() == SIDES
        assert from_center(make(CENTERS), make(SIDES)).tolist() == XYXY

    def test_kind_type_and_further_dimensions_are_kept(self, make):
        boxes = make(XYXY)[None, :, None].astype("float32") if make is np.array else None
        boxes = torch.tensor(XYXY)[None, :, None] if boxes is None else boxes
        for convert in (to_xywh, to_xyxy):
            found = convert(boxes)
            assert type(found) is type(boxes)
            assert found.dtype == boxes.dtype
            assert tuple(found.shape) == (1, 2, 1, 4)


def test_one_box_may_be_a_tuple():
    assert to_xyxy((10, 20, 20, 40)).tolist() == [10, 20, 30, 60]
    assert from_center((20, 40), (20, 40)).tolist() == [10, 20, 30, 60]


def test_bounding_box():
    points = np.array([[[1, 2], [5, 0], [3, 7]], [[0, 0], [2, -1], [1, 1]]])
    assert bounding_box(points).tolist() == [[1, 0, 5, 7], [0, -1, 2, 1]]


class TestValidity:
    def test_is_present(self):
        boxes = [XYXY[0], [NAN] * 4, [0, 0, 0, 5], [5, 5, 1, 9], [0, 0, np.inf, 1]]
        assert is_present(boxes).tolist() == [True, False, False, False, False]
        assert is_present(XYXY[0])

    @pytest.mark.parametrize(
        "box, fault",
        [
            ([0, 0, 1, 1], None),
            ([-5, -5, 0.1, 0.1], None),
            ([-5, 3, 0, 9], "outside"),
            ([60, 3, 70, 9], "outside"),
            ([3, 40, 9, 50], "outside"),
            ([3, NAN, 9, 50], "sizeless"),
            ([9, 3, 3, 50], "sizeless"),
        ],
    )
    def test_fault_in_an_image_of_height_40_and_width_60(self, box, fault):
        assert find_fault(np.array(box), (40, 60)) == fault
        assert find_fault(np.array(box)) == (None if fault == "outside" else fault)

    def test_a_sound_box_is_copied(self):
        given = np.array(XYXY[0])
        box = check_box(given, (100, 100))
        given[:] = 0
        assert box.tolist() == XYXY[0]
        assert check_box(XYWH[0], mode=BoxMode.XYWH_ABS).tolist() == XYXY[0]
        tensor = torch.tensor(XYXY[0], requires_grad=True)
        assert check_box(tensor).tolist() == XYXY[0]

    @pytest.mark.parametrize(
        "box, message",
        [
            ((1, 2, 3), "four finite numbers"),
            ((1, 2, 3, NAN), "four finite numbers"),
            ("1,2,3,4", "four finite numbers, got 1,2,3,4"),
            ({"x": 1}, "four finite numbers"),
            (None, "four finite numbers, got None"),
            ((5, 5, 5, 9), "no positive size: width 0, height 4"),
            ((60, 0, 70, 9), "x=60 y=0 w=10 h=9 lies outside the 60x40 image"),
            ((0, 0, 1e300, 9), "too large: width 1e"),
        ],
    )
    def test_what_is_no_box_is_named(self, box, message):
        with pytest.raises(ValueError, match=message):
            check_box(box, (40, 60))
