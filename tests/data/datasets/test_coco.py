import json
import logging

import cv2
import numpy as np
import pytest
from PIL import Image

from sot.data.datasets import load_coco
from sot.data.datasets.coco import coco_source
from sot.data.datasets.composite_cut import cut_out_fields
from sot.data.frames import frame_size


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
        (track,) = load_coco(tmp_path, path)
    assert track["boxes"].tolist() == [[1, 2, 11, 22]] and len(track["frames"]) == 1
    assert track["frames"][0].shape == (40, 50, 3)
    assert "2 boxes" in caplog.text and "a.jpg#2, a.jpg#3" in caplog.text


@pytest.mark.parametrize("segmentation", [[[]], [[1, 2, 3, 4, 5, 6, 7]], [[1, 2, 3, 4]], [7]])
def test_boxes_without_a_sound_polygon_stay(tmp_path, segmentation):
    sound = [[1, 2, 24, 2, 24, 30]]  # 23 x 28
    path = write_coco(
        tmp_path,
        [
            {"bbox": [1, 2, 23, 28], "iscrowd": 0, "segmentation": s}
            for s in (segmentation, sound, [*segmentation, *sound])
        ],
    )
    before = path.read_bytes()
    assert len(load_coco(tmp_path, path)) == 3
    tracks = coco_source(tmp_path, path, cut_out_fields).read()
    assert [t["name"] for t in tracks] == ["a.jpg#1", "a.jpg#2"]
    assert path.read_bytes() == before


def test_boxes_of_polygons_alone(tmp_path):
    path = write_coco(tmp_path, [{"segmentation": [[1, 2, 24, 2, 24, 30], [3, 4, 9, 4, 9, 35]]}])
    (track,) = load_coco(tmp_path, path)
    assert track["boxes"].tolist() == [[1, 2, 24, 35]]


def test_boxes_that_are_fractions_or_corners(tmp_path, caplog):
    path = write_coco(tmp_path, [{"bbox": [0.1, 0.2, 0.5, 0.5]}, {"bbox": [0, 0, 1, 1]}])
    with pytest.raises(ValueError, match="anno.json: all boxes are smaller than a pixel; .*width"):
        load_coco(tmp_path, path)
    path = write_coco(tmp_path, [{"bbox": [20, 20, 45, 38]}, {"bbox": [1, 2, 20, 30]}])
    with caplog.at_level(logging.WARNING):
        assert len(load_coco(tmp_path, path)) == 2
    assert "1 boxes end outside of their pictures, and all would fit as x0, y0" in caplog.text
    caplog.clear()
    path = write_coco(tmp_path, [{"bbox": [20, 20, 45, 38]}, {"bbox": [30, 2, 20, 30]}])
    with caplog.at_level(logging.WARNING):
        assert len(load_coco(tmp_path, path)) == 2 and caplog.text == ""


def test_images_and_boxes_that_are_there_twice(tmp_path, caplog):
    box = {"image_id": 1, "instance_id": 7, "bbox": [1, 2, 3, 4]}
    data = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "video_id": 5, "frame_id": 0},
            {"id": 1, "file_name": "b.jpg", "video_id": 5, "frame_id": 1},
        ],
        "annotations": [box, {**box, "bbox": [5, 6, 7, 8]}],
    }
    for name in ("a.jpg", "b.jpg"):
        cv2.imwrite(str(tmp_path / name), np.zeros((40, 50, 3), np.uint8))
    text = json.dumps({**data, "info": "Gr\u00f6\u00dfe"}, ensure_ascii=False)
    (tmp_path / "anno.json").write_text(text, encoding="latin-1")
    with caplog.at_level(logging.WARNING):
        (track,) = load_coco(tmp_path, tmp_path / "anno.json")
    assert track["frames"].files == [str(tmp_path / "a.jpg")]
    assert track["boxes"].tolist() == [[1, 2, 4, 6]]
    assert "1 images with the id of another (b.jpg)" in caplog.text
    assert "1 further boxes of one object in an image" in caplog.text


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


def test_file_that_is_no_coco_file_is_named(tmp_path):
    path = tmp_path / "anno.json"
    path.write_text("{no json")
    with pytest.raises(ValueError, match="anno.json is not a COCO file"):
        load_coco(tmp_path, path)


def write(tmp_path, images, annotations, **more):
    content = {"images": images, "annotations": annotations, **more}
    (tmp_path / "anno.json").write_text(json.dumps(content))
    return tmp_path / "anno.json"


def test_bad_entries_cost_themselves_and_are_counted_in_one_line(tmp_path, caplog):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.jpg").touch()
    (tmp_path / "secret.jpg").touch()
    box = {"image_id": 1, "bbox": [1, 2, 3, 4]}
    path = write(
        tmp_path,
        [
            {"id": 1, "file_name": "a.jpg"},
            {"file_name": "a.jpg"},
            7,
            {"id": 2, "file_name": "../secret.jpg"},
            {"id": 3, "file_name": "..\\secret.jpg"},
            {"id": 4, "file_name": str(tmp_path / "secret.jpg")},
        ],
        [
            box,
            {**box, "bbox": "wide"},
            {**box, "bbox": [1, 2, 3]},
            {**box, "bbox": {"x": 1}},
            {"bbox": [1, 2, 3, 4]},
            {**box, "image_id": [1]},
            {**box, "image_id": 99},
            {**box, "segmentation": [["a"] * 6]},
            None,
        ],
    )
    with caplog.at_level(logging.WARNING):
        tracks = load_coco(folder, path)
    assert [t["name"] for t in tracks] == ["a.jpg#0", "a.jpg#4"]
    (record,) = caplog.records
    for part in (
        "3 images whose file_name leads out of",
        "2 images without id or file_name (number 1, number 2)",
        "3 annotations that cannot be read (a.jpg#1: ",
        "3 annotations without image_id (number 4, number 5, number 8)",
        "1 image_id that no image has (99)",
    ):
        assert part in record.getMessage()


