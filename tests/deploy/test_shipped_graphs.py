"""The graphs that come with the package, which the default engine runs, are those of the networks
and weights that come with it."""

import json
import pickle

import numpy as np
import pytest
import torch

from sot.api import build_model
from sot.config import add_sot_config, load_config
from sot.deploy import OnnxNetwork, inference_network, shipped_graphs
from sot.deploy.engine import SHIPPED
from sot.modeling.fuse import fuse_layers

pytest.importorskip("onnxruntime")

NAMES = ["siamrpn_compact", "siamrpn_lite"]


def config(name, *opts):
    return load_config(f"SiamRPN/{name}.yaml", ["MODEL.DEVICE", "cpu", *opts])


def crops(n, size):
    values = np.random.default_rng(size).integers(0, 256, (n, 3, size, size), "uint8")
    return torch.from_numpy(values)


def test_each_folder_is_tested():
    assert sorted(folder.name for folder in SHIPPED.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_the_shipped_weights(name):
    cfg = config(name)
    model = build_model(cfg)
    network, fused = inference_network(cfg, model), fuse_layers(model)
    assert network.engine == "onnxruntime" and network.folder == SHIPPED / name
    assert (network.stride, network.num_anchors) == (model.stride, model.num_anchors)
    for n in (1, 3):
        search = crops(n, cfg.INPUT.SEARCH_SIZE_TEST)
        with torch.inference_mode():
            kernels = fused.template(crops(n, cfg.INPUT.TEMPLATE_SIZE))
            (boxes, scores), features = fused.detect_with_features(kernels, search)
        found = network.template(crops(n, cfg.INPUT.TEMPLATE_SIZE))
        assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(found, kernels))
        found, found_features = network.detect_with_features(kernels, search)
        assert torch.allclose(found[0], boxes, atol=1e-2)  # pixels
        assert torch.allclose(found[1], scores, atol=1e-4)
        assert torch.allclose(found_features, features, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_in_openvino_in_float32(name, monkeypatch):
    """It reads the weights from a file in which they follow one another."""
    pytest.importorskip("openvino")
    cfg = config(name, "TEST.TRACKER.ENGINE", "openvino")
    network = inference_network(cfg, build_model(cfg))
    for graph in (network._template, *network._searches.values()):
        graph._options["INFERENCE_PRECISION_HINT"] = "f32"
    again = pickle.loads(pickle.dumps(network))
    assert again.engine == network.engine == "openvino" and network.folder == SHIPPED / name
    cfg.TEST.TRACKER.ENGINE = "onnxruntime"
    other = inference_network(cfg, build_model(cfg))
    for n in (1, 3):
        template, search = crops(n, cfg.INPUT.TEMPLATE_SIZE), crops(n, cfg.INPUT.SEARCH_SIZE_TEST)
        kernels = other.template(template)
        assert torch.allclose(network.template(template)[0], kernels[0], atol=1e-4)
        (boxes, scores), features = network.detect_with_features(kernels, search)
        (others, other_scores), other_features = other.detect_with_features(kernels, search)
        assert torch.allclose(boxes, others, atol=1e-2)  # pixels
        assert torch.allclose(scores, other_scores, atol=1e-4)
        assert torch.allclose(features, other_features, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_they_hold_no_weights(name):
    for file in (SHIPPED / name).glob("*.onnx"):
        assert file.stat().st_size < 60_000
    needed = json.loads((SHIPPED / name / "tracker.json").read_text())["weights"]
    state = fuse_layers(build_model(config(name, "MODEL.WEIGHTS", ""))).state_dict()
    assert set().union(*map(set, needed.values())) == set(state)
    with pytest.raises(ValueError, match="graphs without weights: give weights="):
        OnnxNetwork(SHIPPED / name)


def test_other_weights_and_settings_of_training_need_no_other_graphs():
    opts = [
        "MODEL.WEIGHTS",
        "",
        "MODEL.BACKBONE.FREEZE_AT",
        0,
        "MODEL.RPN.IOU_THRESHOLDS",
        [0.1, 0.9],
    ]
    cfg = config("siamrpn_compact", *opts)
    model = build_model(cfg)
    network = inference_network(cfg, model)
    assert network.folder.name == "siamrpn_compact"
    again = pickle.loads(pickle.dumps(network))
    found = again.template(crops(1, 127))
    with torch.inference_mode():
        expected = fuse_layers(model).template(crops(1, 127))
    assert torch.allclose(found[0], expected[0], atol=1e-4)


@pytest.mark.parametrize(
    "opts",
    [
        ["MODEL.ANCHOR_GENERATOR.SIZES", [[48]]],
        ["MODEL.PIXEL_MEAN", [1.0, 2.0, 3.0]],
        ["MODEL.COMPACT.CHANNELS", [8, 8, 16, 16]],
        ["INPUT.SEARCH_SIZE_TEST", 271],
        ["TEST.TRACKER.LOST_SEARCH_SIZE", 511],
    ],
)
def test_other_networks_have_none(opts):
    assert shipped_graphs(config("siamrpn_compact", "MODEL.WEIGHTS", "", *opts)) is None


def test_a_new_key_of_the_config_changes_nothing(monkeypatch):
    """Also if its network is another one's."""

    def with_a_new_key(cfg):
        add_sot_config(cfg)
        cfg.MODEL.CIR.NEW = 3

    cfg = config("siamrpn_compact")
    monkeypatch.setattr("sot.deploy.export.add_sot_config", with_a_new_key)
    cfg.MODEL.CIR.NEW = 3
    assert shipped_graphs(cfg) == SHIPPED / "siamrpn_compact"
    cfg.MODEL.CIR.NEW = 4
    assert shipped_graphs(cfg) is None


def test_a_key_of_another_project_makes_another_network():
    cfg = config("siamrpn_compact")
    cfg.defrost()
    cfg.MODEL.MY_BACKBONE_DEPTH = 3
    assert shipped_graphs(cfg) is None


def test_auto_takes_onnxruntime_for_them_and_torch_for_others(monkeypatch, caplog):
    cfg = config("siamrpn_compact", "MODEL.WEIGHTS", "")
    other = config("siamrpn_compact", "MODEL.WEIGHTS", "", "INPUT.SEARCH_SIZE_TEST", 271)
    assert cfg.TEST.TRACKER.ENGINE == "auto"
    model = build_model(cfg)
    with caplog.at_level("INFO", logger="sot"):
        assert inference_network(cfg, model).engine == "onnxruntime"
        assert "auto: the network runs in onnxruntime" in caplog.text
        assert inference_network(other, model).engine == "torch"
        assert "auto: the network runs in torch" in caplog.text
    monkeypatch.setattr("sot.deploy.engine.is_installed", lambda *packages: False)
    assert inference_network(cfg, model).engine == "torch"


def test_only_auto_falls_back(monkeypatch, caplog):
    monkeypatch.setattr("sot.deploy.engine.OnnxNetwork", None)
    cfg = config("siamrpn_compact", "MODEL.WEIGHTS", "")
    model = build_model(cfg)
    assert inference_network(cfg, model).engine == "torch"
    assert "the network does not run in onnxruntime, so it runs in torch: " in caplog.text
    cfg.TEST.TRACKER.ENGINE = "onnxruntime"
    with pytest.raises(ValueError, match="onnxruntime; set TEST.TRACKER.ENGINE torch: "):
        inference_network(cfg, model)
