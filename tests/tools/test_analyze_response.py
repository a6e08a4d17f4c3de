import json

import numpy as np
import pytest
import torch
from test_configs import NARROW
from tool_modules import load_tool
from training_runs import write_sequences

from sot import load_config
from sot.api import build_network

COMPACT = "SiamRPN/siamrpn_compact.yaml"
tool = load_tool("analyze_response")


def network(config, *opts):
    cfg = load_config(config, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", *opts])
    return cfg, build_network(cfg).eval()


@pytest.fixture
def sequences(tmp_path):
    """Two categories, of two and of one sequence."""
    write_sequences(tmp_path / "data", **{"cat-1": 3, "cat-2": 3, "dog-1": 3})
    return f"folder:{tmp_path / 'data'}"


def test_pairs(sequences):
    cfg = load_config(COMPACT)
    pairs = list(tool.draw_pairs(cfg, sequences, 3, margin=8))
    assert [p.category for p in pairs] == ["cat", "cat", "dog"]
    assert pairs[0].template.shape == (1, 3, 127, 127)
    assert pairs[0].search.shape == (1, 3, 271, 271)
    np.testing.assert_allclose(pairs[0].center, [135.5, 135.5])
    shifted = [p.center - 127.5 for p in tool.draw_pairs(cfg, sequences, 20, shift=32)]
    assert 24 < np.abs(shifted).max() <= 32


@torch.no_grad()
@pytest.mark.parametrize(
    "config, opts, padded",
    [
        (COMPACT, (), False),
        ("SiamFC/siamfc_alex.yaml", NARROW["alexnet"], False),
        ("SiamRPN++/siamrpn_mobilev2_l234_dw.yaml", NARROW["mobilenet"], True),
    ],
)
def test_only_padding_breaks_equivariance(sequences, config, opts, padded):
    cfg, model = network(config, *opts)
    pairs = list(tool.draw_pairs(cfg, sequences, 1, margin=32))
    errors = tool.equivariance(model, pairs, [0, 16], 32)
    assert "response" in errors and len(errors) > 3
    assert all(row[0] < 1e-6 for row in errors.values())
    assert (max(row[1] for row in errors.values()) > 1e-3) == padded


@torch.no_grad()
def test_mean_response(sequences):
    cfg, model = network(COMPACT)
    found = tool.mean_response(model, list(tool.draw_pairs(cfg, sequences, 2)))
    assert found["response"].shape == (17, 17) and 0 < found["response"].mean() < 1
    assert found["targets"][8, 8] == 1 and found["targets"].sum() == 1
    shifted = tool.mean_response(model, list(tool.draw_pairs(cfg, sequences, 4, shift=64)))
    assert shifted["targets"][8, 8] < 1 and shifted["targets"].sum() == pytest.approx(1)


def test_selectivity():
    peaks = {"cat": np.array([2.0, 1.0, -1.0]), "dog": np.array([0.0, 1.0, 4.0]), "fox": np.ones(3)}
    first, second, third = tool.selectivity(peaks)
    # (4 - 0.5) / 4.5; (2 - 0.5) / 2.5; 1 and 1
    assert (first["channel"], first["category"]) == (2, "dog")
    assert first["selectivity"] == pytest.approx(3.5 / 4.5)
    assert (second["channel"], second["selectivity"]) == (0, pytest.approx(0.6))
    assert third == {"channel": 1, "category": "cat", "selectivity": 0.0}
    with pytest.raises(ValueError, match="two categories"):
        tool.selectivity({"cat": np.ones(3)})


def test_writes_picture_and_numbers(sequences, tmp_path, capsys):
    for analysis, key in (("equivariance", "errors"), ("center", "shifts"), ("channels", "peaks")):
        command = [analysis, "--dataset", sequences, "--pairs", "3", "--output", str(tmp_path)]
        assert tool.main([*command, "--config-file", COMPACT]) == 0
        assert key in json.loads((tmp_path / f"{analysis}.json").read_text())
        assert (tmp_path / f"{analysis}.png").stat().st_size > 1000
    command = ["channels", "--dataset", sequences, "--config-file", "SiamFC/siamfc_alex.yaml"]
    weights = ["MODEL.WEIGHTS", "sot://siamfc_alex_357e108d.pth"]
    assert tool.main([*command, *weights]) == 1
    assert "the network of --config-file has no depthwise correlation" in capsys.readouterr().err
