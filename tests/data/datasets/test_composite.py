import json
import pickle

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json

from sot.data import get_tracks
from sot.data.datasets.composite import CompositeFrames
from sot.data.datasets.composite_cut import CutOuts, cut_out_fields
from sot.data.datasets.composite_scene import Layer, annotate
from sot.data.datasets.tracks import TrackList, make_track
from sot.data.frames import ImageFrames

GREEN, RED = (40, 200, 40), (30, 30, 200)  # BGR
SIZE = (60, 80)  # height and width of the backgrounds
SQUARE = [10, 20, 40, 20, 40, 50, 10, 50]  # x, y of the corners of a 30 x 30 square


def blue(i):
    """Blue and green of the background in frame i of the video; red is 30 more."""
    return 60 + 10 * i


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """photos/: a green and a red square of 30 x 30, with photos.json; videos/clip: plain frames."""
    root = tmp_path_factory.mktemp("composite")
    (root / "photos").mkdir()
    (root / "videos" / "clip" / "img").mkdir(parents=True)
    data = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "thing"}]}
    for number, (name, color) in enumerate({"green.png": GREEN, "red.png": RED}.items()):
        image = np.full((*SIZE, 3), 128, np.uint8)
        image[20:50, 10:40] = color
        cv2.imwrite(str(root / "photos" / name), image)
        data["images"].append({"id": number, "file_name": name, "height": 60, "width": 80})
        data["annotations"].append(
            {"id": number + 1, "image_id": number, "bbox": [10, 20, 30, 30], "area": 900}
            | {"segmentation": [SQUARE], "iscrowd": 0, "category_id": 1}
        )
    (root / "photos.json").write_text(json.dumps(data))
    for i in range(10):
        image = np.full((*SIZE, 3), (blue(i), blue(i), blue(i) + 30), np.uint8)
        cv2.imwrite(str(root / "videos" / "clip" / "img" / f"{i + 1:04d}.png"), image)
    (root / "videos" / "clip" / "groundtruth_rect.txt").write_text("1,1,9,9\n" * 10)
    return root


@pytest.fixture
def photographs(folder):
    return f"{folder / 'photos'}:{folder / 'photos.json'}"


@pytest.fixture
def over_video(folder, photographs):
    return get_tracks(f"composite:6x10:{photographs}+folder:{folder / 'videos'}")


@pytest.fixture
def cut_outs(folder):
    tracks = []
    for name in ("green.png", "red.png"):
        frames = ImageFrames([str(folder / "photos" / name)])
        annotation = {"bbox": [10, 20, 30, 30], "segmentation": [SQUARE]}
        track = make_track(name, frames, [annotation["bbox"]])
        tracks.append({**track, **cut_out_fields(annotation)})
    return CutOuts(TrackList.pack(tracks))


@pytest.fixture
def arranged(folder, cut_outs, monkeypatch):
    """Makes frames of the layers that are given, the first being the target, over the video."""

    def make(*layers):
        monkeypatch.setattr("sot.data.datasets.composite.arrange", lambda *_: (list(layers), 0))
        clip = ImageFrames([str(p) for p in sorted((folder / "videos/clip/img").iterdir())])
        return CompositeFrames(cut_outs, layers[0].number, clip, 0, len(layers[0].pose), SIZE)

    return make


def layer(number, pose, *args, **kwargs):
    """A square."""
    return Layer(np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]), pose, number, *args, **kwargs)


def pose(*rows):
    """(T, 2, 3) from rows of half width, half height and centre x, y."""
    return np.array([[[w, 0, x], [0, h, y]] for w, h, x, y in rows], float)


