import json
import os
import threading

import pytest

from sot.data.labels import FORMATS, Label, Labels, save_labels
from sot.data.start_boxes import read_start_boxes

SIZE = (100, 50)
# a target from frame 0 on, and one from frame 2 on
VIDEO = Labels(
    *("clip.mp4", *SIZE, 25.0),
    [
        Label(0, 0, 10.0, 5.0, 20.0, 10.0, 1.0, "init", ""),
        Label(1, 0, 13.0, 5.0, 20.0, 10.0, 0.9, "tracked", ""),
        Label(2, 0, 16.0, 5.0, 20.0, 10.0, 0.9, "tracked", ""),
        Label(2, 1, 60.0, 30.0, 40.0, 20.0, 1.0, "init", ""),
    ],
)
FIRST, SECOND = (10.0, 5.0, 20.0, 10.0), (60.0, 30.0, 40.0, 20.0)


def read(path):
    return [(start.frame, tuple(start.box)) for start in read_start_boxes(path, SIZE)]


@pytest.mark.parametrize(
    "file, expected",
    [
        ("mot.txt", [(0, FIRST), (2, SECOND)]),
        ("coco.json", [(0, FIRST), (2, SECOND)]),
        ("vot/target_0.txt", [(0, FIRST)]),
        ("vot/target_1.txt", [(2, SECOND)]),
        ("yolo/labels/frame_000002.txt", [(None, (16.0, 5.0, 20.0, 10.0)), (None, SECOND)]),
    ],
)
def test_what_the_project_writes(tmp_path, file, expected):
    save_labels(VIDEO, list(FORMATS), tmp_path)
    found = read(tmp_path / file)
    assert [frame for frame, _ in found] == [frame for frame, _ in expected]
    for (_, box), (_, other) in zip(found, expected):
        assert box == pytest.approx(other, abs=1e-3)


def test_files_of_others(tmp_path):
    file = tmp_path / "boxes"
    file.write_text("10,5,30,5,30,15,10,15\n0,0,0,0,0,0,0,0\n")  # a polygon of VOT
    assert read(file) == [(0, FIRST)]
    file.write_text("2 0.2 0.2 0.2 0.2 0.91\n")  # a prediction of YOLO, with its confidence
    assert read(file) == [(None, pytest.approx(FIRST))]
    file.write_text("3,7,61,31,40,20,1,1,0.9\n1,7,11,6,20,10,1,1,1\n")  # 9 columns as in MOT17
    assert read(file) == [(0, FIRST)]
    file.write_text("1,2,11,6,20,10,1,1\n2,2,61,31,40,20,1,1\n")  # 8 columns of MOTChallenge
    assert read(file) == [(0, FIRST)]
    entry = {"image_id": 4, "category_id": 1, "bbox": FIRST, "score": 0.9}
    others = [{**entry, "score": 0.4}, {**entry, "image_id": 5}, {**entry, "bbox": SECOND}]
    file.write_text(json.dumps([entry, *others]))
    assert read(file) == [(None, FIRST), (None, SECOND)]
    note = {"image_id": 4, "bbox": FIRST}
    crowd = {**note, "iscrowd": 1}
    photograph = {"images": [{"id": 3}, {"id": 4}], "annotations": [note, crowd]}
    file.write_text(json.dumps(photograph))
    assert read(file) == [(None, FIRST)]


@pytest.mark.parametrize("absent", ["nan,nan,nan,nan", "0,0,0,0", "0", "nan", ""])
def test_vot_begins_with_the_first_line_that_has_a_box(tmp_path, absent):
    file = tmp_path / "groundtruth.txt"
    file.write_bytes(f"{absent}\r\n{absent}\r\n10,5,20,10\r\n{absent}\r\n".encode())
    assert read(file) == [(2, FIRST)]


