import numpy as np
import pytest
from vot_runs import IMAGE_SIZE, random_longterm, random_restarts

from sot.evaluation.measures.vot import (
    BOX,
    EAO_INTERVALS,
    FAILED,
    PASSED_OVER,
    STARTED,
    Fragment,
    confidence_thresholds,
    eao_pysot,
    expected_average_overlap,
    expected_overlap_curve,
    f_score,
    fragments,
    precision_recall,
    restart_accuracy,
    restart_overlaps,
    settled,
)
from sot.evaluation.protocols import PROTOCOLS

NAN = float("nan")
RECT = [10.0, 20.0, 30.0, 60.0]  # 20 x 40
HALF = [10.0, 20.0, 30.0, 40.0]
AWAY = [100.0, 70.0, 120.0, 110.0]
SHORT_TERM = ["vot2016", "vot2018", "vot2019"]


def corners(box):
    """The polygon with the same pixels: its last row and column count."""
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - 1, y1, x2 - 1, y2 - 1, x1, y2 - 1]


def make_track(boxes, polygons=None):
    boxes = np.array(boxes, dtype=np.float64)
    frames = [np.zeros((*IMAGE_SIZE[::-1], 3), np.uint8)]
    track = {
        "name": "a",
        "frames": frames,
        "boxes": boxes,
        "visible": np.isfinite(boxes).all(axis=1),
    }
    return track if polygons is None else {**track, "polygons": np.array(polygons)}


def marks_of(text):
    """S: started, x: failed, -: passed over, .: a box."""
    return np.array([{"S": STARTED, "x": FAILED, "-": PASSED_OVER, ".": BOX}[c] for c in text])


class TestRestarts:
    def test_marks_are_the_numbers_in_result_files(self):
        assert (PASSED_OVER, STARTED, FAILED) == (0, 1, 2)

    def test_overlaps(self):
        regions = [RECT, RECT, HALF, AWAY, AWAY, [NAN] * 4]
        overlaps = restart_overlaps(regions, marks_of("S...x."), [RECT] * 6, IMAGE_SIZE)
        assert overlaps.tolist() == [0, 1, 0.5, 0, 0, 0]
        with pytest.raises(ValueError, match="2 regions and 3 marks for 2 frames"):
            restart_overlaps([RECT] * 2, marks_of("S.."), [RECT] * 2, IMAGE_SIZE)

    def test_settled(self):
        marks = marks_of("S...x--S....")
        assert settled(marks, burn_in=3).tolist() == [*[0] * 3, 1, *[0] * 6, 1, 1]
        # ten frames from the start on, that of the start included
        assert settled(marks_of("S" + "." * 12)).tolist() == [*[0] * 10, *[1] * 3]

    def test_accuracy(self):
        overlaps = np.array([0, *[1.0] * 9, 0.5, 0.25])
        assert restart_accuracy(overlaps, marks_of("S" + "." * 11)) == 0.375
        assert restart_accuracy(overlaps[:5], marks_of("S....")) == 0

    def test_fragments(self):
        overlaps = np.arange(12) / 100
        parts = fragments(overlaps, marks_of("S...x--S...."))
        assert [(p.overlaps.tolist(), p.failed) for p in parts] == [
            ([0, 0.01, 0.02, 0.03], True),
            ([0.07, 0.08, 0.09, 0.1, 0.11], False),
        ]
        (part,) = fragments(overlaps[:4], marks_of("S..x"))
        assert part.failed and len(part.overlaps) == 3

    @pytest.mark.parametrize("marks", ["", "....", ".S..", "S.x-x", "S..S.", "x.S."])
    def test_marks_out_of_order(self, marks):
        with pytest.raises(ValueError, match="a start in frame 0 and one after each failure"):
            fragments(np.zeros(len(marks)), marks_of(marks))


class TestExpectedOverlap:
    PARTS = [
        Fragment(np.array([0, 0.8, 0.6, 0.4]), False),
        Fragment(np.array([0, 0.5]), True),
    ]

    def test_curve(self):
        # lengths 1, 2, 3 of the first: 0.8, 0.7, 0.6; of the second, with zeros: 0.5, 0.25, 1/6
        curve = expected_overlap_curve(self.PARTS)
        np.testing.assert_allclose(curve[1:], [0.65, 0.475, (0.6 + 0.5 / 3) / 2])

    def test_without_failure_a_fragment_ends(self):
        curve = expected_overlap_curve([self.PARTS[0], Fragment(np.array([0, 0.5]), False)])
        np.testing.assert_allclose(curve[1:], [0.65, 0.7, 0.6])

    def test_longer_than_the_longest_fragment(self):
        curve = expected_overlap_curve(self.PARTS, length=6)
        np.testing.assert_allclose(curve[4:], [0.5 / 4, 0.5 / 5])
        assert np.isnan(expected_overlap_curve(self.PARTS[:1], length=5)[4])

    def test_interval_is_inclusive(self):
        curve = np.array([9, 0.8, 0.6, 0.4, 0.2])
        assert expected_average_overlap(curve, (1, 3)) == pytest.approx(0.6)
        assert expected_average_overlap(curve, (3, 99)) == pytest.approx(0.3)
        assert np.isnan(expected_average_overlap(curve, (5, 99)))

    def test_intervals_of_the_challenges(self):
        # low and high in vot/stack/vot20*.yaml of the toolkit
        expected = {
            **dict.fromkeys(["vot2015", "vot2016"], (108, 371)),
            **dict.fromkeys(["vot2017", "vot2018"], (100, 356)),
            "vot2019": (46, 291),
        }
        assert expected == EAO_INTERVALS


