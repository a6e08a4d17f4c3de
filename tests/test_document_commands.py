"""The commands of the documents run, one after another as they stand there, on small data."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from typing import List

import cv2
import numpy as np
import pytest
from test_documents import DOCUMENTS, ROOT, commands_of

from sot.visualization import VideoWriter

NOT_RUN = {  # what a command contains -> why it is not run here
    r"^(make|pip|source|docker|tensorboard) ": "installs, or is not a program of this project",
    r"install_detectron2\.py": "downloads detectron2",
    r"-m pytest ": "is the suite of which this test is a part",
    r"nanotrackv3_": "needs the files of NanoTrack V3, a download",
    r"lite0\.pth weights\.pth$|r50\.pth": "needs a classifier, a download",
    r"MODEL\.WEIGHTS pysot_": "needs weights of PySOT, a download",
    r"reproduce\.py (levels-\*|shift-\*.*|design-alex-(\[569?\]|9) .*)$": "trains many networks",
    r"MODEL\.WEIGHTS output/(reproduce|rpn)/": "needs the weights of such a training",
    r"--num-gpus 8|--nproc_per_node 8": "needs eight GPUs",
    r"benchmark\.py --task train": "takes minutes; tests/tools/test_benchmark.py, smaller",
    r"demo/app\.py": "serves until it is stopped; tests/demo/test_app.py",
}
NEEDS = {  # part of a command -> the package without which it is not run
    "export_model.py": "onnxscript",
    "--engines onnxruntime": "onnxruntime",
    "tune_tracker.py": "optuna",
}
REPLACED = {  # words for data that are not at hand, and for work that takes long
    "('vot2018',)": ["('folder:validation',)", "TEST.PROTOCOL", "vot2018"],
    "('folder:sequences', 'synthetic_val')": ["('folder:sequences',)"],
    "synthetic_train": ["folder:heldout"],  # 400 sequences
    "got10k_train": ["folder:videos"],
    "--all": ["--config-file", "SiamRPN/siamrpn_lite.yaml"],
    "sequences/*/": ["sequences/a"],  # of a loop
    "sequences/*//groundtruth_rect.txt": ["sequences/a/groundtruth_rect.txt"],
    "output/*": ["output/a"],
}
OPTIONS = {
    "benchmark.py --task track": {"--passes": "1", "--num-frames": "4"},
    "benchmark.py --task data": {"--num-pairs": "2"},
    "analyze_response.py": {"--pairs": "2"},
    "visualize_pairs.py": {"--num-pairs": "2", "--num-positions": "8"},
    "calibrate_score.py": {"--output": "score.json"},  # instead of beside the weights
    "tune_tracker.py": {"--trials": "2"},
}
TRAINING = [
    *("SOLVER.MAX_ITER", "2", "SOLVER.WARMUP_ITERS", "1", "SOLVER.IMS_PER_BATCH", "2"),
    *("DATALOADER.NUM_WORKERS", "0"),
]


def listed(command: List[str]) -> List[str]:
    return [pattern for pattern in NOT_RUN if re.search(pattern, " ".join(command))]


def small(command: List[str]) -> List[str]:
    """The command on small data, with a small budget."""
    words = [new for word in command for new in REPLACED.get(word, [word])]
    shown = " ".join(words)
    for program, options in OPTIONS.items():
        for option, value in options.items() if program in shown else ():
            if option in words:
                words[words.index(option) + 1] = value
            else:
                words[2:2] = [option, value]
    if "train_net.py" in shown and "--eval-only" not in shown:
        words += TRAINING
    if "train_net.py" in shown and "DATASETS.TEST" not in shown:
        words += ["DATASETS.TEST", "('folder:validation',)"]
    return words


def runnable(path) -> List[List[str]]:
    return [command for command in commands_of(path) if not listed(command)]


RUNNABLE = {path: runnable(path) for path in DOCUMENTS}


def frame(i: int) -> np.ndarray:
    """A patch of noise in the box (120 + i / 2, 80, 60, 90) of a gray picture."""
    picture = np.full((240, 320, 3), 90, np.uint8)
    patch = np.random.default_rng(0).integers(0, 255, (9, 6, 3), np.uint8)
    x = 120 + i // 2
    picture[80:170, x : x + 60] = patch.repeat(10, axis=0).repeat(10, axis=1)
    return picture


def write_sequence(folder, length, wrong=0):
    """``wrong`` of the true boxes are elsewhere, so that the tracker is wrong, too."""
    (folder / "img").mkdir(parents=True)
    rows = [f"{120 + i // 2},80,60,90" for i in range(length - wrong)] + ["1,1,9,9"] * wrong
    (folder / "groundtruth_rect.txt").write_text("\n".join(rows) + "\n")
    for i in range(length):
        cv2.imwrite(str(folder / "img" / f"{i + 1:04d}.png"), frame(i))


def write_photographs(root, images, annotations):
    """Two photographs with three outlined objects each, in the COCO format."""
    (root / images).mkdir(parents=True)
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "box"}]}
    for i in (1, 2):
        picture = frame(i)
        for k in range(3):
            x, y, w, h = 20 + 95 * k, 40 + 50 * k, 60, 40
            picture[y : y + h, x : x + w] = 60 * k + 100
            outline = [x, y, x + w, y, x + w, y + h, x, y + h]
            about = {"id": 10 * i + k, "image_id": i, "category_id": 1, "iscrowd": 0}
            box = {"bbox": [x, y, w, h], "area": w * h, "segmentation": [outline]}
            content["annotations"].append({**about, **box})
        cv2.imwrite(str(root / images / f"{i}.png"), picture)
        content["images"].append({"id": i, "file_name": f"{i}.png", "width": 320, "height": 240})
    (root / annotations).write_text(json.dumps(content))


@pytest.fixture
def work(tmp_path):
    """A folder that looks like the project's, with the files that the documents name."""
    for name in ("configs", "demo", "tools", "train_net.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("videos", "validation", "sequences", "train_sequences"):
        write_sequence(tmp_path / name / "a", 8)
        write_sequence(tmp_path / name / "b", 6)
    for name in "ab":
        write_sequence(tmp_path / "heldout" / name, 8, wrong=4)
        write_sequence(tmp_path / "kept_out" / name, 8, wrong=4)
    write_photographs(tmp_path, "photos", "photos.json")
    write_photographs(tmp_path, "train/images", "train/annotations.json")
    with VideoWriter(tmp_path / "video.mp4", 24) as video:
        for i in range(142):
            video.write(frame(i))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "mot.txt").write_text("1,1,121,81,60,90,1,-1,-1,-1\n")
    (weights,) = (ROOT / "weights").glob("siamrpn_compact_*.pth")
    for name in ("lite", "tuned", "sizes", "compact"):
        (tmp_path / "output" / name).mkdir(parents=True)
        shutil.copy(weights, tmp_path / "output" / name / "model_final.pth")
    shutil.copy(weights, tmp_path / "mean.pth")
    for name in ("docs", "weights"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [p for p in DOCUMENTS if RUNNABLE[p]], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_commands_run(path, work):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(work / "cache")}
    for command in RUNNABLE[path]:
        shown = " ".join(command)
        missing = [m for part, m in NEEDS.items() if part in shown]
        if any(importlib.util.find_spec(module) is None for module in missing):
            continue
        assert command[0] in ("python", "mkdir", "cp"), shown
        program = sys.executable if command[0] == "python" else command[0]
        done = subprocess.run(
            [program, *small(command)[1:]],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{' '.join(small(command))}\n{done.stdout}\n{done.stderr}"


def test_what_is_not_run_is_a_command_of_a_document():
    commands = [command for path in DOCUMENTS for command in commands_of(path)]
    assert {pattern for command in commands for pattern in listed(command)} == set(NOT_RUN)
    words = {word for command in commands for word in command}
    assert set(REPLACED) <= words