def test_ignored_rows_of_mot_start_no_target(tmp_path):
    """A flag of 0 in ground truth means "ignored". Results have -1 there, or a confidence."""
    file = tmp_path / "gt.txt"
    rows = [
        "1,1,1,1,9,9,0,8,1",
        "2,1,11,6,20,10,1,1,1",
        "1,0,1,1,9,9,0,8,1",  # VisDrone: a region without targets
        "3,2,61,31,40,20,-1,1,1",
    ]
    file.write_text("\n".join(rows))
    assert read(file) == [(1, FIRST), (2, SECOND)]


def test_file_is_read_once(tmp_path):
    """A shell's <(command) can be read only once."""
    file = tmp_path / "fifo"
    os.mkfifo(file)
    writer = threading.Thread(target=file.write_text, args=("10,5,20,10\n",), daemon=True)
    writer.start()
    assert read(file) == [(0, FIRST)]
    writer.join()


def of_video(frame_id):
    image = {"id": 1, "video_id": 1, "frame_id": frame_id}
    return json.dumps({"images": [image], "annotations": [{"image_id": 1, "bbox": FIRST}]})


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "no box to start from"),
        ("0\n0\n", "no box to start from"),
        ("1,2,3\n", "line 1: 3 columns; VOT has 4 or 8, YOLO 5 or 6, MOTChallenge 7 to 10"),
        ("frame,x,y,w,h\n", "line 1: no number in 'frame,x,y,w,h'"),
        ("0 .1 .1 .2 .2\n\n0 .1\n", "line 3: 2 columns, but 5 in line 1"),
        ("0 .1 .1 .2 .2\n0 10 5 20 10\n", "line 2: class cx cy w h are not fractions of the frame"),
        ("10,5,0,10\n", "line 1: box has no positive size: width 0, height 10"),
        ("\n110,5,20,10\n", "line 2: box x=110 y=5 w=20 h=10 lies outside the 100x50 image"),
        (
            "0,1,11,6,20,10,1\n",
            "line 1: frame 0 and id 1; both are whole numbers that count from 1",
        ),
        ("1,-1,11,6,20,10,1\n", "line 1: frame 1 and id -1; both are"),
        ("1,0,11,6,20,10,1\n", "line 1: frame 1 and id 0; both are"),
        ("1,1,11,6,20,10,1\n2,1.5,11,6,20,10,1\n", "line 2: frame 2 and id 1.5; both are"),
        ("1,1,11,6,20,10,0\n", "line 1: the seventh column is 0 here and in all other lines"),
        ("1,1" + ",11" * 12, "line 1: 14 columns; VOT has 4 or 8, YOLO 5 or 6, MOTChallenge 7"),
        ("nan,nan,nan,nan\n", "line 1: a box must be four finite numbers"),
        (of_video(float("nan")), "annotation 0: frame_id nan of its image is not a whole number"),
        (of_video(1.5), "annotation 0: frame_id 1.5 of its image is not a whole number from 0"),
        (of_video("3"), "annotation 0: frame_id '3' of its image is not a whole number from 0 on"),
        ("[3", "Expecting ',' delimiter: line 1 column 3"),
        ("{}", "is neither COCO annotations nor a list of"),
        ('[{"image_id": 1, "bbox": [1, 2], "score": 1}]', "entry 0: a box must be four finite"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4]}]', "is neither COCO annotations nor a list of"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.1}]', "no box to start from"),
        (
            json.dumps(
                {
                    "images": [{"id": 1}, {"id": 2, "video_id": 1, "frame_id": 0}],
                    "annotations": [{"image_id": i, "bbox": FIRST} for i in (1, 2)],
                }
            ),
            "has boxes of 2 videos or images: keep those of one",
        ),
    ],
)
def test_bad_files(tmp_path, text, words):
    file = tmp_path / "boxes.txt"
    file.write_text(text)
    with pytest.raises(ValueError) as error:
        read(file)
    assert str(error.value).startswith(f"{file} ") and str(error.value).count(str(file)) == 1
    assert words in str(error.value) and "\n" not in str(error.value)
