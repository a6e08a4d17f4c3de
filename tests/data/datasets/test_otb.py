from pathlib import Path

import numpy as np
import pytest

from sot.data.datasets import cached_tracks
from sot.data.datasets.otb import OTB2013, OTB2015, otb_sources
from sot.data.frames import FrameError


def write_frames(folder, numbers, digits=4, suffix=".jpg"):
    folder.mkdir(parents=True, exist_ok=True)
    for n in numbers:
        (folder / f"{n:0{digits}d}{suffix}").touch()


def write_sequence(root, folder, numbers, rows, truth="groundtruth_rect.txt", **names):
    write_frames(root / folder / "img", numbers, **names)
    (root / folder / truth).write_text("".join(f"{row}\n" for row in rows))


def read(root, name, split="2015"):
    (source,) = [s for s in otb_sources(root, split) if s.name == name]
    (track,) = source.read()
    return track


def stems(track):
    return [track["frames"].name(i).rpartition("/")[2] for i in (0, len(track["frames"]) - 1)]


def test_lists_have_the_published_numbers():
    assert len(OTB2013) == len(set(OTB2013)) == 51 and len(OTB2015) == 100
    assert len({name.partition("-")[0] for name in OTB2015}) == 98
    assert len({name.partition("-")[0] for name in OTB2013}) == 50
    # 59,040 and 29,491 frames by the papers, which count the first five of Tiger1
    frames = {name: last - first + 1 for name, (first, last) in OTB2015.items()}
    assert sum(frames.values()) == 59040 - 5
    assert sum(frames[name] for name in OTB2013) == 29491 - 5
    assert [s.name for s in otb_sources(Path("root"), "2013")] == OTB2013
    odd = {"David", "Football1", "Freeman3", "Freeman4", "Diving", "Tiger1"}
    assert {name: frames[name] for name in odd} == {
        "David": 471,
        "Football1": 74,
        "Freeman3": 460,
        "Freeman4": 283,
        "Diving": 215,
        "Tiger1": 349,
    }
    starts = {name: first for name, (first, _) in OTB2015.items() if first > 1}
    assert starts == {"David": 300, "Tiger1": 6, "BlurCar1": 247, "BlurCar3": 3, "BlurCar4": 18}


@pytest.mark.parametrize("separator", [",", "\t", " ", ",  "])
def test_separators_and_pixels_counted_from_one(tmp_path, separator):
    rows = [separator.join(map(str, (i + 1, 10, 20, 30))) for i in range(71)]
    write_sequence(tmp_path, "Deer", range(1, 72), rows)
    track = read(tmp_path, "Deer")
    assert track["name"] == "Deer" and track["visible"].all()
    assert track["boxes"][0].tolist() == [0, 9, 20, 39]
    assert track["boxes"][70].tolist() == [70, 9, 90, 39]


@pytest.mark.parametrize(
    "name, numbers, used",
    [
        ("David", range(290, 775), ["0300.jpg", "0770.jpg"]),
        ("Football1", range(1, 82), ["0001.jpg", "0074.jpg"]),
        ("Diving", range(1, 232), ["0001.jpg", "0215.jpg"]),
        ("BlurCar3", range(3, 360), ["0003.jpg", "0359.jpg"]),
    ],
)
def test_frames_without_annotation_are_left_out(tmp_path, name, numbers, used):
    first, last = (int(f[:4]) for f in used)
    rows = [f"{n},1,5,5" for n in range(first, last + 1)]
    write_sequence(tmp_path, name, numbers, rows)
    track = read(tmp_path, name)
    assert stems(track) == used
    assert track["boxes"][[0, -1], 0].tolist() == [first - 1, last - 1]


def test_tiger1_starts_at_frame_six_though_annotated_before(tmp_path):
    write_sequence(tmp_path, "Tiger1", range(1, 355), [f"{n},1,5,5" for n in range(1, 355)])
    track = read(tmp_path, "Tiger1", "2013")
    assert stems(track) == ["0006.jpg", "0354.jpg"] and len(track["boxes"]) == 349
    assert track["boxes"][0].tolist() == [5, 0, 10, 5]


def test_names_with_five_digits_and_png(tmp_path, monkeypatch):
    monkeypatch.setitem(OTB2015, "Board", (1, 12))
    write_sequence(tmp_path, "Board", range(1, 13), ["1,1,5,5"] * 12, digits=5)
    write_sequence(tmp_path, "KiteSurf", range(1, 85), ["1,1,5,5"] * 84, suffix=".png")
    assert stems(read(tmp_path, "Board")) == ["00001.jpg", "00012.jpg"]
    assert stems(read(tmp_path, "KiteSurf")) == ["0001.png", "0084.png"]


def test_two_objects_of_one_video(tmp_path, monkeypatch):
    for name in ("Jogging-1", "Jogging-2", "Skating2-2", "Human4-2"):
        monkeypatch.setitem(OTB2015, name, (1, 2))
    for i in (1, 2):
        truth = f"groundtruth_rect.{i}.txt"
        write_sequence(tmp_path, "Jogging", range(1, 3), [f"{10 * i},1,5,5"] * 2, truth)
    write_sequence(tmp_path, "Skating2", range(1, 3), ["4\t1\t5\t5"] * 2, truth)
    write_sequence(tmp_path, "Human4", range(1, 3), [], "groundtruth_rect.1.txt")  # it is empty
    write_sequence(tmp_path, "Human4", [], ["3 1 5 5"] * 2, "groundtruth_rect.2.txt")
    first, second = (read(tmp_path, f"Jogging-{i}", "2013") for i in (1, 2))
    assert (first["boxes"][0, 0], second["boxes"][0, 0]) == (9, 19)
    assert first["frames"].name(0) == second["frames"].name(0)
    assert read(tmp_path, "Skating2-2")["boxes"][0].tolist() == [3, 0, 8, 5]
    assert read(tmp_path, "Human4-2")["boxes"][0].tolist() == [2, 0, 7, 5]


def test_absent_target(tmp_path):
    write_sequence(tmp_path, "Deer", range(1, 72), ["1,1,5,5"] * 70 + ["0,0,0,0"])
    track = read(tmp_path, "Deer")
    assert track["visible"].sum() == 70 and np.isnan(track["boxes"][70]).all()


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="Basketball/groundtruth_rect.txt"):
        cached_tracks("otb", otb_sources(tmp_path, "2013"), strict=True)
    (tmp_path / "Deer").mkdir()
    (tmp_path / "Deer" / "groundtruth_rect.txt").write_text("1,1,5,5\n" * 71)
    with pytest.raises(FileNotFoundError, match="sequence Deer: there is no folder .*Deer/img"):
        read(tmp_path, "Deer")
    # macOS archives add ._ files beside the frames
    write_frames(tmp_path / "Deer" / "img", [*range(1, 40), *range(42, 72)])
    (tmp_path / "Deer" / "img" / "._0040.jpg").touch()
    with pytest.raises(FrameError, match="Deer: 2 of the frames 1 to 71 .* such as 40"):
        read(tmp_path, "Deer")


def test_count_mismatch_names_the_sequence(tmp_path):
    write_sequence(tmp_path, "Deer", range(1, 72), ["1,1,5,5"] * 69)
    with pytest.raises(ValueError, match="Deer: 71 frames but 69 boxes"):
        read(tmp_path, "Deer")
