from pathlib import Path

import numpy as np
import pytest

from sot.data.datasets.uav import SPLITS, uav_sources
from sot.data.frames import FrameError

UAV123, UAV20L = SPLITS["UAV123"], SPLITS["UAV20L"]


def write_video(root, name, count):
    folder = root / "data_seq" / "UAV123" / name
    folder.mkdir(parents=True)
    for n in range(1, count + 1):
        (folder / f"{n:06d}.jpg").touch()


def write_truth(root, name, rows, split="UAV123"):
    path = root / "anno" / split / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows))


def read(root, name, split="UAV123"):
    (source,) = [s for s in uav_sources(root, split) if s.name == name]
    (track,) = source.read()
    return track


def numbers(track):
    names = [track["frames"].name(i) for i in (0, len(track["frames"]) - 1)]
    return [int(name[-10:-4]) for name in names]


def test_lists_have_the_published_numbers():
    assert len(UAV123) == 123 and len(UAV20L) == 20
    assert sum(last - first + 1 for first, last in UAV123.values()) == 112578
    assert sum(last - first + 1 for first, last in UAV20L.values()) == 58670
    videos = {source.files[1] for source in uav_sources(Path("root"), "UAV123")}
    assert len(videos) == 91


def test_pixels_count_from_one_and_nan_is_absent(tmp_path):
    write_video(tmp_path, "uav6", 109)
    write_truth(tmp_path, "uav6", ["1,1,30,20", "NaN,NaN,NaN,NaN"] + ["11,21,30.5,20"] * 107)
    track = read(tmp_path, "uav6")
    assert track["boxes"][0].tolist() == [0, 0, 30, 20]
    assert track["boxes"][2].tolist() == [10, 20, 40.5, 40]
    assert np.isnan(track["boxes"][1]).all()
    assert track["visible"].tolist() == [True, False] + [True] * 107


def test_parts_share_a_video_and_its_long_sequence(tmp_path, monkeypatch):
    assert UAV123["bird1_2"] == (775, 1477) and UAV20L["bird1"] == (1, 2437)
    monkeypatch.setitem(UAV123, "bird1_1", (1, 3))
    monkeypatch.setitem(UAV123, "bird1_2", (5, 8))
    monkeypatch.setitem(UAV20L, "bird1", (1, 9))
    write_video(tmp_path, "bird1", 9)
    write_video(tmp_path, "person22", 199)
    write_video(tmp_path, "person2_s", 250)
    for name, count in (("bird1_1", 3), ("bird1_2", 4), ("person22", 199), ("person2_s", 250)):
        write_truth(tmp_path, name, [f"{i + 1},1,5,5" for i in range(count)])
    write_truth(tmp_path, "bird1", ["2,2,5,5"] * 9, "UAV20L")
    tracks = {n: read(tmp_path, n) for n in ("bird1_1", "bird1_2", "person22", "person2_s")}
    assert {name: numbers(track) for name, track in tracks.items()} == {
        "bird1_1": [1, 3],
        "bird1_2": [5, 8],
        "person22": [1, 199],
        "person2_s": [1, 250],
    }
    assert tracks["bird1_2"]["boxes"][0].tolist() == [0, 0, 5, 5]  # of frame 5
    long = read(tmp_path, "bird1", "UAV20L")
    assert numbers(long) == [1, 9] and long["boxes"][0].tolist() == [1, 1, 6, 6]


def test_errors_name_the_sequence(tmp_path):
    write_truth(tmp_path, "uav6", ["1,1,5,5"] * 109)
    with pytest.raises(FileNotFoundError, match="uav6: there is no folder .*data_seq/UAV123/uav6"):
        read(tmp_path, "uav6")
    write_video(tmp_path, "uav6", 100)
    with pytest.raises(FrameError, match="uav6: 9 of the frames 1 to 109 .* such as 101"):
        read(tmp_path, "uav6")
    write_video(tmp_path, "uav5", 139)
    write_truth(tmp_path, "uav5", ["1,1,5,5"] * 138 + ["1,1,5"])
    with pytest.raises(ValueError, match="uav5.txt line 139"):
        read(tmp_path, "uav5")
