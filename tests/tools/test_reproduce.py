import json

import numpy as np
import pytest
from matplotlib.axes import Axes
from tool_modules import load_tool
from training_runs import write_sequences

from sot import load_config
from sot.data import resolve

reproduce = load_tool("reproduce")
TABLES = reproduce.load_ledger()
ROWS = [(table, row) for table in TABLES for row in table["rows"]]


def test_document_is_up_to_date():
    """python tools/reproduce.py --docs"""
    made = reproduce.make_document(TABLES)
    assert reproduce.DOCUMENT.read_text(encoding="utf-8") == made
    assert "| levels-45 " in made and "| 0.383 " in made and "| 0.683 " in made


@pytest.mark.parametrize("table, row", [(t, r) for t, r in ROWS if "config" in r])
def test_config_options_and_data_of_a_row_exist(table, row):
    load_config(row["config"], [str(o) for o in reproduce.options_of(table, row)])
    for column in table["columns"]:
        dataset = column.rpartition("/")[0]
        if dataset not in ("", "network"):
            assert resolve(dataset).name == dataset


def test_status():
    assert {reproduce.status_of(row) for _, row in ROWS} == set(reproduce.STATUS)
    status = {row["name"]: reproduce.status_of(row) for _, row in ROWS if "name" in row}
    assert status["michigan"] == "open" and status["pysot-r50"] == "exact"
    assert status["siamrpnpp-lt"] == "empty"


def test_interval_is_students():
    assert reproduce.interval([0.5]) == (0.5, None)
    # standard deviation 0.1 * sqrt(2), over sqrt(2), times 12.706
    assert reproduce.interval([0.4, 0.6]) == pytest.approx((0.5, 1.2706))


def test_small_budget_takes_the_data_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    cfg = load_config("SiamRPN/siamrpn_alex_dw.yaml")
    pairs = reproduce.small_options(cfg, ["otb2015"])
    options = dict(zip(pairs[::2], pairs[1::2]))
    assert options["DATASETS.TRAIN"] == ("synthetic_train",)
    assert options["DATASETS.TRAIN_EPOCH_SIZE"] == (0,)
    assert options["DATASETS.TEST"] == ("synthetic_val",)


def test_network_entry(tmp_path, capsys):
    assert reproduce.main(["ciresnet22", "--output", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "ciresnet22" / "reproduction.json").read_text())
    numbers = {n["number"]: n["measured"] for n in report["numbers"]}
    assert numbers["network/receptive_field"] == 93 and numbers["network/template_features"] == 5
    assert numbers["network/parameters"] == pytest.approx(1.445, abs=5e-4)
    assert "| network/receptive_field" in capsys.readouterr().out


def test_entries_by_pattern():
    """Table 1 of SiamRPN++, each row with its own change of one network."""
    names = [row["name"] for _, row in reproduce.find(TABLES, "levels-*")]
    assert len(names) == 12 and names[0] == "levels-alex-up" and names[-1] == "levels-345"
    assert [row["name"] for _, row in reproduce.find(TABLES, "levels-3")] == ["levels-3"]


@pytest.mark.parametrize("family, base", [("alex", 5), ("vgg", 5), ("resnet", 4), ("inception", 4)])
def test_variants_have_the_geometry_of_the_slides(family, base):
    """Receptive field (relative to that of the base variant), stride, size and padding as in the
    row's text. Of the residual networks with stride 4 the field is 4 px smaller."""
    fields = {}
    for table, row in reproduce.find(TABLES, f"design-{family}-*"):
        cfg = load_config(row["config"], [str(o) for o in reproduce.options_of(table, row)])
        (feature,) = reproduce.analyze(cfg)["features"].values()
        field, stride, size = row["tracker"].split(": ")[1].split(" / ")
        assert (feature["stride"], feature["template_size"], feature["padded"]) == (
            int(stride),
            int(size.split(",")[0]),
            "padded" in size,
        )
        fields[row["name"]] = feature["receptive_field"], field
    of_base = fields[f"design-{family}-{base}"][0]
    assert of_base == {"alex": 87, "vgg": 87, "resnet": 93, "inception": 93}[family]
    for name, (built, published) in fields.items():
        if published[0] in "+-" and name not in ("design-resnet-9", "design-inception-9"):
            assert built == of_base + int(published)


def test_guidelines_of_entries(capsys):
    assert reproduce.main(["design-alex-[59]", "--guidelines"]) == 0
    rows = [
        [c.strip() for c in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()
    ]
    assert [r[0] for r in rows[2:]] == ["design-alex-5", "design-alex-9"]
    assert [r[-1] for r in rows[2:]] == ["nothing", "stride, receptive field"]


def test_guidelines_of_another_config(capsys):
    command = ["design-alex-3", "--guidelines", "--config-file", "SiamRPN/siamrpn_alex_dw.yaml"]
    assert reproduce.main([*command, "INPUT.TEMPLATE_SIZE", "135"]) == 0
    # 103 px of 135, where SiamFC's template has 127
    assert "| 76% " in capsys.readouterr().out


def test_plot(tmp_path, capsys):
    """Published numbers of two entries, and two seeds of one of them."""
    (tmp_path / "shift-0").mkdir()
    found = json.dumps({"numbers": [{"values": [0.1, 0.2]}]})
    (tmp_path / "shift-0" / "reproduction.json").write_text(found)
    picture = tmp_path / "pictures" / "shift.png"
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Axes, "plot", lambda self, *values, **kwargs: drawn.append(values[:-1]))
        patch.setattr(Axes, "legend", lambda self: None)
        command = ["shift-[06]*", "--output", str(tmp_path), "--plot", str(picture)]
        assert reproduce.main(command) == 0
    assert picture.is_file() and str(picture) in capsys.readouterr().out
    (published, rows), (values, positions) = drawn
    assert published[0] == 0.14 and np.isnan(published[1]) and list(rows) == [0, 1]
    assert list(values) == [0.1, 0.2] and list(positions) == [0, 0]


