import csv
import json
import re
from contextlib import contextmanager
from html.parser import HTMLParser

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from sot.data import get_tracks
from sot.data.datasets.tracks import make_track
from sot.data.frames import FrameError
from sot.evaluation.measures.metrics import frames_per_second
from sot.evaluation.protocols import PROTOCOLS
from sot.evaluation.report import Comparison, TrackerScores, compare, write_report
from sot.evaluation.report.film import worst_sequences
from sot.evaluation.report.plots import all_plots, curve_plot, style
from sot.evaluation.report.tables import Cell

LENGTH = 5
SIDE = 20
CURVE = {"expected_overlap": 357 * [0.1]}


class Frames:
    """Gray frames, the last of which is missing."""

    def __len__(self):
        return LENGTH

    def name(self, index):
        return str(index)

    def __getitem__(self, index):
        if index == LENGTH - 1:
            raise FrameError(f"frame {index} is missing")
        return np.full((90, 120, 3), 127, np.uint8)


def boxes(shift=0):
    """(LENGTH, 4) XYWH, off by `shift` px in x from the second frame on."""
    result = np.tile([30.0, 30, SIDE, SIDE], (LENGTH, 1))
    result[1:, 0] += shift
    return result


def results(folder, **shifts):
    folder.mkdir()
    for name, shift in shifts.items():
        np.savetxt(folder / f"{name}.txt", boxes(shift), delimiter=",")
    return folder


@contextmanager
def registered(name):
    """A data set with sequences a, b and c."""
    DatasetCatalog.register(name, lambda: [make_track(n, Frames(), boxes()) for n in "abc"])
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.pop(name)


@pytest.fixture
def tiny():
    with registered("tiny") as name:
        yield name


def three_trackers(tmp_path):
    """Folders of a good and a bad tracker, and of one that has one sequence of three."""
    good = results(tmp_path / "good", a=0, b=0, c=0)
    np.savetxt(good / "a_time.txt", [9, 0.1, 0.1, 0, 0.2])
    return {
        "bad": results(tmp_path / "bad", a=5, b=100, c=100),
        "partial": results(tmp_path / "partial", c=0),
        "good": good,
    }


@pytest.fixture
def three(tiny, tmp_path):
    return three_trackers(tmp_path)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    path = folder / "attributes.json"
    path.write_text(json.dumps({"a": ["OCC"], "b": ["OCC", "night"], "c": []}))
    with registered("tiny_of_three") as name:
        yield compare(name, three_trackers(folder), path)


@pytest.fixture(scope="module")
def report(comparison, tmp_path_factory):
    """Folder of the report."""
    return write_report(comparison, tmp_path_factory.mktemp("report")).parent


@pytest.fixture(scope="module")
def page(report):
    return Page(report / "report.html")


