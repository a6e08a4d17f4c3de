import pickle

import numpy as np
import pytest

from sot.data.datasets import TrackList, check_start, make_track
from sot.data.datasets.tracks import NumberedFiles
from sot.data.frames import ImageFrames, Photograph


class TestMakeTrack:
    def test_boxes_become_corners_and_bad_ones_nan(self):
        rows = [[1, 2, 3, 4], [np.nan, 2, 3, 4], [1, 2, 0, 4], [1, 2, 3, -4], [1, 2, np.inf, 4]]
        track = make_track("s", [None] * 5, rows)
        assert track["boxes"][0].tolist() == [1, 2, 4, 6]
        assert np.isnan(track["boxes"][1:]).all()
        assert track["visible"].tolist() == [True, False, False, False, False]
        assert track["boxes"].dtype == np.float64

    def test_annotated_absent_frames_keep_their_box(self):
        track = make_track(
            "s", [None] * 3, [[1, 2, 3, 4]] * 2 + [[0, 0, 0, 0]], [True, False, True]
        )
        assert track["visible"].tolist() == [True, False, False]
        assert track["boxes"][1].tolist() == [1, 2, 4, 6] and np.isnan(track["boxes"][2]).all()

    def test_more_fields(self):
        track = make_track("s", [None] * 2, np.ones((2, 4)), cover=[8, 0])
        assert track["cover"].tolist() == [8, 0]

    def test_lengths_must_agree(self):
        with pytest.raises(ValueError, match="sequence s: 1 frames but 2 boxes"):
            make_track("s", [None], np.ones((2, 4)))
        with pytest.raises(ValueError, match="sequence s: 2 boxes but 3 values of cover"):
            make_track("s", [None] * 2, np.ones((2, 4)), cover=[1, 2, 3])
        with pytest.raises(ValueError, match="sequence s: 2 boxes but 1 values of visible"):
            make_track("s", [None] * 2, np.ones((2, 4)), visible=[True])
        with pytest.raises(ValueError, match="sequence s has no frames"):
            make_track("s", [], np.zeros((0, 4)))


def test_track_in_which_no_tracker_can_start():
    frames = [np.zeros((50, 100, 3), np.uint8)]
    check_start(make_track("s", frames, [[90, 40, 20, 20]]))
    for box, words in [([np.nan] * 4, "four finite numbers"), ([100, 0, 9, 9], "lies outside the")]:
        with pytest.raises(ValueError, match=f"sequence s: a tracker cannot start .*{words}"):
            check_start(make_track("s", frames, [box]))
    frames = ImageFrames(["gone.png"])
    with pytest.raises(ValueError, match="sequence s: .*: image gone.png is missing"):
        check_start(make_track("s", frames, [[1, 2, 3, 4]]))


class TestNumberedFiles:
    @pytest.mark.parametrize(
        "files",
        [
            ["/d/v2/0001.jpg", "/d/v2/0002.jpg", "/d/v2/0003.jpg"],
            ["0.jpg", "1.jpg", *(f"{i}.jpg" for i in range(2, 12))],
            ["/a/img00010.png", "/a/img00015.png", "/a/img00020.png"],
        ],
    )
    def test_same_names_in_little_space(self, files):
        numbered = NumberedFiles.from_list(files)
        assert list(numbered) == files and numbered[-1] == files[-1]
        assert len(pickle.dumps(numbered)) < 200
        with pytest.raises(IndexError):
            numbered[len(files)]

    @pytest.mark.parametrize(
        "files",
        [
            ["1.jpg"],
            ["1.jpg", "2.jpg", "4.jpg"],  # one is missing
            ["a.jpg", "b.jpg"],
            ["1.jpg", "2.png"],
            ["01.jpg", "2.jpg"],
            [],
        ],
    )
    def test_other_names_are_refused(self, files):
        assert NumberedFiles.from_list(files) is None


class Painted:
    """Frames that are no files."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length


TRACKS = [
    make_track("numbered", ImageFrames(["/d/1.jpg", "/d/2.jpg"]), [[0, 0, 1, 1]] * 2),
    make_track("odd names", ImageFrames(["/d/ä b.jpg", "/d/c.jpg"]), [[1, 1, 2, 2], [0, 0, 0, 0]]),
    make_track("pa\u00efnted", Painted(3), [[0, 0, 0, 0]] * 3),
    make_track("one", Photograph("/d/1.jpg", (30, 20)), [[5, 6, 7, 8]]),
]


def check_same(tracks, expected):
    assert len(tracks) == len(expected)
    for a, b in zip(tracks, expected):
        assert a.keys() == b.keys() and a["name"] == b["name"]
        np.testing.assert_array_equal(a["boxes"], b["boxes"])
        np.testing.assert_array_equal(a["visible"], b["visible"])
        assert len(a["frames"]) == len(b["frames"])
        if isinstance(b["frames"], ImageFrames):
            assert list(a["frames"].files) == list(b["frames"].files)
            assert vars(a["frames"]).get("size") == vars(b["frames"]).get("size")


class TestTrackList:
    def test_gives_back_what_was_packed(self):
        tracks = TrackList.pack(TRACKS)
        check_same(tracks, TRACKS)
        assert tracks[2]["frames"] is TRACKS[2]["frames"]
        assert tracks[-1]["boxes"].tolist() == [[5, 6, 12, 14]]
        assert tracks.num_visible().tolist() == [2, 1, 0, 1]
        assert tracks.num_frames().tolist() == [2, 2, 3, 1]
        assert TrackList.pack(tracks) is tracks
        with pytest.raises(IndexError):
            tracks[4]

    def test_sent_to_another_process(self):
        check_same(pickle.loads(pickle.dumps(TrackList.pack(TRACKS))), TRACKS)

    def test_further_fields_of_every_track(self):
        make = lambda name, t: make_track(name, Painted(t), [[0, 0, 1, 1]] * t, cover=range(t))  # noqa: E731
        tracks = TrackList.pack([make("a", 2), make("b", 3)])
        assert tracks[1]["cover"].tolist() == [0, 1, 2]
        with pytest.raises(ValueError, match="sequence numbered has the fields"):
            TrackList.pack([make("a", 2), TRACKS[0]])

    def test_fields_of_another_length_are_refused(self):
        track = {**TRACKS[0], "visible": np.ones(3, bool)}
        with pytest.raises(ValueError, match="sequence numbered: 2 boxes but 3 values of visible"):
            TrackList.pack([track])

    def test_no_tracks(self):
        assert len(TrackList.pack([])) == 0 and TrackList.pack([]).num_visible().tolist() == []
