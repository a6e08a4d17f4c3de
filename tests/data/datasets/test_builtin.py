from pathlib import Path

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from sot.data import get_tracks
from sot.data.datasets.builtin import BUILTIN, builtin_sources
from sot.evaluation.protocols import PROTOCOLS

README = Path(__file__).parents[3] / "datasets" / "README.md"


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path


def write_got10k(root, split, number, boxes):
    folder = root / "got10k" / split / f"GOT-10k_{split.title()}_{number:06d}"
    folder.mkdir(parents=True)
    for i, _ in enumerate(boxes):
        image = np.random.default_rng(i).integers(0, 256, (60, 80, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i + 1:08d}.jpg"), image)
    rows = "".join(",".join(map(str, box)) + "\n" for box in boxes)
    (folder / "groundtruth.txt").write_text(rows)
    for label, value in (("absence", 0), ("cover", 8), ("cut_by_image", 0)):
        (folder / f"{label}.label").write_text(f"{value}\n" * len(boxes))
    with open(folder.parent / "list.txt", "a") as f:
        f.write(folder.name + "\n")
    return folder


def protocol(name):
    return MetadataCatalog.get(name).get("protocol")


def test_names_are_registered_with_what_users_of_them_need():
    assert BUILTIN.keys() <= set(DatasetCatalog.list())
    ranges = {name: MetadataCatalog.get(name).frame_range for name in BUILTIN}
    assert ranges["imagenet_vid_train"] == 100 and ranges["youtube_bb_train"] == 3
    assert ranges["imagenet_det_train"] == 1 and ranges["got10k_train"] == 100
    origins = {name: MetadataCatalog.get(name).pixel_origin for name in BUILTIN}
    assert origins["otb2015"] == origins["uav123"] == origins["lasot_test"] == 1
    assert origins["got10k_val"] == origins["vot2018"] == 0
    assert {name for name in BUILTIN if BUILTIN[name].strict} <= set(filter(protocol, BUILTIN))
    assert {protocol(name) for name in BUILTIN} <= {None, *PROTOCOLS}
    assert protocol("uav20l") == "uav123" and protocol("otb2013") == "otb"
    assert protocol("imagenet_vid_val") is None


def test_read_by_name(root):
    write_got10k(root, "train", 1, [[1, 2, 30, 40], [3, 4, 30, 40]])
    write_got10k(root, "train", 2, [[1, 2, 30, 40]])
    tracks = get_tracks("got10k_train")
    assert [t["name"] for t in tracks] == ["GOT-10k_Train_000001", "GOT-10k_Train_000002"]
    assert tracks[0]["boxes"].tolist() == [[1, 2, 31, 42], [3, 4, 33, 44]]
    assert tracks[0]["frames"][1].shape == (60, 80, 3)


def test_broken_sequence_is_left_out_of_training_and_refused_in_a_test_set(root, caplog):
    for split in ("train", "val"):
        write_got10k(root, split, 1, [[1, 2, 30, 40]] * 2)
        broken = write_got10k(root, split, 2, [[1, 2, 30, 40]] * 2)
        (broken / "00000002.jpg").unlink()
    assert [t["name"] for t in get_tracks("got10k_train")] == ["GOT-10k_Train_000001"]
    assert "1 of 2 sources" in caplog.text and "1 frames but 2 boxes" in caplog.text
    with pytest.raises(ValueError, match="GOT-10k_Val_000002: 1 frames but 2 boxes"):
        get_tracks("got10k_val")


@pytest.mark.parametrize("name", BUILTIN)
def test_missing_set_says_where_it_was_looked_for_and_what_is_expected(root, name):
    builtin = BUILTIN[name]
    with pytest.raises(FileNotFoundError) as e:
        get_tracks(name)
    message = str(e.value)
    assert str(root / builtin.folder) in message and "DETECTRON2_DATASETS" in message
    assert all(line in message for line in builtin.reader.TREE.splitlines())
    training = "train" in name
    assert ("DATASETS.TRAIN \"('synthetic_train',)\"" in message) == training
    assert ("DATASETS.TEST \"('synthetic_val',)\"" in message) == (not training)


def test_missing_part_is_named(root):
    (root / "vot2018").mkdir()
    with pytest.raises(FileNotFoundError, match=r"vot2018/list.txt does not exist"):
        builtin_sources("vot2018")


@pytest.mark.parametrize("name", BUILTIN)
def test_readme_shows_name_folder_and_tree(name):
    text, builtin = README.read_text(), BUILTIN[name]
    assert f"{builtin.folder}/" in text
    tree = "".join(f"  {line}\n" for line in builtin.reader.TREE.splitlines())
    assert tree in text
    chunk = name.startswith("trackingnet_train_") and name[-1].isdigit()
    assert chunk or f"`{name}`" in text
