import logging

import numpy as np
import pytest

from sot.data.datasets import cached_tracks
from sot.data.datasets.ilsvrc import det_sources, vid_sources

# VID's files list xmax before xmin, DET's have fields that are not read and no trackid
VID_OBJECT = """\
\t<object>
\t\t<trackid>{0}</trackid>
\t\t<name>n02084071</name>
\t\t<bndbox>
\t\t\t<xmax>{3}</xmax>
\t\t\t<xmin>{1}</xmin>
\t\t\t<ymax>{4}</ymax>
\t\t\t<ymin>{2}</ymin>
\t\t</bndbox>
\t\t<occluded>{5}</occluded>
\t\t<generated>{6}</generated>
\t</object>
"""
DET_OBJECT = """\
<object><name>n00007846</name><subcategory>n09618957</subcategory><bndbox><xmin>{}</xmin>
<ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>
"""
SNIPPET = "VID/train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00005009"


def annotation(template, objects):
    size = "<size>\n\t<width>500</width>\n\t<height>375</height>\n</size>\n"
    return f"<annotation>\n{size}{''.join(template.format(*o) for o in objects)}</annotation>\n"


def write(root, folder, files, template):
    """One pair of files for each entry {name: objects}."""
    for tree in ("Annotations", "Data"):
        (root / tree / folder).mkdir(parents=True, exist_ok=True)
    for name, objects in files.items():
        (root / "Data" / folder / f"{name}.JPEG").touch()
        text = annotation(template, objects)
        (root / "Annotations" / folder / f"{name}.xml").write_text(text)


def write_snippet(root, objects, folder=SNIPPET):
    write(root, folder, {f"{t:06d}": o for t, o in enumerate(objects)}, VID_OBJECT)


def read(sources):
    return [track for source in sources for track in source.read()]


def test_vid_has_a_track_for_each_object_over_the_whole_snippet(tmp_path):
    write_snippet(
        tmp_path,
        [
            [(1, 10, 20, 110, 70, 0, 0)],
            [(1, 12, 20, 112, 70, 1, 1), (0, 0, 0, 500, 375, 0, 1)],
            [],
            [(0, 5, 5, 15, 25, 1, 0)],
        ],
    )
    first, second = read(vid_sources(tmp_path, "train"))
    names = (first["name"], second["name"])
    assert names == ("ILSVRC2015_train_00005009#0", "ILSVRC2015_train_00005009#1")
    assert first["visible"].tolist() == [False, True, False, True]
    assert first["boxes"][[1, 3]].tolist() == [[0, 0, 500, 375], [5, 5, 15, 25]]
    assert np.isnan(first["boxes"][[0, 2]]).all()
    assert second["boxes"][:2].tolist() == [[10, 20, 110, 70], [12, 20, 112, 70]]
    assert second["visible"].tolist() == [True, True, False, False]
    assert second["occluded"].tolist() == second["generated"].tolist()
    assert second["occluded"].tolist() == [False, True, False, False]
    assert first["generated"].tolist() == [False, True, False, False]
    for track in (first, second):
        assert len(track["frames"]) == 4
        assert track["frames"].name(3) == str(tmp_path / "Data" / SNIPPET / "000003.JPEG")


def test_vid_splits_and_folders_of_other_projects(tmp_path):
    write_snippet(tmp_path, [[(0, 1, 2, 3, 4, 0, 0)]])
    write_snippet(tmp_path, [[(0, 1, 2, 3, 4, 0, 0)]], "VID/val/ILSVRC2015_val_00007010")
    links = tmp_path / "Annotations" / "VID" / "train"
    (links / "a").symlink_to(links / "ILSVRC2015_VID_train_0000")
    (links / "e").symlink_to(links.parent / "val")
    assert [t["name"] for t in read(vid_sources(tmp_path, "train"))] == [
        "ILSVRC2015_train_00005009#0"
    ]
    assert [t["name"] for t in read(vid_sources(tmp_path, "val"))] == ["ILSVRC2015_val_00007010#0"]


