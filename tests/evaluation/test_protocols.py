import json

import numpy as np
import pytest
from one_pass_runs import NAN, make_track, random_sequence, score

from sot.boxes import to_xywh, to_xyxy
from sot.evaluation.protocols import PROTOCOLS, get_protocol
from sot.evaluation.results.reader import Run, SequenceResult

BOX = [10.0, 20.0, 30.0, 60.0]  # 20 x 40
HALF = [10.0, 20.0, 30.0, 40.0]  # its upper half: IoU 0.5
AWAY = [100.0, 100.0, 120.0, 140.0]
ABSENT = [NAN] * 4

ONE_PASS = ["otb", "uav123", "nfs", "lasot", "trackingnet", "got10k"]


class TestPerfectPredictions:
    MAXIMUM = {
        "otb": 20 / 21,
        "uav123": 20 / 21,
        "nfs": 20 / 21,
        "lasot": 20 / 21,
        "trackingnet": 0.975,
        "got10k": 100 / 101,
    }

    @pytest.mark.parametrize("name", ONE_PASS)
    def test_reach_the_maximum(self, name):
        protocol = PROTOCOLS[name]
        per_sequence = {}
        for seed in range(3):
            truth, _ = random_sequence(seed)
            truth = (truth + 30) / 2  # inside of the image
            track = make_track(truth, cover=np.full(len(truth), 8))
            per_sequence[str(seed)] = protocol.score(truth, track)
        result = protocol.summarize(per_sequence)
        assert result["success_auc"] == pytest.approx(self.MAXIMUM[name], abs=1e-12)
        assert protocol.maximum == {"success_auc": pytest.approx(self.MAXIMUM[name], abs=1e-12)}
        others = set(result) - {"success_auc", "curves", "frames_scored", "sequences_scored"}
        assert {key: result[key] for key in others} == dict.fromkeys(
            [
                "precision_20",
                "precision_auc",
                "norm_precision_20",
                "norm_precision_auc",
                "average_overlap",
                "sr_50",
                "sr_75",
            ],
            pytest.approx(1, abs=1e-12),
        )
        assert result["curves"]["success"][:-1] == pytest.approx(
            [1] * (len(result["curves"]["success"]) - 1)
        )
        assert protocol.primary in result

    @pytest.mark.parametrize("name", ONE_PASS)
    def test_reach_it_from_files_too(self, name):
        truth = (random_sequence(0)[0] + 30) / 2
        track = make_track(truth, cover=np.full(len(truth), 8))
        rounded = to_xyxy(to_xywh(truth) + [1, 1, 0, 0]) - 1  # the last bits differ
        curves = score(name, rounded, track)["curves"]
        assert curves["precision"][0] == curves["norm_precision"][0] == 1
        off = score(name, truth + [0.01, 0, 0.01, 0], track)["curves"]
        if name != "trackingnet":  # it rounds to whole pixels
            assert off["precision"][0] < 0.1 and off["norm_precision"][0] < 0.1

    def test_what_is_exactly_at_a_threshold_counts(self):
        # 20 px, and 4 of a width of 20; in single precision some would be more
        truth = np.array([[0.1 * k, 0.7 * k, 0.1 * k + 20, 0.7 * k + 40] for k in range(99)])
        moved = truth + [12.3, 0, 12.3, 0] + [7.7, 0, 7.7, 0]
        assert score("otb", moved, make_track(truth))["precision_20"] == 1
        assert score("otb", moved + [1e-4, 0, 1e-4, 0], make_track(truth))["precision_20"] == 1 / 99
        moved = truth + [1.3, 0, 1.3, 0] + [2.7, 0, 2.7, 0]
        assert score("otb", moved, make_track(truth))["norm_precision_20"] == 1

    def test_absent_frames_lower_the_maximum_of_lasot(self):
        track = make_track([BOX] * 4, visible=[1, 1, 0, 1])
        result = score("lasot", [BOX] * 4, track)
        assert result["success_auc"] == pytest.approx(0.75 * 20 / 21, abs=1e-12)
        assert result["precision_20"] == result["norm_precision_auc"] == 0.75
        assert result["frames_scored"] == 4