def restart_summary(name, seed=5):
    per_sequence = {}
    for i, (polygons, runs) in enumerate(random_restarts(seed)):
        points = polygons.reshape(-1, 4, 2)
        boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
        track = make_track(boxes, polygons)
        per_sequence[str(i)] = PROTOCOLS[name].score_runs(runs, track)
    return PROTOCOLS[name].summarize(per_sequence)


class TestShortTermProtocol:
    # supervised_average_ar and supervised_eao_score of vot-toolkit 0.7.2 on these runs
    ACCURACY, ROBUSTNESS = 0.7326608273846374, 1.6213991769547325
    EAO = {
        "vot2016": 0.26356849010124284,
        "vot2018": 0.269753221551931,
        "vot2019": 0.33099785915348473,
    }
    # the formulas of PySOT's toolkit/evaluation/eao_benchmark.py on the overlaps of these runs
    EAO_PYSOT = {
        "vot2016": 0.2607898639322931,
        "vot2018": 0.2669166140097044,
        "vot2019": 0.3325278196271842,
    }

    @pytest.mark.parametrize("name", SHORT_TERM)
    def test_numbers_of_the_toolkits(self, name):
        result = restart_summary(name)
        assert result["accuracy"] == pytest.approx(self.ACCURACY, abs=1e-6)
        assert result["robustness"] == pytest.approx(self.ROBUSTNESS, abs=1e-6)
        assert result["eao"] == pytest.approx(self.EAO[name], abs=1e-6)
        assert result["eao_pysot"] == pytest.approx(self.EAO_PYSOT[name], abs=1e-6)
        assert result["failures"] == 5  # 10 in two runs
        assert result["failures_per_100"] == pytest.approx(100 * 5 / 729)

    @pytest.mark.parametrize("name", SHORT_TERM)
    def test_perfect_runs(self, name):
        truth = np.array([corners(RECT)] * 400)
        marks = marks_of("S" + "." * 399)
        track = make_track([RECT] * 400, truth)
        scores = PROTOCOLS[name].score_runs([(truth, marks)] * 2, track)
        result = PROTOCOLS[name].summarize({"a": scores})
        for measure in ("eao", "accuracy", "accuracy_pooled", "eao_pysot"):
            assert result[measure] == pytest.approx(1, abs=1e-12)
        assert result["robustness"] == result["failures"] == result["failures_per_100"] == 0
        assert result["curves"]["expected_overlap"] == pytest.approx([1] * 400)

    @pytest.mark.parametrize("name", SHORT_TERM)
    def test_perfect_without_restarts(self, name):
        track = make_track([RECT] * 20, [corners(RECT)] * 20)
        scores = PROTOCOLS[name].score(np.array([RECT] * 20), track)
        result = PROTOCOLS[name].summarize({"a": scores})
        assert result["average_overlap"] == 1
        assert scores["frames_scored"] == 10
        assert "eao" not in result

    def test_accuracy_by_frames_and_by_length(self):
        # 12 frames of which 2 count, and 30 of which 20 count
        runs = {}
        for name, length, box in (("a", 12, HALF), ("b", 30, RECT)):
            marks = marks_of("S" + "." * (length - 1))
            runs[name] = PROTOCOLS["vot2018"].score_runs(
                [(np.array([box] * length), marks)], make_track([RECT] * length)
            )
        result = PROTOCOLS["vot2018"].summarize(runs)
        assert result["accuracy"] == pytest.approx((0.5 * 12 + 30) / 42)
        assert result["accuracy_pooled"] == pytest.approx((0.5 * 2 + 20) / 22)
        assert "eao" not in result  # no fragment has 100 frames

    def test_no_restart_overlap_is_by_length(self):
        scores = {
            name: PROTOCOLS["vot2018"].score(np.array([box] * length), make_track([RECT] * length))
            for name, length, box in (("a", 12, HALF), ("b", 30, RECT))
        }
        result = PROTOCOLS["vot2018"].summarize(scores)
        assert result["average_overlap"] == pytest.approx((0.5 * 12 + 30) / 42)

    def test_pysot_goes_on_to_the_longest_sequence(self):
        # fails after 2 frames, in a sequence of 9: the curve has lengths 1 ... 8 to PySOT
        run = (np.array([0, 0.8, *[0] * 7]), marks_of("S.x----S."))
        parts = fragments(*run)
        assert len(expected_overlap_curve(parts)) == 2
        # lengths 2 and 3 of the first fragment: 0.4 and 0.8 / 3; the second one has length 1
        assert eao_pysot([run], (3, 4)) == pytest.approx((0.4 + 0.8 / 3) / 2)
        assert np.isnan(expected_average_overlap(expected_overlap_curve(parts), (3, 4)))

    def test_pysot_forgives_a_failure_at_the_end(self):
        run = (np.array([0, 0.8, 0.6, 0]), marks_of("S..x"))
        long = (np.array([0, *[1.0] * 6]), marks_of("S......"))
        # length 5: the first run has ended, as if it had not failed
        assert eao_pysot([run, long], (6, 6)) == pytest.approx(1)

    def test_errors_name_the_sequence(self):
        with pytest.raises(ValueError, match="sequence a: 2 regions and 2 marks for 3 frames"):
            PROTOCOLS["vot2018"].score_runs([([RECT] * 2, marks_of("S."))], make_track([RECT] * 3))


