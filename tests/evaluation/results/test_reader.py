import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from sot.data.datasets.tracks import make_track
from sot.evaluation.measures.vot import BOX, FAILED, PASSED_OVER, STARTED
from sot.evaluation.protocols import PROTOCOLS
from sot.evaluation.results.layouts import further_runs
from sot.evaluation.results.reader import read_result_table, read_results

XYWH = [[10, 20, 30, 40], [11, 21, 30, 40], [12, 22, 30, 40]]
XYXY = [[10, 20, 40, 60], [11, 21, 41, 61], [12, 22, 42, 62]]


def track(name="a", xywh=XYWH):
    return make_track(name, [None] * len(xywh), xywh)


def write(path, rows, separator=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(separator.join(map(str, row)) + "\n" for row in rows))


@pytest.fixture
def register():
    names = []

    def register(name, tracks, **metadata):
        DatasetCatalog.register(name, lambda: tracks)
        MetadataCatalog.get(name).set(**metadata)
        names.append(name)
        return name

    yield register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.pop(name)


class TestLayouts:
    @pytest.mark.parametrize("separator", [",", "\t", " ", ";", ", "])
    def test_otb(self, tmp_path, separator):
        write(tmp_path / "a.txt", XYWH, separator)
        result = read_results(tmp_path, [track()], [])["a"]
        np.testing.assert_array_equal(result.boxes, XYXY)
        assert result.runs[0].scores is None and result.times is None and not result.restarted

    def test_times_and_scores_beside(self, tmp_path):
        write(tmp_path / "a.txt", XYWH)
        write(tmp_path / "a_scores.txt", [[1], [0.5], [0.25]])
        write(tmp_path / "times" / "a_time.txt", [[0.1, 0.2, 0.3]])  # all in one line
        result = read_results(tmp_path, [track()], [])["a"]
        assert result.runs[0].scores.tolist() == [1, 0.5, 0.25]
        assert result.times.tolist() == [0.1, 0.2, 0.3]

    def test_got10k(self, tmp_path):
        write(tmp_path / "a" / "a_001.txt", XYWH)
        write(tmp_path / "a" / "a_002.txt", np.add(XYWH, 5))
        write(tmp_path / "a" / "a_time.txt", [[0.1, 9], [0.2, 9], [0.3, 9]])
        result = read_results(tmp_path, [track()], [])["a"]
        np.testing.assert_array_equal(result.boxes, XYXY)
        np.testing.assert_array_equal(result.runs[1].regions[0], [15, 25, 50, 70])
        assert len(result.runs) == 2 and result.times.tolist() == [0.1, 0.2, 0.3]

    def test_status_in_any_bytes(self, tmp_path):
        write(tmp_path / "a.txt", XYWH)
        (tmp_path / "a.status").write_bytes(b"init\ntr\xe3cked\nlost\n")
        assert read_results(tmp_path, [track()], [])["a"].status == ("init", "tr\xe3cked", "lost")

    def test_vot_with_restarts(self, tmp_path):
        polygon = [10, 20, 40, 20, 40, 60, 10, 60]
        rows = [[1], polygon, [2], [0], [0], [1], [12, 22, 30, 40]]
        write(tmp_path / "baseline" / "a" / "a_001.txt", rows)
        result = read_results(tmp_path, [track(xywh=[[1, 2, 3, 4]] * 7)], [])["a"]
        assert result.restarted
        marks = [STARTED, BOX, FAILED, PASSED_OVER, PASSED_OVER, STARTED, BOX]
        assert result.runs[0].marks.tolist() == marks
        regions = result.runs[0].regions
        assert regions.shape == (7, 8) and np.isnan(regions[2:6]).all()
        assert regions[6, :4].tolist() == [12, 22, 42, 62] and np.isnan(regions[6, 4:]).all()
        assert result.boxes[0].tolist() == [1, 2, 4, 6]  # the one that was given
        assert result.boxes[6].tolist() == [12, 22, 42, 62]
        assert result.boxes[1].tolist() == [10, 20, 40, 60]

    def test_vot_long_term(self, tmp_path):
        folder = tmp_path / "longterm" / "a"
        write(folder / "a_001.txt", [[1], ["nan"] * 4, XYWH[2]])
        (folder / "a_001_confidence.value").write_text("\n0.5\n0.25\n")
        (folder / "a_001_time.value").write_text("0.1\n0.2\n0.3\n")
        result = read_results(tmp_path, [track()], [])["a"]
        assert not result.restarted
        np.testing.assert_array_equal(result.runs[0].scores, [np.nan, 0.5, 0.25])
        np.testing.assert_array_equal(result.boxes, [XYXY[0], [np.nan] * 4, XYXY[2]])
        assert result.times[2] == 0.3

    def test_blank_lines_of_the_vot_toolkit_are_frames_without_a_value(self, tmp_path):
        folder = tmp_path / "longterm" / "a"
        write(folder / "a_001.txt", [[1], XYWH[1], XYWH[2]])
        (folder / "a_001_confidence.value").write_text("\n\n0.25\n")
        (folder / "a_001_time.value").write_text("0.1\n\n0.3\n\n")
        result = read_results(tmp_path, [track()], [])["a"]
        np.testing.assert_array_equal(result.runs[0].scores, [np.nan, np.nan, 0.25])
        np.testing.assert_array_equal(result.times, [0.1, np.nan, 0.3])

    def test_polygons_of_one_pass_are_scored_as_polygons(self, tmp_path):
        diamond = [20, 10, 30, 20, 20, 30, 10, 20]
        write(tmp_path / "unsupervised" / "a" / "a_001.txt", [[1], *[diamond] * 11])
        truth = np.tile(np.array(diamond, float), (12, 1))
        given = {
            **track(xywh=[[10, 10, 20, 20]] * 12),
            "polygons": truth,
            "frames": [np.zeros((60, 80, 3), np.uint8)],
        }
        result = read_results(tmp_path, [given], [])["a"]
        scores = PROTOCOLS["vot_unsupervised"].score_result(result, given)
        assert scores == {"average_overlap": 1, "frames": 12, "frames_scored": 2}

    def test_failures_at_once_after_every_start_are_scored(self, tmp_path):
        rows = [[1], [2], [0], [0], [0], [0], [1], [2]]
        write(tmp_path / "baseline" / "a" / "a_001.txt", rows)
        given = {**track(xywh=[[10, 10, 20, 20]] * 8), "frames": [np.zeros((60, 80, 3), np.uint8)]}
        result = read_results(tmp_path, [given], [])["a"]
        scores = PROTOCOLS["vot2018"].score_result(result, given, result.restarted)
        assert (scores["failures"], scores["accuracy"], scores["frames_scored"]) == (2, 0, 0)

    def test_baseline_without_a_failure_is_of_restarts_all_the_same(self, tmp_path):
        for folder in ("baseline", "unsupervised"):
            write(tmp_path / folder / "a" / "a_001.txt", [[1], *XYWH[1:]])
        assert read_results(tmp_path / "baseline", [track()], [])["a"].restarted
        assert not read_results(tmp_path / "unsupervised", [track()], [])["a"].restarted

    @pytest.mark.parametrize("stem", ["a-1", "a_1", "a.1", "uav_a_1", "nfs_a-1"])
    def test_spellings_of_names(self, tmp_path, stem):
        write(tmp_path / f"{stem}.txt", XYWH)
        assert "a-1" in read_results(tmp_path, [track("a-1")], [])

    def test_name_as_the_evaluator_writes_it(self, tmp_path):
        write(tmp_path / "a_b_c.txt", XYWH)
        assert "a/b c" in read_results(tmp_path, [track("a/b c")], [])

    def test_pixel_origin_of_the_data_set_is_undone(self, tmp_path, register):
        write(tmp_path / "a.txt", XYWH)
        name = register("tiny_from_one", [track()], pixel_origin=1)
        boxes = read_results(tmp_path, name, [])["a"].boxes
        np.testing.assert_array_equal(boxes[0], [9, 19, 39, 59])


