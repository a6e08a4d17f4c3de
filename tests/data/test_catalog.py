import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from sot.data import get_tracks, resolve


@pytest.mark.parametrize(
    "name, slug",
    [
        ("synthetic_val", "synthetic_val"),
        ("folder:/data/my sequences/", "folder_my_sequences"),
        ("coco:/data/images:/data/val2017.json", "coco_val2017"),
        ("composite:5x6:/a b:/c.json", "composite_5x6_a_b_c.json"),
    ],
)
def test_slug(name, slug):
    assert resolve(name).slug == slug


def test_relative_folder(tmp_path, monkeypatch):
    (tmp_path / "clips").mkdir()
    monkeypatch.chdir(tmp_path / "clips")
    entry = resolve("folder:.")
    assert entry.slug == "folder_clips" and entry.root == tmp_path / "clips"


def test_what_is_known_without_reading(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    entry = resolve("otb2013")
    assert (entry.protocol, entry.pixel_origin) == ("otb", 1) and entry.root == tmp_path / "otb"
    assert resolve("youtube_bb_train").frame_range == 3
    entry = resolve(f"coco:{tmp_path}:a.json")
    assert (entry.protocol, entry.pixel_origin, entry.frame_range) == ("", 0, 100)
    assert entry.root == tmp_path


def test_unknown_names_and_kinds(tmp_path):
    with pytest.raises(
        ValueError, match="no dataset 'synthetic_trian'.*synthetic_val.*folder:PATH"
    ):
        resolve("synthetic_trian")
    with pytest.raises(ValueError, match=f"for the videos in that folder write folder:{tmp_path}$"):
        resolve(str(tmp_path))
    with pytest.raises(ValueError, match="coco:IMAGES_DIR:ANNOTATIONS_JSON"):
        resolve("coco:only")


def test_no_usable_box(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"not looked at")
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 1, "bbox": [5, 5, 0, 3]}],
    }
    (tmp_path / "anno.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="no usable box"):
        get_tracks(f"coco:{tmp_path}:{tmp_path / 'anno.json'}")


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
    (tmp_path / "5.jpg").touch()
    registered("own_coco", lambda: pytest.fail("not asked"), **metadata)
    (track,) = get_tracks("own_coco")
    assert track["name"] == "5.jpg#0" and track["boxes"].tolist() == [[1, 2, 4, 6]]