class TestFrames:
    def test_box_of_a_square_that_moves(self, arranged):
        frames = arranged(layer(0, pose((10, 8, 30, 25), (5, 4, 37, 22))))
        boxes, visible = frames.annotation()
        assert boxes.dtype == np.float32
        np.testing.assert_allclose(boxes, [[20, 17, 40, 33], [32, 18, 42, 26]], atol=1e-3)
        assert visible.tolist() == [True, True]
        for i, (x0, y0, x1, y1) in enumerate(boxes.astype(int)):
            green = frames[i][..., 1].astype(int) - frames[i][..., 2] > 80
            y, x = np.nonzero(green)
            assert (x.min(), y.min(), x.max() + 1, y.max() + 1) == (x0, y0, x1, y1)
            np.testing.assert_array_equal(frames[i][y0 + 2 : y1 - 2, x0 + 2 : x1 - 2, 1], 200)

    def test_turned_and_mirrored_square(self, arranged):
        c = 10 * np.sqrt(0.5)
        turned = np.array([[[-c, -c, 40], [-c, c, 30]]])
        boxes, _ = arranged(layer(0, turned)).annotation()
        half = 10 * np.sqrt(2)
        np.testing.assert_allclose(boxes, [[40 - half, 30 - half, 40 + half, 30 + half]], rtol=1e-5)

    def test_frame_i_of_the_video_is_behind(self, arranged):
        frames = arranged(layer(0, pose(*[(5, 5, 10, 10)] * 13)))
        order = [*range(10), 8, 7, 6]  # and back from the end
        for i, of_video in enumerate(order):
            assert (frames[i][30:, 40:, 0] == blue(of_video)).all()
        with pytest.raises(IndexError):
            frames[13]

    def test_visible_behind_an_occluder(self):
        # the occluder's left edge leaves 20 %, then 30 %, of the width of a square free
        target = layer(0, pose((10, 10, 30, 30), (10, 10, 30, 30)))
        other = layer(1, pose((20, 15, 44, 30), (20, 15, 46, 30)))
        boxes, visible = annotate(target, [other], SIZE)
        assert visible.tolist() == [False, True]
        np.testing.assert_allclose(boxes, [[20, 20, 40, 40]] * 2, atol=1e-3)

    def test_visible_outside_of_the_frame(self):
        rows = (10, 10, 5, 30), (10, 10, -4, 30), (10, 10, -6, 30), (10, 10, -11, 30)
        boxes, visible = annotate(layer(0, pose(*rows)), [], SIZE)
        assert visible.tolist() == [True, True, False, False]
        np.testing.assert_allclose(boxes[0], [-5, 20, 15, 40], atol=1e-3)
        np.testing.assert_allclose(boxes[2], [-16, 20, 4, 40], atol=1e-3)
        assert np.isnan(boxes[3]).all()

    def test_layers_are_drawn_in_order(self, arranged):
        below, above = pose((10, 10, 30, 30)), pose((10, 10, 40, 30))
        frame = arranged(layer(0, below), layer(1, above))[0]
        assert frame[30, 25].tolist() == list(GREEN) and frame[30, 35].tolist() == list(RED)

    def test_colours_of_a_copy(self, arranged):
        colors = np.array([[0, 0, 1], [0, 2, 0], [0.5, 0, 0]])  # red and blue exchanged
        copy = layer(1, pose((10, 10, 30, 30)), colors)
        assert arranged(copy)[0][30, 30].tolist() == [200, 60, 15]

    def test_adapts_to_the_brightness_of_the_background(self, arranged):
        dark = arranged(layer(0, pose(*[(5, 5, 30, 30)] * 10), adapts=1.0))[0][30, 30]
        # its mean, 93.3, becomes that of the background
        np.testing.assert_allclose(dark, np.array(GREEN) * (70 + 10) / (93.3 + 10), atol=1)

    def test_piece_of_the_background(self, arranged, folder):
        frames = arranged(layer(0, pose((5, 5, 60, 40)), piece=(0, 0)))
        image = np.full((*SIZE, 3), (50, 20, 20), np.uint8)
        image[:10, :10] = 180
        frames._background = lambda i: image
        frame = frames[0]
        assert (frame[37:43, 57:63] == 180).all() and (frame[20:30, 30:, 0] == 50).all()

    def test_all_is_gray_over_a_gray_video(self, arranged):
        frames = arranged(layer(0, pose((10, 10, 30, 30))))
        frames._background = lambda i: np.full((*SIZE, 3), 90, np.uint8)
        level = round(0.114 * 40 + 0.587 * 200 + 0.299 * 40)
        assert frames[0][30, 30].tolist() == [level] * 3 and frames[0][9, 9].tolist() == [90] * 3


