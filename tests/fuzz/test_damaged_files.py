"""Whatever stands in a file that a user gives, a program reads it or refuses it in one line that
names the file; it does not end in a traceback, and does not wait for ever."""

import contextlib
import faulthandler
import io
import json
import random
import sys
import warnings
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from damage import damaged
from tool_modules import load_tool
from torch import nn

from sot.api import build_network
from sot.checkpoint import SOTCheckpointer
from sot.config import load_config
from sot.data.datasets import read_boxes
from sot.data.datasets.coco import load_coco
from sot.data.start_boxes import read_start_boxes
from sot.engine.checkpoints import check_output_dir
from sot.evaluation.protocols import PROTOCOLS
from sot.evaluation.report.attributes import read_attributes
from sot.evaluation.results import read_results
from sot.visualization import VideoWriter

sys.path.insert(0, str(Path(__file__).parents[1] / "demo"))
import test_track_video as demo  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SECONDS = 120  # after which a case counts as hanging


@pytest.fixture(autouse=True)
def _no_hang():
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def fake(monkeypatch):
    tracker = demo.FakeTracker()
    monkeypatch.setattr(demo.track_video, "build_tracker", lambda cfg, weights, device: tracker)


@contextlib.contextmanager
def refused_in_one_line(path):
    """For a ``with`` block that reads a damaged file: what it raises must be an error that the
    programs print, with the file's name."""
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    content = path.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (OSError, ValueError) as error:
        assert path.name in str(error), f"{error!r} does not name {path.name}: {content[:200]!r}"
    except Exception as error:
        raise AssertionError(f"{error!r} for {content[:2000]!r}") from error


def run_demo(input, out, path, *args):
    """The demo must end with one of its exit codes, and one line if it fails."""
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    words = io.StringIO()
    try:
        with contextlib.redirect_stderr(words):
            code = demo.run(input, out, "--max-frames", "20", *args)
    except Exception as error:
        raise AssertionError(f"{error!r} for {path.read_bytes()[:2000]!r}") from error
    errors = [line for line in words.getvalue().splitlines() if line.startswith("error: ")]
    assert code in (0, 1, 2, 3) and len(errors) == (code in (1, 2)), (code, words.getvalue())
    assert all(path.name in line for line in errors), errors


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp", "gif"])
def test_images(fake, tmp_path, suffix):
    images = tmp_path / "images"
    images.mkdir()
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    for name in "ab":
        if suffix == "gif":
            from PIL import Image

            Image.fromarray(image).save(images / f"{name}.gif")
        else:
            cv2.imwrite(str(images / f"{name}.{suffix}"), image)
    path = images / f"b.{suffix}"
    for i, content in enumerate(damaged(path.read_bytes(), 40, seed=0)):
        path.write_bytes(content)
        if suffix != "gif":  # several of which are videos
            run_demo(images, tmp_path / f"out{i % 2}", path)
        run_demo(path, tmp_path / "out", path)


@pytest.mark.parametrize("suffix", ["mp4", "avi", "mkv", "ts", "webm", "mov"])
def test_videos(fake, tmp_path, suffix):
    clip, path = tmp_path / "whole.mp4", tmp_path / f"clip.{suffix}"
    rng = np.random.default_rng(0)
    with VideoWriter(str(clip), 10) as writer:
        for _ in range(12):
            writer.write(cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (64, 48)))
    codec = {"webm": "libvpx", "avi": "mpeg4"}.get(suffix, "libx264")
    with av.open(str(clip)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in source.decode(video=0):
            out.mux(
                stream.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="bgr24"), "bgr24"))
            )
        out.mux(stream.encode())
    for content in damaged(path.read_bytes(), 40, seed=1):
        path.write_bytes(content)
        run_demo(path, tmp_path / "out", path)


BOXES = [
    "\n".join(f"{5 + 3 * i},6,20,10" for i in range(10)),
    "frame,target,x,y,w,h,score,status\n" + "\n".join(f"{i},0,5,6,20,10,1,t" for i in range(10)),
    "\n".join(f'"{5 + i},5";6;20;10' for i in range(10)),
    "\n".join(f"{i}\t1\t2\t9\t2\t9\t9\t1\t9" for i in range(10)),
]


@pytest.mark.parametrize("text", BOXES)
def test_boxes(tmp_path, text):
    path = tmp_path / "boxes.txt"
    for content in damaged(text.encode(), 400, seed=2, words=True):
        path.write_bytes(content)
        with refused_in_one_line(path):
            assert read_boxes(path, (64, 48)).shape[1] == 4


def test_boxes_as_truth_of_the_demo(fake, tmp_path):
    clip, path = tmp_path / "clip.mp4", tmp_path / "boxes.txt"
    with VideoWriter(str(clip), 10) as writer:
        for _ in range(3):
            writer.write(np.full((48, 64, 3), 120, np.uint8))
    for content in damaged(BOXES[0].encode(), 60, seed=3, words=True):
        path.write_bytes(content)
        run_demo(clip, tmp_path / "out", path, "--gt", str(path))


