import json
import logging

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import inference_on_dataset, print_csv_format, verify_results
from detectron2.utils import comm

from sot.config import load_config
from sot.evaluation import SOTEvaluator, dataset_slug

BOX = np.array([10.0, 20.0, 30.0, 60.0], np.float32)


def track(name, length=3, absent=()):
    boxes = np.tile(BOX, (length, 1))
    boxes[list(absent)] = np.nan
    frames = [np.zeros((80, 80, 3), np.uint8)] * length
    visible = np.isfinite(boxes).all(axis=1)
    return {"name": name, "frames": frames, "boxes": boxes, "visible": visible}


def output(name, length=3, shift=0.0, times=None, skipped=()):
    """What a tracker says that is right in the first frame and off by `shift` px in x later."""
    boxes = np.tile(BOX.astype(float), (length, 1))
    boxes[1:, [0, 2]] += shift
    times = [0.01] * length if times is None else times
    return {"name": name, "boxes": boxes, "times": np.array(times), "skipped": list(skipped)}


@pytest.fixture
def register():
    """Registers tracks as the dataset "tiny", until the test is over."""

    def register(*tracks):
        DatasetCatalog.register("tiny", lambda: list(tracks))

    yield register
    DatasetCatalog.remove("tiny")
    MetadataCatalog.pop("tiny", None)


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
        assert results == {
            "ope": {
                "success_auc": pytest.approx((20 / 21 + 20 / 63) / 2),
                "precision_20": pytest.approx((1 + 1 / 3) / 2),
                "average_overlap": pytest.approx((1 + 1 / 3) / 2),
                "fps": pytest.approx((1 / 0.375 + 1 / 0.15) / 2),
            }
        }
        report = json.loads((tmp_path / "tiny" / "metrics.json").read_text())
        assert report["dataset"] == "tiny" and "first frame counts" in report["protocol"]
        assert report["ope"] == results["ope"]
        assert list(report["sequences"]) == ["right", "lost"]
        assert report["sequences"]["lost"] == {
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

    def test_ranks(self, register, tmp_path, monkeypatch):
        register(track("a"), track("b"))
        parts = []
        for name in "ab":
            evaluator = SOTEvaluator("tiny", str(tmp_path))
            evaluator.process([track(name)], [output(name)])
            parts.append(evaluator._results)
        monkeypatch.setattr(comm, "gather", lambda data: [data, parts[0]])
        assert evaluator.evaluate()["ope"]["precision_20"] == 1.0
        monkeypatch.setattr(comm, "gather", lambda data: [data, data])
        with pytest.raises(ValueError, match="'b' was given by two processes"):
            evaluator.evaluate()
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

    def test_boxes_are_written_as_the_dataset_counts_pixels(self, register, tmp_path):
        register(track("a"))
        MetadataCatalog.get("tiny").pixel_origin = 1
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


class TestBadInput:
    @pytest.mark.parametrize(
        "given, message",
        [
            (("a", output("a", length=2)), "sequence 'a': 2 predicted boxes for 3 frames"),
            (("other", output("other")), "dataset 'tiny' has no sequence 'other'"),
            (("a", output("b")), "result of sequence 'b' given for 'a'"),
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


@pytest.mark.parametrize(
    "name, slug",
    [
        ("synthetic_val", "synthetic_val"),
        ("folder:/data/my sequences/", "folder_my_sequences"),
        ("coco:/data/images:/data/val2017.json", "coco_val2017"),
        ("a/b:c", "a_b_c"),
    ],
)
def test_dataset_slug(name, slug):
    assert dataset_slug(name) == slug


def test_dataset_slug_of_a_relative_folder(tmp_path, monkeypatch):
    (tmp_path / "clips").mkdir()
    monkeypatch.chdir(tmp_path / "clips")
    assert dataset_slug("folder:.") == "folder_clips"
