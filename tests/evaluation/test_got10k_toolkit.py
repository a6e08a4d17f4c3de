from types import SimpleNamespace

import numpy as np
import pytest
from one_pass_runs import NAN, SIZE, make_track, random_sequence, score, xywh

from sot.evaluation.protocols import PROTOCOLS


@pytest.fixture
def toolkit():
    """The experiments of the got10k package, without its data sets."""
    pytest.importorskip("got10k")
    from got10k.experiments import ExperimentGOT10k, ExperimentOTB, ExperimentUAV123
    from got10k.utils.metrics import rect_iou

    def make(cls, **attributes):
        experiment = cls.__new__(cls)
        experiment.__dict__.update(attributes)
        return experiment

    bins = {"nbins_iou": 21, "nbins_ce": 51}
    return SimpleNamespace(
        otb=make(ExperimentOTB, **bins),
        uav123=make(ExperimentUAV123, **bins),
        got10k=make(ExperimentGOT10k, nbins_iou=101),
        rect_iou=rect_iou,
    )


def official_curves(experiment, pred, truth):
    return experiment._calc_curves(*experiment._calc_metrics(xywh(pred), xywh(truth)))


class TestAgreesWithGot10kToolkit:
    """To 1e-6 where nothing else is said."""

    @pytest.mark.parametrize("whole", [False, True])
    @pytest.mark.parametrize("seed", range(5))
    def test_otb(self, toolkit, seed, whole):
        truth, pred = random_sequence(seed, whole=whole)
        pred[3] = NAN
        pred[5, 1] = NAN
        pred[8, 2:] = pred[8, :2]
        success, precision = official_curves(toolkit.otb, pred, truth)
        result = score("otb", pred, make_track(truth))
        assert result["curves"]["success"] == pytest.approx(success.tolist(), abs=1e-6)
        assert result["curves"]["precision"] == pytest.approx(precision.tolist(), abs=1e-6)
        assert result["success_auc"] == pytest.approx(success.mean(), abs=1e-6)
        assert result["precision_20"] == pytest.approx(precision[20], abs=1e-6)

    @pytest.mark.parametrize("seed", range(3))
    def test_otb_masks_nothing(self, toolkit, seed):
        truth, pred = random_sequence(seed)
        truth[10:20] = NAN
        truth[30, 2:] = truth[30, :2]
        success, precision = official_curves(toolkit.otb, pred, truth)
        result = score("ope_got10k", pred, make_track(truth))
        assert result["curves"]["success"] == pytest.approx(success.tolist(), abs=1e-6)
        assert result["curves"]["precision"] == pytest.approx(precision.tolist(), abs=1e-6)

    @pytest.mark.parametrize("seed", range(3))
    def test_uav123_absent(self, toolkit, seed):
        truth, pred = random_sequence(seed)
        truth[10:20] = NAN
        pred[12] = pred[30] = NAN
        success, precision = official_curves(toolkit.uav123, pred, truth)
        result = score("uav123", pred, make_track(truth))
        assert result["curves"]["success"] == pytest.approx(success.tolist(), abs=1e-6)
        assert result["curves"]["precision"] == pytest.approx(precision.tolist(), abs=1e-6)

    def official_got10k(self, toolkit, sequences):
        # as ExperimentGOT10k.report; copies, as rect_iou clips its inputs in place
        ious = [
            toolkit.rect_iou(xywh(pred[1:]), xywh(truth[1:]), bound=SIZE)[cover[1:] > 0]
            for truth, pred, cover in sequences
        ]
        return toolkit.got10k._evaluate(np.concatenate(ious), np.ones(1)), ious

    def sequences(self):
        rng = np.random.default_rng(11)
        for seed, length in enumerate([40, 5, 90]):
            truth, pred = random_sequence(seed, length)
            cover = rng.integers(0, 9, length)
            yield truth, pred, cover

    def test_got10k(self, toolkit):
        sequences = list(self.sequences())
        per_sequence = {
            str(i): score("got10k", pred, make_track(truth, cover=cover))
            for i, (truth, pred, cover) in enumerate(sequences)
        }
        (ao, sr, _, curve), ious = self.official_got10k(toolkit, sequences)
        result = PROTOCOLS["got10k"].summarize(per_sequence)
        assert result["average_overlap"] == pytest.approx(ao, abs=1e-6)
        assert result["sr_50"] == pytest.approx(sr, abs=1e-6)
        assert result["curves"]["success"] == pytest.approx(curve.tolist(), abs=1e-6)
        for scores, i in zip(per_sequence.values(), ious):
            assert scores["average_overlap"] == pytest.approx(i.mean(), abs=1e-6)
        assert 0.2 < ao < 0.9

    def test_nan_differs_in_got10k(self, toolkit):
        truth, pred, cover = next(self.sequences())
        cover[:] = 8
        pred[6] = NAN
        (ao, _, _, _), (ious,) = self.official_got10k(toolkit, [(truth, pred, cover)])
        assert np.isnan(ao)
        result = score("got10k", pred, make_track(truth, cover=cover))
        assert result["average_overlap"] == pytest.approx(np.nan_to_num(ious).mean(), abs=1e-6)
