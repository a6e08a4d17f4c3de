import configparser
import os
import subprocess
import sys
import types

import cv2
import numpy as np
import pytest
from tool_modules import TOOLS, load_tool

import sot

TOOL = TOOLS / "vot_tracker.py"
CONFIG = "SiamRPN/siamrpn_compact.yaml"


@pytest.fixture
def tool():
    return load_tool("vot_tracker")


@pytest.fixture
def images(tmp_path):
    """Files of three images with noise."""
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for file in files:
        cv2.imwrite(str(file), rng.integers(0, 255, (120, 160, 3), np.uint8))
    return files


class Image:
    PATH = "path"

    def __init__(self, file):
        self.file = file

    def path(self):
        return str(self.file)


class Rectangle:
    def __init__(self, *box):
        self.box = box

    create = classmethod(lambda cls, *box: cls(*box))

    def bounds(self):
        return self.box


def fake_trax(requests):
    """Stands for the package trax: a toolkit that asks for this; `replies` are the answers."""
    trax = types.ModuleType("trax")
    trax.replies, trax.formats = [], {}
    asked = iter(requests)

    class Server:
        def __init__(self, **formats):
            trax.formats = formats

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def wait(self):
            return next(asked)

        def status(self, objects):
            trax.replies += objects

    trax.Server, trax.Image, trax.Rectangle = Server, Image, Rectangle
    trax.Region = types.SimpleNamespace(RECTANGLE="rectangle")
    trax.TraxStatus = types.SimpleNamespace(INITIALIZE="init", FRAME="frame", QUIT="quit")
    return trax


def request(kind, image=None, objects=None):
    image = {"color": Image(image)} if image else None
    return types.SimpleNamespace(type=kind, image=image, objects=objects)


def test_answers_are_those_of_the_tracker(tool, images, monkeypatch):
    box = (50.0, 40.0, 40.0, 30.0)
    start = [(Rectangle(*box), {})]
    requests = [request("init", images[0], start), *(request("frame", f) for f in images[1:])]
    requests += [request("init", images[1], start), request("quit")]  # started again
    trax = fake_trax(requests)
    monkeypatch.setitem(sys.modules, "trax", trax)
    assert tool.main(["--config-file", CONFIG, "--name", "mine", "MODEL.DEVICE", "cpu"]) == 0
    assert trax.formats == {
        "region_formats": ["rectangle"], "image_formats": ["path"], "tracker_name": "mine"
    }  # fmt: skip
    tracker = sot.build_tracker(CONFIG, device="cpu")
    tracker.init(cv2.imread(str(images[0])), box)
    expected = [tracker.update(cv2.imread(str(file))) for file in images[1:]]
    first, *middle, last = trax.replies
    for region, properties in (first, last):
        assert (region.box, properties) == (box, {"confidence": "1.000000"})
    for (region, properties), result in zip(middle, expected):
        assert region.box == pytest.approx(result.box)
        assert float(properties["confidence"]) == pytest.approx(result.score, abs=1e-6)


def test_trax_client_drives_it(images, tmp_path):
    pytest.importorskip("trax")
    from trax.client import Client
    from trax.image import FileImage
    from trax.region import Rectangle

    command = [sys.executable, str(TOOL), "--config-file", CONFIG, "MODEL.DEVICE", "cpu"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        streams = (process.stdin.fileno(), process.stdout.fileno())
        client = Client(streams, log=lambda text: None)  # 4.0.2 fails without
        assert client.tracker_name == "sot" and client.region_formats == ["rectangle"]
        first, second, _ = ({"color": FileImage.create(str(file))} for file in images)
        objects, _ = client.initialize(first, [(Rectangle.create(50, 40, 40, 30), {})], {})
        assert objects[0][0].bounds() == (50, 40, 40, 30)
        objects, seconds = client.frame(second, {}, [])
        client.quit()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
    tracker = sot.build_tracker(CONFIG, device="cpu")
    tracker.init(cv2.imread(str(images[0])), (50, 40, 40, 30))
    result = tracker.update(cv2.imread(str(images[1])))
    ((region, properties),) = objects
    assert region.bounds() == pytest.approx(result.box, abs=1e-3) and seconds > 0
    assert float(properties["confidence"]) == pytest.approx(result.score, abs=1e-5)


def test_without_trax(tool, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "trax", None)
    assert tool.main(["--config-file", CONFIG, "MODEL.DEVICE", "cpu"]) == 1
    assert "install the package vot-trax" in capsys.readouterr().err


def test_ini(tool, tmp_path, monkeypatch):
    path = tmp_path / "workspace" / "trackers.ini"
    call = ["--config-file", CONFIG, "--write-ini", str(path)]
    assert tool.main([*call, "MODEL.DEVICE", "cpu"]) == 0
    assert tool.main([*call, "--name", "50", "TEST.TRACKER.SIZE_LR", "0.1%"]) == 0
    assert tool.main([*call, "MODEL.WEIGHTS", "it's.pth"]) == 0
    ini = configparser.ConfigParser()
    ini.read(path)
    assert ini.sections() == ["sot", "50"]
    assert ini["sot"]["protocol"] == "traxpython" and ini["sot"]["python"] == sys.executable
    folders = ini["sot"]["paths"].split(os.pathsep)
    assert folders == [str(TOOL.parent), str(TOOL.parent.parent)]

    config = str(sot.config.find_config(CONFIG).resolve())
    seen = []
    fake = types.SimpleNamespace(main=seen.append)
    monkeypatch.setitem(sys.modules, "vot_tracker", fake)
    here = os.getcwd()
    for name in ("sot", "50"):
        monkeypatch.chdir(tmp_path)
        exec(ini[name]["command"], {})
        assert os.getcwd() == here  # relative paths mean what they meant
    assert seen == [
        ["--config-file", config, "MODEL.WEIGHTS", "it's.pth", "--name", "sot"],
        ["--config-file", config, "TEST.TRACKER.SIZE_LR", "0.1%", "--name", "50"],
    ]
    tool.parse_args(seen[0])


def test_bad_ini(tool, tmp_path, capsys):
    call = ["--config-file", CONFIG, "--write-ini", str(tmp_path / "trackers.ini")]
    assert tool.main([*call, "--name", "a tracker"]) == 1
    assert "'a tracker' cannot be the name" in capsys.readouterr().err
    call[1] = "no_such.yaml"
    assert tool.main(call) == 1 and "no_such.yaml" in capsys.readouterr().err
    call[1] = CONFIG
    (tmp_path / "trackers.ini").write_text("no section\n")
    assert tool.main(call) == 1 and "is not a file of trackers" in capsys.readouterr().err
    assert (tmp_path / "trackers.ini").read_text() == "no section\n"
