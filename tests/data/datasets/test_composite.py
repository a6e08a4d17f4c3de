import json
import pickle

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json

from sot.data import get_tracks
from sot.data.datasets.composite import SIZES
from sot.data.frames import FrameError
from sot.data.pair_dataset import PairDataset

GRASS = {"red.png": (20, 20, 160), "blue.png": (160, 20, 20)}  # BGR of what is behind the objects


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Folder with two photographs of two objects each, one with a polygon; and anno.json."""
    folder = tmp_path_factory.mktemp("photographs")
    images, annotations = [], []
    boxes = [[20, 30, 40, 60], [90, 20, 50, 50]]
    for number, (name, color) in enumerate(GRASS.items()):
        image = np.full((120, 160, 3), color, np.uint8)
        image += np.random.default_rng(number).integers(0, 60, image.shape, dtype=np.uint8)
        for (x, y, w, h), shade in zip(boxes, (60, 120)):
            cv2.ellipse(image, ((x + w / 2, y + h / 2), (w, h), 0), (shade, 230, shade), -1)
        cv2.imwrite(str(folder / name), image)
        images.append({"id": number, "file_name": name, "height": 120, "width": 160})
        for k, box in enumerate(boxes):
            x, y, w, h = box
            tip = [[x, y + h, x + w / 2, y, x + w, y + h]] if k else []
            annotations.append({"image_id": number, "bbox": box, "segmentation": tip, "iscrowd": 0})
    for number, annotation in enumerate(annotations):
        annotation.update(id=number + 1, category_id=1, area=100)
    categories = [{"id": 1, "name": "thing"}]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "anno.json").write_text(json.dumps(data))
    return folder


@pytest.fixture(scope="module")
def tracks(photographs):
    return get_tracks(f"composite:12x8:{photographs}:{photographs / 'anno.json'}")


@pytest.fixture
def registered(photographs):
    """A set of detectron2's dicts, under the name "things"."""
    path = str(photographs / "anno.json")
    DatasetCatalog.register("things", lambda: load_coco_json(path, str(photographs)))
    yield "things"
    DatasetCatalog.remove("things")
    MetadataCatalog.remove("things")


def same(a, b):
    """Whether two lists of tracks are the same, in what was cut out too."""
    return (
        len(a) == len(b)
        and all(np.array_equal(s["boxes"], t["boxes"], equal_nan=True) for s, t in zip(a, b))
        and (a[1]["frames"][1] == b[1]["frames"][1]).all()
    )


class TestTracks:
    def test_number_and_length(self, tracks):
        assert len(tracks) == 12 and len({t["name"] for t in tracks}) == 12
        for t in tracks:
            assert len(t["frames"]) == 8 and t["boxes"].shape == (8, 4)
            assert t["boxes"].dtype == np.float32 and t["visible"].dtype == bool
            assert t["visible"][0]
            assert (np.isfinite(t["boxes"]).all(axis=1) == t["visible"]).all()

    def test_boxes_are_inside_the_frame(self, tracks):
        for t in tracks:
            assert t["frames"].size in SIZES
            boxes = t["boxes"][t["visible"]]
            assert (boxes[:, :2] >= 0).all()
            assert (boxes[:, 2:] <= t["frames"].size[::-1]).all()
            assert (np.diff(boxes.reshape(-1, 2, 2), axis=1) > 3).all()

    def test_each_object_is_a_target_in_turn(self, tracks):
        targets = [t["frames"].target for t in tracks]
        assert sorted(targets[:4]) == [0, 1, 2, 3] and targets[:4] == targets[4:8]
        assert not np.array_equal(tracks[0]["boxes"], tracks[4]["boxes"], equal_nan=True)

    def test_names_of_the_photographs(self, tracks, photographs, registered):
        annotations = photographs / "anno.json"
        assert same(get_tracks(f"composite:12x8:coco:{photographs}:{annotations}"), tracks)
        assert same(get_tracks("composite:12x8:things"), tracks)
        MetadataCatalog.get("things").set(
            evaluator_type="coco", json_file=str(annotations), image_root=str(photographs)
        )
        assert same(get_tracks("composite:12x8:things"), tracks)

    def test_default_number_and_length(self, photographs, monkeypatch):
        monkeypatch.setattr("sot.data.datasets.custom.COMPOSITE_TRACKS", (3, 5))
        found = get_tracks(f"composite:{photographs}:{photographs / 'anno.json'}")
        assert found.num_frames().tolist() == [5, 5, 5]

    def test_kept_indexes_are_told_apart(self, photographs, monkeypatch):
        monkeypatch.setattr("sot.data.datasets.cache.KEEP_AFTER", 0)
        folder = photographs / ("long" * 20)  # file systems allow 255 letters
        folder.mkdir(exist_ok=True)
        annotations = folder / "anno.json"
        annotations.write_bytes((photographs / "anno.json").read_bytes())
        for count, length in ((2, 3), (3, 2), (2, 3)):
            found = get_tracks(f"composite:{count}x{length}:{photographs}:{annotations}")
            assert found.num_frames().tolist() == [length] * count
            assert found[0]["frames"][0].shape[:2] == found[0]["frames"].size
        assert len(get_tracks(f"coco:{photographs}:{annotations}")) == 4

    def test_small_when_pickled(self, tracks):
        data = pickle.dumps(tracks)
        assert len(data) < 12 * 1000
        assert same(pickle.loads(data), tracks)

    def test_pairs_of_both_frames(self, tracks):
        pair = PairDataset([tracks])[3]
        assert pair["template"]["frames"] is pair["search"]["frames"]


