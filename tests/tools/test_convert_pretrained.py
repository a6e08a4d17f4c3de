import pickle
import runpy
import sys

import pytest
import torch
import torchvision
from detectron2.modeling import build_model
from tool_modules import TOOLS

from sot.checkpoint import SOTCheckpointer
from sot.config import load_config

TOOL = TOOLS / "convert_pretrained.py"
CONFIG = "SiamRPN/siamrpn_alex_dw.yaml"
TORCHVISIONS = ["MODEL.ALEXNET.CHANNELS", "[64, 192, 384, 256, 256]"]


@pytest.fixture
def run(monkeypatch):
    def main(*args):
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, args)])
        with pytest.raises(SystemExit) as exit_info:
            runpy.run_path(str(TOOL), run_name="__main__")
        return exit_info.value.code

    return main


@pytest.fixture(scope="module")
def alexnet():
    weights = torchvision.models.alexnet(weights=None).state_dict()
    return {name: value for name, value in weights.items() if name.startswith("features.")}


def test_result_is_loaded_by_a_training(run, alexnet, tmp_path, capsys):
    source, output = tmp_path / "alexnet.pth", tmp_path / "converted.pth"
    torch.save(alexnet, source)
    assert run(source, "--config-file", CONFIG, "--output", output, *TORCHVISIONS) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        "conv5 <- features.10.weight; no norm in the file: an identity's",
        "torchvision's AlexNet: 5 of 5 convolutions loaded, each with its norm; "
        "0 tensors of the file not used",
        f"written to {output}, for MODEL.WEIGHTS",
    ]
    cfg = load_config(CONFIG, ["MODEL.DEVICE", "cpu", *TORCHVISIONS])
    model = build_model(cfg)
    SOTCheckpointer(model, allow_backbone_only=True).load(str(output))
    assert torch.equal(model.backbone.conv5.weight, alexnet["features.10.weight"])


def test_pickle_with_its_author_tells_the_pixels(run, tmp_path):
    weights = torchvision.models.resnet18(weights=None).state_dict()
    names = {"conv1.weight": "stem.conv1.weight", "layer1.0.conv1.weight": "res2.0.conv1.weight"}
    arrays = {ours: weights[theirs].numpy() for theirs, ours in names.items()}
    first = weights["conv1.weight"]
    opts = ["MODEL.BACKBONE.NAME", "build_atrous_resnet_backbone", "MODEL.RESNETS.DEPTH", "18"]
    opts += ["MODEL.RESNETS.RES2_OUT_CHANNELS", "64", "MODEL.RESNETS.OUT_FEATURES", "['res2']"]
    for author, expected in (
        ("torchvision", first.flip(1) / torch.tensor([57.375, 57.12, 58.395])[:, None, None]),
        ("Caffe2", first),
    ):
        source, output = tmp_path / f"{author}.pkl", tmp_path / f"{author}.pth"
        source.write_bytes(pickle.dumps({"model": arrays, "__author__": author}))
        assert run(source, "--config-file", CONFIG, "--output", output, *opts) == 0
        converted = torch.load(output)["model"]
        torch.testing.assert_close(converted["backbone.stem.conv1.weight"], expected)


def test_what_is_not_in_the_file_is_the_same_at_every_run(run, alexnet, tmp_path, capsys):
    source = tmp_path / "alexnet.pth"
    torch.save(alexnet, source)
    results = []
    for name in ("a.pth", "b.pth"):
        opts = ("MODEL.ALEXNET.CHANNELS", "[64, 192, 384, 256, 32]")
        assert run(source, "--config-file", CONFIG, "--output", tmp_path / name, *opts) == 0
        results.append(torch.load(tmp_path / name)["model"]["backbone.conv5.weight"])
    assert torch.equal(*results) and results[0].shape == (32, 256, 3, 3)
    assert (
        "conv5 keeps its initial values: features.10.weight is (256, 256, 3, 3) in the file, "
        "(32, 256, 3, 3) here" in capsys.readouterr().out.splitlines()
    )


@pytest.mark.parametrize("name, message", [("text.pth", "not a read"), ("none.pth", "none.pth")])
def test_bad_file(run, name, message, tmp_path, capsys):
    (tmp_path / "text.pth").write_text("no weights")
    output = tmp_path / "out.pth"
    assert run(tmp_path / name, "--config-file", CONFIG, "--output", output) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and str(tmp_path / name) in error and message in error
    assert error.count("\n") == 1 and not output.exists()
