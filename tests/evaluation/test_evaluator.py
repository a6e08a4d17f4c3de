import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from detectron2.evaluation import inference_on_dataset, print_csv_format, verify_results
from detectron2.utils import comm
from evaluator_runs import FURTHER, NAMES, output, track

from sot.config import load_config
from sot.evaluation import SOTEvaluator, task_prefixes
from sot.evaluation.protocols import get_protocol


class TestSOTEvaluator:
    def test_scores_and_files(self, register, tmp_path, caplog):
        tracks = [track("right"), track("lost", length=4, absent=[3])]
        register(*tracks)
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.process([tracks[0]], [output("right", times=[1.0, 0.5, 0.25])])
        right = tmp_path / "tiny" / "right.txt"
        assert right.read_text() == "10.0000,20.0000,20.0000,40.0000\n" * 3  # before evaluate()
        lost = output("lost", 4, shift=20.5, times=[9.0, 0.1, 0.0, 0.2], skipped=[2])
        evaluator.process([tracks[1]], [lost])
        with caplog.at_level(logging.INFO, logger="sot.evaluation.evaluator"):
            results = evaluator.evaluate()

        # lost: right in the first of three frames that count
        ope = results["ope"]
        assert list(results) == ["ope"] and {k: ope[k] for k in NAMES} == {
            "success_auc": pytest.approx((20 / 21 + 20 / 63) / 2),
            "precision_20": pytest.approx((1 + 1 / 3) / 2),
            "average_overlap": pytest.approx((1 + 1 / 3) / 2),
            "fps": pytest.approx((1 / 0.375 + 1 / 0.15) / 2),
        }
        assert set(ope) - set(NAMES) == FURTHER
        report = json.loads((tmp_path / "tiny" / "metrics.json").read_text())
        assert report["dataset"] == "tiny" and "first frame counts" in report["protocol"]
        assert report["ope"] == ope and report["failed"] == {}
        assert report["frames_scored"] == 6 and report["sequences_scored"] == 2
        assert report["interval_95"] == {"success_auc": pytest.approx([20 / 63, 20 / 21])}
        assert len(report["curves"]["success"]) == 21
        assert list(report["sequences"]) == ["right", "lost"]
        one = report["sequences"]["lost"]
        assert {k: one[k] for k in one if k not in FURTHER} == {
            "success_auc": pytest.approx(20 / 63),
            "precision_20": pytest.approx(1 / 3),
            "average_overlap": pytest.approx(1 / 3),
            "fps": pytest.approx(1 / 0.15),
            "frames": 4,
            "absent": 1,
            "skipped": 1,
        }
        lines = (tmp_path / "tiny" / "lost.txt").read_text().splitlines()
        assert lines[3] == "30.5000,20.0000,20.0000,40.0000"
        assert "lost" in caplog.text and "0.317" in caplog.text
        note = "0.317 to 0.952, by the bootstrap over sequences (of 2 sequences, too few to rely on"
        assert f"95 % interval of success_auc: {note}" in caplog.text

    def test_in_detectron2s_loop(self, register, tmp_path):
        tracks = [track("a"), track("b")]
        register(*tracks)
        results = inference_on_dataset(
            lambda inputs: [output(t["name"]) for t in inputs],
            [[t] for t in tracks],
            SOTEvaluator("tiny", str(tmp_path)),
        )
        assert results["ope"]["success_auc"] == pytest.approx(20 / 21)
        print_csv_format(results)
        cfg = load_config("SiamRPN/siamrpn_compact.yaml")
        cfg.TEST.EXPECTED_RESULTS = [["ope", "success_auc", 0.952, 0.001]]
        assert verify_results(cfg, results)
        cfg.TEST.EXPECTED_RESULTS = [["ope", "success_auc", 0.5, 0.001]]
        with pytest.raises(SystemExit):
            verify_results(cfg, results)

    def test_reset_forgets(self, register, tmp_path):
        register(track("a"))
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        for _ in range(2):
            evaluator.reset()
            evaluator.process([track("a")], [output("a")])
            assert evaluator.evaluate()["ope"]["precision_20"] == 1.0

    def test_sequence_of_one_frame(self, register, tmp_path):
        register(track("photo", 1))
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.process([track("photo", 1)], [output("photo", 1)])
        assert evaluator.evaluate()["ope"]["fps"] == pytest.approx(100)

    def test_nothing_to_score_is_said(self, register, tmp_path, caplog):
        register(track("still", length=1), track("gone", absent=[1, 2]))
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.process([track("still", 1)], [output("still", 1)])
        evaluator.process([track("gone", absent=[1, 2])], [output("gone")])
        assert list(evaluator.evaluate()["ope"]) == ["fps"]
        assert "tiny: nothing is scored, because no frame after the first one" in caplog.text

    def test_ranks(self, register, tmp_path, monkeypatch):
        register(track("a"), track("b"))
        parts = []
        for name in "ab":
            evaluator = SOTEvaluator("tiny", str(tmp_path))
            evaluator.process([track(name)], [output(name)])
            parts.append(evaluator._results)
        monkeypatch.setattr(comm, "gather", lambda data: [data, parts[0]])
        assert evaluator.evaluate()["ope"]["precision_20"] == 1.0
        monkeypatch.setattr(comm, "gather", lambda data: [])
        monkeypatch.setattr(comm, "is_main_process", lambda: False)
        assert evaluator.evaluate() is None

    def test_frames_marked_invisible_do_not_count(self, register, tmp_path):
        marked = track("a", 4)
        marked["visible"][3] = False  # its box is annotated all the same
        register(marked)
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.process([marked], [output("a", 4, shift=20.5)])
        assert evaluator.evaluate()["ope"]["precision_20"] == pytest.approx(1 / 3)
        report = json.loads((tmp_path / "tiny" / "metrics.json").read_text())
        assert report["sequences"]["a"]["absent"] == 1

    @pytest.mark.parametrize("tracker", [SimpleNamespace(engine="onnxruntime"), object()])
    def test_engine_of_a_tracker_that_has_one(self, tracker, register, tmp_path):
        register(track("a"))
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.experiment(tracker)
        evaluator.process([track("a")], [output("a")])
        evaluator.evaluate()
        report = json.loads((tmp_path / "tiny" / "metrics.json").read_text())
        assert report.get("engine") == getattr(tracker, "engine", None)

    def test_boxes_are_written_as_the_dataset_counts_pixels(self, register, tmp_path):
        register(track("a"), pixel_origin=1)
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.process([track("a")], [output("a")])
        first = (tmp_path / "tiny" / "a.txt").read_text().splitlines()[0]
        assert first == "11.0000,21.0000,20.0000,40.0000"
        assert evaluator.evaluate()["ope"]["average_overlap"] == pytest.approx(1.0)

    def test_truth_that_a_server_keeps(self, register, tmp_path):
        tracks = [track("a", absent=[1, 2]), track("b", absent=[1, 2])]
        register(*tracks)
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.process(tracks, [output("a"), output("b")])
        assert evaluator.evaluate() == {"ope": {"fps": pytest.approx(100)}}
        assert len((tmp_path / "tiny" / "b.txt").read_text().splitlines()) == 3

    @pytest.mark.parametrize(
        "protocol, path, first",
        [
            ("otb", "a.txt", "success_auc"),
            ("got10k", "a/a_001.txt", "average_overlap"),
            ("vot_unsupervised", "unsupervised/a/a_001.txt", "average_overlap"),
            ("vot2018_lt", "longterm/a/a_001.txt", "f_score"),
        ],
    )
    def test_protocol_of_the_dataset(self, register, tmp_path, protocol, path, first):
        register(track("a", 12), protocol=protocol)
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.process([track("a", 12)], [{**output("a", 12), "scores": np.full(12, 0.5)}])
        ope = evaluator.evaluate()["ope"]
        assert next(iter(ope)) == first and list(ope)[-1] == "fps"
        expected = get_protocol("tiny").maximum.get(first, 1)
        # to VOT the given box of the first frame is no prediction
        expected = 2 * (11 / 12) / (1 + 11 / 12) if first == "f_score" else expected
        assert ope[first] == pytest.approx(expected)
        assert (tmp_path / "tiny" / path).is_file()

    def test_boxes_that_are_perfect_but_not_whole(self, register, tmp_path):
        tracks = [track(name) for name in "ab"]
        for t in tracks:
            t["boxes"] = t["boxes"] * np.float32(1.2345678)
        register(*tracks, pixel_origin=1)
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.process(tracks, [{**output(t["name"]), "boxes": t["boxes"]} for t in tracks])
        ope = evaluator.evaluate()["ope"]
        maximum = get_protocol("tiny").maximum
        for name in {"success_auc", "precision_20", "average_overlap"} | FURTHER:
            assert ope[name] == pytest.approx(maximum.get(name, 1)), name