class TestWhichFramesCount:
    @pytest.mark.parametrize("name", ["otb", "uav123", "nfs", "lasot", "trackingnet"])
    def test_first_frame_counts_with_the_given_box(self, name):
        result = score(name, [ABSENT, AWAY], make_track([BOX, BOX]))
        assert result["average_overlap"] == 0.5
        assert result["frames_scored"] == 2

    def test_first_frame_of_got10k_does_not(self):
        result = score("got10k", [BOX, AWAY], make_track([BOX, BOX]))
        assert result["average_overlap"] == 0
        assert result["frames_scored"] == 1

    @pytest.mark.parametrize(
        "name, expected",
        [
            # truth: a box, nothing, a box of an invisible frame, a box of a hidden target, a box
            ("otb", [1, 0, 0, 1, 1]),
            ("uav123", [1, 0, 0, 1, 1]),
            ("nfs", [1, 0, 1, 1, 1]),
            ("trackingnet", [1, 0, 1, 1, 1]),
            ("got10k", [0, 0, 1, 0, 1]),
        ],
    )
    def test_absent_and_hidden(self, name, expected):
        truth = [BOX, ABSENT, BOX, BOX, BOX]
        track = make_track(truth, visible=[1, 0, 0, 1, 1], cover=[8, 0, 3, 0, 8])
        for missed in range(1, 5):
            boxes = [BOX] * 5
            boxes[missed] = AWAY
            result = score(name, boxes, track)
            assert result["frames_scored"] == sum(expected)
            assert result["average_overlap"] == pytest.approx(1 - expected[missed] / sum(expected))

    @pytest.mark.parametrize("absent", [[0.0, 0.0, 0.0, 0.0], [9.0, 9.0, 5.0, 12.0]])
    def test_a_true_box_without_a_size_is_absent(self, absent):
        for prediction in (BOX, ABSENT, absent):
            result = score("otb", [BOX, BOX, prediction], make_track([BOX, BOX, absent]))
            assert result["average_overlap"] == result["precision_20"] == 1

    def test_a_true_box_left_of_the_image_is_no_free_success(self):
        # PySOT counts frames whose true centre is not positive as right
        away = [-30.0, -30.0, -10.0, -10.0]
        assert score("otb", [BOX, BOX], make_track([BOX, away]))["precision_20"] == 0.5

    def test_cover_is_made_up_for_by_visible(self):
        track = make_track([BOX] * 3, visible=[1, 0, 1])
        assert score("got10k", [BOX, AWAY, BOX], track)["average_overlap"] == 1

    @pytest.mark.parametrize("name", ONE_PASS)
    def test_truth_of_the_first_frame_alone_scores_nothing(self, name):
        # the test sets that a server scores
        result = score(name, [BOX] * 3, make_track([BOX, ABSENT, ABSENT]))
        assert result == {"frames_scored": 0}
        summary = PROTOCOLS[name].summarize({"a": result})
        assert summary == {"frames_scored": 0, "sequences_scored": 0}

    @pytest.mark.parametrize("name", [*ONE_PASS, "vot_unsupervised", "vot2018_lt"])
    def test_one_frame_has_nothing_to_score(self, name):
        for box in (BOX, ABSENT):
            assert score(name, [box], make_track([BOX]), scores=[1.0]) == {"frames_scored": 0}


class TestPredictionsThatAreNoBox:
    @pytest.mark.parametrize("name", ["otb", "uav123", "nfs", "trackingnet"])
    @pytest.mark.parametrize("bad", [ABSENT, [10, NAN, 30, 60]])
    def test_fail(self, name, bad):
        result = score(name, [BOX, bad], make_track([BOX, BOX]))
        assert result["average_overlap"] == 0.5
        assert result["precision_20"] == result["norm_precision_20"] == 0.5

    def test_fail_in_got10k(self):
        result = score("got10k", [BOX, ABSENT, BOX], make_track([BOX] * 3))
        assert result["average_overlap"] == 0.5

    @pytest.mark.parametrize("bad", [ABSENT, [10, NAN, 30, 60], [5.0, 5.0, 5.0, 9.0]])
    def test_are_replaced_by_the_one_before_in_lasot(self, bad):
        result = score("lasot", [BOX, HALF, bad, bad], make_track([BOX] * 4))
        assert result["average_overlap"] == pytest.approx((1 + 0.5 * 3) / 4)

    def test_are_replaced_through_absent_frames(self):
        track = make_track([BOX, ABSENT, BOX], visible=[1, 0, 1])
        assert score("lasot", [BOX, ABSENT, ABSENT], track)["average_overlap"] == pytest.approx(
            2 / 3
        )

    def test_of_another_number_of_frames(self):
        with pytest.raises(ValueError, match=r"sequence a: boxes of shape \(2, 4\) for 3 frames"):
            score("otb", [BOX, BOX], make_track([BOX] * 3))


