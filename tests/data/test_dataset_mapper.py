import logging

import numpy as np
import torch

from sot.config import load_config
from sot.data import SiameseDatasetMapper
from sot.data.frames import FrameError

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
    frame = {"frames": OneFrame(image), "index": 0, "box": np.array([40, 30, 70, 60], np.float32)}
    return {"template": frame, "search": frame, "negative": negative, "seed": seed}


def plain(**keys):
    opts = ["INPUT.GRAY_PROB", 0.0, "INPUT.FLIP_PROB", 0.0]
    for branch in ("TEMPLATE_AUG", "SEARCH_AUG"):
        for key in ("SHIFT", "SCALE", "BLUR_PROB", "COLOR_PROB"):
            opts += [f"INPUT.{branch}.{key}", 0.0]
    for key, value in keys.items():
        opts += [f"INPUT.{key}", value]
    return SiameseDatasetMapper(load_config(CONFIG, opts))


def test_shapes_types_and_centred_box_without_augmentation():
    item = plain()(pair())
    assert item["template"].shape == (3, 127, 127) and item["template"].dtype == torch.uint8
    assert item["search"].shape == (3, 255, 255) and item["search"].is_contiguous()
    # 30 px box, 60 px with context -> 127
    half = 30 * 127 / 60 / 2
    box = item["instances"].gt_boxes.tensor
    assert torch.allclose(box, torch.tensor([[127.5 - half] * 2 + [127.5 + half] * 2]))
    assert item["instances"].gt_negative.tolist() == [False]


def test_same_seed_same_crops_and_global_state_untouched():
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


def test_gray_makes_channels_equal_in_both_crops():
    item = plain(GRAY_PROB=1.0)(pair())
    for key in ("template", "search"):
        assert torch.equal(item[key][0], item[key][1]) and torch.equal(item[key][1], item[key][2])


def test_one_frame_is_decoded_once():
    p = pair()
    plain()(p)
    assert p["template"]["frames"].reads == 1


def test_negative_flag_is_kept():
    assert plain()(pair(negative=True))["instances"].gt_negative.tolist() == [True]


def test_frame_that_does_not_decode_gives_none_and_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        assert plain()(pair(image=None)) is None
    assert "broken.jpg" in caplog.text
