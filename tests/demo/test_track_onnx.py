import csv
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_configs import NARROW, texture
from tool_modules import load_tool

from sot.boxes import to_xywh
from sot.config import load_config
from sot.deploy import OnnxNetwork
from sot.tracking import TRACKER_REGISTRY

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

DEMO = Path(__file__).parents[2] / "demo" / "track_onnx.py"
CLIP = DEMO.with_name("cups.mp4")
BLOCKED = "import sys, runpy; sys.modules.update(dict.fromkeys(('torch', 'detectron2', 'sot')))\n"


def frames(side):
    """Six frames with a square object, at first of this side, that moves and grows."""
    background = cv2.GaussianBlur(texture(0, 4 * side, 5 * side, 40), (0, 0), 20)
    for i in range(6):
        image, (x, y), w = background.copy(), (side + 4 * i, side + 3 * i), side + 2 * i
        image[y : y + w, x : x + w] = cv2.resize(texture(1, 40, 40), (w, w))
        yield image


def run(*args):
    code = f"{BLOCKED}sys.argv[1:] = {list(map(str, args))}\n"
    code += f"runpy.run_path({str(DEMO)!r}, run_name='__main__')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize(
    "name, opts, side",
    [
        # of the larger object pixels are averaged
        ("SiamRPN/siamrpn_compact.yaml", ["MODEL.COMPACT.CHANNELS", "[8, 8, 16, 16]"], 150),
        ("SiamFC/siamfc_alex.yaml", NARROW["alexnet"], 40),
    ],
)
def test_boxes_are_those_of_the_tracker(name, opts, side, tmp_path, capsys):
    opts = ["MODEL.WEIGHTS", "", *map(str, opts), "TEST.TRACKER.ONLINE.ENABLED", "False"]
    model, images = tmp_path / "model", tmp_path / "images"
    tool = load_tool("export_model")
    assert tool.main(["--config-file", name, "--output", str(model), *opts]) == 0
    assert sorted(p.name for p in model.iterdir()) == [
        *("search.onnx", "template.onnx", "tracker.json")
    ]
    cfg = load_config(name, opts)
    network = OnnxNetwork(model)
    tracker = TRACKER_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE + "Tracker")(cfg, network)
    images.mkdir()
    rows, state = [], None
    for i, image in enumerate(frames(side)):
        cv2.imwrite(str(images / f"{i:04d}.png"), image)
        box = [side, side, 2 * side, 2 * side]
        state = tracker.step(image, state) if i else tracker.start(image, box)
        rows.append([i, 0, *to_xywh(state.box), state.score])
    args = ["--model", model, "--input", images, "--init-box", f"{side},{side},{side},{side}"]
    done = run(*args, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "out" / "boxes.csv", newline="") as f:
        head, *table = csv.reader(f)
    assert head == "frame target x y w h score status".split()
    assert table[0][-1] == "init"
    np.testing.assert_allclose([list(map(float, r[:-1])) for r in table], rows, atol=1e-2)


def test_reads_the_frames_of_a_video():
    read_frames = runpy.run_path(str(DEMO))["read_frames"]
    assert [image.shape for image in read_frames(str(CLIP))] == [(360, 640, 3)] * 200


def test_reads_numbered_images_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 1):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((4, 4, 3), number, np.uint8))
    read_frames = runpy.run_path(str(DEMO))["read_frames"]
    assert [int(image[0, 0, 0]) for image in read_frames(str(tmp_path))] == [1, 2, 10]


@pytest.mark.parametrize("text", ["1,2,3", "1,2,3,x", "nan,2,3,4", "1,2,inf,4", "1,2,0,4", ""])
def test_bad_box(text):
    with pytest.raises(ValueError, match=f"--init-box {text}: give four numbers x,y,w,h"):
        runpy.run_path(str(DEMO))["parse_box"](text)


def test_bad_input_is_one_line(tmp_path):
    args = ["--model", tmp_path, "--input", tmp_path, "--output", tmp_path]
    done = run(*args, "--init-box", "1,2,3,4")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "tracker.json" in done.stderr
    help_text = run("--help").stdout
    assert "has no online model" in help_text


def test_export_needs_weights(tmp_path, capsys):
    args = ["--config-file", "SiamRPN/siamrpn_alex.yaml", "--output", str(tmp_path / "x")]
    assert load_tool("export_model").main(args) == 1
    assert "without trained weights" in capsys.readouterr().err


@pytest.mark.slow
def test_commands_of_getting_started(tmp_path):
    """They run on the demo's clip, and the two demos agree: first all boxes; later rounding makes
    some other anchor the best one, as between any two engines, and most boxes."""
    text = (DEMO.parents[1] / "GETTING_STARTED.md").read_text(encoding="utf-8")
    section = text.partition("\n## Deploy\n")[2].partition("\n## ")[0]
    commands = [line.split() for line in section.splitlines() if line.startswith("python ")]
    assert [Path(c[1]).name for c in commands] == ["export_model.py", "track_onnx.py"]
    words = "demo/track_video.py --input video.mp4 --init-box 120,80,60,90 --output results"
    commands.append(["python", *words.split(), "TEST.TRACKER.ONLINE.ENABLED", "False"])
    truth = DEMO.with_name("cups_groundtruth_0.txt")
    own = {
        "python": sys.executable,
        "video.mp4": str(CLIP),
        "120,80,60,90": truth.read_text().splitlines()[0],
        "exported": str(tmp_path / "exported"),
    }
    boxes = []
    for command in commands:
        results = {"results": str(tmp_path / Path(command[1]).stem)}
        command = [{**own, **results}.get(word, word) for word in command]
        subprocess.run(command, check=True, cwd=DEMO.parents[1])
        if "results" in results and Path(results["results"], "boxes.csv").is_file():
            with open(Path(results["results"], "boxes.csv"), newline="") as f:
                boxes.append([[float(r[c]) for c in "xywh"] for r in csv.DictReader(f)])
    differences = np.abs(np.subtract(*boxes)).max(axis=1)
    assert len(differences) == 200 and differences[:20].max() < 1 and np.median(differences) < 0.5
