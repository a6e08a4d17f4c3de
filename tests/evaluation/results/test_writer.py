import json
import zipfile

import numpy as np
import pytest

from sot.data.frames import FrameError
from sot.evaluation.measures.vot import BOX, FAILED, PASSED_OVER, STARTED
from sot.evaluation.results import ResultWriter, read_results, read_sequence

BOXES = np.array([[10.0, 20, 30, 60], [12.5, 20, 32.5, 60], [0.1234567, 2, 4, 8]])


class Broken(list):
    def __getitem__(self, index):
        raise FrameError("frame 0 does not decode")


def track(name="a", frames=None, box=(10, 20, 30, 60)):
    boxes = np.tile(np.array(box, np.float32), (3, 1))
    frames = [np.zeros((80, 80, 3), np.uint8)] * 3 if frames is None else frames
    return {"name": name, "frames": frames, "boxes": boxes, "visible": np.ones(3, bool)}


def output(name="a", **changes):
    return {
        "name": name,
        "boxes": BOXES,
        "scores": np.array([1.0, 0.25, 0.125]),
        "status": ["init", "tracked", "skipped"],
        "times": np.array([0.5, 0.25, 0.0]),
        "marks": [BOX] * 3,
        **changes,
    }


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


class TestFiles:
    def test_otb(self, tmp_path):
        ResultWriter(tmp_path, "otb", 1).write(output())
        assert (tmp_path / "a.txt").read_text().split() == [
            "11.0000,21.0000,20.0000,40.0000",
            "13.5000,21.0000,20.0000,40.0000",
            "1.1234567,3.0000,3.8765433,6.0000",
        ]
        assert (tmp_path / "a_time.value").read_text() == "0.50000000\n0.25000000\n0.00000000\n"
        scores = (tmp_path / "a_confidence.value").read_text().split()
        assert scores == ["1.00000000", "0.25000000", "0.12500000"]
        assert (tmp_path / "a.status").read_text() == "init\ntracked\nskipped\n"
        assert len(files(tmp_path)) == 4

    def test_got10k(self, tmp_path):
        ResultWriter(tmp_path, "got10k", 0).write(output())
        assert files(tmp_path) == [
            "a/a_001.status", "a/a_001.txt", "a/a_001_confidence.value", "a/a_time.txt"
        ]  # fmt: skip
        assert (tmp_path / "a/a_001.txt").read_text().split()[
            0
        ] == "10.0000,20.0000,20.0000,40.0000"

    @pytest.mark.parametrize(
        "protocol, experiment", [("vot_unsupervised", "unsupervised"), ("vot2018_lt", "longterm")]
    )
    def test_vot(self, tmp_path, protocol, experiment):
        ResultWriter(tmp_path, protocol, 0).write(output())
        stem = f"{experiment}/a/a_001"
        assert files(tmp_path) == [
            f"{stem}.status", f"{stem}.txt", f"{stem}_confidence.value", f"{stem}_time.value"
        ]  # fmt: skip
        assert (tmp_path / f"{stem}.txt").read_text().splitlines()[:2] == [
            "1", "12.5000,20.0000,20.0000,40.0000"
        ]  # fmt: skip
        assert (tmp_path / f"{stem}_confidence.value").read_text().splitlines()[0] == ""

    @pytest.mark.parametrize(
        "protocol", ["otb", "lasot", "got10k", "vot_unsupervised", "vot2018_lt"]
    )
    def test_are_read_by_the_report(self, tmp_path, protocol):
        folder = tmp_path / "baseline" / "inference" / protocol  # as an OUTPUT_DIR may be called
        ResultWriter(folder, protocol, 0).write(output("ä b"))
        result = read_results(folder, [track("ä b")], [])["ä b"]
        assert result.boxes == pytest.approx(BOXES, abs=1e-12)
        assert result.runs[0].scores[1:].tolist() == [0.25, 0.125]
        assert result.times.tolist() == [0.5, 0.25, 0]
        assert not result.restarted

    @pytest.mark.parametrize("protocol", ["otb", "got10k", "vot_unsupervised"])
    def test_are_read_back(self, tmp_path, protocol):
        writer = ResultWriter(tmp_path, protocol, 1)
        writer.write(output())
        again = read_sequence(tmp_path, track(), 1)
        assert again.boxes == pytest.approx(BOXES, abs=1e-12)
        assert again.times.tolist() == [0.5, 0.25, 0]
        assert again.status == ("init", "tracked", "skipped")
        assert again.runs[0].scores[1:].tolist() == [0.25, 0.125]

    @pytest.mark.parametrize("origin", [0, 1])
    def test_boxes_of_an_annotation_come_back_exactly(self, tmp_path, origin):
        start = np.random.default_rng(0).uniform(-20, 900, (200, 2))
        boxes = np.concatenate([start, start + [[7.7, 55.5]]], axis=1).astype(np.float32)
        writer = ResultWriter(tmp_path, "otb", origin)
        columns = {"times": np.ones(200), "scores": np.ones(200), "status": ["tracked"] * 200}
        writer.write({"name": "a", "boxes": boxes, "marks": [BOX] * 200, **columns})
        found = read_sequence(tmp_path, {"name": "a", "boxes": boxes}, origin)
        assert (found.boxes == boxes).all()

    def test_name_that_looks_like_a_file_of_another_sequence(self, tmp_path):
        writer = ResultWriter(tmp_path, "otb", 0)
        for name in ("a", "a_time", "a_scores"):
            writer.write(output(name))
        again = read_sequence(tmp_path, track("a"), 0)
        assert again.times.tolist() == [0.5, 0.25, 0] and again.runs[0].scores[1] == 0.25

    def test_frame_without_a_box(self, tmp_path):
        boxes = BOXES.copy()
        boxes[1] = np.nan
        writer = ResultWriter(tmp_path, "otb", 0)
        writer.write(output(boxes=boxes))
        assert np.isnan(read_sequence(tmp_path, track(), 0).boxes[1]).all()

    def test_restarts(self, tmp_path):
        boxes = np.array([[np.nan] * 4, [10.5, 10, 30, 30.25], *[[np.nan] * 4] * 3])
        marks = np.array([STARTED, BOX, FAILED, PASSED_OVER, STARTED])
        scores = [np.nan, 0.5, 0.25, np.nan, np.nan]
        columns = {"scores": scores, "times": np.arange(5.0), "status": ["tracked"] * 5}
        ResultWriter(tmp_path, "vot2018", 1).write(
            {"name": "a", "boxes": boxes, "marks": marks, **columns}
        )
        lines = (tmp_path / "baseline" / "a" / "a_001.txt").read_text().split()
        assert lines == ["1", "11.5000,11.0000,19.5000,20.2500", "2", "0", "1"]
        values = (tmp_path / "baseline" / "a" / "a_001_confidence.value").read_text().splitlines()
        assert values == ["", "0.50000000", "0.25000000", "", ""]
        given = {"name": "a", "boxes": np.tile([[10.0, 10, 30, 30]], (5, 1))}
        found = read_sequence(tmp_path, given, 1)
        assert found.restarted and found.runs[0].marks.tolist() == marks.tolist()
        np.testing.assert_allclose(found.boxes[1:], boxes[1:])
        np.testing.assert_array_equal(found.runs[0].scores, scores)
        assert found.boxes[0].tolist() == [10, 10, 30, 30]

    def test_a_name_that_leads_out_of_the_folder(self, tmp_path):
        ResultWriter(tmp_path / "out", "got10k", 0).write(output(".."))
        assert files(tmp_path)[0] == "out/__/___001.status"


