import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from tool_modules import load_tool

from sot.visualization import VideoWriter

LENGTH = 6
PICTURE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tool():
    return load_tool("check_dataset")


@pytest.fixture
def check(tool, tmp_path, capsys):
    """Run the tool; gives exit code, what it printed, and the report or None."""

    def run(name, *options):
        report = tmp_path / "report.json"
        code = tool.main([name, "--workers", "1", "--output", str(report), *options])
        printed = capsys.readouterr()
        content = json.loads(report.read_text()) if report.exists() else None
        return code, printed.out + printed.err, content

    return run


def sequence(folder, boxes=LENGTH * ["10,10,20,20"]):
    """LENGTH frames, from 0001.jpg on."""
    (folder / "img").mkdir(parents=True)
    for i in range(LENGTH):
        cv2.imwrite(str(folder / "img" / f"{i + 1:04d}.jpg"), PICTURE)
    (folder / "groundtruth_rect.txt").write_text("\n".join(boxes))
    return folder


def found(report):
    return {(p["kind"], p["sequence"], p["frame"]) for p in report["problems"]}


def test_nothing_wrong(check, tmp_path):
    sequence(tmp_path / "set" / "a")
    sequence(tmp_path / "set" / "b", ["NaN,NaN,NaN,NaN", *4 * ["10,10,20,20"], "0,0,0,0"])
    code, printed, report = check(f"folder:{tmp_path / 'set'}")
    assert code == 0
    assert "2 tracks, 12 boxes" in printed and "No problems found." in printed
    assert "2 frames of 1 tracks have no box" in printed and "b (2)" in printed
    assert report["problems"] == [] and set(report["totals"].values()) == {0}
    assert report["absent"] == {"b": [[0, 0], [5, 5]]}


def test_everything_wrong(check, tmp_path):
    root = tmp_path / "set"
    whole = sequence(root / "fine") / "img" / "0001.jpg"
    size = whole.stat().st_size
    (sequence(root / "cut") / "img" / "0003.jpg").write_bytes(whole.read_bytes()[: size // 2])
    rotten = bytearray(whole.read_bytes())
    rotten[size // 2 : size // 2 + 200] = b"\xff\xd7" * 100
    (sequence(root / "rotten") / "img" / "0002.jpg").write_bytes(rotten)
    (sequence(root / "gap") / "img" / "0004.jpg").unlink()
    sequence(root / "line", 5 * ["10,10,20,20"])
    sequence(root / "words", [*5 * ["10,10,20,20"], "ten,10,20,20"])
    sequence(root / "never", LENGTH * ["0,0,0,0"])
    boxes = ["100,10,20,20", "0,0,900,20", "10,10,0.5,20", *3 * ["10,10,20,20"]]
    sequence(root / "boxes", boxes)
    (sequence(root / "bare") / "groundtruth_rect.txt").unlink()
    for file in (sequence(root / "empty", []) / "img").iterdir():
        file.unlink()

    code, printed, report = check(f"folder:{root}")
    assert code == 1
    assert found(report) == {
        ("unreadable", "words", None),
        ("unreadable", "bare", None),
        ("unreadable", "empty", None),
        ("numbers", "gap", None),
        ("numbers", "line", None),
        ("invisible", "never", None),
        ("undecodable", "cut", 2),
        ("damaged", "rotten", 1),
        ("outside", "boxes", 0),
        ("huge", "boxes", 1),
        ("tiny", "boxes", 2),
    }
    assert report["totals"]["unreadable"] == 3 and report["totals"]["missing"] == 0
    assert report["tracks"] == 5 and report["boxes"] == 5 * LENGTH
    detail = {(p["kind"], p["sequence"]): p["detail"] for p in report["problems"]}
    assert "5 frames but 6 boxes" in detail["numbers", "gap"]
    assert detail["numbers", "gap"].endswith(f"numbers missing in {root / 'gap' / 'img'}: 4")
    assert "missing" not in detail["numbers", "line"]
    assert "line 6" in detail["unreadable", "words"]
    assert "Corrupt JPEG data" in detail["damaged", "rotten"]
    for problem in report["problems"]:
        assert problem["detail"] in printed


def test_screen_shows_some_and_the_report_all(check, tmp_path):
    sequence(tmp_path / "set" / "a", ["10,10,20,20", *5 * ["100,10,20,20"]])
    sequence(tmp_path / "set" / "b", ["100,10,20,20", *5 * ["10,10,20,20"]])
    code, printed, report = check(f"folder:{tmp_path / 'set'}")
    assert code == 1 and len(report["problems"]) == 6
    assert "boxes outside the picture: 6" in printed and "... and 1 more" in printed


def test_a_set_of_which_no_sequence_can_be_read(check, tmp_path):
    sequence(tmp_path / "a", LENGTH * ["100,10,20,20"])
    code, _, report = check(f"folder:{tmp_path / 'a'}")
    assert code == 1
    (problem,) = report["problems"]
    assert "lie outside of the frames, which are 80 x 60" in problem["detail"]


def test_without_decoding(check, tmp_path):
    folder = sequence(tmp_path / "set" / "a", ["100,10,20,20", *5 * ["10,10,20,20"]])
    file = folder / "img" / "0003.jpg"
    file.write_bytes(file.read_bytes()[:1000])
    code, _, report = check(f"folder:{tmp_path / 'set'}", "--no-decode")
    assert code == 1 and found(report) == {("outside", "a", 0)}
    assert report["decoded"] is False


def test_photographs_and_video(check, tmp_path):
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), PICTURE)
    annotations = [
        {"id": i, "image_id": image, "category_id": 1, "bbox": [5, 5, 20, 20], "iscrowd": 0}
        for i, image in ((1, 1), (2, 1), (3, 2), (4, 2))
    ]
    images = [
        {"id": i, "file_name": name, "width": 80, "height": 60}
        for i, name in ((1, "a.png"), (2, "gone.png"))
    ]
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "x"}]}
    (tmp_path / "photos.json").write_text(json.dumps(coco))
    code, _, report = check(f"coco:{tmp_path / 'photos'}:{tmp_path / 'photos.json'}")
    assert code == 1 and report["tracks"] == 4
    assert found(report) == {("missing", "gone.png#0", 0)}  # once, though two objects are in it

    (tmp_path / "set" / "clip").mkdir(parents=True)
    with VideoWriter(str(tmp_path / "set" / "clip" / "clip.mp4"), 25) as writer:
        for picture in [PICTURE] * 3:
            writer.write(picture)
    boxes = "10,10,20,20\n10,10,20,20\n90,10,20,20"
    (tmp_path / "set" / "clip" / "groundtruth_rect.txt").write_text(boxes)
    code, _, report = check(f"folder:{tmp_path / 'set'}")
    assert code == 1 and found(report) == {("outside", "clip", 2)}