def test_vid_leaves_a_broken_snippet_out(tmp_path, caplog):
    good = "VID/train/ILSVRC2015_VID_train_0001/ILSVRC2015_train_00139005"
    write_snippet(tmp_path, [[(0, 1, 2, 3, 4, 0, 0)]], good)
    write_snippet(tmp_path, [[(0, 1, 2, 3, 4, 0, 0)]] * 2)
    (tmp_path / "Data" / SNIPPET / "000001.JPEG").unlink()
    with caplog.at_level(logging.WARNING):
        (track,) = cached_tracks("vid", vid_sources(tmp_path, "train"), strict=False)
    assert track["name"] == "ILSVRC2015_train_00139005#0"
    assert "1 of 2 sources" in caplog.text
    assert "snippet ILSVRC2015_train_00005009: 1 frames" in caplog.text
    assert "such as 000001" in caplog.text


@pytest.mark.parametrize(
    "text, message",
    [
        (annotation(VID_OBJECT, [(0, 1, 2, 3, 4, 0, 0)])[:-20], "000000.xml .*cut off"),
        ("", "000000.xml .*cut off"),
        (annotation(VID_OBJECT, [(0, 1, 2, 3, "", 0, 0)]), "000000.xml: object 0 lacks a number"),
        (annotation(DET_OBJECT, [(1, 2, 3, 4)]), "000000.xml: object 0 lacks a number"),
    ],
)
def test_vid_bad_annotation_is_named(tmp_path, text, message):
    write_snippet(tmp_path, [[]])
    (tmp_path / "Annotations" / SNIPPET / "000000.xml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read(vid_sources(tmp_path, "train"))


def test_det_has_a_track_for_each_object_of_a_photograph(tmp_path):
    write(
        tmp_path,
        "DET/train/ILSVRC2013_train/n00007846",
        {"n00007846_103856": [(0, 0, 500, 375), (10, 20, 30, 60)], "n00007846_110821": []},
        DET_OBJECT,
    )
    # one of the published boxes has no area
    write(
        tmp_path,
        "DET/train/ILSVRC2014_train_0006",
        {"ILSVRC2014_train_00060036": [(7, 7, 7, 9)]},
        DET_OBJECT,
    )
    # negatives, without boxes
    (tmp_path / "Data/DET/train/ILSVRC2013_train_extra0").mkdir()
    write(tmp_path, "DET/val", {"ILSVRC2012_val_00000001": [(1, 2, 3, 4)]}, DET_OBJECT)
    sources = det_sources(tmp_path, "train")
    assert [s.name for s in sources] == ["n00007846", "ILSVRC2014_train_0006"]
    whole, part, flat = read(sources)
    assert [t["name"] for t in (whole, part, flat)] == [
        "n00007846_103856#0",
        "n00007846_103856#1",
        "ILSVRC2014_train_00060036#0",
    ]
    assert whole["boxes"].tolist() == [[0, 0, 500, 375]]
    assert part["boxes"].tolist() == [[10, 20, 30, 60]]
    assert part["frames"].name(0) == str(
        tmp_path / "Data/DET/train/ILSVRC2013_train/n00007846/n00007846_103856.JPEG"
    )
    assert whole["visible"].tolist() == [True] and flat["visible"].tolist() == [False]
    (val,) = read(det_sources(tmp_path, "val"))
    assert val["frames"].name(0).endswith("Data/DET/val/ILSVRC2012_val_00000001.JPEG")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="VID/train/ILSVRC2015_VID_train_.*Annotations"):
        vid_sources(tmp_path, "train")
    with pytest.raises(FileNotFoundError, match="DET/val in .*Annotations"):
        det_sources(tmp_path, "val")
    write(tmp_path, "DET/val", {"ILSVRC2012_val_00000001": [(1, 2, 3, 4)]}, DET_OBJECT)
    (tmp_path / "Data/DET/val").rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match="no folder .*Data/DET/val"):
        read(det_sources(tmp_path, "val"))
