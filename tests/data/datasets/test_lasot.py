import logging

import numpy as np
import pytest

from sot.data.datasets import cached_tracks
from sot.data.datasets.lasot import lasot_sources, official_names


def write_sequence(folder, boxes, full_occlusion, out_of_view, num_frames=None):
    (folder / "img").mkdir(parents=True)
    for i in range(len(boxes) if num_frames is None else num_frames):
        (folder / "img" / f"{i + 1:08d}.jpg").touch()
    (folder / "groundtruth.txt").write_text("".join(f"{b}\n" for b in boxes))
    (folder / "full_occlusion.txt").write_text(full_occlusion)
    (folder / "out_of_view.txt").write_text(out_of_view)
    (folder / "nlp.txt").write_text("white airplane landing on ground")


def write_plain(folder, num_frames=2, num_images=None):
    zeros = ",".join("0" * num_frames)
    write_sequence(folder, ["1,1,10,20"] * num_frames, zeros, zeros, num_images)


def read(root, split):
    return [track for source in lasot_sources(root, split) for track in source.read()]


def test_boxes_count_from_one_and_flags_are_one_line(tmp_path):
    (tmp_path / "testing_set.txt").write_text("tiger-6\n")
    write_sequence(
        tmp_path / "tiger" / "tiger-6",
        ["1,1,10,20", "282,374,125,79", "613,731,247,-11", "1,1,-1,-1", "5,6,7,8"],
        "0,1,0,0,0",
        "0,0,0,0,1\n",
    )
    (track,) = read(tmp_path, "test")
    assert track["name"] == "tiger-6"
    # pixel 1 is the first one, so the box 1,1,10,20 begins at the border of the image
    assert track["boxes"][0].tolist() == [0, 0, 10, 20]
    # those of hidden targets are kept, those with a negative side are not
    assert track["boxes"][[1, 4]].tolist() == [[281, 373, 406, 452], [4, 5, 11, 13]]
    assert np.isnan(track["boxes"][2:4]).all()
    assert track["visible"].tolist() == [True, False, False, False, False]
    assert track["frames"].name(4).endswith("tiger-6/img/00000005.jpg")


def test_official_lists():
    train, test = official_names("train"), official_names("test")
    assert len(train) == len(set(train)) == 1120 and len(test) == len(set(test)) == 280
    assert not set(train) & set(test)
    assert test[:5] == ["airplane-1", "airplane-9", "airplane-13", "airplane-15", "basketball-1"]
    assert {"rubicCube-19", "zebra-17", "spider-14", "volleyball-19"} <= set(test)
    assert train[:2] == ["airplane-2", "airplane-3"] and train[-1] == "zebra-20"
    assert len({name.rpartition("-")[0] for name in test}) == 70


def test_split_without_list_files_in_nested_and_flat_folders(tmp_path, caplog):
    for folder in ("airplane/airplane-1", "airplane/airplane-2", "basketball-6", "atv/atv-1"):
        write_plain(tmp_path / folder)
    for split, expected in (
        ("test", ["airplane-1", "basketball-6"]),
        ("train", ["airplane-2"]),
    ):
        with caplog.at_level(logging.WARNING):
            tracks = cached_tracks(f"lasot_{split}", lasot_sources(tmp_path, split), strict=False)
        assert [t["name"] for t in tracks] == expected
    assert "278 of 280" in caplog.text and "1119 of 1120" in caplog.text


def test_list_file_decides(tmp_path):
    (tmp_path / "training_set.txt").write_text("airplane-1\r\ncar-3\r\n\r\n")
    for name in ("airplane-1", "airplane-2", "car-3"):
        write_plain(tmp_path / name)
    assert [t["name"] for t in read(tmp_path, "train")] == ["airplane-1", "car-3"]


def test_sources_name_all_that_is_read(tmp_path):
    write_plain(tmp_path / "airplane" / "airplane-1")
    source = lasot_sources(tmp_path, "test")[0]
    folder = tmp_path / "airplane" / "airplane-1"
    names = ["groundtruth.txt", "full_occlusion.txt", "out_of_view.txt", "img"]
    assert source.name == "airplane-1" and source.files == tuple(folder / n for n in names)


def test_frame_after_the_last_box_is_dropped_but_none_may_be_missing(tmp_path):
    (tmp_path / "testing_set.txt").write_text("airplane-15\n")
    (tmp_path / "training_set.txt").write_text("airplane-14\n")
    write_plain(tmp_path / "airplane-15", num_frames=3, num_images=4)
    write_plain(tmp_path / "airplane-14", num_frames=3, num_images=2)
    (track,) = read(tmp_path, "test")
    assert len(track["frames"]) == len(track["boxes"]) == 3
    with pytest.raises(ValueError, match="airplane-14: 2 frames but 3 boxes"):
        read(tmp_path, "train")


def test_bad_flags_and_missing_sequences_are_named(tmp_path):
    (tmp_path / "testing_set.txt").write_text("cat-1\n")
    with pytest.raises(FileNotFoundError, match="none of the 1 sequences of LaSOT test"):
        lasot_sources(tmp_path, "test")
    write_sequence(tmp_path / "cat-1", ["1,1,2,2", "1,1,2,2"], "0,0", "0")
    with pytest.raises(ValueError, match="out_of_view.txt: 1 labels but 2 boxes"):
        read(tmp_path, "test")
    (tmp_path / "cat-1" / "full_occlusion.txt").unlink()
    with pytest.raises(FileNotFoundError, match="full_occlusion.txt"):
        read(tmp_path, "test")