class TestTrackingNet:
    def test_boxes_are_rounded(self):
        # x, y, w, h: 10.4 -> 10, 20.4 -> 20, 19.6 -> 20, 40.4 -> 40
        result = score("trackingnet", [BOX, [10.4, 20.4, 30.0, 60.8]], make_track([BOX, BOX]))
        assert result["average_overlap"] == 1

    def test_numbers_of_the_formulas_of_the_development_kit(self):
        # its metrics.py, written anew over pandas 1.5 and run on these boxes, gave these numbers
        rng = np.random.default_rng(3)
        per_sequence = {}
        for length in (20, 7, 33):
            truth = np.c_[rng.uniform(0, 300, (length, 2)), rng.uniform(8, 90, (length, 2))]
            truth = truth.round(3)
            pred = (truth + rng.normal(0, [6, 6, 5, 5], (length, 4))).round(3)
            pred[:, 2:] = np.maximum(pred[:, 2:], 1)
            pred[5] = [400, 400, 30, 30]
            truth[:, 2:] += truth[:, :2]
            pred[:, 2:] += pred[:, :2]
            per_sequence[str(length)] = score("trackingnet", pred, make_track(truth))
        result = PROTOCOLS["trackingnet"].summarize(per_sequence)
        expected = [0.58943903318903324, 0.7887842712842715, 0.5708549783549785]
        names = ["success_auc", "precision_auc", "norm_precision_auc"]
        assert [result[name] for name in names] == pytest.approx(expected, abs=1e-6)


class TestNormalizedPrecision:
    def test_units_are_the_true_sides(self):
        # 4 px of a width of 20 and 8 px of a height of 40 are both 0.2; sqrt(2) * 0.2 is not
        shifts = [[0, 0], [4, 0], [0, 8], [4, 8], [0, 20.5]]
        pred = np.array([BOX] * 5) + np.tile(shifts, 2)
        result = score("otb", pred, make_track([BOX] * 5))
        assert result["norm_precision_20"] == pytest.approx(3 / 5)
        # right from 0 (51 of the 51 thresholds), 0.2 (31), 0.2, 0.29 (22), none
        assert result["norm_precision_auc"] == pytest.approx((51 + 31 + 31 + 22) / 51 / 5)


class TestSummary:
    def test_mean_over_sequences(self):
        tracks = make_track([BOX] * 2), make_track([BOX] * 6)
        per_sequence = {
            "a": score("otb", [BOX, AWAY], tracks[0]),
            "b": score("otb", [BOX] * 6, tracks[1]),
        }
        result = PROTOCOLS["otb"].summarize(per_sequence)
        assert result["average_overlap"] == pytest.approx((0.5 + 1) / 2)
        assert result["curves"]["success"][0] == pytest.approx(0.75)
        assert (result["frames_scored"], result["sequences_scored"]) == (8, 2)

    def test_got10k_is_pooled_over_frames(self):
        tracks = make_track([BOX] * 2), make_track([BOX] * 6)
        per_sequence = {
            "a": score("got10k", [BOX, AWAY], tracks[0]),
            "b": score("got10k", [BOX] * 6, tracks[1]),
        }
        result = PROTOCOLS["got10k"].summarize(per_sequence)
        assert result["average_overlap"] == pytest.approx(5 / 6)
        assert result["sr_75"] == pytest.approx(5 / 6)
        assert result["curves"]["success"][0] == pytest.approx(5 / 6)

    def test_interval_is_of_sets_of_these_sequences(self):
        protocol = PROTOCOLS["otb"]
        track = make_track([BOX, BOX])
        right, wrong = score("otb", [BOX, BOX], track), score("otb", [BOX, AWAY], track)
        # of two, a fourth of the sets has the one alone, a fourth the other
        low, high = protocol.confidence_interval({"a": right, "b": wrong})
        assert (low, high) == pytest.approx((10 / 21, 20 / 21))
        low, high = protocol.confidence_interval({str(i): (right, wrong)[i % 2] for i in range(64)})
        # the mean of 64 is spread by 5 / 21 / 8 around 15 / 21
        assert 15 / 21 - low == pytest.approx(1.96 * 5 / 21 / 8, rel=0.15)
        assert high - 15 / 21 == pytest.approx(1.96 * 5 / 21 / 8, rel=0.15)
        assert protocol.confidence_interval({"a": right, "b": {"frames_scored": 0}}) is None
        few = {str(i): right for i in range(4)}
        assert protocol.doubt(few) == " (of 4 sequences, too few to rely on it)"
        assert protocol.doubt({**few, "b": wrong}) == ""

    def test_sequences_without_truth_are_left_out(self):
        nothing = score("otb", [BOX] * 2, make_track([BOX, ABSENT]))
        something = score("otb", [BOX] * 2, make_track([BOX] * 2))
        result = PROTOCOLS["otb"].summarize({"a": nothing, "b": something})
        assert result["average_overlap"] == 1
        assert result["sequences_scored"] == 1