START_BOXES = [
    *(BOXES[0], "1,1,2,3,9,9,1\n2,1,3,3,9,9,1\n2,2,3,3,9,9,1", "0 .1 .1 .2 .2\n1 .5 .5 .2 .2 .9"),
    [{"image_id": i, "category_id": 1, "bbox": [1, 2, 9, 9], "score": 0.9} for i in (1, 1, 2)],
    {
        "images": [{"id": i, "video_id": 1, "frame_id": i} for i in (1, 2)],
        "annotations": [{"image_id": i, "instance_id": 1, "bbox": [1, 2, 9, 9]} for i in (1, 2)],
    },
]


@pytest.mark.parametrize("whole", START_BOXES)
def test_start_boxes(tmp_path, whole):
    is_text, path = isinstance(whole, str), tmp_path / "boxes.any"
    text = whole if is_text else json.dumps(whole)
    texts = [*damaged(text.encode(), 300, seed=7, words=True)]
    if not is_text:
        texts += [json.dumps(v).encode() for v in odd_values(whole, seed=8, count=400)]
    for content in texts:
        path.write_bytes(content)
        with refused_in_one_line(path):
            assert all(len(s.box) == 4 for s in read_start_boxes(path, (64, 48)))


def test_coco(tmp_path):
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((48, 64, 3), np.uint8))
    image = {"id": 1, "file_name": "1.png", "width": 64, "height": 48}
    video = {"id": 2, "file_name": "2.png", "video_id": 1, "frame_id": 0}
    box = {"id": 1, "image_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0, "category_id": 1}
    tracked = {**box, "image_id": 2, "instance_id": 7, "bbox_mode": 1}
    whole = {
        "images": [image, video],
        "annotations": [box, tracked],
        "videos": [{"id": 1, "name": "v"}],
    }
    path = tmp_path / "boxes.json"
    texts = [*damaged(json.dumps(whole).encode(), 400, seed=4, words=True)]
    texts += [json.dumps(v).encode() for v in odd_values(whole, seed=5, count=600)]
    for content in texts:
        path.write_bytes(content)
        with refused_in_one_line(path):
            for track in load_coco(tmp_path, path):
                assert len(track["boxes"]) == len(track["frames"])


ODD = [None, True, 0, -1, 10**30, 1e308, float("nan"), float("inf"), "", "x", "../x", "\0"]
ODD += [[], [1], {}, {"a": 1}, [[]], [None] * 4, ["1"] * 4, "1" * 5000]


def odd_values(whole, seed, count):
    """Copies of a tree of plain values, in each of which one value is another."""
    rng = random.Random(seed)
    for _ in range(count):
        copy = json.loads(json.dumps(whole))
        places = list(_places(copy))
        node, key = rng.choice(places)
        act = rng.randrange(8)
        if act == 0:
            del node[key]
        elif act == 1 and isinstance(node, list):
            node.append(rng.choice(ODD))
        else:
            node[key] = rng.choice(ODD)
        yield copy


def _places(node):
    for key in node if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], (dict, list)):
            yield from _places(node[key])


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.txt", "\n".join("10,20,30,40" for _ in range(6))),
        ("baseline/a/a_001.txt", "1\n1,2,9,2,9,9,1,9\n2\n0\n0\n1"),
        ("a_time.value", "\n".join(f"0.0{i}" for i in range(6))),
        ("a_confidence.value", "\n" + "\n".join(f"0.{i}" for i in range(5))),
        ("a.status", "init\ntracked\ntracked\nlost\nskipped\ntracked"),
    ],
)
def test_results(tmp_path, name, text):
    path, boxes = tmp_path / name, tmp_path / "a.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent == tmp_path:
        boxes.write_text("10,20,30,40\n" * 6)
    truth = np.tile([[10.0, 20, 40, 60]], (6, 1))
    track = {"name": "a", "frames": [np.zeros((90, 99, 3), np.uint8)] * 6, "boxes": truth}
    track["visible"] = np.ones(6, bool)
    protocol = PROTOCOLS["vot2018" if "baseline" in name else "otb"]
    for content in damaged(text.encode(), 200, seed=6, words=True):
        path.write_bytes(content)
        problems = []
        with refused_in_one_line(path):
            with np.errstate(all="ignore"):
                for result in read_results(tmp_path, [track], problems).values():
                    protocol.score_result(result, track, result.restarted)
        for problem in problems:
            assert "codec" not in problem.detail and problem.detail.count("\n") == 0


CONFIG = """_BASE_: base.yaml
MODEL:
  META_ARCHITECTURE: SiamRPN
  PIXEL_MEAN: [103.5, 116.3, 123.7]
  RPN: {IOU_THRESHOLDS: [0.3, 0.6], BATCH_SIZE_PER_IMAGE: 64}
  ANCHOR_GENERATOR:
    SIZES: [[64]]
    ASPECT_RATIOS: [[0.5, 1.0, 2.0]]
INPUT: {TEMPLATE_SIZE: 127, SEARCH_SIZE_TEST: 255, CONTEXT_AMOUNT: 0.5}
SOLVER: {BASE_LR: 0.01, MAX_ITER: 100, STEPS: [60, 80], CHECKPOINT_PERIOD: 10}
DATASETS: {TRAIN: "('folder:x',)", TEST: []}
TEST: {TRACKER: {PENALTY_K: 0.04, WINDOW_INFLUENCE: 0.4}, EXPECTED_RESULTS: []}
OUTPUT_DIR: ./output
SEED: 3
"""


