import pytest
import torch

from sot.api import build_model
from sot.config import list_configs, load_config


def test_configs_are_found_by_name():
    assert {"SiamRPN/siamrpn_compact.yaml", "Base-SiamRPN.yaml"} <= set(list_configs())


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(FileNotFoundError, match="siamrpn_compact.yaml"):
        load_config("no_such.yaml")


def test_key_typo_is_named():
    with pytest.raises(ValueError, match="SIAMESE.NORMM"):
        load_config("SiamRPN/siamrpn_compact.yaml", ["MODEL.SIAMESE.NORMM", "BN"])


def test_option_behind_the_pairs_is_named():
    with pytest.raises(ValueError, match="such as --resume go before the KEY VALUE pairs"):
        load_config("SiamRPN/siamrpn_compact.yaml", ["SEED", "-1", "--resume"])


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


def test_gpu_without_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = load_config("SiamRPN/siamrpn_compact.yaml", ["MODEL.DEVICE", "cuda", "MODEL.WEIGHTS", ""])
    with pytest.raises(ValueError, match="no CUDA GPU"):
        build_model(cfg)