def test_plot_of_a_measure(tmp_path, capsys):
    """Two seeds of one entry, of which one has an interval, and none of the other entry."""
    (tmp_path / "shift-64").mkdir()
    interval = {"success_auc": [0.25, 0.5]}
    runs = [{"folder:a": {"success_auc": 0.375, "interval_95": interval}}]
    runs += [{"folder:a": {"success_auc": 0.5, "interval_95": {}}}]
    (tmp_path / "shift-64" / "reproduction.json").write_text(json.dumps({"results": runs}))
    picture, drawn = tmp_path / "shift.png", {}
    command = ["shift-[06]*", "--output", str(tmp_path), "--plot", str(picture)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Axes, "errorbar", lambda self, x, y, **kw: drawn.update(x=x, y=y, **kw))
        patch.setattr(Axes, "set_yticks", lambda self, ticks, labels: drawn.update(labels=labels))
        assert reproduce.main([*command, "--measure", "success_auc"]) == 0
    assert picture.is_file() and drawn["labels"] == ["shift-64"]
    assert list(drawn["x"]) == [0.375, 0.5] and list(drawn["y"]) == [0, 0.12]
    assert [list(side) for side in drawn["xerr"]] == [[0.125, 0], [0.125, 0]]
    capsys.readouterr()
    assert reproduce.main([*command, "--measure", "eao"]) == 1
    assert "has the measure 'eao': run the entries" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        reproduce.main(["shift-0", "--measure", "eao"])
    assert "--measure needs --plot FILE" in capsys.readouterr().err


def test_plot_of_several_tables(tmp_path, capsys):
    picture = tmp_path / "all.png"
    assert reproduce.main(["*net22*", "--plot", str(picture)]) == 1
    error = capsys.readouterr().err
    assert "error: --plot draws one table, but '*net22*' has entries of " in error
    assert not picture.exists()


@pytest.mark.parametrize("seeds", [["0", "1", "0"], ["-1"]])
def test_seeds_that_are_none(seeds, capsys):
    with pytest.raises(SystemExit):
        reproduce.main(["michigan", "--seeds", *seeds])
    assert "--seeds: give each seed once, and none below 0" in capsys.readouterr().err


def test_unknown_entry(capsys):
    assert reproduce.main(["michigen"]) == 1
    assert "no entry 'michigen'" in capsys.readouterr().err


def test_smallest_entry_from_end_to_end(tmp_path, capsys):
    """One iteration on sequences that stand in for ImageNet VID and the benchmarks."""
    write_sequences(tmp_path / "data", a=4, b=4)
    data = f"('folder:{tmp_path / 'data'}',)"
    command = [
        *("ciresnet22-fc", "--budget", "small", "--seeds", "3"),
        *("--output", str(tmp_path / "out"), "DATASETS.TRAIN", data, "DATASETS.TEST", data),
        *("DATASETS.TRAIN_EPOCH_SIZE", "()", "SOLVER.MAX_ITER", "1", "SOLVER.IMS_PER_BATCH", "2"),
        *("DATALOADER.NUM_WORKERS", "0", "MODEL.DEVICE", "cpu", "SOLVER.WARMUP_ITERS", "0"),
    ]
    assert reproduce.main(command) == 0
    folder = tmp_path / "out" / "ciresnet22-fc"
    report = json.loads((folder / "reproduction.json").read_text())
    first = report["numbers"][0]
    assert first["number"] == "otb2013/success_auc" and first["published"] == 0.663
    assert first["data"] == f"folder:{tmp_path / 'data'}" and first["plus_minus"] is None
    (success,) = first["values"]
    assert 0 < success <= 20 / 21 and first["measured"] == success
    assert (folder / "seed3" / "model_final.pth").is_file()
    (results,) = report["results"]
    assert results[first["data"]]["success_auc"] == success
    low, high = results[first["data"]]["interval_95"]["success_auc"]
    assert low <= success <= high
    # a data set scored by OTB's protocol has no EAO
    assert report["numbers"][2]["measured"] is None

    write_sequences(tmp_path / "other", c=4)
    other = ["DATASETS.TEST", f"('folder:{tmp_path / 'other'}',)"]
    assert reproduce.main([*command, *other]) == 1
    assert f"no result on folder:{tmp_path / 'other'}: evaluate it" in capsys.readouterr().err
