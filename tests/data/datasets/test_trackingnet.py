import logging

import numpy as np
import pytest

from sot.data.datasets import cached_tracks
from sot.data.datasets.trackingnet import trackingnet_sources


def write_video(chunk, name, boxes, num_frames=None):
    (chunk / "anno").mkdir(parents=True, exist_ok=True)
    (chunk / "anno" / f"{name}.txt").write_text("\n".join(boxes))
    if num_frames is not None:
        (chunk / "frames" / name).mkdir(parents=True)
        for i in range(num_frames):
            (chunk / "frames" / name / f"{i}.jpg").touch()


def names(sources):
    return [source.name for source in sources]


def test_boxes_and_natural_order_of_frames(tmp_path):
    boxes = [" 1.00,102.00,245.00,174.00", "-4.07,96.34,236.30,172.80", "3,4,0,6"]
    write_video(tmp_path / "TRAIN_0", "-3TIfnTSM6c_2", boxes + ["3,4,5,6"] * 8, 11)
    (source,) = trackingnet_sources(tmp_path, "train_0")
    (track,) = source.read()
    assert track["name"] == "-3TIfnTSM6c_2"
    # boxes may leave the image, since trackers filled the gaps between the annotations
    assert track["boxes"][:2].tolist() == [
        [1, 102, 246, 276],
        [np.float32(v) for v in (-4.07, 96.34, 232.23, 269.14)],
    ]
    assert track["visible"].tolist() == [True, True, False] + [True] * 8
    ends = [track["frames"].name(i).rpartition("/")[2] for i in (0, 1, 2, 9, 10)]
    assert ends == ["0.jpg", "1.jpg", "2.jpg", "9.jpg", "10.jpg"]


def test_sources_name_all_that_is_read(tmp_path):
    write_video(tmp_path / "TRAIN_3", "b_0", ["1,2,3,4"], 1)
    (source,) = trackingnet_sources(tmp_path, "train_3")
    chunk = tmp_path / "TRAIN_3"
    assert source.name == "b_0" and source.files == (chunk / "anno/b_0.txt", chunk / "frames/b_0")


def test_chunks_of_each_split(tmp_path):
    for i in range(12):
        write_video(tmp_path / f"TRAIN_{i}", f"v{i}_0", ["1,2,3,4"])
    write_video(tmp_path / "TRAIN_1", "u1_0", ["1,2,3,4"])
    (tmp_path / "TRAIN_1" / "anno" / "notes.md").touch()
    first_four = ["v0_0", "u1_0", "v1_0", "v2_0", "v3_0"]
    assert names(trackingnet_sources(tmp_path, "train_p4")) == first_four
    rest = [f"v{i}_0" for i in range(4, 12)]
    assert names(trackingnet_sources(tmp_path, "train")) == first_four + rest
    assert names(trackingnet_sources(tmp_path, "train_11")) == ["v11_0"]


def test_test_set_has_the_first_box_only(tmp_path):
    write_video(tmp_path / "TEST", "0mQjFeyN7LE_0", ["136,160,547,345"], 3)
    (track,) = trackingnet_sources(tmp_path, "test")[0].read()
    assert track["boxes"][0].tolist() == [136, 160, 683, 505]
    assert np.isnan(track["boxes"][1:]).all()
    assert track["visible"].tolist() == [True, False, False] and len(track["frames"]) == 3


def test_one_box_alone_is_no_training_video(tmp_path):
    write_video(tmp_path / "TRAIN_0", "a_0", ["1,2,3,4"], 3)
    with pytest.raises(ValueError, match="a_0: 3 frames but 1 boxes"):
        trackingnet_sources(tmp_path, "train_0")[0].read()


def test_frames_still_in_zip_files(tmp_path, caplog):
    chunk = tmp_path / "TRAIN_0"
    write_video(chunk, "a_0", ["1,2,3,4"], 1)
    write_video(chunk, "b_0", ["1,2,3,4"])
    write_video(chunk, "c_0", ["1,2,3,4"])
    (chunk / "zips").mkdir()
    (chunk / "zips" / "b_0.zip").touch()
    _, zipped, missing = trackingnet_sources(tmp_path, "train_0")
    with pytest.raises(FileNotFoundError, match="frames/b_0 do not exist: extract .*zips/b_0.zip"):
        zipped.read()
    with pytest.raises(FileNotFoundError, match="frames/c_0 do not exist$"):
        missing.read()
    with caplog.at_level(logging.WARNING):
        tracks = cached_tracks("tn", trackingnet_sources(tmp_path, "train_0"), strict=False)
    assert [t["name"] for t in tracks] == ["a_0"]
    assert "2 of 3" in caplog.text and "b_0.zip" in caplog.text


def test_missing_chunk_is_named(tmp_path):
    write_video(tmp_path / "TRAIN_0", "a_0", ["1,2,3,4"], 1)
    with pytest.raises(FileNotFoundError, match="TRAIN_1/anno do not exist.*trackingnet_train_0"):
        trackingnet_sources(tmp_path, "train")
