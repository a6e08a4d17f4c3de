import os

import cv2
import numpy as np
import pytest
from dataset_checks import Checker, Unit, check_box, make_units
from PIL import Image

from sot.data.datasets import TrackList, make_track
from sot.data.frames import ImageFrames, Photograph

GRAY = np.full((40, 60, 3), 128, np.uint8)
BOX = (10, 10, 20, 20)  # x, y, w, h


def kinds(problems):
    return [(p.kind, p.sequence, p.frame) for p in problems]


def pictures(folder, count):
    folder.mkdir()
    files = [str(folder / f"{i}.png") for i in range(count)]
    for file in files:
        cv2.imwrite(file, GRAY)
    return files


def pack(*tracks):
    return TrackList.pack(
        make_track(name, frames, np.tile(np.array(box, float), (len(frames), 1)))
        for name, frames, box in tracks
    )


class Drawn:
    """Frames that note which of them were asked for."""

    def __init__(self, length):
        self.length, self.asked = length, []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.asked.append(index)
        if index == 3:
            raise ZeroDivisionError
        return GRAY

    def name(self, index):
        return f"drawn {index}"


@pytest.mark.parametrize(
    "box, kind",
    [
        ((10, 10, 30, 30), None),
        ((-50, -30, 50, 30), None),  # in part outside
        ((-20, 10, 0, 30), "outside"),  # ends where the picture begins
        ((-20, 10, 0.5, 30), None),
        ((60, 10, 70, 30), "outside"),
        ((10, -9, 20, -1), "outside"),
        ((10, 40, 20, 50), "outside"),
        ((0, 0, 120, 40), None),  # twice as wide
        ((0, 0, 121, 40), "huge"),
        ((0, -50, 10, 31), "huge"),
        ((10, 10, 10.5, 30), "tiny"),
        ((10, 10, 11, 11), None),
        ((10, 10, 10, 30), "sizeless"),
        ((30, 10, 10, 30), "sizeless"),
        ((np.nan, 10, 20, 30), "sizeless"),
        ((0, 0, np.inf, 30), "sizeless"),
    ],
)
def test_boxes_in_a_picture_of_60_x_40(box, kind):
    assert check_box(np.array(box, np.float32), (60, 40)) == kind


def test_box_in_a_picture_of_unknown_size():
    assert check_box(np.array([500, 500, 900, 900], np.float32), None) is None
    assert check_box(np.array([5, 5, 5.5, 9], np.float32), None) == "tiny"


def test_units_are_parts_of_long_tracks_and_tracks_in_the_same_pictures():
    long = ImageFrames([f"a/{i}.jpg" for i in range(450)])
    photo, other = ImageFrames(["b/1.jpg"]), ImageFrames(["b/2.jpg"])
    video = ImageFrames([f"c/{i}.jpg" for i in range(300)])
    tracks = pack(
        ("long", long, BOX),
        ("photo#0", photo, BOX),
        ("photo#1", photo, BOX),
        ("other", other, BOX),
        ("video#0", video, BOX),
        ("video#1", video, BOX),
    )
    units = list(make_units(tracks))
    assert units == [
        (0, 0, 0, 200),
        (0, 0, 200, 400),
        (0, 0, 400, 450),
        (1, 2, 0, 1),
        (3, 3, 0, 1),
        (4, 5, 0, 300),
    ]
    assert sum(u.num_boxes for u in units) == 450 + 3 + 600