class TestLongTermMeasures:
    def test_few_scores_are_the_thresholds(self):
        assert confidence_thresholds([0.2, NAN, 0.9]).tolist() == [np.inf, 0.9, 0.2, -np.inf]

    def test_many_scores(self):
        scores = np.random.default_rng(0).permutation(1000) / 1000
        thresholds = confidence_thresholds(scores)
        assert len(thresholds) == 100
        assert (np.diff(thresholds) < 0).all()
        # 1000 // 98 = 10 frames are above the first and 10 not above the last one
        assert thresholds[[1, -2]].tolist() == [0.989, 0.009]

    def test_precision_recall(self):
        result = precision_recall(
            [0.8, 0.4, 0, 0.9], [0.9, 0.5, 0.5, NAN], 4, [1, 0.9, 0.5, -np.inf]
        )
        assert result["precision"] == pytest.approx([1, 0.8, 0.4, 0.4])
        assert result["recall"] == pytest.approx([0, 0.2, 0.3, 0.3])

    def test_f_score(self):
        assert f_score([1, 0.8, 0], [0, 0.2, 0]) == pytest.approx([0, 0.32, 0])


class TestLongTermProtocol:
    PROTOCOL = PROTOCOLS["vot2018_lt"]

    def test_numbers_of_the_toolkit(self):
        # average_tpr of vot-toolkit 0.7.2 on these boxes
        per_sequence = {
            str(i): self.PROTOCOL.score(boxes, make_track(truth), scores)
            for i, (truth, boxes, scores) in enumerate(random_longterm())
        }
        result = self.PROTOCOL.summarize(per_sequence)
        assert result["f_score"] == pytest.approx(0.4763999529213359, abs=1e-6)
        assert result["precision"] == pytest.approx(0.47616279728021177, abs=1e-6)
        assert result["recall"] == pytest.approx(0.47663734491365944, abs=1e-6)
        assert {len(curve) for curve in result["curves"].values()} == {100}

    def test_perfect_predictions(self):
        # 11 frames with the target, of which the first has no region; absent frames are told
        truth = np.array([RECT] * 6 + [[NAN] * 4] * 3 + [RECT] * 5)
        boxes, scores = np.array([RECT] * 14), np.isfinite(truth[:, 0]).astype(float)
        result = self.PROTOCOL.score(boxes, make_track(truth), scores)
        assert result["precision"] == 1
        assert result["recall"] == pytest.approx(10 / 11)
        assert result["f_score"] == pytest.approx(20 / 21)

    def test_boxes_in_absent_frames_cost_precision(self):
        truth = np.array([RECT] * 5 + [[NAN] * 4] * 4)
        result = self.PROTOCOL.score(np.array([RECT] * 9), make_track(truth), np.ones(9))
        assert result["precision"] == pytest.approx(4 / 8)
        assert result["recall"] == pytest.approx(4 / 5)

    def test_no_box_is_no_prediction(self):
        # the toolkit gives both absent an overlap of 1 at any confidence: its recall would be 8/5
        truth = np.array([RECT] * 5 + [[NAN] * 4] * 4)
        boxes = np.where(np.isfinite(truth), truth, NAN)
        result = self.PROTOCOL.score(boxes, make_track(truth), np.ones(9))
        assert result["precision"] == 1
        assert result["recall"] == pytest.approx(4 / 5)

    def test_without_scores(self):
        with pytest.raises(ValueError, match="sequence a: a long-term result needs the tracker's"):
            self.PROTOCOL.score(np.array([RECT] * 5), make_track([RECT] * 5), None)

    def test_bad_input(self):
        with pytest.raises(ValueError, match="sequence a: 2 scores for 3 boxes"):
            self.PROTOCOL.score([RECT] * 3, make_track([RECT] * 3), [1, 1])

    def test_truth_of_the_first_frame_alone(self):
        track = make_track([RECT, [NAN] * 4])
        scores = self.PROTOCOL.score([RECT] * 2, track, [1, 1])
        assert scores == {"frames_scored": 0}
        assert self.PROTOCOL.summarize({"a": scores}) == {
            "frames_scored": 0,
            "sequences_scored": 0,
        }