def test_configs(tmp_path):
    (tmp_path / "base.yaml").write_text("VERSION: 2\n")
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    load_config(path)
    for content in damaged(CONFIG.encode(), 600, seed=7, words=True):
        path.write_bytes(content)
        with refused_in_one_line(path):
            load_config(path)


def test_values_of_the_network(tmp_path):
    """What load_config lets through makes a network, or a ValueError."""
    base = load_config("SiamRPN/siamrpn_compact.yaml", ["MODEL.DEVICE", "cpu"])
    keys = [f"MODEL.{k}" for k in ("PIXEL_MEAN", "PIXEL_STD", "BACKBONE.NAME")]
    keys += ["MODEL.BACKBONE.FREEZE_AT", "MODEL.RPN.HEAD_NAME", "MODEL.RPN.IN_FEATURES"]
    keys += ["MODEL.ANCHOR_GENERATOR.SIZES", "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS"]
    keys += ["MODEL.SIAMESE.ADJUST_CHANNELS", "INPUT.TEMPLATE_SIZE", "MODEL.META_ARCHITECTURE"]
    rng = random.Random(8)
    for _ in range(60):
        opts = [rng.choice(keys), rng.choice([repr(v) for v in ODD if v != 10**30])]
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            cfg = base.clone()
            load_config("SiamRPN/siamrpn_compact.yaml", ["MODEL.DEVICE", "cpu", *opts])
            cfg.merge_from_list(opts)
            build_network(cfg)
        except ValueError as error:
            assert str(error)
        except Exception as error:
            raise AssertionError(f"{error!r} for {opts}") from error


def test_checkpoints(tmp_path):
    path, model = tmp_path / "weights.pth", nn.Linear(3, 2)
    state = model.state_dict()
    torch.save({"model": state, "iteration": 3}, path)
    contents = [*damaged(path.read_bytes(), 150, seed=9)]
    torch.save(state, path, _use_new_zipfile_serialization=False)
    contents += [*damaged(path.read_bytes(), 150, seed=10)]
    odd = [1, "x", None, [state], {}, {"model": 3}, {"model": {}}, {1: torch.ones(2)}]
    odd += [{"model": state, "ema": e} for e in (3, {"module.weight": 3}, {1: 2}, {})]
    odd += [{"model": {**state, 1: torch.ones(1)}}, {"model": {"weight": torch.ones(2, 3)}}]
    odd += [
        {"model": {**state, "weight": w}} for w in (3, torch.ones(3, 2), torch.ones(2, 3).bool())
    ]
    odd += [{"model": {**state, "weight": torch.ones(2, 3) * v}} for v in (np.nan, 1j, 1)]
    odd += [{"model": {**state, "weight": torch.ones(2, 3).to_sparse()}}]
    for value in odd:
        torch.save(value, path)
        contents.append(path.read_bytes())
    for content in contents:
        path.write_bytes(content)
        with refused_in_one_line(path):
            SOTCheckpointer(nn.Linear(3, 2)).load(str(path))


def test_last_checkpoint(tmp_path):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    path = tmp_path / "last_checkpoint"
    checkpointer = SOTCheckpointer(model, str(tmp_path), optimizer=optimizer)
    checkpointer.save("model_0000009", iteration=9)
    for content in damaged(path.read_bytes(), 300, seed=11, words=True):
        path.write_bytes(content)
        with refused_in_one_line(path):
            checkpointer.resume_or_load("", resume=True)


@pytest.mark.parametrize("name, text", [("a.json", '{"a": ["OCC", "SV"]}'), ("a.csv", "a,OCC,SV")])
def test_attributes(tmp_path, name, text):
    path = tmp_path / name
    for content in damaged(text.encode(), 300, seed=12, words=True):
        path.write_bytes(content)
        with refused_in_one_line(path):
            read_attributes(path, ["a"])


def test_metrics_of_a_training(tmp_path):
    path, tool = tmp_path / "metrics.json", load_tool("plot_run")
    text = "".join(f'{{"iteration": {i}, "total_loss": 0.5, "lr": 0.1}}\n' for i in range(9))
    for content in damaged(text.encode(), 300, seed=13, words=True):
        path.write_bytes(content)
        with refused_in_one_line(path):
            tool.read_run(path)


def test_config_of_an_earlier_run(tmp_path):
    path = tmp_path / "config.yaml"
    (tmp_path / "last_checkpoint").touch()
    cfg = load_config("SiamRPN/siamrpn_compact.yaml", ["OUTPUT_DIR", str(tmp_path)])
    for content in damaged(CONFIG.encode(), 150, seed=14, words=True):
        path.write_bytes(content)
        with refused_in_one_line(path):
            check_output_dir(cfg, resume=True)