def test_paths_of_windows_and_images_that_are_missing(tmp_path, caplog):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.jpg").touch()
    images = [{"id": i, "file_name": f"sub\\{name}.jpg"} for i, name in enumerate("abcd")]
    boxes = [{"image_id": i, "bbox": [1, 2, 3, 4]} for i in range(4)]
    with caplog.at_level(logging.WARNING):
        tracks = load_coco(tmp_path, write(tmp_path, images, boxes))
    assert tracks[0]["frames"].name(0) == str(tmp_path / "sub/a.jpg") and len(tracks) == 4
    assert "3 of 4 images are missing" in caplog.text and "b.jpg" in caplog.text
    with pytest.raises(FileNotFoundError, match=rf"3 of 3 .*looked for in {tmp_path}$"):
        load_coco(tmp_path, write(tmp_path, images[1:], boxes[1:]))


def test_videos(tmp_path):
    """Two videos; frames out of order; an object that is absent for a frame, and a crowd."""
    names = ["v0", "v1", "v2", "w0"]
    for name in names:
        (tmp_path / f"{name}.jpg").touch()
    images = [
        {"id": i, "file_name": f"{names[i]}.jpg", "video_id": v, "frame_id": t}
        for i, v, t in ((2, 1, 2), (0, 1, 0), (1, 1, 1), (3, 2, 0))
    ]
    boxes = [
        {"image_id": 0, "instance_id": 7, "bbox": [0, 0, 1, 2]},
        {"image_id": 2, "instance_id": 7, "bbox": [5, 6, 7, 8]},
        {"image_id": 1, "instance_id": 8, "bbox": [1, 1, 1, 1]},
        {"image_id": 2, "instance_id": 8, "bbox": [1, 1, 1, 1], "iscrowd": 1},
        {"image_id": 3, "track_id": 7, "bbox": [2, 2, 2, 2]},
    ]
    path = write(tmp_path, images, boxes, videos=[{"id": 1, "name": "cat"}])
    seven, eight, other = load_coco(tmp_path, path)
    assert [t["name"] for t in (seven, eight, other)] == ["cat#7", "cat#8", "2#7"]
    assert list(seven["frames"].files) == [str(tmp_path / f"v{t}.jpg") for t in range(3)]
    assert seven["visible"].tolist() == [True, False, True]
    assert seven["boxes"][2].tolist() == [5, 6, 12, 14]
    assert eight["visible"].tolist() == [False, True, False]
    assert other["boxes"].tolist() == [[2, 2, 4, 4]] and len(other["frames"]) == 1


def test_boxes_are_about_the_picture_whose_size_the_file_tells(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn: stored 60 x 40, shown 40 x 60
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, :20] = 255  # the left third as stored
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif, quality=95)
    sizes = ((60, 40), (40, 60), (99, 99))
    images = [
        {"id": i, "file_name": "a.jpg", "width": w, "height": h} for i, (w, h) in enumerate(sizes)
    ]
    boxes = [{"image_id": i, "bbox": [1, 2, 3, 4]} for i in range(3)]
    tracks = load_coco(tmp_path, write(tmp_path, images, boxes))
    stored, shown, other = (t["frames"] for t in tracks)
    assert stored[0].shape == (40, 60, 3) and (stored[0][:, :18] > 250).all()
    assert shown[0].shape == other[0].shape == (60, 40, 3) and (shown[0][:18] > 250).all()
    assert stored.read(0, 4, True)[0].shape == (40, 60)
    assert [frame_size(f) for f in (stored, shown, other)] == [(60, 40), (40, 60), (40, 60)]


def test_odd_values_cost_their_entry(tmp_path, caplog):
    (tmp_path / "a.jpg").touch()
    photo = {"id": 1, "file_name": "a.jpg", "video_id": None, "height": True, "width": 10**30}
    images = [photo]
    images += [{"id": 2, "file_name": "a\0.jpg"}, {"id": 3, "file_name": "a.jpg", "video_id": []}]
    images += [{"id": 4, "file_name": "a.jpg", "video_id": 1, "frame_id": float("inf")}]
    boxes = [{"image_id": 1, "bbox": b} for b in ([1, 2, 3, 4], [10**400, 2, 3, 4])]
    boxes += [{"image_id": 1, "bbox": [1, 2, 3, 4], "bbox_mode": m} for m in (2, "x")]
    for videos in (5, [{"id": [], "name": "x"}], [None]):
        path = write(tmp_path, images, boxes, videos=videos)
        (track,) = load_coco(tmp_path, path)
        assert track["boxes"].tolist() == [[1, 2, 4, 6]]
    assert "3 images without id or file_name" in caplog.text
    assert "3 annotations that cannot be read" in caplog.text
