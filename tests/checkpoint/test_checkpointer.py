import errno
import os
import re
import resource

import numpy as np
import pytest
import torch
from torch import nn

from sot.checkpoint import SOTCheckpointer, read_checkpoint


class Net(nn.Module):
    """Four tensors and a step counter under the names that matter to the checkpointer."""

    def __init__(self, width=2):
        super().__init__()
        self.backbone = nn.Conv2d(3, width, 1)
        self.head = nn.BatchNorm2d(width)


def save(content, folder, name="model.pth"):
    path = str(folder / name)
    torch.save(content, path)
    return path


class TestLoad:
    @pytest.mark.parametrize("key", ["model", "state_dict", None])
    @pytest.mark.parametrize("prefix", ["", "module."])
    def test_wrapping(self, key, prefix, tmp_path):
        source, model = Net(), Net()
        content = {prefix + name: value for name, value in source.state_dict().items()}
        SOTCheckpointer(model).load(save({key: content} if key else content, tmp_path))
        assert torch.equal(model.backbone.weight, source.backbone.weight)

    def test_snapshot_of_a_pysot_training_with_numpy_learning_rates(self, tmp_path):
        source, model = Net(), Net()
        optimizer = {"param_groups": [{"lr": np.float64(0.005), "momentum": np.float32(0.9)}]}
        content = {"epoch": 3, "state_dict": source.state_dict(), "optimizer": optimizer}
        SOTCheckpointer(model).load(save(content, tmp_path))
        assert torch.equal(model.backbone.weight, source.backbone.weight)

    def test_no_path_keeps_the_initial_weights(self):
        model = Net()
        before = model.backbone.weight.clone()
        assert SOTCheckpointer(model).load("") == {}
        assert torch.equal(model.backbone.weight, before)

    def test_missing_tensor(self, tmp_path):
        weights = Net().state_dict()
        del weights["head.running_var"]
        with pytest.raises(
            ValueError, match=r"model\.pth .*1 of 7 .*missing \(head\.running_var\)$"
        ):
            SOTCheckpointer(Net()).load(save(weights, tmp_path))

    def test_another_network_is_refused_and_changes_nothing(self, tmp_path):
        model = Net()
        before = model.backbone.weight.clone()
        other = {"backbone.weight": torch.zeros(2, 3, 1, 1), "fc.a": torch.zeros(1)}
        with pytest.raises(ValueError, match=r"5 of 7 .*backbone\.bias.*\); 1 .*unknown.*fc\.a"):
            SOTCheckpointer(model).load(save({"model": other}, tmp_path))
        assert torch.equal(model.backbone.weight, before)

    def test_another_width(self, tmp_path):
        message = (
            r"6 have another shape \(backbone\.weight is \(4, 3, 1, 1\) in the file and \(2, 3"
        )
        with pytest.raises(ValueError, match=message):
            SOTCheckpointer(Net()).load(save(Net(width=4).state_dict(), tmp_path))


class TestBackboneOnly:
    def backbone(self, folder, **more):
        weights = {"backbone." + k: v for k, v in nn.Conv2d(3, 2, 1).state_dict().items()}
        return save({"model": {**weights, **more}}, folder)

    def test_is_refused_by_default(self, tmp_path):
        with pytest.raises(ValueError, match=r"missing \(head\.weight"):
            SOTCheckpointer(Net()).load(self.backbone(tmp_path))

    def test_is_loaded_when_allowed(self, tmp_path):
        path, model = self.backbone(tmp_path), Net()
        SOTCheckpointer(model, allow_backbone_only=True).load(path)
        assert torch.equal(model.backbone.weight, torch.load(path)["model"]["backbone.weight"])

    def test_must_be_the_whole_backbone(self, tmp_path):
        path = save({"model": {"backbone.weight": torch.zeros(2, 3, 1, 1)}}, tmp_path)
        with pytest.raises(ValueError, match=r"1 of 2 .*missing \(backbone\.bias\)"):
            SOTCheckpointer(Net(), allow_backbone_only=True).load(path)

    def test_must_be_nothing_but_the_backbone(self, tmp_path):
        path = self.backbone(tmp_path, **{"head.weight": torch.ones(2)})
        with pytest.raises(ValueError, match=r"missing \(head\.bias"):
            SOTCheckpointer(Net(), allow_backbone_only=True).load(path)