def toolkit_curves(kind, pred, truth):
    """Success and precision as the MATLAB toolkit of OTB and PySOT count them, from what they do
    to each frame, of boxes XYWH whose first pixel is 1."""
    overlaps, distances, last = [], [], None
    for p, t in zip(pred, truth):
        if kind == "matlab" and (np.isnan(p).all() or p[2] <= 0 or p[3] <= 0):
            p = last
        last = p
        sides = np.minimum(p[:2] + p[2:], t[:2] + t[2:]) - np.maximum(p[:2], t[:2])
        inside = np.maximum(sides, 0).prod()
        center = t[:2] + (t[2:] - 1) / 2
        sized, right = (t[2:] > 0).all(), not (center > 0).all()
        if kind == "matlab":
            sized, right = (t > 0).all(), not (t > 0).all()
        overlaps.append(inside / (p[2] * p[3] + t[2] * t[3] - inside) if sized else -1)
        distance = np.hypot(*(p[:2] + (p[2:] - 1) / 2 - center))
        distances.append(-1 if right else distance)
    success = [np.mean([o > k * 0.05 for o in overlaps]) for k in range(21)]
    return success, [np.mean([d <= k for d in distances]) for k in range(51)]


class TestConventionsOfToolkits:
    @pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
    @pytest.mark.parametrize("kind", ["matlab", "pysot"])
    @pytest.mark.parametrize("seed", range(5))
    def test_curves(self, kind, seed):
        truth, pred = random_sequence(seed)
        truth[10:14] = NAN
        truth[20, 2:] = truth[20, :2]  # no sides
        truth[25] = [-0.5, 5, 30, 40]  # x is 0.5 from pixel 1 on
        truth[26] = [-90, -80, 30, 20]  # its centre is left of the image
        pred[5] = pred[30:32] = NAN
        curves = score(f"ope_{kind}", pred, make_track(truth))["curves"]
        boxes = (to_xywh(b) + [1, 1, 0, 0] for b in (pred, truth))
        success, precision = toolkit_curves(kind, *boxes)
        assert curves["success"] == pytest.approx(success, abs=1e-6)
        assert curves["precision"] == pytest.approx(precision, abs=1e-6)

    @pytest.mark.parametrize(
        "name, success, precision",
        [
            # 4 frames: the box found, the box missed, no truth, and the box found
            ("otb", 2 / 3, 2 / 3),
            ("ope_matlab", 2 / 4, 3 / 4),
            ("ope_pysot", 2 / 4, 3 / 4),
            ("ope_got10k", 2 / 4, 2 / 4),
        ],
    )
    def test_absent_frames(self, name, success, precision):
        result = score(name, [BOX, AWAY, BOX, BOX], make_track([BOX, BOX, ABSENT, BOX]))
        assert result["success_auc"] == pytest.approx(success * 20 / 21)
        assert result["precision_20"] == pytest.approx(precision)


def test_inputs_stay():
    truth, pred = random_sequence(0)
    copies = truth.copy(), pred.copy()
    track = make_track(truth)
    for name in ONE_PASS:
        score(name, pred, track)
    np.testing.assert_array_equal(truth, copies[0])
    np.testing.assert_array_equal(pred, copies[1])


