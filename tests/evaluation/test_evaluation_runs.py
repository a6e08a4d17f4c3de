"""SOTEvaluator over sequences that fail, runs that are resumed, and servers."""

import json
import logging
import zipfile

import pytest
from detectron2.utils import comm
from evaluator_runs import output, track

from sot.evaluation import SOTEvaluator


class TestServer:
    @pytest.mark.parametrize(
        "protocol, names",
        [("got10k", {"a/a_001.txt", "a/a_time.txt"}), ("trackingnet", {"a.txt"})],
    )
    def test_archive_for_a_server(self, register, tmp_path, caplog, protocol, names):
        hidden = track("a", absent=[1, 2])
        register(hidden, protocol=protocol)
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.process([hidden], [output("a")])
        with caplog.at_level(logging.INFO, logger="sot.evaluation.evaluator"):
            assert evaluator.evaluate() == {"ope": {"fps": pytest.approx(100)}}
        path = tmp_path / "tiny" / f"{protocol}_submission.zip"
        assert str(path) in caplog.text
        assert set(zipfile.ZipFile(path).namelist()) == names

    def test_no_archive_where_the_truth_is_at_hand(self, register, tmp_path):
        register(track("a"), protocol="got10k")
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.process([track("a")], [output("a")])
        evaluator.evaluate()
        assert not list(tmp_path.rglob("*.zip"))


class TestFailedSequence:
    def test_others_count(self, register, tmp_path, caplog):
        register(track("a"), track("b"))
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.process([track("a")], [{"name": "a", "error": "KeyError: 'x'"}])
        evaluator.process([track("b")], [output("b")])
        ope = evaluator.evaluate()["ope"]
        assert ope["failed_sequences"] == 1 and ope["precision_20"] == 1
        assert "failed in 1 of 2 sequences" in caplog.text and "a: KeyError: 'x'" in caplog.text
        report = json.loads((tmp_path / "tiny" / "metrics.json").read_text())
        assert report["failed"] == {"a": "KeyError: 'x'"} and list(report["sequences"]) == ["b"]
        assert not (tmp_path / "tiny" / "a.txt").exists()

    @pytest.mark.parametrize(
        "protocol, task",
        [("otb", "ope"), ("got10k", "ope"), ("vot2018", "vot"), ("vot2018_lt", "ope")],
    )
    def test_all(self, register, tmp_path, protocol, task):
        register(track("a"), protocol=protocol)
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.process([track("a")], [{"name": "a", "error": "?"}])
        assert evaluator.evaluate() == {task: {"failed_sequences": 1}}
        assert not list(tmp_path.rglob("*.zip"))


class TestResume:
    def test_finished_sequences_are_scored_from_their_files(self, register, tmp_path):
        tracks = [track("a", 4, absent=[3]), track("b")]
        outputs = [output("a", 4, shift=1 / 3, times=[1, 0.3, 0, 0.2], skipped=[2]), output("b")]
        register(*tracks)
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        assert evaluator.begin("x") == set()
        evaluator.process(tracks, outputs)
        whole = evaluator.evaluate()
        report = (tmp_path / "tiny" / "metrics.json").read_text()

        evaluator = SOTEvaluator("tiny", str(tmp_path))
        evaluator.begin("x")
        evaluator.process(tracks[:1], outputs[:1])
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        assert evaluator.begin("x", resume=True) == {"a"}
        assert not (tmp_path / "tiny" / "metrics.json").exists()
        evaluator.reset()
        evaluator.process(tracks[1:], outputs[1:])
        assert evaluator.evaluate() == whole
        assert (tmp_path / "tiny" / "metrics.json").read_text() == report

    def test_all_ranks_agree(self, register, tmp_path, monkeypatch):
        register(track("a"))
        evaluator = SOTEvaluator("tiny", str(tmp_path))
        monkeypatch.setattr(comm, "is_main_process", lambda: False)
        monkeypatch.setattr(comm, "all_gather", lambda data: [{"a"}, data])
        assert evaluator.begin("x", resume=True) == {"a"}
        assert not list(tmp_path.rglob("*.json"))
