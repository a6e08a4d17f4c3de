"""Links of the documents lead to files of the project, and their commands are those of programs."""

import argparse
import importlib.util
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog

import sot
from sot.config import load_config
from sot.data.frames import VideoFrames
from sot.visualization import VideoWriter

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("*/*.md")]
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# bash expands the variables and loops of a document; these functions note a command and run nothing
NOTE_COMMANDS = """
note() { printf '%s\\0' "$@" >&3; printf '\\n' >&3; }
for command in make pip docker source tensorboard mkdir cp; do
    eval "$command() { note $command \"\\$@\"; }"
done
python() { if [ "$1" = -c ]; then echo weights.pth; else note python "$@"; fi; }
torchrun() { note torchrun "$@"; }
head() { echo 120,80,60,90; }
ls() { :; }
"""


class Parsed(BaseException):
    """What a program made of its command line; no program catches it."""


def each_document(test):
    ids = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
    return pytest.mark.parametrize("path", DOCUMENTS, ids=ids)(test)


def commands_of(path):
    """Lists of words, as the shell hands them to a program."""
    for language, block in BLOCK.findall(path.read_text(encoding="utf-8")):
        programs = r"^\s*(\w+=\S+ )?(python|make|torchrun) "
        if language or not re.search(programs, block, re.MULTILINE):
            continue
        block = block.replace("--config-file ...", "--config-file SiamRPN/siamrpn_lite.yaml")
        # set -f: what lies in output/ makes no difference
        script = f"set -f; exec 3>&1 1>/dev/null\n{NOTE_COMMANDS}{block}"
        done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
        assert done.stderr == "", block
        for line in done.stdout.split("\0\n")[:-1]:
            yield [word for word in line.split("\0") if word != "..."]


def test_commands_behind_blocks_of_python_are_found():
    assert ["python", "tools/check_dataset.py", "folder:videos"] in commands_of(ROOT / "README.md")


def parse_and_stop(name):
    parse = getattr(argparse.ArgumentParser, name)

    def parse_only(self, args=None, namespace=None):
        raise Parsed(parse(self, args, namespace))

    return parse_only


@each_document
def test_links(path):
    links = LINK.findall(path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


@each_document
def test_commands(path, monkeypatch):
    """Programs, their options, config keys and targets of make exist, and values fit them."""
    targets = re.search(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for name in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, name, parse_and_stop(name))
    if importlib.util.find_spec("gradio") is None:  # optional, and not needed for parsing
        monkeypatch.setitem(sys.modules, "gradio", ModuleType("gradio"))
    for command in commands_of(path):
        if command[0] == "make":
            named = {word for word in command[1:] if "=" not in word}
            assert named <= set(targets[1].split()), command
        scripts = [i for i, word in enumerate(command) if word.endswith(".py")]
        if command[0] not in ("python", "torchrun") or not scripts:
            continue
        if command[1] == "-m":
            assert (ROOT / command[scripts[0]]).is_file(), command
            continue
        monkeypatch.setattr(sys, "argv", command[scripts[0] :])
        monkeypatch.syspath_prepend(str((ROOT / command[scripts[0]]).parent))
        with pytest.raises(Parsed) as parsed:
            runpy.run_path(str(ROOT / command[scripts[0]]), run_name="__main__")
        arguments = vars(parsed.value.args[0])
        opts = arguments.get("opts") or []
        assert not [word for word in opts if word.startswith("--")], command
        for config in np.atleast_1d(arguments.get("config_file") or []):
            load_config(re.sub("^configs/", "", config), opts)


def test_the_page_of_the_demo_has_every_option(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "demo"))
    program = runpy.run_path(str(ROOT / "demo" / "track_arguments.py"))
    with pytest.raises(SystemExit):
        program["parse_args"](["--help"])
    options = set(re.findall(r"^  (?:-h, )?(--[\w-]+)", capsys.readouterr().out, re.MULTILINE))
    table = re.findall(r"^\| (`--[^|]*)", (ROOT / "demo" / "README.md").read_text(), re.MULTILINE)
    documented = set(re.findall(r"--[\w-]+", " ".join(table)))
    assert documented == options - {"--help"}


def python_of(name):
    return PYTHON.findall((ROOT / name).read_text(encoding="utf-8"))


def write_start_of_clip(length):
    """The first frames of the demo clip, as the video.mp4 of the documents. Returns the clip."""
    clip = VideoFrames(ROOT / "demo" / "clip.mp4")
    with VideoWriter("video.mp4", 24) as writer:
        for i in range(length):
            writer.write(clip[i])
    return clip


@pytest.mark.parametrize("code", python_of("README.md"))
def test_python_of_the_readme(code, tmp_path, monkeypatch):
    """The code runs as it stands."""
    monkeypatch.chdir(tmp_path)
    write_start_of_clip(5)
    names = {}
    exec(code, names)
    assert names["result"].status in ("tracked", "uncertain", "lost")


def test_python_of_the_page_on_opencv(tmp_path, monkeypatch):
    (code,) = python_of("docs/from_opencv.md")
    monkeypatch.chdir(tmp_path)
    write_start_of_clip(5)
    names = {}
    exec(code, names)
    assert 0 <= names["score"] <= 1


@pytest.mark.slow
def test_python_of_the_page_on_tracking(tmp_path, monkeypatch):
    """Each block uses the names of the ones before."""
    monkeypatch.chdir(tmp_path)
    clip = write_start_of_clip(72)
    tracker = sot.build_tracker("SiamRPN/siamrpn_lite.yaml", device="cpu")
    names = {"sot": sot, "tracker": tracker, "image": clip[0], "next_image": clip[1]}
    names["boxes"] = [(120, 80, 180, 170)]
    first, states, corrected = python_of("docs/track.md")
    exec(first, names)
    exec(states, names)
    assert names["states"][0].box.shape == (4,)
    exec(corrected, names)
    assert 0 < names["estimate"].score <= 1


def test_python_of_the_page_on_data(tmp_path):
    (code,) = python_of("datasets/README.md")
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((9, 9, 3), np.uint8))
    exec(code, {"files": [tmp_path / "0.png"], "boxes_xywh": [(1, 2, 3, 4)]})
    (track,) = DatasetCatalog.get("mine")
    DatasetCatalog.remove("mine")
    assert track["boxes"].tolist() == [[1, 2, 4, 6]]


def test_python_of_the_page_on_new_networks(tmp_path, monkeypatch):
    """The network of the page trains and tracks; here for fewer iterations."""
    network, training = python_of("docs/extend.md")
    assert len([line for line in network.splitlines() if line]) <= 40
    (tmp_path / "my_network.py").write_text(network)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = {}
    exec(re.sub(r'(MAX_ITER|IMS_PER_BATCH)", \d+', r'\1", 2', training), names)
    image = VideoFrames(ROOT / "demo" / "clip.mp4")[0]
    names["tracker"].init(image, (120, 80, 60, 90))
    assert names["tracker"].update(image).box[2] > 0


def test_pages_made_from_the_code_are_those_of_the_code():
    """`python docs/make_pages.py` writes them anew."""
    make = runpy.run_path(str(ROOT / "docs" / "make_pages.py"))
    keys = make["config_keys"](make["KEYS"].read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "config_keys.md").read_text(encoding="utf-8") == keys
    assert (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8") == make["protocols"]()
    assert "\nTEST.TRACKER.RESPONSE_UP = 16\n" in keys
