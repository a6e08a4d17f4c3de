import logging

import cv2
import numpy as np
import pytest

from sot.data.datasets import cached_tracks
from sot.data.datasets.ytbb import ytbb_sources


def write_table(root, rows, split="train"):
    path = root / f"yt_bb_detection_{split}.csv"
    path.write_text("".join(f"{row}\n" for row in rows))
    path.with_suffix("").mkdir(exist_ok=True)


def write_frame(root, video, time, label=0, target=0, size=(100, 200), split="train"):
    folder = root / f"yt_bb_detection_{split}" / str(label)
    folder.mkdir(parents=True, exist_ok=True)
    image = np.zeros((*size, 3), np.uint8)
    cv2.imwrite(str(folder / f"{video}_{time}_{label}_{target}.jpg"), image)


def read(root, split="train"):
    (source,) = ytbb_sources(root, split)
    return list(source.read())


def frame_names(track):
    return [track["frames"].name(i).rpartition("/")[2] for i in range(len(track["frames"]))]


def test_fractions_become_pixels_of_the_picture(tmp_path):
    write_table(
        tmp_path,
        [
            "AAB6lO-XiKE,238000,0,person,0,present,0.25,0.5,0.1,0.6",
            "AAB6lO-XiKE,239000,0,person,0,present,0.0,1.0,0.0,1.0",
        ],
    )
    for time in (238000, 239000):
        write_frame(tmp_path, "AAB6lO-XiKE", time)
    (track,) = read(tmp_path)
    assert track["name"] == "AAB6lO-XiKE_0_0"
    # xmin, xmax, ymin, ymax of 200 x 100 pixels
    np.testing.assert_allclose(track["boxes"], [[50, 10, 100, 60], [0, 0, 200, 100]])
    assert track["visible"].tolist() == [True, True]
    assert track["frames"][1].shape == (100, 200, 3)


def test_rows_are_sorted_into_segments_and_by_time(tmp_path):
    rows = [("_x", 10000, 2, 0), ("_x", 9000, 2, 0), ("_x", 9000, 2, 1), ("b", 0, 10, 0)]
    table = [f"{v},{t},{c},dog,{o},present,0.0,0.5,0.0,0.5" for v, t, c, o in rows]
    write_table(tmp_path, [*table, "_x,11000,2,dog,0,present,0.0,0.5,0.0,0.5"])
    for video, time, label, target in [*rows, ("_x", 11000, 2, 0)]:
        write_frame(tmp_path, video, time, label, target)
    tracks = cached_tracks("ytbb", ytbb_sources(tmp_path, "train"), strict=False)
    assert [t["name"] for t in tracks] == ["b_10_0", "_x_2_0", "_x_2_1"]
    assert frame_names(tracks[1]) == ["_x_9000_2_0.jpg", "_x_10000_2_0.jpg", "_x_11000_2_0.jpg"]
    assert frame_names(tracks[2]) == ["_x_9000_2_1.jpg"]


def test_absent_and_uncertain_targets_are_invisible(tmp_path):
    kinds = ["present", "absent", "uncertain", "present"]
    corners = ["0.5,0.75,0.5,0.75", "-1,-1,-1,-1", "0.5,0.75,0.5,0.75", "0.5,0.75,0.5,0.75"]
    write_table(tmp_path, [f"v,{i + 1}000,3,cat,0,{kinds[i]},{corners[i]}" for i in range(4)])
    for i in range(4):
        write_frame(tmp_path, "v", f"{i + 1}000", label=3)
    (track,) = read(tmp_path)
    assert track["visible"].tolist() == [True, False, False, True]
    assert np.isnan(track["boxes"][1]).all()


def test_frames_that_are_not_on_disk_are_left_out(tmp_path, caplog):
    rows = [f"{v},{t}000,0,person,0,present,0.0,0.5,0.0,0.5" for v in "abc" for t in range(5)]
    rows.append("d,0,22,zebra,0,present,0.0,0.5,0.0,0.5")  # no folder of its class
    write_table(tmp_path, rows)
    for time in (0, 1000, 4000):
        write_frame(tmp_path, "a", time)
    write_frame(tmp_path, "c", 2000)
    (tmp_path / "yt_bb_detection_train" / "0" / "c_2000_0_0.jpg").write_bytes(b"no picture")
    with caplog.at_level(logging.WARNING):
        (track,) = cached_tracks("ytbb", ytbb_sources(tmp_path, "train"), strict=False)
    assert frame_names(track) == ["a_0_0_0.jpg", "a_1000_0_0.jpg", "a_4000_0_0.jpg"]
    assert track["boxes"].tolist() == [[0, 0, 100, 50]] * 3
    assert "left out are 2 segments without a frame" in caplog.text
    assert "1 segments whose first frame" in caplog.text and "c_2000_0_0.jpg" in caplog.text


@pytest.mark.parametrize("bad", ["v,1000,0,person,0,present", "v,1 s,0,person,0,present,0,1,0,1"])
def test_bad_row_is_named(tmp_path, bad):
    write_table(tmp_path, ["v,0,0,person,0,present,0.0,0.5,0.0,0.5", bad])
    with pytest.raises(ValueError, match="yt_bb_detection_train.csv line 2: expected youtube_id"):
        read(tmp_path)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="yt_bb_detection_validation.csv"):
        ytbb_sources(tmp_path, "validation")
    write_table(tmp_path, [], "validation")
    assert read(tmp_path, "validation") == []
    (tmp_path / "yt_bb_detection_validation").rmdir()
    with pytest.raises(FileNotFoundError, match="yt_bb_detection_validation does not exist"):
        ytbb_sources(tmp_path, "validation")
