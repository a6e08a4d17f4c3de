import pytest
import torch

from sot.api import build_model, build_tracker
from sot.config import list_configs, load_config

LEAVES = [c for c in list_configs() if "Base" not in c]


def test_leaf_configs_exist():
    assert "SiamRPN/siamrpn_compact.yaml" in LEAVES
    assert "SiamRPN/siamrpn_alex_dw.yaml" in LEAVES


@pytest.mark.parametrize("name", LEAVES)
def test_every_config_builds_and_detects(name):
    cfg = load_config(name, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])
    model = build_model(cfg)
    size = cfg.INPUT.SEARCH_SIZE_TEST
    with torch.no_grad():
        kernels = model.template(
            torch.zeros(2, 3, cfg.INPUT.TEMPLATE_SIZE, cfg.INPUT.TEMPLATE_SIZE)
        )
        boxes, scores = model.detect(kernels, torch.zeros(2, 3, size, size))
    assert boxes.shape[:2] == scores.shape and boxes.shape[0] == 2 and boxes.shape[2] == 4
    assert torch.isfinite(boxes).all() and (scores >= 0).all() and (scores <= 1).all()


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(FileNotFoundError, match="siamrpn_compact.yaml"):
        load_config("no_such.yaml")


def test_key_typo_is_named():
    with pytest.raises(ValueError, match="SIAMESE.NORMM"):
        load_config("SiamRPN/siamrpn_compact.yaml", ["MODEL.SIAMESE.NORMM", "BN"])


def test_value_of_wrong_type_is_named(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("INPUT:\n  TEMPLATE_SIZE: 'large'\n")
    with pytest.raises(ValueError, match="bad.yaml.*TEMPLATE_SIZE"):
        load_config(path)


def test_broken_yaml_is_named(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("INPUT: [1, 2\n")
    with pytest.raises(ValueError, match="bad.yaml"):
        load_config(path)


@pytest.mark.parametrize("name", LEAVES)
def test_weights_of_a_config_are_there_and_fit(name):
    cfg = load_config(name, ["MODEL.DEVICE", "cpu"])
    if cfg.MODEL.WEIGHTS:
        model = build_model(cfg)
        assert all(torch.isfinite(p).all() for p in model.parameters())
    else:
        with pytest.raises(ValueError, match="without trained weights"):
            build_tracker(cfg)


def test_gpu_without_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = load_config("SiamRPN/siamrpn_compact.yaml", ["MODEL.DEVICE", "cuda", "MODEL.WEIGHTS", ""])
    with pytest.raises(ValueError, match="no CUDA GPU"):
        build_model(cfg)
