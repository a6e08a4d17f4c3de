import hashlib
import json

import numpy as np
import pytest
import torch
from test_configs import FAMILIES, NARROW, set_norm_statistics

from sot.api import build_model
from sot.config import load_config
from sot.deploy import OnnxNetwork, export_network
from sot.deploy import session as session_module
from sot.deploy.export import _cut_weights
from sot.modeling.fuse import fuse_layers

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

COMPACT = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "MODEL.COMPACT.CHANNELS", "[8, 8, 16, 16]"]


def crops(n, size):
    values = np.random.default_rng(size).integers(0, 256, (n, 3, size, size), "uint8")
    return torch.from_numpy(values)


def outputs(network, kernels, search):
    found, features = network.detect_with_features(kernels, search)
    return [*(found if isinstance(found, tuple) else (found,)), features]


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= 1e-4 * max(1, b.abs().max())


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    model = build_model(load_config("SiamRPN/siamrpn_compact.yaml", COMPACT))
    export_network(model, folder, 127, [255], context=0.5)
    return fuse_layers(model), folder


@pytest.mark.slow
@pytest.mark.parametrize("name, narrow, opts", FAMILIES)
def test_same_outputs_for_the_whole_family(name, narrow, opts, tmp_path):
    opts = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", *NARROW[narrow], *opts]
    cfg = load_config(name, opts)
    model = set_norm_statistics(build_model(cfg), cfg)
    size = cfg.INPUT.TEMPLATE_SIZE + 32  # the same code as for 255, and less to do
    export_network(model, tmp_path, cfg.INPUT.TEMPLATE_SIZE, [size])
    network, templates, search = OnnxNetwork(tmp_path), crops(3, 127), crops(3, size)
    model = fuse_layers(model)
    with torch.inference_mode():
        kernels = model.template(templates)
        assert_same(network.template(templates), kernels)
        assert_same(outputs(network, kernels, search), outputs(model, kernels, search))


@pytest.mark.parametrize("n", [1, 3])
def test_any_number_of_targets(exported, n):
    model, folder = exported
    network, templates, search = OnnxNetwork(folder), crops(n, 127), crops(n, 255)
    with torch.inference_mode():
        kernels = model.template(templates)
        assert_same(network.template(templates), kernels)
        found = outputs(network, kernels, search)
        assert found[0].shape == (n, 5 * 17 * 17, 4)
        assert_same(found, outputs(model, kernels, search))
        one = [k[:1] for k in kernels]  # serves all search crops
        assert_same(outputs(network, one, search), outputs(model, one, search))


def test_description(exported):
    about = json.loads((exported[1] / "tracker.json").read_text())
    assert about["search"] == {"255": "search.onnx"}
    assert (about["template_size"], about["search_size"], about["context"]) == (127, 255, 0.5)
    assert (about["stride"], about["num_anchors"]) == (8, 5)
    content = (exported[1] / "search.onnx").read_bytes()
    assert about["files"]["search.onnx"] == hashlib.sha256(content).hexdigest()


def test_says_what_is_not_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(session_module, "is_installed", lambda package: package != "onnxscript")
    with pytest.raises(ValueError, match=r"pip install onnxscript, part of the extra 'onnx'"):
        export_network(torch.nn.Identity(), tmp_path, 127, [255])


def test_weights_are_cut_out_of_graphs_or_named():
    layer = torch.nn.Linear(3, 2)
    state = {name: values.numpy() for name, values in layer.state_dict().items()}
    tensors = [
        onnx.numpy_helper.from_array(state["weight"], "model.weight"),
        onnx.numpy_helper.from_array(np.ones(3, np.float32), "constant"),
    ]
    exported = onnx.ModelProto(graph=onnx.GraphProto(initializer=tensors))
    with pytest.raises(ValueError, match="hold numbers computed from bias"):
        _cut_weights({"a": exported}, layer)
    tensors.append(onnx.numpy_helper.from_array(state["bias"], "model.bias"))
    graphs = {"a": exported, "b": onnx.ModelProto(graph=onnx.GraphProto(initializer=tensors[1:]))}
    exported.graph.initializer[0].CopyFrom(tensors[0])
    assert _cut_weights(graphs, layer) == {"a": ["weight"], "b": ["bias"]}
    assert len(exported.graph.initializer[0].raw_data) == 0
    assert len(exported.graph.initializer[1].raw_data) == 12
