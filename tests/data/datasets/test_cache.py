import logging
import os

import numpy as np
import pytest

from sot.data.datasets import Source, cache, cached_tracks, make_track
from sot.data.frames import ImageFrames


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Annotation files a.txt and b.txt; the cache is elsewhere and keeps everything."""
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
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
    found = (folder.parent / "cache" / "sot_tracks").iterdir()
    return [p for p in found if p.is_dir()]


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


def test_damaged_index_is_made_anew(folder, caplog):
    reader = Reader(folder)
    cached_tracks("set", reader.sources(), strict=True)
    (index,) = kept(folder)
    (index / "row.boxes.npy").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        tracks = cached_tracks("set", reader.sources(), strict=True)
    assert names(tracks) == ["a", "b"] and reader.count == 4 and "made anew" in caplog.text
