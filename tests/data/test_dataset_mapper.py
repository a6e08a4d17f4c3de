import logging

import cv2
import numpy as np
import pytest
import torch

from sot.config import load_config
from sot.data import SiameseDatasetMapper
from sot.data.frames import FrameError, ImageFrames

CONFIG = "SiamRPN/siamrpn_compact.yaml"
IMAGE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)


class OneFrame:
    def __init__(self, image):
        self.image, self.reads = image, 0

    def __getitem__(self, index):
        self.reads += 1
        if self.image is None:
            raise FrameError("image broken.jpg does not decode")
        return self.image


def pair(seed=5, negative=False, image=IMAGE):
    frame = {
        "name": "one",
        "frames": OneFrame(image),
        "index": 0,
        "box": np.array([40, 30, 70, 60], np.float32),
    }
    return {"template": frame, "search": frame, "negative": negative, "seed": seed}


def plain(**keys):
    opts = ["INPUT.GRAY_PROB", 0.0, "INPUT.FLIP_PROB", 0.0]
    for branch in ("TEMPLATE_AUG", "SEARCH_AUG"):
        for key in ("SHIFT", "SCALE", "BLUR_PROB", "COLOR_PROB"):
            opts += [f"INPUT.{branch}.{key}", 0.0]
    for key, value in keys.items():
        opts += [f"INPUT.{key}", value]
    return SiameseDatasetMapper(load_config(CONFIG, opts))


def test_log_names_the_augmentations(caplog):
    with caplog.at_level(logging.INFO):
        plain(**{"SEARCH_AUG.OCCLUSION_PROB": 0.25})
    template, search, both = (record.getMessage() for record in caplog.records[-3:])
    assert template.startswith("template crops: TargetCrop(size=127, ")
    assert search.endswith(", Occlusion() with probability 0.25")
    assert both == "both crops of a pair: gray_prob 0, flip_prob 0"


def test_shapes_types_and_centred_box_without_augmentation():
    item = plain()(pair())
    assert item["template"].shape == (3, 127, 127) and item["template"].dtype == torch.uint8
    assert item["search"].shape == (3, 255, 255) and item["search"].is_contiguous()
    # 30 px box, 60 px with context -> 127
    half = 30 * 127 / 60 / 2
    box = item["instances"].gt_boxes.tensor
    assert torch.allclose(box, torch.tensor([[127.5 - half] * 2 + [127.5 + half] * 2]))
    assert item["instances"].gt_negative.tolist() == [False]


@pytest.mark.parametrize("numpy_1_23", [False, True])
def test_same_seed_same_crops_and_global_state_untouched(monkeypatch, numpy_1_23):
    if numpy_1_23:
        monkeypatch.delattr(np.random, "set_bit_generator", raising=False)
    mapper = SiameseDatasetMapper(load_config(CONFIG))
    np.random.seed(1)
    expected = np.random.RandomState(1).rand(3)
    a, b, c = mapper(pair(7)), mapper(pair(7)), mapper(pair(8))
    assert np.array_equal(np.random.rand(3), expected)
    assert torch.equal(a["search"], b["search"]) and torch.equal(a["template"], b["template"])
    assert not torch.equal(a["search"], c["search"])


def test_flip_moves_the_box_with_the_picture():
    straight, flipped = plain()(pair()), plain(FLIP_PROB=1.0)(pair())
    assert torch.equal(straight["search"].flip(2), flipped["search"])
    a, b = (x["instances"].gt_boxes.tensor[0] for x in (straight, flipped))
    assert torch.allclose(b, torch.stack([255 - a[2], a[1], 255 - a[0], a[3]]))


def test_warp_moves_the_box_with_the_picture():
    """A white ellipse: its bounds are the box that the warp gives, within a pixel."""
    image = np.zeros((90, 120, 3), np.uint8)
    cv2.ellipse(image, (55, 45), (15, 8), 0, 0, 360, (255, 255, 255), -1, cv2.LINE_AA)
    shown = pair(image=image)
    box = np.array([39.5, 36.5, 71.5, 54.5])  # pixels 40..70 and 37..53, and half of the next
    shown["search"] = {**shown["search"], "box": box}
    warped = plain(**{"SEARCH_AUG.WARP_PROB": 1.0})
    warped.branches[1].warp.rotate = 40.0  # more than in training, to see the box change
    boxes = []
    for seed in range(8):
        item = warped({**shown, "seed": seed})
        y, x = np.nonzero(item["search"][0].numpy() > 127)
        found = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
        boxes.append(item["instances"].gt_boxes.tensor[0].numpy())
        # 4 crop pixels are one of the frame
        np.testing.assert_allclose(boxes[-1], found, atol=4)
    assert np.ptp(boxes, axis=0).max() > 4