class TestTable:
    def test_odd_but_good(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_bytes(b"\xef\xbb\xbf1, 2, 3, 4,\r\n\r\n  NaN\tnan NaN NaN\r\n-1 2.5 1e1 4\r\n")
        table, marks = read_result_table(path)
        np.testing.assert_array_equal(table, [[1, 2, 4, 6], [np.nan] * 4, [-1, 2.5, 9, 6.5]])
        assert marks.tolist() == [BOX] * 3

    @pytest.mark.parametrize(
        "text",
        [
            "x,y,w,h\n1,2,3,4\n2,2,3,4\n",
            "# x0 y0 x1 y1\n1 2 4 6\n2 2 5 6\n",
            "frame,target,x,y,w,h,score\n0,0,1,2,3,4,0.5\n1,0,2,2,3,4,0.5\n",
            "1;1;2;3;4\n2;2;2;3;4\n",
        ],
    )
    def test_columns_with_names_or_counted(self, tmp_path, text):
        (tmp_path / "a.txt").write_text(text)
        table, marks = read_result_table(tmp_path / "a.txt", origin=1)
        assert table.tolist() == [[0, 1, 3, 5], [1, 1, 4, 5]] and marks.tolist() == [BOX] * 2

    def test_corners_are_noticed(self, tmp_path):
        write(tmp_path / "a.txt", XYXY)
        (doubt,) = read_results(tmp_path, [track()], problems := [])["a"].doubts[-1:]
        assert "write x0,y0,x1,y1 above it" in doubt and problems[-1].detail == doubt

    def test_decimal_commas(self, tmp_path):
        (tmp_path / "a.txt").write_text("1,5;2,5;3;4,25\n\n0\n")
        table, marks = read_result_table(tmp_path / "a.txt")
        np.testing.assert_array_equal(table, [[1.5, 2.5, 4.5, 6.75], [np.nan] * 4])
        assert marks.tolist() == [BOX, 0]

    @pytest.mark.parametrize(
        "text, message",
        [
            ("1,2,3,4\n1,2,3\n", "line 2: expected x,y,w,h"),
            ("1,2,3,4\n\nx,2,3,4\n", "line 3: expected x,y,w,h.* found 'x,2,3,4'"),
            ("3\n", "line 1: expected x,y,w,h"),
            ("\x89PNG\x00", "line 1: .* names no box"),
            ("1,2,3,4,0.5\n1,2,3,4,0.5\n", "line 1: expected x,y,w,h.* name the columns"),
        ],
    )
    def test_bad(self, tmp_path, text, message):
        (tmp_path / "a.txt").write_text(text, encoding="latin-1")
        with pytest.raises(ValueError, match=message):
            read_result_table(tmp_path / "a.txt")

    def test_further_runs_are_of_the_same_sequence(self, tmp_path):
        for name in ("a_001", "a_002", "a_010", "ab_002", "a_1_002", "a_time"):
            write(tmp_path / f"{name}.txt", XYWH)
        found = [p.name for p in further_runs(tmp_path / "a_001.txt")]
        assert found == ["a_002.txt", "a_010.txt"]
        assert further_runs(tmp_path / "a.txt") == []


class TestBadInput:
    def problems(self, folder, tracks):
        found = []
        results = read_results(folder, tracks, found)
        return results, {(p.sequence, p.left_out): p.detail for p in found}

    def test_others_go_on(self, tmp_path):
        write(tmp_path / "good.txt", XYWH)
        write(tmp_path / "short.txt", XYWH[:2])
        write(tmp_path / "long.txt", XYWH + XYWH)
        write(tmp_path / "empty.txt", [])
        write(tmp_path / "words.txt", [["tracking", "failed"]])
        names = ["good", "short", "long", "empty", "words", "missing"]
        results, found = self.problems(tmp_path, [track(n) for n in names])
        assert list(results) == ["good"]
        assert set(found) == {(name, True) for name in names[1:]}
        assert (
            "short.txt has 2 boxes, but short has 3 frames: the run broke off"
            in found["short", True]
        )
        assert "it is for another dataset" in found["long", True]
        assert "empty.txt has 0 boxes" in found["empty", True]
        assert "words.txt line 1: 'tracking,failed' names no box" in found["words", True]
        assert "no result file for sequence missing" in found["missing", True]

    def test_no_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
            read_results(tmp_path / "nowhere", [track()], [])

    def test_nan_and_flat_boxes_are_used_and_named(self, tmp_path):
        write(tmp_path / "a.txt", [XYWH[0], ["nan"] * 4, [1, 2, 0, 4]])
        results, found = self.problems(tmp_path, [track()])
        assert "2 of 3 boxes have a NaN or no area, the first in frame 1" in found["a", False]
        assert np.isnan(results["a"].boxes[1]).all()

    def test_nan_where_the_target_is_absent_is_no_problem(self, tmp_path):
        write(tmp_path / "a.txt", [XYWH[0], ["nan"] * 4, XYWH[2]])
        _, found = self.problems(tmp_path, [track(xywh=[XYWH[0], [0, 0, 0, 0], XYWH[2]])])
        assert not found

    def test_times_that_do_not_fit_are_passed_over(self, tmp_path):
        write(tmp_path / "a.txt", XYWH)
        write(tmp_path / "a_time.txt", [[0.1]] * 7)
        results, found = self.problems(tmp_path, [track()])
        assert results["a"].times is None
        assert "a_time.txt: 7 numbers for 3 frames" in found["a", False]

    def test_another_dataset(self, tmp_path):
        write(tmp_path / "a.txt", np.add(XYWH, [200, 0, 0, 0]))
        write(tmp_path / "z.txt", XYWH)
        _, found = self.problems(tmp_path, [track()])
        assert "overlaps with the one given by 0.00 only" in found["a", False]
        _, found = self.problems(tmp_path, [track("b"), track("c")])
        assert "no result file for 2 of 2 sequences" in found["", False]
        assert "for another dataset? There is a.txt, z.txt" in found["", False]

    def test_other_pixel_origin(self, tmp_path):
        for name in "ab":
            write(tmp_path / f"{name}.txt", np.add(XYWH, [1, 1, 0, 0]))
        _, found = self.problems(tmp_path, [track("a"), track("b")])
        assert "the first boxes are +1, +1 px off" in found["", False]
        for name in "ab":
            write(tmp_path / f"{name}.txt", XYWH)
        assert not self.problems(tmp_path, [track("a"), track("b")])[1]
