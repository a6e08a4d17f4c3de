import logging

import cv2
import numpy as np
import pytest

from sot.data.datasets import cached_tracks
from sot.data.datasets.got10k import got10k_sources

BOXES = ["347.0000,443.0000,429.0000,272.0000", "-1,-1,-1,-1", "10,20,0,0", "5,6,30,40"]


def write_sequence(folder, boxes=BOXES, num_frames=4, **labels):
    folder.mkdir(parents=True)
    for i in range(num_frames):
        (folder / f"{i + 1:08d}.jpg").touch()
    (folder / "groundtruth.txt").write_text("\n".join(boxes) + "\n\n")
    (folder / "meta_info.ini").write_text("[METAINFO]\nurl: https://a/b\n")
    for name, values in labels.items():
        (folder / f"{name}.label").write_text("".join(f"{v}\n" for v in values))


def write_train(root, *names, **changes):
    labels = {"absence": [0, 1, 0, 0], "cover": [8, 0, 3, 0], "cut_by_image": [1, 0, 0, 1]}
    for name in names:
        write_sequence(root / "train" / name, **{**labels, **changes})
    (root / "train" / "list.txt").write_text("\r\n".join(names) + "\r\n\r\n")


def read(root, split):
    return [track for source in got10k_sources(root, split) for track in source.read()]


def test_boxes_and_labels(tmp_path):
    write_train(tmp_path, "GOT-10k_Train_000001")
    (track,) = read(tmp_path, "train")
    assert track["name"] == "GOT-10k_Train_000001"
    assert track["boxes"][[0, 3]].tolist() == [[347, 443, 776, 715], [5, 6, 35, 46]]
    # absent, no box, and (the last) nothing of the target to be seen, though it has a box
    assert np.isnan(track["boxes"][1:3]).all()
    assert track["visible"].tolist() == [True, False, False, False]
    assert track["cover"].tolist() == [8, 0, 3, 0] and track["cover"].dtype == np.int8
    assert track["cut_by_image"].tolist() == [True, False, False, True]
    assert track["frames"].name(3).endswith("GOT-10k_Train_000001/00000004.jpg")


def test_absent_target_with_a_box_is_invisible(tmp_path):
    write_train(tmp_path, "GOT-10k_Train_000001", absence=[1, 1, 0, 0], cover=[8, 8, 8, 8])
    (track,) = read(tmp_path, "train")
    assert track["visible"].tolist() == [False, False, False, True]
    assert track["boxes"][0].tolist() == [347, 443, 776, 715]


def test_sources_name_all_that_is_read(tmp_path):
    write_train(tmp_path, "GOT-10k_Train_000002", "GOT-10k_Train_000001")
    sources = got10k_sources(tmp_path, "train")
    assert [s.name for s in sources] == ["GOT-10k_Train_000002", "GOT-10k_Train_000001"]
    folder = tmp_path / "train" / "GOT-10k_Train_000001"
    assert tuple(map(str, sources[1].files)) == (
        f"{folder}/groundtruth.txt",
        f"{folder}/absence.label",
        f"{folder}/cover.label",
        f"{folder}/cut_by_image.label",
        f"{folder}",
    )


def test_sequences_with_wrong_boxes_are_left_out_of_training(tmp_path):
    names = [f"GOT-10k_Train_{i:06d}" for i in (8622, 8623, 8637, 8638, 9057, 9058, 9059, 9060)]
    write_train(tmp_path, *names)
    kept = [s.name[-6:] for s in got10k_sources(tmp_path, "train")]
    assert kept == ["008622", "008638", "009057", "009060"]


def test_test_set_has_the_first_box_only(tmp_path):
    folder = tmp_path / "test" / "GOT-10k_Test_000001"
    write_sequence(folder, ["1,2,3,4"], num_frames=3)
    cv2.imwrite(str(folder / "00000003.jpg"), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "test" / "list.txt").write_text("GOT-10k_Test_000001")
    (track,) = cached_tracks("got10k_test", got10k_sources(tmp_path, "test"), strict=True)
    assert track["boxes"][0].tolist() == [1, 2, 4, 6] and np.isnan(track["boxes"][1:]).all()
    assert track["visible"].tolist() == [True, False, False]
    assert len(track["frames"]) == 3 and track["frames"][2].shape == (20, 30, 3)
    assert track.keys() == {"name", "frames", "boxes", "visible"}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"cover": [8, 0, 3]}, "cover.label: 3 labels but 4 boxes"),
        ({"num_frames": 3}, "GOT-10k_Train_000001: 3 frames but 4 boxes"),
        ({"boxes": ["1,2,3,4", "1,2,3"]}, "groundtruth.txt line 2"),
    ],
)
def test_bad_sequences_are_named(tmp_path, changes, message):
    write_train(tmp_path, "GOT-10k_Train_000001", **changes)
    with pytest.raises(ValueError, match=message):
        read(tmp_path, "train")


def test_parts_that_were_not_downloaded(tmp_path, caplog):
    write_train(tmp_path, "GOT-10k_Train_000001")
    with (tmp_path / "train" / "list.txt").open("a") as f:
        f.write("GOT-10k_Train_000501\n")
    with caplog.at_level(logging.WARNING):
        tracks = cached_tracks("got10k_train", got10k_sources(tmp_path, "train"), strict=False)
    assert [t["name"] for t in tracks] == ["GOT-10k_Train_000001"]
    assert "1 of 2" in caplog.text and "GOT-10k_Train_000501" in caplog.text
    with pytest.raises(FileNotFoundError, match="val/list.txt does not exist"):
        got10k_sources(tmp_path, "val")
