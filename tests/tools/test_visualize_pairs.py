import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from tool_modules import load_tool

from sot import load_config

ANCHORS, POSITIONS = "SiamRPN/siamrpn_compact.yaml", "SiamFC/siamfc_alex.yaml"


@pytest.fixture(scope="module")
def tool():
    return load_tool("visualize_pairs")


@pytest.fixture
def videos(tmp_path):
    """A data set of two short videos, as KEY VALUE."""
    rng = np.random.default_rng(0)
    for name in ("cat", "a_dog_with_a_very_long_name"):
        folder = tmp_path / "videos" / name
        (folder / "img").mkdir(parents=True)
        for i in range(3):
            image = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / "img" / f"{i}.jpg"), image)
        (folder / "groundtruth_rect.txt").write_text("20,20,30,20\n" * 3)
    names = f"('folder:{tmp_path / 'videos'}',)"
    return ["DATASETS.TRAIN", names, "DATALOADER.NUM_WORKERS", "0"]


def run(tool, tmp_path, name, opts, config=ANCHORS):
    options = ["--config-file", config, "--num-pairs", "3", "--num-positions", "12", "--seed", "5"]
    code = tool.main(["--output", str(tmp_path / name), *options, *opts])
    files = sorted(p.name for p in (tmp_path / name).iterdir())
    return code, files, [(tmp_path / name / f).read_bytes() for f in files]


def test_two_pictures_that_the_seed_decides(tool, tmp_path, videos, capsys):
    code, files, content = run(tool, tmp_path, "out", videos)
    assert code == 0 and files == ["pairs.png", "positions.png"]
    printed = capsys.readouterr().out
    assert "12 pairs" in printed and "anchors match" in printed
    assert str(tmp_path / "out" / "pairs.png") in printed
    assert run(tool, tmp_path, "again", videos)[2] == content


def test_network_without_anchors(tool, tmp_path, videos, capsys):
    opts = [*videos, "DATALOADER.NEGATIVE_PAIR_FRACTION", "0.0"]
    code, files, _ = run(tool, tmp_path, "out", opts, POSITIONS)
    assert code == 0 and files == ["pairs.png", "positions.png"]
    printed = capsys.readouterr().out
    assert "0.0 % negative" in printed and "positions match" in printed


SIZES = {"template": 127, "search": 255}


def item(box, negative=False):
    instances = Instances((255, 255), gt_boxes=Boxes(torch.tensor([box])))
    instances.gt_negative = torch.tensor([negative])
    crops = {s: torch.zeros(3, n, n, dtype=torch.uint8) for s, n in SIZES.items()}
    return {**crops, "instances": instances}


class TestAnchorLabels:
    @pytest.fixture
    def labels(self, tool):
        return tool.build_labels(load_config(ANCHORS), item([95.5, 95.5, 159.5, 159.5]))

    def test_target_of_an_anchor_s_size_in_the_middle(self, labels):
        # overlaps of at least 0.6 with a 64 x 64 box: the square anchors moved by (8, 0), (8, 8)
        # and (16, 0), overlaps 0.78, 0.62 and 0.6; the others' shapes overlap by 0.55 at best
        matched, sampled = labels(item([95.5, 95.5, 159.5, 159.5])["instances"])
        boxes = labels.anchors[matched]
        assert np.allclose(boxes[:, 2:] - boxes[:, :2], 64)
        offsets = {tuple(v) for v in ((boxes[:, :2] + boxes[:, 2:]) / 2 - 127.5).tolist()}
        near = {(0, 0), (8, 0), (-8, 0), (0, 8), (0, -8), (8, 8), (8, -8), (-8, 8), (-8, -8)}
        far = {(16, 0), (-16, 0), (0, 16), (0, -16)}
        assert near <= offsets <= near | far
        assert ((sampled == 1) == matched).all()  # no more than the 16 that are sampled
        assert (sampled == 0).sum() == 64 - matched.sum()

    def test_negative_pair_has_no_positive_anchor(self, labels):
        matched, sampled = labels(item([95.5, 95.5, 159.5, 159.5], negative=True)["instances"])
        assert matched.any() and not (sampled == 1).any()
        assert (sampled[matched] == 0).all()


class TestPositionLabels:
    @pytest.fixture
    def labels(self, tool):
        cfg = load_config(POSITIONS, ["MODEL.SIAMFC.POS_RADIUS", "16.0"])
        return tool.build_labels(cfg, item([95.5, 95.5, 159.5, 159.5]))

    def test_positions_around_the_middle(self, labels):
        # stride 8 and radius 16: (i, j) with i^2 + j^2 <= 4
        matched, used = labels(item([95.5, 115.5, 159.5, 139.5])["instances"])
        assert matched.sum() == 13
        offsets = labels.anchors[matched] - 127.5
        assert np.hypot(offsets[:, 0], offsets[:, 1]).max() == 16
        assert (offsets[:, :2] == offsets[:, 2:]).all()  # no size
        assert (used == matched).all()

    def test_negative_pair(self, labels):
        matched, used = labels(item([95.5, 115.5, 159.5, 139.5], negative=True)["instances"])
        assert matched.sum() == 13 and not used.any()


def test_captions(tool):
    assert tool.caption("cat frame 4 -> cat frame 7") == ["cat frame 4", "cat frame 7"]
    photo = "COCO_train2014_000000123456.jpg#3 frame 0"
    assert tool.caption(f"{photo} -> {photo}") == ["COCO_train…#3 frame 0"] * 2


@pytest.mark.parametrize(
    "options, message",
    [
        (["--config-file", "no.yaml"], "no.yaml"),
        (["NO.SUCH", "1"], "NO.SUCH"),
        (["DATASETS.TRAIN", "('folder:/no/such',)"], "/no/such"),
    ],
)
def test_what_cannot_be_found_is_named(tool, tmp_path, capsys, options, message):
    assert tool.main(["--output", str(tmp_path), *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error


@pytest.mark.parametrize(
    "options", [["--num-pairs", "0"], ["--num-pairs", "9999"], ["--seed", "-1"], []]
)
def test_bad_call(tool, tmp_path, options):
    with pytest.raises(SystemExit) as exit_info:
        tool.main([*(["--output", str(tmp_path)] if options else []), *options])
    assert exit_info.value.code == 2
