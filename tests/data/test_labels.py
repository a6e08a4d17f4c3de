import contextlib
import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from sot.data.datasets import read_boxes
from sot.data.labels import FORMATS, Label, Labels, cvat, read_labels, save_labels

VIDEO = Labels(
    "clip.mp4",
    100,
    50,
    25.0,
    [
        Label(0, 0, 10.0, 5.0, 20.0, 10.0, 1.0, "init", ""),
        Label(1, 0, -4.0, 5.5, 20.0, 10.0, 0.75, "tracked", ""),
        Label(1, 1, 60.0, 30.0, 40.0, 30.0, 1.0, "init", ""),
        Label(3, 1, 120.0, 30.0, 10.0, 10.0, 0.25, "lost", ""),
    ],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    save_labels(VIDEO, list(FORMATS), folder)
    return folder


class TestLines:
    def test_mot(self, folder):
        assert (folder / "mot.txt").read_text().splitlines() == [
            "1,1,11.000,6.000,20.000,10.000,1.0000,-1,-1,-1",
            "2,1,-3.000,6.500,20.000,10.000,0.7500,-1,-1,-1",
            "2,2,61.000,31.000,40.000,30.000,1.0000,-1,-1,-1",
            "4,2,121.000,31.000,10.000,10.000,0.2500,-1,-1,-1",
        ]

    def test_vot(self, folder):
        assert (folder / "vot" / "target_1.txt").read_text().splitlines() == [
            *("0", "60.000,30.000,40.000,30.000", "0", "120.000,30.000,10.000,10.000"),
        ]
        assert (folder / "vot" / "target_0.txt").read_text().splitlines()[2:] == ["0", "0"]

    def test_yolo(self, folder):
        labels = folder / "yolo" / "labels"
        assert (
            labels / "frame_000000.txt"
        ).read_text() == "0 0.200000 0.200000 0.200000 0.200000\n"
        # cut to 0..16 of 100 and 30..50 of 50
        assert (labels / "frame_000001.txt").read_text().splitlines() == [
            "0 0.080000 0.210000 0.160000 0.200000",
            "1 0.800000 0.800000 0.400000 0.400000",
        ]
        assert (labels / "frame_000003.txt").read_text() == ""  # outside
        assert "  1: target_1\n" in (folder / "yolo" / "data.yaml").read_text()


class TestOtherReaders:
    """What programs that are not ours read."""

    def test_pycocotools(self, folder):
        coco = pytest.importorskip("pycocotools.coco")
        with contextlib.redirect_stdout(io.StringIO()):
            data = coco.COCO(str(folder / "coco.json"))
        (image,) = data.loadImgs([2])
        assert (image["frame_id"], image["width"], image["video_id"]) == (1, 100, 1)
        found = data.loadAnns(data.getAnnIds(imgIds=[2]))
        assert [a["bbox"] for a in found] == [[-4, 5.5, 20, 10], [60, 30, 40, 30]]
        assert [a["instance_id"] for a in found] == [1, 2] and len(data.getImgIds()) == 4

    def test_motmetrics(self, folder):
        motmetrics = pytest.importorskip("motmetrics")
        table = motmetrics.io.loadtxt(str(folder / "mot.txt"), fmt="mot15-2D")
        # it counts pixels from 0, frames and targets from 1
        assert table.loc[(2, 1), ["X", "Y", "Width", "Height", "Confidence"]].tolist() == [
            *(-4, 5.5, 20, 10, 0.75),
        ]
        assert table.index.tolist() == [(1, 1), (2, 1), (2, 2), (4, 2)]

    def test_boxes_of_a_vot_file_and_of_a_data_set(self, folder):
        lines = (folder / "vot" / "target_0.txt").read_text().splitlines()[:2]
        (folder / "first.txt").write_text("\n".join(lines))
        found = read_boxes(folder / "first.txt", (100, 50))
        np.testing.assert_allclose(found, [[10, 5, 20, 10], [-4, 5.5, 20, 10]])

    def test_datumaro(self, folder):
        """The library that CVAT itself imports and exports with."""
        dataset = pytest.importorskip("datumaro.components.dataset").Dataset
        items = list(dataset.import_from(str(folder / "cvat.xml"), "cvat"))
        boxes = [
            (item.attributes["frame"], a.attributes["track_id"], a.get_bbox())
            for item in items
            for a in item.annotations
            if not a.attributes["outside"]
        ]
        assert boxes == [
            (0, 0, [10, 5, 20, 10]),
            (1, 0, [-4, 5.5, 20, 10]),
            (1, 1, [60, 30, 40, 30]),
        ]

    def test_cvat(self, folder):
        """Not with CVAT itself: its format as its documentation has it."""
        root = ElementTree.parse(folder / "cvat.xml").getroot()
        assert root.findtext("version") == "1.1" and root.findtext("meta/task/size") == "4"
        assert root.findtext("meta/task/labels/label/name") == "object"
        second = root.findall("track")[1]
        assert second.attrib == {"id": "1", "label": "object"}
        boxes = [[(b.get("frame"), b.get("outside")) for b in t] for t in root.findall("track")]
        assert boxes == [[("0", "0"), ("1", "0"), ("2", "1")], [("1", "0"), ("3", "1")]]
        first = second[0]
        corners = [float(first.get(k)) for k in ("xtl", "ytl", "xbr", "ybr")]
        assert corners == [60, 30, 100, 60] and first.get("keyframe") == "1"
        assert {a.get("name"): a.text for a in first} == {"score": "1.0", "status": "init"}


class TestCvat:
    def track(self, *rows, min_frames=0):
        """{frame: (key frame, outside)} of boxes with these (frame, left, status)."""
        labels = [
            Label(frame, 0, left, 5.0, 20.0, 10.0, 0.9, status, "") for frame, left, status in rows
        ]
        video = Labels("/home/me/clip.mp4", 100, 50, 25.0, labels, "car", min_frames)
        self.root = ElementTree.fromstring(cvat(video)["cvat.xml"])
        flags = ("keyframe", "outside")
        return {
            int(b.get("frame")): tuple(int(b.get(k)) for k in flags) for b in self.root.iter("box")
        }

    def test_key_frames_where_interpolation_would_be_off(self):
        lefts = [10, 11.4, 13, 14.6, 16, 12, 8, 4]  # a line, off by 0.4, and a line back
        rows = [(i, left, "tracked") for i, left in enumerate(lefts)]
        found = self.track(*rows)
        assert [frame for frame, (key, _) in found.items() if key] == [0, 4, 7]
        assert len(found) == 8 and found[7] == (1, 0)

    def test_large_boxes_may_be_off_by_more(self):
        def keys(left):
            rows = [Label(f, 0, x, 5.0, 100.0, 100.0, 0.9, "tracked", "") for f, x in left.items()]
            boxes = ElementTree.fromstring(cvat(Labels("v", 300, 200, 25.0, rows))["cvat.xml"])
            return [int(b.get("frame")) for b in boxes.iter("box") if b.get("keyframe") == "1"]

        # 2 % of the root of 100 x 100 pixels are 2 pixels
        assert keys({0: 10.0, 1: 13.9, 2: 14.0}) == [0, 2]
        assert keys({0: 10.0, 1: 14.1, 2: 14.0}) == [0, 1, 2]

    @pytest.mark.parametrize("min_frames, end", [(2, {}), (3, {2: (1, 1)})])
    def test_end_of_a_track_is_a_frame_of_the_video(self, min_frames, end):
        found = self.track((0, 10, "tracked"), (1, 10, "tracked"), min_frames=min_frames)
        assert found == {0: (1, 0), 1: (1, 0), **end}

    def test_frames_that_were_not_tracked_are_interpolated(self):
        found = self.track((0, 10, "tracked"), (4, 14, "tracked"), (10, 20, "tracked"))
        assert found == {0: (1, 0), 4: (0, 0), 10: (1, 0)}

    def test_given_and_lost(self):
        status = ["init", *["tracked"] * 3, *["lost"] * 3, "tracked", "tracked", "init"]
        found = self.track(*((i, 10, name) for i, name in enumerate(status)))
        key, hidden, plain = (1, 0), (1, 1), (0, 0)
        assert [found[i] for i in range(10)] == [
            *(key, key, plain, plain),
            *(hidden, (0, 1), (0, 1)),
            *(key, plain, key),
        ]

    def test_names(self):
        self.track((0, 10, "tracked"))
        assert self.root.findtext("meta/task/name") == "clip.mp4"
        assert self.root.findtext("meta/task/labels/label/name") == "car"
        assert self.root.find("track").get("label") == "car"


def test_earlier_files_go_and_others_stay(tmp_path):
    save_labels(VIDEO, list(FORMATS), tmp_path)
    (tmp_path / "yolo" / "labels" / "mine.txt").write_text("mine")
    save_labels(VIDEO, ["mot"], tmp_path)
    files = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert files == ["mot.txt", "yolo/labels/mine.txt"]


def test_name_that_is_no_utf_8(tmp_path):
    save_labels(VIDEO._replace(source="\udcff.mp4"), ["mot", "cvat", "coco"], tmp_path)
    tree = ElementTree.parse(tmp_path / "cvat.xml")
    assert any(e.text == "\\udcff.mp4" for e in tree.iter())


def test_read_labels(tmp_path):
    path = tmp_path / "boxes.json"
    rows = [{**label._asdict(), "time": 0.0, "raw_score": 1.0} for label in VIDEO.labels]
    head = {"source": "clip.mp4", "width": 100, "height": 50, "fps": 25.0, "frames": 4}
    path.write_text(json.dumps({**head, "boxes": rows}))
    assert read_labels(path) == VIDEO._replace(min_frames=4)
    path.write_text(json.dumps({**head, "label": "car", "boxes": rows}))
    assert read_labels(path) == VIDEO._replace(category="car", min_frames=4)
    path.write_text("{}")
    with pytest.raises(ValueError, match="boxes.json is not a boxes.json of demo/track_video.py"):
        read_labels(path)