def test_interrupted_it_says_what_was_found(tool, check, tmp_path, monkeypatch):
    sequence(tmp_path / "set" / "a")

    def interrupted(tracks, problems, decode, workers):
        problems.append(tool.Problem("outside", "a", 0, "too far right"))
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "walk", interrupted)
    code, printed, report = check(f"folder:{tmp_path / 'set'}")
    assert code == 130 and report is None
    assert "Found so far: boxes outside the picture: 1" in printed
    assert "error: interrupted" in printed


def test_builtin_data_set_names_all_that_is_left_out(check, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    folder = sequence(tmp_path / "lasot" / "airplane" / "airplane-2")
    (folder / "groundtruth_rect.txt").rename(folder / "groundtruth.txt")
    (folder / "full_occlusion.txt").write_text("0,0,0,0,0,1")
    (folder / "out_of_view.txt").write_text("0,1,0,0,0,0")
    (tmp_path / "lasot" / "training_set.txt").write_text("airplane-2\nairplane-3\n")
    code, _, report = check("lasot_train")
    assert code == 1 and report["absent"] == {"airplane-2": [[1, 1], [5, 5]]}
    assert found(report) == {("unreadable", "airplane-3", None)}
    shutil.rmtree(tmp_path / "lasot")
    code, printed, _ = check("lasot_train")
    assert code == 2 and "DETECTRON2_DATASETS" in printed


@pytest.mark.parametrize("name", ["folder:/no/such/folder", "no_such_set", "coco:only_one"])
def test_no_such_data_set(check, name):
    code, printed, report = check(name)
    assert code == 2 and printed.startswith("error: ") and report is None


def test_bad_call(tool):
    for call in ([], ["a", "--workers", "0"], ["a", "--workers", "x"], ["a", "--output", "."]):
        with pytest.raises(SystemExit) as exit_info:
            tool.main(call)
        assert exit_info.value.code == 2


def test_report_has_a_name_of_its_own(tool):
    path = tool.parse_args(["coco:my photos/images:my photos/all.json"]).output
    assert path == Path("output/check_dataset/coco_my_photos_images_my_photos_all.json")
    path = tool.parse_args(["folder:" + "視" * 300]).output
    assert len(path.name.encode()) <= 255 and path.suffix == ".json"