class Page(HTMLParser):
    """What is in a page: tags with their attributes, tables as lists of rows of text."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.tables, self.text, self.in_cell = [], [], "", False
        self.best = []  # (table, row) of each cell in bold
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.in_cell = True
            if "best" in dict(attributes).get("class", "").split():
                self.best.append((len(self.tables) - 1, len(self.tables[-1]) - 1))

    def handle_data(self, data):
        self.text += data
        if self.in_cell:
            self.tables[-1][-1][-1] += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.in_cell = False


class TestCompare:
    def test_numbers_and_order(self, comparison):
        assert [t.name for t in comparison.trackers] == ["good", "bad", "partial"]
        good, bad, partial = comparison.trackers
        whole = comparison.whole
        assert whole.value(good, "success_auc") == pytest.approx(20 / 21)
        assert whole.value(good, "precision_20") == 1
        # a: one IoU of 1 (above 20 of 21 thresholds), four of 15 / 25 = 0.6 (above 12);
        # b and c: one of 1, four of 0
        a, b = (20 + 4 * 12) / 21 / 5, 20 / 21 / 5
        assert bad.scores["a"]["success_auc"] == pytest.approx(a)
        assert whole.value(bad, "success_auc") == pytest.approx((a + 2 * b) / 3)
        assert whole.value(partial, "success_auc") == pytest.approx(20 / 21)
        assert not whole.complete(partial) and comparison.common.names == ["c"]

    def test_attributes(self, comparison):
        names = {attribute: part.names for attribute, part in comparison.by_attribute.items()}
        assert names == {"OCC": ["a", "b"], "night": ["b"]}
        night = comparison.by_attribute["night"]
        _, bad, partial = comparison.trackers
        assert night.value(bad, "success_auc") == pytest.approx(20 / 21 / 5)
        assert night.summaries[partial.number] == {}

    def test_speed(self, comparison):
        good, bad, _ = comparison.trackers
        assert good.speed == pytest.approx(10) and bad.speed is None
        assert frames_per_second(np.array([9, np.nan, 0.0])) is None

    def test_repeated_runs_have_a_spread(self, tiny, tmp_path):
        (tmp_path / "runs" / "a").mkdir(parents=True)
        for number, shift in enumerate((0, 100), start=1):
            np.savetxt(tmp_path / "runs" / "a" / f"a_00{number}.txt", boxes(shift), delimiter=",")
        comparison = compare(tiny, {"runs": tmp_path / "runs"})
        # precisions of 1 and, but for the first frame, 0; success of 20 / 21 and 20 / 21 / 5
        whole, (tracker,) = comparison.whole, comparison.trackers
        assert whole.shown(tracker, "success_auc") == "0.571 \N{PLUS-MINUS SIGN} 0.381"
        assert whole.shown(tracker, "precision_20") == "0.600"
        page = Page(write_report(comparison, tmp_path / "report", worst=0))
        assert "0.571 \N{PLUS-MINUS SIGN} 0.381" in page.tables[0][1]
        assert not any("success_auc_std" in table[0] for table in page.tables)

    def test_bad_attributes_beside_the_data_are_no_end(self, tmp_path, three, monkeypatch):
        def broken(dataset, names):
            raise ValueError("attributes.json is not JSON")

        monkeypatch.setattr("sot.evaluation.report.comparison.find_attributes", broken)
        comparison = compare("tiny", three)
        assert comparison.problems == ["no attributes: attributes.json is not JSON"]
        assert len(comparison.scored) == 3

    def test_restarts_are_not_scored_as_one_pass(self, tiny, tmp_path):
        folder = tmp_path / "restarted"
        for name in "ab":
            (folder / name).mkdir(parents=True)
        (folder / "a" / "a_001.txt").write_text("1\n2\n0\n1\n30,30,20,20\n")
        # without a failure, but of the same experiment
        (folder / "b" / "b_001.txt").write_text("1\n" + 4 * "30,30,20,20\n")
        (tracker,) = compare(tiny, {"restarted": folder}).trackers
        details = {p.sequence: p.detail for p in tracker.problems}
        assert tracker.scores == {} and "with restarts" in details["a"]
        assert "with restarts" in details["b"]

    def test_tracker_without_the_measure_that_ranks(self, tiny, tmp_path, monkeypatch):
        """One run with restarts is long enough for an EAO, another is not."""
        monkeypatch.setattr(type(PROTOCOLS["vot2018"]), "summarize", lambda self, s: s["a"])
        scores = {"accuracy": 0.9}, {"accuracy": 0.5, "eao": 0.1, "curves": CURVE}
        one, two = (
            TrackerScores(str(i), tmp_path, i, scores={"a": s}) for i, s in enumerate(scores)
        )
        comparison = Comparison(tiny, PROTOCOLS["vot2018"], get_tracks(tiny), [one, two], {}, "")
        assert comparison.primary == "eao" and comparison.scored == [two, one]
        values = [comparison.whole.value(tracker, "eao") for tracker in (one, two)]
        assert values == [None, 0.1]
        # a tracker that has all sequences decides on the measure
        one.scores = dict.fromkeys("abc", {"accuracy": 0.9})
        comparison = Comparison(tiny, PROTOCOLS["vot2018"], get_tracks(tiny), [two, one], {}, "")
        assert comparison.primary == "accuracy" and comparison.trackers == [one, two]

    def test_vot(self, tiny, tmp_path):
        MetadataCatalog.get(tiny).protocol = "vot2018"
        fails, holds = tmp_path / "fails", tmp_path / "holds"
        lines = {fails: "1\n2\n0\n1\n30,30,20,20\n", holds: "1\n" + 4 * "30,30,20,20\n"}
        for folder, text in lines.items():
            for name in "abc":
                (folder / "baseline" / name).mkdir(parents=True)
                (folder / "baseline" / name / f"{name}_001.txt").write_text(text)
        comparison = compare(tiny, {"fails": fails, "holds": holds})
        failures = {t.name: comparison.whole.value(t, "failures") for t in comparison.trackers}
        assert failures == {"fails": 3, "holds": 0}
        assert comparison.sequence_measure == "failures"
        assert worst_sequences(comparison, 1)[0][1][0].name == "fails"
        page = Page(write_report(comparison, tmp_path / "report"))
        header, *rows = page.tables[0]
        assert header[2:4] == ["accuracy", "robustness"]  # too short for an EAO
        assert (tmp_path / "report" / "expected_overlap.png").exists()

    def test_eao_of_a_part_of_its_interval(self, tmp_path):
        """Sequences of 160 frames, where VOT2018 averages over lengths of 100 to 356."""
        track = make_track(
            "a", [np.zeros((90, 120, 3), np.uint8)] * 160, np.tile(boxes()[:1], (160, 1))
        )
        folder = tmp_path / "holds" / "baseline" / "a"
        folder.mkdir(parents=True)
        (folder / "a_001.txt").write_text("1\n" + 159 * "30,30,20,20\n")
        DatasetCatalog.register("short", lambda: [track])
        MetadataCatalog.get("short").protocol = "vot2018"
        try:
            comparison = compare("short", {"holds": tmp_path / "holds"})
        finally:
            DatasetCatalog.remove("short")
            MetadataCatalog.pop("short")
        tracker, whole = comparison.trackers[0], comparison.whole
        assert whole.shown(tracker, "eao") == "1.000\N{DAGGER}"
        assert whole.shown(tracker, "accuracy") == "1.000"
        (note,) = whole.notes()
        assert "lengths of 100 to 159 frames instead of 100 to 356" in note
        page = Page(write_report(comparison, tmp_path / "report", worst=0))
        assert "1.000\N{DAGGER}" in page.tables[0][1] and note in page.text
        # a curve that goes on to the end of the interval
        whole.summaries[tracker.number]["curves"]["expected_overlap"] = 357 * [1.0]
        assert whole.shown(tracker, "eao") == "1.000" and whole.notes() == []


class TestReport:
    def test_files(self, report):
        names = {p.name for p in report.iterdir()}
        kinds = ("success", "precision", "norm_precision", "speed")
        attributes = ("attributes", "attributes_success", "attributes_precision")
        plots = {f"{k}.{suffix}" for k in kinds + attributes for suffix in ("png", "pdf")}
        assert names == plots | {"report.html", "metrics.json", "sequences.csv"}

    def test_page_needs_nothing_else(self, report, page):
        addresses = [a[k] for _, a in page.tags for k in ("src", "href") if k in a]
        assert addresses
        assert all(a.startswith(("data:image/", "#")) for a in addresses)
        text = (report / "report.html").read_text()
        assert not re.search(r"https?://|@import|url\(", text)
        assert all(a.get("alt") for tag, a in page.tags if tag == "img")

    def test_ranking_and_common_sequences(self, comparison, page):
        head = ["#", "tracker", "success_auc", "precision_20", "norm_precision_auc", "fps"]
        assert page.tables[0][0] == [*head, "sequences"]
        assert [row[1] for row in page.tables[0][1:]] == ["good", "bad", "partial*"]
        assert page.tables[0][1][2] == "0.952" and page.tables[0][3][-1] == "1 of 3"
        assert "On the 1 of 3 sequences that all of them have" in page.text
        assert {row[1]: row[2] for row in page.tables[1][1:]} == {
            "good": "0.952",
            "partial": "0.952",  # no star: it has all of these
            "bad": "0.190",
        }
        assert comparison.protocol.description in page.text
        assert "partial: 3 problems" in page.text
        assert "no result file for 2 of 3 sequences" in page.text

    def test_missing_sequences_leave_no_rank_and_nothing_bold(self, page, tiny, tmp_path):
        assert [row[0] for row in page.tables[0][1:]] == ["1", "2", "\N{EN DASH}"]
        # the numbers of "partial" are the best, but those of one sequence
        bold = [(table, page.tables[table][row][1]) for table, row in page.best]
        assert (0, "good") in bold and (0, "partial*") not in bold
        assert (1, "partial") in bold  # of the sequences that all have
        assert "have no rank" in page.text
        # nobody has all: none is first
        folders = {
            "ab": results(tmp_path / "ab", a=0, b=0),
            "bc": results(tmp_path / "bc", b=9, c=9),
        }
        page = Page(write_report(compare(tiny, folders), tmp_path / "report", worst=0))
        assert [row[0] for row in page.tables[0][1:]] == ["\N{EN DASH}"] * 2
        assert not [row for table, row in page.best if table == 0]
        (sequences,) = [t for t in page.tables if t[0][0] == "sequence"]
        assert "mean" not in sequences[0]

    def test_mean_of_a_sequence_is_over_complete_trackers(self, page):
        (sequences,) = [t for t in page.tables if t[0][0] == "sequence"]
        assert sequences[3][0] == "c" and sequences[3][5:] == ["0.952", "0.571"]

    def test_results_of_another_length_or_none(self, tiny, tmp_path):
        folder = results(tmp_path / "odd", a=0)
        (folder / "b.txt").write_text((LENGTH + 2) * "30,30,20,20\n")
        (folder / "c.txt").write_text("")
        comparison = compare(tiny, {"odd": folder})
        assert list(comparison.trackers[0].scores) == ["a"]
        page = Page(write_report(comparison, tmp_path / "report", worst=0))
        assert "b: left out" in page.text and "b.txt has 7 boxes, but b has 5 frames" in page.text
        assert "c.txt has 0 boxes, but c has 5 frames" in page.text

    def test_table_of_sequences(self, page):
        (sequences,) = [t for t in page.tables if t[0][0] == "sequence"]
        head = ["sequence", "frames", "attributes", "good", "bad", "partial*", "mean"]
        assert sequences[0] == head
        assert sequences[2] == ["b", "5", "OCC night", "0.952", "0.190", "\N{EN DASH}", "0.571"]

    def test_names_are_escaped(self, tiny, tmp_path):
        folder = results(tmp_path / "good", a=0)
        path = write_report(compare(tiny, {"<script>alert(1)</script>": folder}), tmp_path / "out")
        page = Page(path)
        assert sum(tag == "script" for tag, _ in page.tags) == 1
        assert "<script>alert(1)</script>" in page.text

    def test_json(self, report):
        measured = json.loads((report / "metrics.json").read_text())
        assert measured["protocol"]["name"] == "otb" and measured["common_sequences"] == ["c"]
        bad = measured["trackers"]["bad"]
        assert bad["sequences"]["b"]["precision_20"] == pytest.approx(0.2)
        assert bad["attributes"]["night"]["precision_20"] == pytest.approx(0.2)
        assert len(bad["curves"]["success"]) == 21 and bad["fps"] is None
        partial = measured["trackers"]["partial"]
        assert partial["sequences_scored"] == 1 and partial["attributes"]["night"] == {}
        assert {p["sequence"] for p in partial["problems"]} == {"", "a", "b"}

    def test_csv(self, report):
        with open(report / "sequences.csv", newline="") as f:
            rows = {(r["tracker"], r["sequence"]): r for r in csv.DictReader(f)}
        assert len(rows) == 9
        assert float(rows["bad", "b"]["average_overlap"]) == pytest.approx(0.2)
        assert rows["good", "a"]["fps"] == "10" and rows["good", "b"]["fps"] == ""
        assert rows["partial", "a"]["success_auc"] == "" and rows["bad", "a"]["frames"] == "5"

    def test_nothing_usable(self, tiny, tmp_path):
        folder = tmp_path / "empty"
        folder.mkdir()
        comparison = compare(tiny, {"empty": folder, "nowhere": tmp_path / "nowhere"})
        page = Page(write_report(comparison, tmp_path / "report"))
        assert "nowhere does not exist" in page.text and not comparison.scored
        assert not any(tag == "img" for tag, _ in page.tags)

    def test_without_strips(self, comparison, tmp_path):
        page = Page(write_report(comparison, tmp_path / "report", worst=0))
        assert "Worst sequences" not in page.text

    def test_long_term(self, tiny, tmp_path):
        MetadataCatalog.get(tiny).protocol = "vot2018_lt"
        folder = results(tmp_path / "good", a=0, b=0, c=0)
        for name in "abc":
            np.savetxt(folder / f"{name}_scores.txt", np.linspace(0, 1, LENGTH))
        comparison = compare(tiny, {"good": folder})
        write_report(comparison, tmp_path / "report", worst=0)
        assert comparison.primary == "f_score"
        assert (tmp_path / "report" / "precision_recall.png").exists()
        assert not (tmp_path / "report" / "precision.png").exists()


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Fourteen trackers with long names, of which two lack a sequence; attributes and times."""
    folder = tmp_path_factory.mktemp("many")
    folders = {}
    for i in range(14):
        shifts = {"a": i / 5, "b": i, "c": i}
        if i in (3, 8):
            del shifts["b"]
        folders[f"tracker with a long name {i:02d}"] = results(folder / str(i), **shifts)
        np.savetxt(folder / str(i) / "a_time.txt", [0.1] * LENGTH)
    path = folder / "attributes.json"
    path.write_text(json.dumps({"a": ["OCC", "DEF", "SV"], "b": ["OCC", "night"], "c": []}))
    with registered("tiny_of_many") as name:
        yield compare(name, folders, path)


