import json
from collections import Counter

import pytest

from sot.data.datasets.otb import OTB2015
from sot.evaluation.report.attributes import (
    OTB_FILE,
    find_attributes,
    long_name,
    read_attributes,
)


def test_otb_list():
    videos = {name.partition("-")[0] for name in OTB2015}
    found = read_attributes(OTB_FILE, videos)
    assert set(found) == videos and len(OTB_FILE.read_text().splitlines()) == len(videos)
    counts = Counter(attribute for attributes in found.values() for attribute in attributes)
    assert len(counts) == 11  # the benchmark's attributes
    assert counts["OV"] == 14 and counts["LR"] == 10  # as on the web site's page of attributes


def test_otb_needs_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    found, source = find_attributes("otb2015", ["Jogging-1", "Jogging-2", "Walking2", "Mine"])
    deformed = ["OCC", "DEF", "OPR"]
    assert found == {"Jogging-1": deformed, "Jogging-2": deformed, "Walking2": ["SV", "OCC", "LR"]}
    assert "OTB" in source


def test_uav123_has_them_with_the_boxes(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    for benchmark, flags in (("UAV123", "1,0,0,1,0,0,0,0,0,0,0,1"), ("UAV20L", "0 1" + 10 * " 0")):
        folder = tmp_path / "uav123" / "anno" / benchmark / "att"
        folder.mkdir(parents=True)
        (folder / "bike1.txt").write_text(flags + "\n")
    assert find_attributes("uav123", ["bike1"])[0] == {"bike1": ["SV", "FM", "SOB"]}
    assert find_attributes("uav20l", ["bike1"])[0] == {"bike1": ["ARC"]}


def test_lasot_flags_of_the_toolkit(tmp_path):
    (tmp_path / "airplane-1.txt").write_text("0,1,0,0,0,1,0,0,1,0,0,0,1,0\n")
    found = read_attributes(tmp_path, ["airplane-1", "airplane-9"])
    assert found == {"airplane-1": ["POC", "ROT", "SV", "LR"]}


def test_own_data(tmp_path):
    name = f"folder:{tmp_path}"
    assert find_attributes(name, ["a"]) == ({}, "")
    (tmp_path / "attributes.csv").write_text("a, night,OCC\nb,\n\n")
    assert find_attributes(name, ["a", "b", "c"])[0] == {"a": ["night", "OCC"], "b": []}
    (tmp_path / "attributes.json").write_text(json.dumps({"a": ["rain"], "z": ["OCC"]}))
    found, source = find_attributes(name, ["a"])
    assert found == {"a": ["rain"]} and source == str(tmp_path / "attributes.json")


def test_csv_of_excel(tmp_path):
    """With a byte order mark and, in countries with decimal commas, semicolons."""
    (tmp_path / "mine.csv").write_bytes(b"\xef\xbb\xbfcat 1;night;OCC\r\ncat 2;;\r\n")
    found = read_attributes(tmp_path / "mine.csv", ["cat 1", "cat 2"])
    assert found == {"cat 1": ["night", "OCC"], "cat 2": []}


def test_csv_with_a_semicolon_in_a_cell(tmp_path):
    (tmp_path / "mine.csv").write_text("a,fast;small,OCC\n")
    assert read_attributes(tmp_path / "mine.csv", ["a"]) == {"a": ["fast;small", "OCC"]}


def test_names_in_files(tmp_path):
    (tmp_path / "a.txt").write_text("SV, DEF, FM\n")
    assert read_attributes(tmp_path, ["a"]) == {"a": ["SV", "DEF", "FM"]}


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.json", "[1", "is not JSON"),
        ("a.json", '["OCC"]', "expected .*NAME OF A SEQUENCE"),
        ("a.json", '{"a": "OCC"}', "expected .*NAME OF A SEQUENCE"),
        ("a.json", '{"b": ["OCC"]}', "no attributes of any of the 1 sequences"),
        ("a.txt", "0,1,1", "3 flags; expected 14 or 12"),
    ],
)
def test_bad(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_attributes(tmp_path if name == "a.txt" else path, ["a"])


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="mine.json does not exist"):
        read_attributes(tmp_path / "mine.json", ["a"])


def test_long_names():
    assert long_name("OCC") == "occlusion (OCC)" and long_name("night") == "night"