class TestChecker:
    def test_missing_and_undecodable_frames(self, tmp_path):
        files = pictures(tmp_path / "a", 4)
        os.remove(files[1])
        (tmp_path / "a" / "2.png").write_bytes(b"no picture")
        unit, problems = Checker(pack(("a", ImageFrames(files), BOX)), True)[Unit(0, 0, 0, 4)]
        assert unit == (0, 0, 0, 4)
        assert kinds(problems) == [("missing", "a", 1), ("undecodable", "a", 2)]
        assert all(files[p.frame] in p.detail for p in problems)

    def test_odd_but_good_pictures(self, tmp_path):
        files = [str(tmp_path / f"{n}.png") for n in ("gray", "alpha", "deep")]
        images = GRAY[..., 0], np.dstack([GRAY, GRAY[..., 0]]), GRAY.astype(np.uint16) * 257
        for file, image in zip(files, images):
            cv2.imwrite(file, image)
        tracks = pack(("a", ImageFrames(files), BOX))
        for decode in (True, False):
            assert Checker(tracks, decode)[Unit(0, 0, 0, 3)][1] == []

    def test_boxes_of_visible_frames(self, tmp_path):
        frames = ImageFrames(pictures(tmp_path / "a", 4))
        boxes = [BOX, (70, 10, 5, 5), (70, 10, 5, 5), (0, 0, 0, 0)]
        track = make_track("a", frames, boxes, visible=[True, True, False, True])
        _, problems = Checker(TrackList.pack([track]), True)[Unit(0, 0, 0, 4)]
        assert kinds(problems) == [("outside", "a", 1)]
        assert problems[0].detail.endswith(
            "1.png: x, y, w, h = 70, 10, 5, 5 in a picture of 60 x 40"
        )

    def test_track_that_is_never_visible_is_named_once(self, tmp_path):
        frames = ImageFrames(pictures(tmp_path / "a", 3))
        checker = Checker(pack(("a", frames, (0, 0, 0, 0))), True)
        assert kinds(checker[Unit(0, 0, 0, 2)][1]) == [("invisible", "a", None)]
        assert checker[Unit(0, 0, 2, 3)][1] == []

    def test_shared_pictures_are_decoded_once_and_in_order(self):
        frames = Drawn(5)
        tracks = pack(("a", frames, BOX), ("b", frames, (900, 0, 5, 5)))
        _, problems = Checker(tracks, True)[Unit(0, 1, 0, 5)]
        assert frames.asked == [0, 1, 2, 3, 4]
        # the size of a frame that does not decode is not known
        outside = [("outside", "b", t) for t in (0, 1, 2, 4)]
        assert kinds(problems) == [("undecodable", "a", 3), *outside]
        assert "drawn 3: ZeroDivisionError" in problems[0].detail

    def test_without_decoding_one_frame_tells_the_size_of_a_video(self):
        frames = Drawn(5)
        _, problems = Checker(pack(("a", frames, (70, 0, 5, 5))), False)[Unit(0, 0, 1, 5)]
        assert frames.asked == [1]
        assert kinds(problems) == [("outside", "a", t) for t in (1, 2, 3, 4)]

    def test_photograph_of_another_size_than_its_annotations_tell(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6  # stored 60 x 40, shown 40 x 60
        file = str(tmp_path / "a.jpg")
        Image.fromarray(GRAY).save(file, exif=exif)
        for size, detail in (
            ((40, 60), None),
            (
                (60, 40),
                "tell 60 x 40, the picture is 40 x 60 by its EXIF tag; it is read as",
            ),
            ((80, 60), "tell 80 x 60, the picture is 40 x 60"),
        ):
            for decode in (True, False):
                checker = Checker(pack(("a", Photograph(file, size), BOX)), decode)
                problems = checker[Unit(0, 0, 0, 1)][1]
                assert [p.kind for p in problems] == ["size"] * bool(detail)
                assert not detail or detail in problems[0].detail

    def test_without_decoding_a_photograph_is_turned_as_its_tag_says(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6  # a quarter turn: shown, it is 40 wide and 60 high
        Image.fromarray(GRAY).save(tmp_path / "a.jpg", exif=exif)
        tracks = pack(("a", ImageFrames([str(tmp_path / "a.jpg")]), (45, 5, 10, 10)))
        for decode in (True, False):
            (problem,) = Checker(tracks, decode)[Unit(0, 0, 0, 1)][1]
            assert problem.kind == "outside" and "40 x 60" in problem.detail