class TestPlots:
    def test_fourteen_legends_cover_no_plot(self, many):
        figures = all_plots(many)
        assert {"success", "speed", "attributes", "attributes_success"} <= set(figures)
        for name, figure in figures.items():
            figure.draw_without_rendering()
            legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
            assert all(len(legend.get_texts()) >= 12 for legend in legends), name
            boxes = [legend.get_window_extent() for legend in legends]
            assert boxes and all(figure.bbox.x1 >= box.x1 and box.y0 >= 0 for box in boxes), name
            boxes += [axes.get_window_extent() for axes in figure.axes]
            # a legend stands beside its axes, a pixel of the frame apart
            boxes = [box.padded(-2) for box in boxes]
            assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]), name

    def test_points_of_one_color_differ(self, many):
        (axes,) = all_plots(many)["speed"].axes
        looks = {(line.get_color(), line.get_marker()) for line in axes.lines[:14]}
        assert len(looks) == 14

    def test_legend_is_ranked(self, comparison):
        (axes,) = curve_plot(comparison, "success").axes
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert labels == ["good [0.952]", "bad [0.343]", "partial* [0.952]"]
        lines = {line.get_label(): line for line in axes.lines}
        np.testing.assert_allclose(lines["bad [0.343]"].get_xdata()[:3], [0, 0.05, 0.1])
        assert lines["good [0.952]"].get_color() == "#ff7f0e"  # third on the command line

    def test_long_legend_is_cut(self, tiny, tmp_path):
        folder = results(tmp_path / "good", a=0, b=0, c=0)
        comparison = compare(tiny, {f"t{i:02d}": folder for i in range(27)})
        (axes,) = curve_plot(comparison, "success").axes
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert len(labels) == 25 and labels[-1] == "... and 3 more"
        looks = {tuple(style(t).values()) for t in comparison.trackers}
        assert len(looks) == 27


def test_cells():
    assert Cell(0.5).shown == "0.500" and Cell(3).shown == "3" and Cell("b <").shown == "b <"
    assert Cell(None).shown == "\N{EN DASH}" and Cell(0.5, "half").shown == "half"
    shades = [Cell(1, shade=share).background for share in (0, 0.5, 1)]
    assert shades == ["#f7beb2", "#ffffff", "#b4d0f0"]


def test_columns_sort_by_values(page, report):
    """What the page's script sorts by."""
    text = (report / "report.html").read_text(encoding="utf-8")
    assert re.search(r'data-value="0\.952380952\d+">0\.952<', text)
    assert 'data-value="">\N{EN DASH}<' in text
    heads = [attributes for tag, attributes in page.tags if tag == "th"]
    assert [a.get("class") for a in heads[:3]] == [None, "text", None]
