import hashlib

import pytest
import torch
from tool_modules import load_tool

from sot.checkpoint.checkpointer import read_checkpoint


@pytest.fixture(scope="module")
def publish():
    return load_tool("publish_model").publish


def test_keeps_the_weights_only_in_half_precision_under_their_hash(publish, tmp_path):
    source = tmp_path / "model_final.pth"
    weights = {"a.weight": torch.tensor([0.5, -2.0]), "a.norm.num_batches_tracked": torch.tensor(7)}
    torch.save({"model": weights, "optimizer": {"state": {}}, "iteration": 9}, source)
    path = publish(str(source), str(tmp_path / "small"))
    assert path.name == f"small_{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    checkpoint = read_checkpoint(str(path))
    assert set(checkpoint) == {"model"}
    assert checkpoint["model"]["a.weight"].dtype == torch.float16
    assert checkpoint["model"]["a.weight"].tolist() == [0.5, -2.0]
    assert checkpoint["model"]["a.norm.num_batches_tracked"].item() == 7


def test_publishes_the_average_of_the_weights(publish, tmp_path):
    last, average = (
        {"a": torch.ones(1)},
        {"n_averaged": torch.tensor(3), "module.a": torch.zeros(1)},
    )
    torch.save({"model": last, "ema": average}, tmp_path / "model_final.pth")
    path = publish(str(tmp_path / "model_final.pth"), str(tmp_path / "small"))
    assert read_checkpoint(str(path))["model"] == {"a": torch.zeros(1)}


def test_overflow_is_named(publish, tmp_path):
    source = tmp_path / "big.pth"
    torch.save({"model": {"a.weight": torch.tensor([1e6])}}, source)
    with pytest.raises(ValueError, match="big.pth: a.weight is not finite"):
        publish(str(source), str(tmp_path / "small"))


def test_pysot_checkpoint_is_converted(publish, tmp_path):
    weights = {"rpn_head.cls.head.3.bias": torch.tensor([1.0, 2.0, 10.0, 20.0])}
    torch.save({"state_dict": weights}, tmp_path / "pysot.pth")
    path = publish(str(tmp_path / "pysot.pth"), str(tmp_path / "ours"))
    (item,) = read_checkpoint(str(path))["model"].items()
    assert item[0] == "proposal_generator.rpn_head.cls.head.1.bias"
    assert item[1].tolist() == [9, 18]
