import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from test_configs import frame
from test_export import COMPACT, assert_same, crops

from sot.api import build_model, build_tracker
from sot.config import load_config
from sot.deploy import OnnxNetwork, inference_network
from sot.deploy import engine as engine_module
from sot.deploy import session as session_module
from sot.evaluation import tracker_fingerprint
from sot.modeling.fuse import fuse_layers

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


# how far boxes may be off, in pixels, if OpenVINO computes in bfloat16
BFLOAT16 = 1.0


def config(*opts):
    return load_config("SiamRPN/siamrpn_compact.yaml", [*COMPACT, *opts])


def engine(name, *opts):
    return config("TEST.TRACKER.ENGINE", name, *opts)


@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("other, tolerance", [("onnxruntime", 1e-2), ("openvino", BFLOAT16)])
def test_tracker_follows_as_in_torch(other, tolerance, online):
    pytest.importorskip(other)
    boxes = [100, 80, 140, 120], [20, 30, 60, 90]
    results = []
    for name in ("torch", other):
        torch.manual_seed(0)
        cfg = engine(name, "TEST.TRACKER.ONLINE.ENABLED", online)
        tracker = build_tracker(cfg, weights="")
        assert tracker.engine == name
        states = [tracker.start(frame(100, 80), box) for box in boxes]
        states = tracker.step_all(frame(104, 83), states)
        results.append(np.array([[*s.box, s.score] for s in states]))
    np.testing.assert_allclose(results[1], results[0], atol=tolerance)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("threads", [1, 2])
def test_several_targets_at_the_same_time_give_the_same_boxes(name, threads, monkeypatch):
    pytest.importorskip(name)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        cfg = engine(name, "TEST.TRACKER.ONLINE.ENABLED", True)
        tracker = build_tracker(cfg, weights="")
        single, used = tracker.model.single_threaded, []
        detect = single.detect_with_features
        monkeypatch.setattr(
            single,
            "detect_with_features",
            lambda *args: used.append(threading.get_ident()) or detect(*args),
        )
        boxes = [100, 80, 140, 120], [20, 30, 60, 90], [150, 60, 190, 100]
        alone = together = [tracker.start(frame(100, 80), box) for box in boxes]
        for i in range(4):
            image = frame(104 + 4 * i, 83)
            alone = [tracker.step(image, state) for state in alone]
            together = tracker.step_all(image, together)
            for one, same in zip(alone, together):
                assert (one.box.tolist(), one.score) == (same.box.tolist(), same.score)
        assert bool(used) == (threads > 1)
        assert threading.get_ident() not in used
    finally:
        torch.set_num_threads(before)


def test_exported_once_and_again_if_damaged(monkeypatch, caplog):
    model = build_model(config())
    first = inference_network(engine("onnxruntime"), model)
    file = first.folder / "template.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    again = inference_network(engine("onnxruntime"), model)
    assert again.folder == first.folder
    assert "is exported anew" in caplog.text and "template.onnx is damaged" in caplog.text
    monkeypatch.setattr(engine_module, "export_network", None)
    kept = inference_network(engine("onnxruntime"), model)
    assert_same(kept.template(crops(1, 127)), fuse_layers(model).template(crops(1, 127)))
    copy = pickle.loads(pickle.dumps(kept))
    assert_same(copy.template(crops(1, 127)), kept.template(crops(1, 127)))


def test_refuses_what_it_cannot_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tracker\.json"):
        OnnxNetwork(tmp_path)
    (tmp_path / "tracker.json").write_text('{"version": 0}')
    with pytest.raises(ValueError, match=r"another version: export the network again"):
        OnnxNetwork(tmp_path)
    network = inference_network(engine("onnxruntime"), build_model(config()))
    with pytest.raises(ValueError, match=r"is for search crops of 255 pixels, not 303"):
        network.detect(network.template(crops(1, 127)), crops(1, 303))


def test_onnxruntime_on_a_gpu_is_an_error():
    cfg, model = engine("onnxruntime"), build_model(config())
    cfg.defrost()
    cfg.MODEL.DEVICE = "cuda"
    with pytest.raises(ValueError, match=r"needs MODEL\.DEVICE cpu, not cuda"):
        inference_network(cfg, model)
    cfg.TEST.TRACKER.ENGINE = "auto"
    assert inference_network(cfg, model).engine == "torch"


def test_openvino_is_not_installed(monkeypatch):
    monkeypatch.setattr(session_module, "is_installed", lambda package: package != "openvino")
    text = "ENGINE openvino needs openvino: pip install openvino, part of the extra 'openvino'"
    with pytest.raises(ValueError, match=text):
        inference_network(engine("openvino"), build_model(config()))


TRACKERS_THAT_END = """
import os, signal
import numpy as np
from sot.api import build_tracker

image = np.zeros((90, 120, 3), np.uint8)
trackers = []
for _ in range(3):
    engine = ["TEST.TRACKER.ENGINE", "openvino"]
    trackers.append(build_tracker("SiamRPN/siamrpn_lite.yaml", device="cpu", opts=engine))
    trackers[-1].start(image, (20, 20, 60, 60))
while trackers:
    del trackers[0]
signal.signal(signal.SIGUSR1, lambda *_: print("alive"))
signal.raise_signal(signal.SIGUSR1)
"""


def test_a_signal_after_the_end_of_several_openvino_trackers():
    """OpenVINO brings a stack for signal handlers on processors with AMX, and frees it."""
    pytest.importorskip("openvino")
    command = [sys.executable, "-W", "ignore", "-c", TRACKERS_THAT_END]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_asked_for_but_not_installed(monkeypatch):
    monkeypatch.setattr(session_module, "is_installed", lambda package: package != "onnxruntime")
    text = (
        r"ENGINE onnxruntime needs onnxruntime: pip install onnxruntime, part of the extra 'onnx'"
    )
    with pytest.raises(ValueError, match=text):
        inference_network(engine("onnxruntime"), build_model(config()))
    other = ["MODEL.COMPACT.CHANNELS", "[8, 8, 16, 24]"]
    # the exporter, for a network whose graphs do not come with the package
    monkeypatch.setattr(session_module, "is_installed", lambda package: package != "onnxscript")
    with pytest.raises(ValueError, match="the export to ONNX needs onnxscript: pip install"):
        inference_network(engine("onnxruntime", *other), build_model(config(*other)))


def test_unknown_engine():
    with pytest.raises(ValueError, match="ENGINE 'tensorrt' is not known; known are auto, torch"):
        engine("tensorrt")


def test_engine_is_part_of_the_fingerprint():
    model = build_model(config())
    prints = {tracker_fingerprint(engine(e), model, e) for e in ("torch", "onnxruntime")}
    assert len(prints) == 2
    assert tracker_fingerprint(engine("auto"), model, "torch") in prints
