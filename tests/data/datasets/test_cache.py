import logging
import os
import pickle
from unittest import mock

import numpy as np
import pytest
import torch

from sot.data.datasets import Source, cache, cached_tracks, make_track
from sot.data.frames import ImageFrames, VideoFrames
from sot.visualization import VideoWriter


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Annotation files a.txt and b.txt; the cache is elsewhere and keeps everything."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "KEEP_AFTER", 0.0)
    (tmp_path / "data").mkdir()
    for name in "ab":
        (tmp_path / "data" / f"{name}.txt").write_text("1,2,3,4")
    return tmp_path / "data"


class Reader:
    """Counts how often it reads."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0

    def sources(self):
        for path in sorted(self.folder.glob("*.txt")):
            yield Source(path.stem, (str(path),), lambda path=path: self.read(path))

    def read(self, path):
        self.count += 1
        if path.read_text() == "broken":
            raise ValueError(f"{path} is broken")
        box = np.array(path.read_text().split(","), dtype=float)
        return [make_track(path.stem, ImageFrames([f"/d/{path.stem}.jpg"]), [box])]


def names(tracks):
    return [t["name"] for t in tracks]


def kept(folder):
    found = (folder.parent / "cache" / "sot" / "tracks").iterdir()
    return [p for p in found if p.suffix == ".pt"]


def test_second_time_nothing_is_read(folder):
    reader = Reader(folder)
    for _ in range(2):
        tracks = cached_tracks("set", reader.sources(), strict=True)
        assert names(tracks) == ["a", "b"] and tracks[0]["boxes"].tolist() == [[1, 2, 4, 6]]
    assert reader.count == 2 and len(kept(folder)) == 1


@pytest.mark.parametrize("change", ["content", "time", "new", "gone"])
def test_a_change_makes_it_anew_and_drops_the_old(folder, change):
    reader = Reader(folder)
    cached_tracks("set", reader.sources(), strict=True)
    if change == "content":
        (folder / "a.txt").write_text("1,2,3,40")
    elif change == "time":
        os.utime(folder / "a.txt", (1, 1))
    elif change == "new":
        (folder / "c.txt").write_text("1,2,3,4")
    else:
        (folder / "b.txt").unlink()
    tracks = cached_tracks("set", reader.sources(), strict=True)
    assert names(tracks) == [p.stem for p in sorted(folder.glob("*.txt"))]
    assert reader.count == 2 + len(tracks)
    if change in ("content", "time"):
        assert len(kept(folder)) == 1
    assert tracks[0]["boxes"][0, 3] == (42 if change == "content" else 6)


def test_what_is_read_quickly_is_not_kept(folder, monkeypatch):
    monkeypatch.setattr(cache, "KEEP_AFTER", 60.0)
    reader = Reader(folder)
    for _ in range(2):
        assert names(cached_tracks("set", reader.sources(), strict=True)) == ["a", "b"]
    assert reader.count == 4 and kept(folder) == []


def test_bad_source_is_an_error_or_left_out_and_named(folder, caplog):
    (folder / "a.txt").write_text("broken")
    reader = Reader(folder)
    with pytest.raises(ValueError, match="a.txt is broken"):
        cached_tracks("strict set", reader.sources(), strict=True)
    with caplog.at_level(logging.WARNING):
        tracks = cached_tracks("other set", reader.sources(), strict=False)
    assert names(tracks) == ["b"]
    assert "other set: 1 of 2 sources" in caplog.text and "a.txt is broken" in caplog.text


def test_left_out_is_logged_from_the_cache_too(folder, caplog, monkeypatch):
    (folder / "a.txt").write_text("broken")
    messages = []
    monkeypatch.setattr(cache, "log_first_n", lambda level, message, **_: messages.append(message))
    for _ in range(2):
        cached_tracks("set", Reader(folder).sources(), strict=False)
    assert len(messages) == 2 and messages[0] == messages[1]


def flip_a_bit(path, of):
    data = bytearray(path.read_bytes())
    data[data.index(of)] ^= 4
    path.write_bytes(data)


DAMAGES = {
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "empty": lambda path: path.write_bytes(b""),
    "names": lambda path: flip_a_bit(path, b"/d/a.jpg"),
    "boxes": lambda path: flip_a_bit(path, np.float64([1, 2, 4, 6]).tobytes()),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_index_is_made_anew(folder, monkeypatch, damage):
    messages = []
    monkeypatch.setattr(cache, "log_first_n", lambda level, message, **_: messages.append(message))
    reader = Reader(folder)
    cached_tracks("set", reader.sources(), strict=True)
    (index,) = kept(folder)
    damage(index)
    for _ in range(2):  # the second time from disk
        tracks = cached_tracks("set", reader.sources(), strict=True)
        assert names(tracks) == ["a", "b"] and tracks[0]["boxes"].tolist() == [[1, 2, 4, 6]]
    assert reader.count == 4 and len(messages) == 1 and "made anew" in messages[0]


def test_folder_is_the_users_own_and_holds_nothing_that_runs(folder):
    cached_tracks("set", Reader(folder).sources(), strict=True)
    assert os.stat(folder.parent / "cache" / "sot").st_mode & 0o777 == 0o700
    (index,) = kept(folder)
    assert set(torch.load(index, weights_only=True)) == {"arrays", "videos", "left_out"}


@pytest.mark.parametrize("problem", ["full", "file", "foreign"])
def test_cache_that_cannot_be_used_is_done_without(folder, monkeypatch, problem):
    messages = []
    monkeypatch.setattr(cache, "log_first_n", lambda level, message, **_: messages.append(message))
    if problem == "full":
        monkeypatch.setattr(torch, "save", mock.Mock(side_effect=OSError(28, "No space left")))
    elif problem == "file":
        (folder.parent / "cache").write_text("")
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    for _ in range(2):
        assert names(cached_tracks("set", Reader(folder).sources(), strict=True)) == ["a", "b"]
    expected = {"full": "No space left", "file": "cache", "foreign": "another user"}[problem]
    assert len(messages) == 2 and expected in messages[0]


def test_videos_are_kept_with_the_index_of_their_pictures(folder):
    path = str(folder / "a.mp4")
    with VideoWriter(path, 25) as writer:
        for i in range(3):
            writer.write(np.full((48, 64, 3), 80 * i, np.uint8))
    read = mock.Mock(side_effect=lambda: [make_track("v", VideoFrames(path), [[1, 2, 3, 4]] * 3)])
    for _ in range(2):
        tracks = cached_tracks("set", [Source("a", (path,), read)], strict=True)
        assert tracks[0]["frames"][1].mean() == pytest.approx(80, abs=3)
    assert read.call_count == 1
    sent = pickle.dumps(tracks)
    assert len(sent) < 300  # the file's path, not the arrays
    assert len(pickle.loads(sent)[0]["frames"]) == 3


def test_frames_that_cannot_be_written_are_read_each_time(folder):
    class Opaque(list):
        pass

    read = mock.Mock(side_effect=lambda: [make_track("o", Opaque([0]), [[1, 2, 3, 4]])])
    for _ in range(2):
        (track,) = cached_tracks("set", [Source("a", (), read)], strict=True)
        assert track["frames"] == [0]
    assert read.call_count == 2