class TestBadFiles:
    def test_a_file_that_cannot_be_opened_is_not_called_damaged(self, tmp_path):
        with pytest.raises(OSError):
            read_checkpoint(str(tmp_path))  # a folder

    @pytest.mark.parametrize("folder", ["no_such_folder/", "sot://"])
    def test_missing_file(self, folder):
        with pytest.raises(FileNotFoundError, match=rf"no checkpoint file at {folder}none\.pth"):
            SOTCheckpointer(Net()).load(f"{folder}none.pth")

    @pytest.mark.parametrize("content", [b"", b"these are not weights\n", bytes(range(256))])
    def test_not_a_checkpoint(self, content, tmp_path):
        (tmp_path / "model.pth").write_bytes(content)
        with pytest.raises(
            ValueError, match=r"^[^\n]*model\.pth: not a readable checkpoint[^\n]*$"
        ):
            SOTCheckpointer(Net()).load(str(tmp_path / "model.pth"))

    @pytest.mark.parametrize("zipped", [True, False])  # PySOT's zoo is of before the zip format
    @pytest.mark.parametrize("cut", [1, 3, 500])
    def test_truncated(self, zipped, cut, tmp_path):
        path = str(tmp_path / "model.pth")
        torch.save(Net().state_dict(), path, _use_new_zipfile_serialization=zipped)
        with open(path, "r+b") as f:
            f.truncate(os.path.getsize(path) - cut)
        with pytest.raises(
            ValueError, match=r"^[^\n]*model\.pth: not a readable checkpoint[^\n]*$"
        ):
            SOTCheckpointer(Net()).load(path)

    def test_a_flipped_bit_is_found_by_the_checksum(self, tmp_path):
        source = Net()
        path = save(source.state_dict(), tmp_path)
        content = bytearray((tmp_path / "model.pth").read_bytes())
        at = content.index(source.backbone.weight.detach().numpy().tobytes())
        content[at + 3] ^= 1
        (tmp_path / "model.pth").write_bytes(content)
        message = r"model\.pth: not a readable checkpoint.*checksum of \S*data/\d+ is wrong"
        with pytest.raises(ValueError, match=message):
            SOTCheckpointer(Net()).load(path)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    @pytest.mark.parametrize("averaged", [False, True])
    def test_numbers_that_are_none_are_named(self, value, averaged, tmp_path):
        good, bad = Net().state_dict(), Net().state_dict()
        bad["head.bias"][1] = value
        average = {f"module.{k}": v for k, v in bad.items()}
        content = {"model": good, "ema": average} if averaged else {"model": bad}
        message = r"model\.pth: NaN or infinite numbers in 1 tensors: head\.bias$"
        with pytest.raises(ValueError, match=message):
            SOTCheckpointer(Net()).load(save(content, tmp_path))

    def test_code_is_not_run(self, tmp_path):
        path = save({"model": Net()}, tmp_path)  # a pickled module, not a state_dict
        with pytest.raises(ValueError, match=r"model\.pth: not a readable checkpoint.*plain"):
            SOTCheckpointer(Net()).load(path)

    @pytest.mark.parametrize(
        "content, message",
        [
            (torch.zeros(3), "no weights in it"),
            ({}, "no weights in it"),
            ({"net": {"a": torch.zeros(1)}, "epoch": 3}, "not tensors: net, epoch"),
            ({1: torch.zeros(1)}, "not tensors: 1"),
            ({"model": {"a": torch.eye(2).to_sparse()}}, "not tensors: a"),
            ({"model": {"a": torch.zeros(1)}, "ema": {"module.a": 3}}, "not tensors: a"),
        ],
    )
    def test_no_weights_in_it(self, content, message, tmp_path):
        with pytest.raises(ValueError, match=rf"model\.pth: .*{message}"):
            SOTCheckpointer(Net()).load(save(content, tmp_path))