class TestSubmission:
    def archive(self, folder, protocol):
        writer = ResultWriter(folder, protocol, 0)
        for name in ("a", "b"):
            writer.write(output(name))
        path = writer.write_submission(["a", "b"])
        return path and zipfile.ZipFile(path)

    def test_got10k(self, tmp_path):
        archive = self.archive(tmp_path, "got10k")
        assert archive.filename == str(tmp_path / "got10k_submission.zip")
        assert sorted(archive.namelist()) == [
            "a/a_001.txt", "a/a_time.txt", "b/b_001.txt", "b/b_time.txt"
        ]  # fmt: skip
        assert archive.read("a/a_001.txt") == (tmp_path / "a/a_001.txt").read_bytes()

    def test_trackingnet(self, tmp_path):
        assert self.archive(tmp_path, "trackingnet").namelist() == ["a.txt", "b.txt"]

    def test_others_have_no_server(self, tmp_path):
        assert self.archive(tmp_path, "otb") is None


class TestBegin:
    @pytest.fixture
    def writer(self, tmp_path):
        """After a run that finished a and not b."""
        writer = ResultWriter(tmp_path, "otb", 0)
        assert writer.begin("run 1", [track("a"), track("b")], resume=False) == set()
        writer.write(output("a"))
        return writer

    def test_same_run(self, writer):
        assert writer.begin("run 1", [track("a"), track("b")], resume=True) == {"a"}
        assert writer.begin("run 1", [track("a"), track("b")], resume=True) == {"a"}

    @pytest.mark.parametrize(
        "tracker, first, resume",
        [
            ("run 2", {}, True),
            ("run 1", {}, False),
            ("run 1", {"box": (10, 20, 30, 61)}, True),
            ("run 1", {"frames": [np.ones((80, 80, 3), np.uint8)] * 3}, True),
            ("run 1", {"frames": Broken([0, 0, 0])}, True),
        ],
    )
    def test_other_run_removes_what_is_there(self, writer, tracker, first, resume):
        (writer.folder / "metrics.json").write_text("{}")
        (writer.folder / "notes.md").write_text("mine")
        assert writer.begin(tracker, [track("a", **first), track("b")], resume) == set()
        assert files(writer.folder) == ["notes.md", "run.json"]

    def test_other_sequences(self, writer):
        assert writer.begin("run 1", [track("a")], resume=True) == set()

    @pytest.mark.parametrize("name", ["a.txt", "a.status", "a_time.value"])
    def test_half_a_sequence_is_tracked_again(self, writer, name):
        path = writer.folder / name
        path.write_text("\n".join(path.read_text().splitlines()[:2]))
        assert writer.begin("run 1", [track("a"), track("b")], resume=True) == set()
        assert files(writer.folder) == ["run.json"]

    def test_damaged_record(self, writer):
        (writer.folder / "run.json").write_text("{")
        assert writer.begin("run 1", [track("a"), track("b")], resume=True) == set()

    def test_record(self, writer):
        assert set(json.loads((writer.folder / "run.json").read_text())) == {"tracker", "data"}