def test_occlusion_hides_a_part_and_keeps_the_box():
    clear, hidden = plain()(pair()), plain(**{"SEARCH_AUG.OCCLUSION_PROB": 1.0})(pair())
    assert torch.equal(clear["instances"].gt_boxes.tensor, hidden["instances"].gt_boxes.tensor)
    assert torch.equal(clear["template"], hidden["template"])
    changed = (clear["search"] != hidden["search"]).any(dim=0).float().mean()
    assert 0.001 < changed < 0.05


def test_gray_makes_channels_equal_in_both_crops():
    item = plain(GRAY_PROB=1.0)(pair())
    for key in ("template", "search"):
        assert torch.equal(item[key][0], item[key][1]) and torch.equal(item[key][1], item[key][2])


def test_one_frame_is_decoded_once():
    p = pair()
    plain()(p)
    assert p["template"]["frames"].reads == 1


def smooth_picture(height, width, cell=8):
    shape = (height // cell + 2, width // cell + 2, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def jpeg_pair(path, box, seed=5):
    frame = {
        "name": "one",
        "frames": ImageFrames([str(path)]),
        "index": 0,
        "box": np.array(box, np.float32),
    }
    return {"template": frame, "search": frame, "negative": False, "seed": seed}


@pytest.mark.parametrize("side, reduction", [(100, 1), (140, 2), (300, 4), (620, 8)])
def test_large_targets_are_decoded_smaller_and_look_the_same(
    tmp_path, monkeypatch, side, reduction
):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), smooth_picture(603, 805, cell=40), [cv2.IMWRITE_JPEG_QUALITY, 95])
    reads, read = [], ImageFrames.read
    monkeypatch.setattr(ImageFrames, "read", lambda *a: reads.append(read(*a)) or reads[-1])
    x, y = 400.5 - side / 2, 310.25 - side / 2
    for opts in ({}, {"FLIP_PROB": 1.0}, {"SEARCH_AUG.SHIFT": 64.0, "SEARCH_AUG.SCALE": 0.02}):
        mapper, p = plain(**opts), jpeg_pair(path, (x, y, x + side, y + side))
        reads.clear()
        small = mapper(p)
        assert [r for _, r in reads] == [reduction]
        p["template"]["frames"] = p["search"]["frames"] = OneFrame(cv2.imread(str(path)))
        full = mapper(p)
        assert torch.allclose(
            small["instances"].gt_boxes.tensor, full["instances"].gt_boxes.tensor, atol=1e-3
        )
        for key in ("template", "search"):
            difference = (small[key].float() - full[key].float()).abs()
            assert difference.mean() < 1
            # but for where the pad colour begins
            assert (difference > 8).float().mean() < 0.02


def test_gray_pair_is_the_luma_of_the_coloured_one(tmp_path):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), smooth_picture(300, 400), [cv2.IMWRITE_JPEG_QUALITY, 95])
    gray, colour = (
        plain(GRAY_PROB=prob)(jpeg_pair(path, (150, 100, 250, 200)))["search"].numpy()
        for prob in (1.0, 0.0)
    )
    luma = np.tensordot([0.114, 0.587, 0.299], colour, axes=1)
    assert np.abs(gray[0] - luma).max() < 4
    assert (gray[0] == gray[1]).all() and (gray[0] == gray[2]).all()


@pytest.mark.parametrize(
    "box", [(50, 40, 51, 41), (-900, -800, 1100, 900), (-30, -20, 10, 15), (118, 88, 140, 100)]
)
def test_one_pixel_huge_and_partly_outside_boxes(tmp_path, box):
    cv2.imwrite(str(tmp_path / "a.jpg"), IMAGE)
    item = SiameseDatasetMapper(load_config(CONFIG))(jpeg_pair(tmp_path / "a.jpg", box))
    assert item["template"].shape == (3, 127, 127) and item["search"].shape == (3, 255, 255)
    x0, y0, x1, y1 = item["instances"].gt_boxes.tensor[0].tolist()
    assert 0 < x0 < x1 < 255 and 0 < y0 < y1 < 255
    # width / height up to the random scales of x and y
    assert 0.6 < (x1 - x0) / (y1 - y0) / ((box[2] - box[0]) / (box[3] - box[1])) < 1.7


def test_cut_off_jpeg_gives_none_and_a_warning(tmp_path, caplog):
    path = tmp_path / "cut.jpg"
    cv2.imwrite(str(path), IMAGE)
    path.write_bytes(path.read_bytes()[:1000])
    assert plain()(jpeg_pair(path, (40, 30, 70, 60))) is None
    assert "cut.jpg does not decode" in caplog.text


def test_negative_flag_is_kept():
    assert plain()(pair(negative=True))["instances"].gt_negative.tolist() == [True]


def test_frame_that_does_not_decode_gives_none_and_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        assert plain()(pair(image=None)) is None
    assert "broken.jpg" in caplog.text