class TestResume:
    def step(self, model, optimizer, scheduler):
        model(torch.arange(24.0).view(2, 3, 2, 2)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()

    def make(self, folder):
        model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        parts = {"optimizer": optimizer, "scheduler": scheduler}
        return model, parts, SOTCheckpointer(model, str(folder), **parts)

    def test_own_checkpoint_restores_optimizer_and_iteration(self, tmp_path):
        model, parts, checkpointer = self.make(tmp_path)
        self.step(model, **parts)
        checkpointer.save("model_0000000", iteration=0)
        again, parts_again, checkpointer = self.make(tmp_path)
        rest = checkpointer.resume_or_load("", resume=True)
        assert rest["iteration"] == 0
        assert parts_again["scheduler"].get_last_lr() == [0.05]
        self.step(model, **parts)
        self.step(again, **parts_again)
        assert torch.equal(again[0].weight, model[0].weight)

    def test_loading_for_a_new_run_takes_the_weights_alone(self, tmp_path):
        model, parts, checkpointer = self.make(tmp_path)
        self.step(model, **parts)
        checkpointer.save("model_0000000", iteration=0)
        again, parts_again, checkpointer = self.make(tmp_path)
        checkpointer.resume_or_load(str(tmp_path / "model_0000000.pth"), resume=False)
        assert torch.equal(again[0].weight, model[0].weight)
        assert parts_again["scheduler"].get_last_lr() == [0.1]


class TestSave:
    @pytest.fixture
    def folder(self, tmp_path):
        """With a checkpoint, the content of whose two files is ``self.before``."""
        SOTCheckpointer(Net(), str(tmp_path)).save("model_0000000", iteration=0)
        self.before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert sorted(self.before) == ["last_checkpoint", "model_0000000.pth"]
        return tmp_path

    def content(self, folder):
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    @pytest.mark.parametrize("name", ["model_0000001", "model_0000000"])
    @pytest.mark.parametrize("size", [3000, 100_000])  # less and more than one buffer
    def test_full_disk(self, folder, name, size):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        try:
            with pytest.raises(OSError) as caught:
                SOTCheckpointer(nn.Linear(1, size), str(folder)).save(name)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert re.search(
            rf"could not write \S*/{name}\.pth \(\d+ MB are free there\): .*File too large.*: "
            "earlier checkpoints are intact; make room and go on with --resume",
            str(caught.value),
        )
        assert self.content(folder) == self.before

    def test_full_disk_after_the_checkpoint(self, folder, monkeypatch):
        def full(_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        checkpointer = SOTCheckpointer(Net(), str(folder))
        checkpointer.save("model_0000001")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="last_checkpoint .*No space left on device"):
            checkpointer.tag_last_checkpoint("model_0000002.pth")
        assert checkpointer.get_checkpoint_file() == str(folder / "model_0000001.pth")

    def test_killed_while_writing(self, folder, monkeypatch):
        def interrupted(_, f):
            f.write(b"half a checkpoint")
            raise KeyboardInterrupt

        monkeypatch.setattr(torch, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            SOTCheckpointer(Net(), str(folder)).save("model_0000000")
        assert self.content(folder) == self.before

    def test_folder_that_is_gone(self, tmp_path):
        with pytest.raises(OSError, match="gone/model.pth .*No such file"):
            SOTCheckpointer(Net(), str(tmp_path / "gone")).save("model")

    def test_not_by_the_other_ranks(self, tmp_path):
        SOTCheckpointer(Net(), str(tmp_path), save_to_disk=False).save("model")
        assert os.listdir(tmp_path) == []


class TestLastCheckpointIsUnusable:
    @pytest.fixture
    def folder(self, tmp_path):
        checkpointer = self.make(tmp_path)
        for i in range(3):
            checkpointer.save(f"model_{i:07d}", iteration=i)
            os.utime(tmp_path / f"model_{i:07d}.pth", (i, i))
        torch.save({"model": Net().state_dict()}, tmp_path / "model_best.pth")  # the newest file
        return tmp_path

    def make(self, folder):
        net = Net()
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        return SOTCheckpointer(net, str(folder), optimizer=optimizer)

    HINT = r"; to resume from model_0000001\.pth instead, write this name into .*/last_checkpoint$"

    def test_damaged(self, folder):
        (folder / "model_0000002.pth").write_bytes(b"half")
        with pytest.raises(ValueError, match=r"model_0000002\.pth: not a readable.*" + self.HINT):
            self.make(folder).resume_or_load("", resume=True)

    def test_missing(self, folder):
        (folder / "model_0000002.pth").unlink()
        message = r"no checkpoint file at \S*/model_0000002\.pth \(last_checkpoint\)"
        with pytest.raises(FileNotFoundError, match=message + self.HINT):
            self.make(folder).resume_or_load("", resume=True)

    def test_and_the_hint_works(self, folder):
        (folder / "model_0000002.pth").unlink()
        (folder / "last_checkpoint").write_text("model_0000001.pth\n")
        assert self.make(folder).resume_or_load("", resume=True)["iteration"] == 1

    @pytest.mark.parametrize("content", [b"\xff\x00model", b"", b"\n", None])
    def test_that_names_no_file(self, folder, content):
        if content is None:
            (folder / "last_checkpoint").unlink()
            (folder / "last_checkpoint").mkdir()
        else:
            (folder / "last_checkpoint").write_bytes(content)
        message = r"last_checkpoint is damaged; to resume from model_0000002\.pth instead, write"
        with pytest.raises(ValueError, match=message):
            self.make(folder).resume_or_load("", resume=True)

    def test_weights_alone(self, folder):
        (folder / "last_checkpoint").write_text("model_best.pth")
        message = r"model_best\.pth holds weights alone, .* MODEL\.WEIGHTS to it; to resume from "
        with pytest.raises(ValueError, match=message + r"model_0000002\.pth instead"):
            self.make(folder).resume_or_load("", resume=True)

    def test_no_other(self, folder):
        for i in range(2):
            (folder / f"model_{i:07d}.pth").unlink()
        (folder / "model_0000002.pth").write_bytes(b"half")
        with pytest.raises(ValueError, match="; there is no other checkpoint in "):
            self.make(folder).resume_or_load("", resume=True)

    def test_of_another_network(self, folder):
        other = SOTCheckpointer(Net(width=4), str(folder))
        with pytest.raises(ValueError, match=r"model_0000002\.pth does not fit .*shape"):
            other.resume_or_load("", resume=True)
