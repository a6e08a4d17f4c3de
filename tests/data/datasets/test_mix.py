"""train_net.py on three public layouts at once, from the outside."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from test_builtin import write_got10k
from test_ilsvrc import write_snippet

ROOT = Path(__file__).resolve().parents[3]


def paint(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (60, 80, 3), np.uint8))


def write_coco(root):
    paint(root / "coco" / "train2017" / "000000000001.jpg", 1)
    (root / "coco" / "annotations").mkdir()
    box = {"image_id": 1, "category_id": 1, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "000000000001.jpg", "height": 60, "width": 80}],
        "annotations": [
            {"id": 1, "bbox": [5, 6, 20, 20], "area": 400, **box},
            {"id": 2, "bbox": [30, 6, 20, 40], "area": 800, **box},
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (root / "coco" / "annotations" / "instances_train2017.json").write_text(json.dumps(content))


def test_training_on_three_layouts_and_evaluation_on_one(tmp_path):
    root = tmp_path / "data"
    write_coco(root)
    write_snippet(root / "ILSVRC", [[(0, 10, 20, 50, 50, 0, 0)], [(0, 12, 20, 52, 50, 0, 1)]])
    for path in (root / "ILSVRC" / "Data").rglob("*.JPEG"):
        paint(path, int(path.stem))
    write_got10k(root, "train", 1, [[10, 20, 30, 20]] * 3)
    write_got10k(root, "val", 1, [[10, 20, 30, 20]] * 3)
    sets = ("coco_2017_train", "imagenet_vid_train", "got10k_train")
    run = subprocess.run(
        [
            *(sys.executable, ROOT / "train_net.py", "--config-file"),
            "quick_schedules/siamrpn_compact_instant_test.yaml",
            *("DATASETS.TRAIN", str(sets), "DATASETS.TEST", "('got10k_val',)"),
            *("DATASETS.TRAIN_EPOCH_SIZE", "(4, 3, 2)", "SOLVER.MAX_ITER", "3"),
            *("SOLVER.IMS_PER_BATCH", "3", "TEST.EVAL_PERIOD", "0", "MODEL.DEVICE", "cpu"),
            *("OUTPUT_DIR", str(tmp_path / "out")),
        ],
        env={**os.environ, "DETECTRON2_DATASETS": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.returncode == 0, run.stdout
    expected = "coco_2017_train: 2 tracks, imagenet_vid_train: 1 tracks, got10k_train: 1 tracks"
    assert f"{expected}; an epoch is 9 pairs" in run.stdout.replace("\n", " ")
    results = tmp_path / "out" / "inference" / "got10k_val"
    file = "GOT-10k_Val_000001/GOT-10k_Val_000001_001.txt"
    assert len((results / file).read_text().splitlines()) == 3
    assert (tmp_path / "out" / "model_final.pth").is_file()