class TestFrames:
    def test_pure_function_of_track_and_index(self, tracks, photographs):
        frames = [tracks[2]["frames"][i] for i in range(8)]
        again = get_tracks(f"composite:12x8:{photographs}:{photographs / 'anno.json'}")
        for t in again[5], again[6], again[7], again[8]:  # push it out of the cache
            t["frames"][0]
        for i in (7, 0, 3):
            np.testing.assert_array_equal(again[2]["frames"][i], frames[i])
        with pytest.raises(IndexError):
            tracks[2]["frames"][8]

    def test_box_bounds_the_mask(self, tracks):
        compared = 0
        for t in tracks:
            for i in np.flatnonzero(t["visible"])[::3]:
                y, x = np.nonzero(t["frames"].target_alpha(i) > 127)
                bounds = [x.min(), y.min(), x.max() + 1, y.max() + 1]
                # blur rounds a tip off
                np.testing.assert_allclose(t["boxes"][i], bounds, atol=2.5)
                compared += 1
        assert compared > 12

    def test_target_shows_its_object_over_another_photograph(self, tracks):
        for t in tracks:
            frames = t["frames"]
            name = frames.cut_outs[frames.target].photograph.name(0)
            own = 2 if name.endswith("red.png") else 0  # channel of what is behind the object
            plan, scene = frames._parts()
            assert scene.background[..., 2 - own].mean() > 2 * scene.background[..., own].mean()
            sprite, alpha = scene.sprites[plan.target], scene.alphas[plan.target]
            color = sprite[alpha == 255].astype(float).mean(axis=0)
            assert color[1] > 1.1 * max(color[0], color[2])  # the objects are green
            shown = frames[0][frames.target_alpha(0) == 255].astype(float).mean(axis=0)
            assert shown[1] > shown[0] and shown[1] > shown[2]
            assert frames[0].shape == (*frames.size, 3) and frames[0].dtype == np.uint8

    def test_photograph_that_is_gone_is_named(self, photographs, tmp_path):
        data = json.loads((photographs / "anno.json").read_text())
        for image in data["images"]:
            image["file_name"] = "gone_" + image["file_name"]
        (tmp_path / "anno.json").write_text(json.dumps(data))
        found = get_tracks(f"composite:2x3:{tmp_path}:{tmp_path / 'anno.json'}")
        with pytest.raises(FrameError, match=f"{tmp_path}/gone_.*png is missing"):
            found[0]["frames"][0]


class TestErrors:
    def test_no_tracks_or_frames(self, photographs):
        rest = f"{photographs}:{photographs / 'anno.json'}"
        with pytest.raises(ValueError, match="COUNTxLENGTH.* must be positive, got 0x5"):
            get_tracks(f"composite:0x5:{rest}")
        with pytest.raises(ValueError, match="got 5x0"):
            get_tracks(f"composite:5x0:{rest}")

    def test_what_is_missing_is_named(self, photographs):
        with pytest.raises(ValueError, match="composite:IMAGES_DIR:ANNOTATIONS_JSON"):
            get_tracks("composite:no_such_name")
        with pytest.raises(FileNotFoundError, match="image folder /no/such/folder"):
            get_tracks(f"composite:/no/such/folder:{photographs / 'anno.json'}")
        with pytest.raises(FileNotFoundError, match="gone.json"):
            get_tracks(f"composite:{photographs}:{photographs / 'gone.json'}")

    def test_file_without_annotations(self, tmp_path):
        path = tmp_path / "empty.json"
        path.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
        with pytest.raises(ValueError, match=r"empty.json': none of its 0 boxes"):
            get_tracks(f"composite:{tmp_path}:{path}")

    def test_videos_are_no_photographs(self):
        with pytest.raises(ValueError, match="synthetic_val holds no photographs"):
            get_tracks("composite:synthetic_val")