class TestTracks:
    def test_number_length_and_fields(self, over_video):
        assert over_video.num_frames().tolist() == [10] * 6
        assert len({t["name"] for t in over_video}) == 6
        for t in over_video:
            assert t["frames"][3].shape == (*SIZE, 3) and t["frames"][3].dtype == np.uint8
            assert t["boxes"].dtype == np.float32 and t["visible"].dtype == bool
            assert t["visible"][0]

    def test_each_object_is_a_target_in_turn(self, over_video):
        targets = [t["frames"].target for t in over_video]
        assert sorted(targets[:2]) == [0, 1] and targets == targets[:2] * 3

    def test_a_frame_depends_on_nothing_else(self, over_video, folder, photographs):
        again = get_tracks(f"composite:6x10:{photographs}+folder:{folder / 'videos'}")
        again = pickle.loads(pickle.dumps(again))
        for k in (5, 0):
            np.testing.assert_array_equal(again[k]["boxes"], over_video[k]["boxes"])
            for i in (7, 0, 3):
                np.testing.assert_array_equal(again[k]["frames"][i], over_video[k]["frames"][i])

    def test_other_photographs_are_the_backgrounds(self, photographs):
        for t in get_tracks(f"composite:4x3:coco:{photographs}"):
            frames = t["frames"]
            behind, own = frames.background.name(0), frames.cut_outs.tracks[frames.target]["frames"]
            assert behind != own.name(0)
            assert frames[2].shape == (*frames.size, 3)

    def test_backgrounds_by_any_name(self, folder, photographs):
        over_photographs = get_tracks(f"composite:2x3:{photographs}+coco:{photographs}")
        assert over_photographs[0]["frames"][0].shape[0] >= 240
        path, images = str(folder / "photos.json"), str(folder / "photos")
        DatasetCatalog.register("things", lambda: load_coco_json(path, images))
        try:
            found = get_tracks("composite:2x3:things+things")
            np.testing.assert_array_equal(found[1]["boxes"], over_photographs[1]["boxes"])
            settings = {"evaluator_type": "coco", "json_file": path, "image_root": images}
            MetadataCatalog.get("things").set(**settings)
            found = get_tracks("composite:2x3:things")
            assert found.num_frames().tolist() == [3, 3]
        finally:
            DatasetCatalog.remove("things")
            MetadataCatalog.remove("things")

    def test_plus_in_a_path(self, folder, photographs):
        copy = folder / "a+b.json"
        copy.write_bytes((folder / "photos.json").read_bytes())
        name = f"composite:1x10:{folder / 'photos'}:{copy}"
        assert len(get_tracks(name)[0]["frames"].background) == 1
        name = f"{name}+folder:{folder / 'videos'}"
        assert len(get_tracks(name)[0]["frames"].background) == 10

    def test_default_number_and_length(self, photographs, monkeypatch):
        monkeypatch.setattr("sot.data.catalog.COMPOSITE_TRACKS", (3, 5))
        assert get_tracks(f"composite:{photographs}").num_frames().tolist() == [5, 5, 5]


class TestErrors:
    def test_no_tracks_or_frames(self, photographs):
        with pytest.raises(ValueError, match="COUNTxLENGTH.* must be positive, got 0x5"):
            get_tracks(f"composite:0x5:{photographs}")
        with pytest.raises(ValueError, match="got 5x0"):
            get_tracks(f"composite:5x0:{photographs}")

    def test_what_is_missing_is_named(self, folder, photographs):
        with pytest.raises(ValueError, match="composite:IMAGES_DIR:ANNOTATIONS_JSON"):
            get_tracks("composite:no_such_name")
        with pytest.raises(FileNotFoundError, match="image folder /no/such/folder"):
            get_tracks(f"composite:/no/such/folder:{folder / 'photos.json'}")
        with pytest.raises(FileNotFoundError, match="gone.json"):
            get_tracks(f"composite:{folder / 'photos'}:{folder / 'gone.json'}")
        with pytest.raises(FileNotFoundError, match="dataset folder /no/videos"):
            get_tracks(f"composite:{photographs}+folder:/no/videos")

    def test_photograph_that_is_gone_is_named(self, folder, tmp_path):
        text = (folder / "photos.json").read_text().replace('"green', '"gone_green')
        (tmp_path / "anno.json").write_text(text.replace('"red', '"gone_red'))
        name = f"composite:2x3:{tmp_path}:{tmp_path / 'anno.json'}+folder:{folder / 'videos'}"
        with pytest.raises(FileNotFoundError, match=f"{tmp_path}/gone_green.png"):
            get_tracks(name)

    def test_nothing_to_cut_out_or_nothing_behind(self, folder):
        data = json.loads((folder / "photos.json").read_text())
        one, none = folder / "one.json", folder / "none.json"
        data["annotations"] = data["annotations"][:1]
        one.write_text(json.dumps(data))
        none.write_text(json.dumps({**data, "annotations": []}))
        with pytest.raises(ValueError, match="all objects are of .*green.png; another photograph"):
            get_tracks(f"composite:{folder / 'photos'}:{one}")
        with pytest.raises(ValueError, match="none.json': none of its objects"):
            get_tracks(f"composite:{folder / 'photos'}:{none}")

    def test_videos_are_no_photographs(self):
        with pytest.raises(ValueError, match="synthetic_val holds no photographs"):
            get_tracks("composite:synthetic_val")
