import cv2
import numpy as np
import pytest

from sot.data.datasets import cached_tracks
from sot.data.datasets.vot import vot_sources

POLYGONS = ["0,5,10,0,20,5,10,15", "1.5,2.5,11.5,2.5,11.5,8.5,1.5,8.5"]


def write_sequence(root, name, truth, images="color", num_frames=2):
    folder = root / name
    (folder / images).mkdir(parents=True)
    for i in range(num_frames):
        (folder / images / f"{i + 1:08d}.jpg").touch()
    (folder / "groundtruth.txt").write_text("\n".join(truth) + "\n")
    (folder / "occlusion.tag").write_text("1\n0\n")
    (folder / "practical.value").write_text("0.1\n0.2\n")
    with (root / "list.txt").open("a", newline="") as f:
        f.write(f"{name}\r\n\r\n")
    return folder


def read(root, split="shortterm"):
    return [track for source in vot_sources(root, split) for track in source.read()]


def test_polygons_are_kept_beside_their_bounding_boxes(tmp_path):
    write_sequence(tmp_path, "ants1", POLYGONS)
    (track,) = read(tmp_path)
    assert track["name"] == "ants1"
    assert track["boxes"].tolist() == [[0, 0, 20, 15], [1.5, 2.5, 11.5, 8.5]]
    assert track["polygons"].tolist() == [
        [0, 5, 10, 0, 20, 5, 10, 15],
        [1.5, 2.5, 11.5, 2.5, 11.5, 8.5, 1.5, 8.5],
    ]
    assert track["polygons"].dtype == np.float64
    # the tag says that something covers the target, not that nothing of it can be seen
    assert track["visible"].all()


def test_sequence_with_boxes_among_those_with_polygons(tmp_path):
    write_sequence(tmp_path, "conduction1", ["712.0,231.0,22.0,24.0", "710,230,22,24"])
    write_sequence(tmp_path, "ants1", POLYGONS)
    tracks = cached_tracks("vot", vot_sources(tmp_path, "shortterm"), strict=True)
    assert [t["name"] for t in tracks] == ["conduction1", "ants1"]
    box = tracks[0]["polygons"][0]  # stays a box
    assert box[:4].tolist() == [712, 231, 734, 255] and np.isnan(box[4:]).all()
    assert tracks[0]["boxes"][0].tolist() == [712, 231, 734, 255]
    assert tracks[1]["polygons"][0].tolist() == [0, 5, 10, 0, 20, 5, 10, 15]


def test_frames_in_color_or_right_in_the_sequence(tmp_path):
    new = write_sequence(tmp_path, "new", POLYGONS)
    old = write_sequence(tmp_path, "old", POLYGONS, images=".")
    cv2.imwrite(str(old / "00000002.jpg"), np.zeros((20, 30, 3), np.uint8))
    sources = vot_sources(tmp_path, "shortterm")
    assert sources[0].files == (new / "groundtruth.txt", new / "color")
    assert sources[1].files == (old / "groundtruth.txt", old)
    assert [s.name for s in sources] == ["new", "old"]
    frames = sources[1].read()[0]["frames"]
    assert len(frames) == 2 and frames[1].shape == (20, 30, 3)


def test_longterm_targets_are_absent_at_times(tmp_path):
    write_sequence(tmp_path, "longboard", ["10,20,30,40", "nan,nan,nan,nan", "1,2,3,4"], ".", 3)
    (track,) = read(tmp_path, "longterm")
    assert track["boxes"][[0, 2]].tolist() == [[10, 20, 40, 60], [1, 2, 4, 6]]
    assert np.isnan(track["boxes"][1]).all()
    assert track["visible"].tolist() == [True, False, True]
    assert track.keys() == {"name", "frames", "boxes", "visible"}


@pytest.mark.parametrize(
    "truth, message",
    [
        (POLYGONS + POLYGONS[:1], "bag: 2 frames but 3 boxes"),
        ([], "bag: 2 frames but 0 boxes"),
        (POLYGONS[:1] + ["1,2,3,4"], "groundtruth.txt line 2"),
        (["m10,20,30,40,5,6", "m1,2,3,4,5,6"], "groundtruth.txt line 1: no number"),
    ],
)
def test_bad_truth_is_named(tmp_path, truth, message):
    write_sequence(tmp_path, "bag", truth)
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_missing_list_and_missing_sequence(tmp_path):
    with pytest.raises(FileNotFoundError, match="list.txt does not exist"):
        vot_sources(tmp_path, "shortterm")
    (tmp_path / "list.txt").write_text("gone\n")
    with pytest.raises(FileNotFoundError, match="gone"):
        cached_tracks("vot", vot_sources(tmp_path, "shortterm"), strict=True)
