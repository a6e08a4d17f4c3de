import json
import logging

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from sot.data import get_tracks
from sot.data.datasets import load_coco, load_folder
from sot.data.datasets.composite_cut import cut_out_fields
from sot.data.datasets.custom import _read_coco


def write_sequence(folder, boxes, num_frames, images="img"):
    (folder / images).mkdir(parents=True, exist_ok=True)
    for i in range(num_frames):
        cv2.imwrite(str(folder / images / f"{i + 1:04d}.jpg"), np.full((20, 30, 3), i, np.uint8))
    (folder / "groundtruth_rect.txt").write_text("\n".join(boxes) + "\n")


def test_folder_reads_sequences_in_order(tmp_path):
    write_sequence(tmp_path / "b", ["1,2,3,4", "5\t6\t7\t8"], 2)
    write_sequence(tmp_path / "a", ["1 2 3 4"], 1, images=".")
    (tmp_path / "notes").mkdir()
    tracks = get_tracks(f"folder:{tmp_path}")
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
    with pytest.raises(ValueError, match="short: 2 frames but 1 boxes"):
        load_folder(tmp_path)


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        get_tracks(f"folder:{tmp_path / 'gone'}")
    with pytest.raises(FileNotFoundError, match="groundtruth_rect.txt"):
        get_tracks(f"folder:{tmp_path}")


def write_coco(tmp_path, annotations):
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((40, 50, 3), np.uint8))
    data = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 50, "height": 40}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {"id": i + 1, "image_id": 1, "category_id": 1, "area": 1, **a}
            for i, a in enumerate(annotations)
        ],
    }
    (tmp_path / "anno.json").write_text(json.dumps(data))
    return tmp_path / "anno.json"


def test_coco_objects_are_tracks_of_one_frame(tmp_path, caplog):
    path = write_coco(
        tmp_path,
        [
            {"bbox": [1, 2, 10, 20], "iscrowd": 0},
            {"bbox": [1, 2, 10, 20], "iscrowd": 1},
            {"bbox": [5, 5, 0, 3], "iscrowd": 0},
            {"iscrowd": 0},
        ],
    )
    with caplog.at_level(logging.WARNING):
        (track,) = get_tracks(f"coco:{tmp_path}:{path}")
    assert track["boxes"].tolist() == [[1, 2, 11, 22]] and len(track["frames"]) == 1
    assert track["frames"][0].shape == (40, 50, 3)
    assert "2 boxes" in caplog.text and "a.jpg#2, a.jpg#3" in caplog.text


@pytest.mark.parametrize("segmentation", [[[]], [[1, 2, 3, 4, 5, 6, 7]], [[1, 2, 3, 4]], [7]])
def test_boxes_without_a_sound_polygon_stay(tmp_path, segmentation):
    sound = [[1, 2, 24, 2, 24, 30]]
    path = write_coco(
        tmp_path,
        [
            {"bbox": [1, 2, 23, 28], "iscrowd": 0, "segmentation": s}
            for s in (segmentation, sound, [*segmentation, *sound])
        ],
    )
    before = path.read_bytes()
    assert len(get_tracks(f"coco:{tmp_path}:{path}")) == 3
    tracks = _read_coco(str(tmp_path), str(path), cut_out_fields)
    assert [bool(t["outline"].any()) for t in tracks] == [False, True, True]
    assert path.read_bytes() == before


def test_missing_set_of_detectron2_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "sets")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as e:
        load_coco("sets/coco/train2017", "sets/coco/a.json")
    assert str(tmp_path / "sets/coco/train2017") in str(e.value)
    assert "$DETECTRON2_DATASETS (sets)" in str(e.value) and "holds coco/" in str(e.value)


def test_coco_missing_parts(tmp_path):
    with pytest.raises(FileNotFoundError, match="image folder"):
        load_coco(tmp_path / "no", tmp_path / "anno.json")
    with pytest.raises(FileNotFoundError, match="anno.json"):
        load_coco(tmp_path, tmp_path / "anno.json")
    with pytest.raises(ValueError, match="coco:IMAGES_DIR"):
        get_tracks("coco:only")


def test_file_that_is_no_coco_file_is_named(tmp_path):
    path = tmp_path / "anno.json"
    path.write_text("{no json")
    with pytest.raises(ValueError, match="anno.json is no COCO file"):
        load_coco(tmp_path, path)


def test_no_usable_box_and_unknown_name(tmp_path):
    path = write_coco(tmp_path, [{"bbox": [5, 5, 0, 3], "iscrowd": 0}])
    with pytest.raises(ValueError, match="no usable box"):
        get_tracks(f"coco:{tmp_path}:{path}")
    with pytest.raises(ValueError, match="no dataset 'synthetic_trian'"):
        get_tracks("synthetic_trian")


@pytest.fixture
def registered():
    """Registers data sets until the test is over: registered(name, function, **metadata)."""
    names = []

    def register(name, function, **metadata):
        DatasetCatalog.register(name, function)
        MetadataCatalog.get(name).set(**metadata)
        names.append(name)

    yield register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_detection_data_of_detectron2_becomes_tracks_of_photographs(registered):
    item = {
        "file_name": "/d/1.jpg",
        "annotations": [
            {"bbox": [1, 2, 4, 6], "bbox_mode": BoxMode.XYXY_ABS},
            {"bbox": [1, 2, 4, 6], "bbox_mode": BoxMode.XYWH_ABS},
            {"bbox": [1, 2, 4, 6], "bbox_mode": BoxMode.XYWH_ABS, "iscrowd": 1},
        ],
    }
    registered("photos", lambda: [item, {"file_name": "/d/2.jpg", "annotations": []}])
    tracks = get_tracks("photos")
    assert [t["boxes"].tolist() for t in tracks] == [[[1, 2, 4, 6]], [[1, 2, 5, 8]]]
    assert [t["name"] for t in tracks] == ["1.jpg#0", "1.jpg#1"]
    assert tracks[1]["frames"].name(0) == "/d/1.jpg"


def test_coco_data_of_detectron2_is_read_from_its_file(registered, tmp_path):
    path = tmp_path / "a.json"
    annotation = {"id": 1, "image_id": 5, "bbox": [1, 2, 3, 4], "iscrowd": 0, "category_id": 1}
    path.write_text(
        json.dumps(
            {
                "images": [{"id": 5, "file_name": "5.jpg", "height": 20, "width": 30}],
                "annotations": [annotation],
                "categories": [{"id": 1, "name": "thing"}],
            }
        )
    )
    metadata = {"json_file": str(path), "image_root": str(tmp_path), "evaluator_type": "coco"}
    registered("own_coco", lambda: pytest.fail("not asked"), **metadata)
    (track,) = get_tracks("own_coco")
    assert track["name"] == "5.jpg#0" and track["boxes"].tolist() == [[1, 2, 4, 6]]