class TestBadInput:
    @pytest.mark.parametrize(
        "given, message",
        [
            (("a", output("a", length=2)), "sequence 'a': 2 predicted boxes for 3 frames"),
            (("other", output("other")), "dataset 'tiny' has no sequence 'other'"),
        ],
    )
    def test_wrong_result(self, register, tmp_path, given, message):
        register(track("a"), track("b"))
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        with pytest.raises(ValueError, match=message):
            evaluator.process([track(given[0])], [given[1]])
        assert not list(tmp_path.rglob("*.txt"))

    def test_twice(self, register, tmp_path):
        register(track("a"))
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.process([track("a")], [output("a")])
        with pytest.raises(ValueError, match="'a' was given twice"):
            evaluator.process([track("a")], [output("a")])

    def test_missing(self, register, tmp_path):
        register(track("a"), track("b"), track("c"))
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.process([track("b")], [output("b")])
        with pytest.raises(ValueError, match="2 of 3 sequences have no result: a, c"):
            evaluator.evaluate()

    @pytest.mark.parametrize("names", [("a", "a"), ("a/b", "a_b")])
    def test_names_that_share_a_file(self, register, tmp_path, names):
        register(*(track(name) for name in names))
        with pytest.raises(ValueError, match=f"'{names[0]}' and '{names[1]}'"):
            SOTEvaluator("tiny", str(tmp_path))


def test_task_prefixes():
    assert task_prefixes([]) == []
    assert task_prefixes(["folder:/data/val"]) == [""]
    assert task_prefixes(["otb2015", "folder:/data/val"]) == ["otb2015/", "folder_val/"]
    for names in (["folder:/a/val", "folder:/b/val"], ["otb2015", "otb2015"]):
        with pytest.raises(ValueError, match=f"{names[0]}' and '{names[1]}'"):
            task_prefixes(names)