def test_scores_fit_into_json():
    truth, pred = random_sequence(0)
    for name in [*ONE_PASS, "vot2018", "vot2018_lt"]:
        result = score(name, pred, make_track(truth), scores=np.linspace(0, 1, len(pred)))
        result.pop("per_frame", None)  # for the summary alone
        assert json.loads(json.dumps(result)) == result


def test_the_size_of_the_image_is_that_of_the_first_frame():
    # cut to a width of 20, the prediction is the truth
    frames = [np.zeros((100, 30, 3), np.uint8)] * 2
    track = {**make_track([BOX] * 2), "frames": frames}
    assert score("got10k", [BOX, [10.0, 20.0, 90.0, 60.0]], track)["average_overlap"] == 1


class TestRepeatedRuns:
    """Overlaps of 1, 0.5 or 0 in the frames after the first."""

    TRACKS = make_track([BOX] * 3, name="a"), make_track([BOX] * 5, name="b")

    def result(self, *runs):
        runs = [np.array([BOX, *boxes]) for boxes in runs]
        return SequenceResult(tuple(Run(boxes, np.full(len(boxes), 3)) for boxes in runs))

    def test_all_frames_of_all_runs_count_in_got10k(self):
        protocol, (a, b) = PROTOCOLS["got10k"], self.TRACKS
        scores = {
            "a": protocol.score_result(self.result([BOX, AWAY], [HALF, HALF], [BOX, BOX]), a),
            "b": protocol.score_result(self.result([AWAY] * 4), b),
        }
        assert scores["a"]["average_overlap"] == pytest.approx((1 + 0 + 0.5 + 0.5 + 1 + 1) / 6)
        result = protocol.summarize(scores)
        assert result["average_overlap"] == pytest.approx(4 / 10)
        assert result["sr_75"] == pytest.approx(3 / 10)
        assert result["curves"]["success"][0] == pytest.approx(5 / 10)
        assert (result["frames_scored"], result["sequences_scored"]) == (10, 2)
        # AO of each run, with the only one of b: 1/6, 1/6, 2/6
        assert result["average_overlap_std"] == pytest.approx(np.std([1, 1, 2]) / 6)

    def test_mean_over_runs_where_sequences_count_alike(self):
        protocol, (a, b) = PROTOCOLS["otb"], self.TRACKS
        scores = {
            "a": protocol.score_result(self.result([BOX, AWAY], [AWAY, AWAY]), a),
            "b": protocol.score_result(self.result([BOX] * 4, [AWAY] * 4), b),
        }
        result = protocol.summarize(scores)
        assert result["average_overlap"] == pytest.approx(
            ((2 / 3 + 1 / 3) / 2 + (1 + 1 / 5) / 2) / 2
        )
        assert "success_auc_std" in result

    def test_one_run_has_no_spread(self):
        protocol, (a, _) = PROTOCOLS["otb"], self.TRACKS
        scores = protocol.score_result(self.result([BOX, AWAY]), a)
        assert scores == protocol.score([BOX, BOX, AWAY], a)
        assert "success_auc_std" not in protocol.summarize({"a": scores})

    def test_long_term_runs_have_their_own_confidences(self):
        protocol, (a, _) = PROTOCOLS["vot2018_lt"], self.TRACKS
        (first,), (other,) = self.result([BOX, AWAY]).runs, self.result([BOX, BOX]).runs
        runs = first._replace(scores=[1, 0.9, 0.1]), other._replace(scores=[1, 0.2, 0.9])
        scores = {"a": protocol.score_result(SequenceResult(runs), a)}
        result = protocol.summarize(scores)
        # at t = 0.2: overlaps 1; 1 and 1, of two frames with the target beside the first
        assert result["precision"] == 1 and result["recall"] == pytest.approx((1 / 3 + 2 / 3) / 2)


class TestGetProtocol:
    def test_of_metadata(self, register):
        register(protocol="got10k")
        assert get_protocol("tiny") is PROTOCOLS["got10k"]
        assert get_protocol("folder:/data/clips") is PROTOCOLS["otb"]

    def test_unknown(self, register):
        register(protocol="imagenet")
        with pytest.raises(ValueError, match="'tiny' asks for the protocol 'imagenet'"):
            get_protocol("tiny")
