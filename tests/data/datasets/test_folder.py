import logging

import cv2
import numpy as np
import pytest

from sot.data.datasets import load_folder


def write_sequence(folder, boxes, num_frames, images="img"):
    (folder / images).mkdir(parents=True, exist_ok=True)
    for i in range(num_frames):
        cv2.imwrite(str(folder / images / f"{i + 1:04d}.jpg"), np.full((20, 30, 3), i, np.uint8))
    (folder / "groundtruth_rect.txt").write_text("\n".join(boxes) + "\n")


def test_folder_reads_sequences_in_order(tmp_path):
    write_sequence(tmp_path / "b", ["1,2,3,4", "5\t6\t7\t8"], 2)
    write_sequence(tmp_path / "a", ["1 2 3 4"], 1, images=".")
    (tmp_path / "notes").mkdir()
    tracks = load_folder(tmp_path)
    assert [t["name"] for t in tracks] == ["a", "b"]
    assert tracks[1]["boxes"].tolist() == [[1, 2, 4, 6], [5, 6, 12, 14]]
    assert tracks[1]["frames"][1].shape == (20, 30, 3)


def test_folder_may_be_one_sequence_or_hold_a_video(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for _ in range(3):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    (tmp_path / "groundtruth_rect.txt").write_text("1,2,3,4\n" * 3)
    (track,) = load_folder(tmp_path)
    assert track["name"] == tmp_path.name and len(track["frames"]) == 3


def test_absent_and_bad_boxes_become_invisible_and_are_counted(tmp_path, caplog):
    write_sequence(tmp_path / "s", ["1,2,3,4", "NaN,NaN,NaN,NaN", "1,2,0,4", "1,2,3,-4"], 4)
    with caplog.at_level(logging.WARNING):
        (track,) = load_folder(tmp_path)
    assert track["visible"].tolist() == [True, False, False, False]
    assert np.isnan(track["boxes"][1:]).all()
    assert "3 boxes" in caplog.text and "s (3)" in caplog.text


def test_count_mismatch_names_the_sequence(tmp_path):
    write_sequence(tmp_path / "short", ["1,2,3,4"], 2)
    with pytest.raises(ValueError, match="short/groundtruth.*.txt: 2 frames but 1 boxes; give"):
        load_folder(tmp_path)


def test_two_corners_in_place_of_corner_and_sides_are_noticed(tmp_path):
    write_sequence(tmp_path / "s", ["2,3,12,10", "20,12,29,19"], 2)
    with pytest.raises(ValueError, match='line 2: .*30 x 20.* write "x0,y0,x1,y1" as the first'):
        load_folder(tmp_path)
    write_sequence(tmp_path / "s", ["x0,y0,x1,y1", "2,3,12,10", "20,12,29,19"], 2)
    assert load_folder(tmp_path)[0]["boxes"].tolist() == [[2, 3, 12, 10], [20, 12, 29, 19]]


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        load_folder(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="groundtruth_rect.txt"):
        load_folder(tmp_path)
