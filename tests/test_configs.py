"""Every config that comes with the project: its network is built once, tracks, and trains."""

import math

import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from sot.api import build_model, build_tracker
from sot.config import list_configs, load_config
from sot.engine import Trainer
from sot.engine.solver import parameter_groups
from sot.tracking import build_siamese_tracker

CONFIGS = list_configs()

# Side of the response map at INPUT.SEARCH_SIZE_TEST.
RESPONSES = {
    "SiamFC/siamfc_alex.yaml": 17,
    "SiamRPN/siamrpn_alex.yaml": 17,
    "SiamRPN/siamrpn_alex_dw.yaml": 21,  # of a crop of 287
    "SiamRPN/siamrpn_compact.yaml": 17,
    "SiamRPN/siamrpn_michigan.yaml": 19,  # 271
    "SiamRPN/siamrpn_michigan_wide.yaml": 19,
    "SiamRPN/siamrpn_coco_blog.yaml": 17,
    "SiamRPN++/siamrpn_r50_l234_dw.yaml": 25,
    "SiamRPN++/siamrpn_r50_l234_dw_lt.yaml": 25,
    "SiamRPN++/siamrpn_r50_l234_up.yaml": 25,
    "SiamRPN++/siamrpn_r50_l23_dw.yaml": 25,
    "SiamRPN++/siamrpn_r50_l3_dw.yaml": 25,
    "SiamRPN++/siamrpn_r34_l234_dw.yaml": 25,
    "SiamRPN++/siamrpn_r18_l234_dw.yaml": 25,
    "SiamRPN++/siamrpn_mobilev2_l234_dw.yaml": 25,
}


# The networks with a few of their channels, for tests of what does not depend on the width.
NARROW = {
    "alexnet": ["MODEL.ALEXNET.CHANNELS", "[24, 64, 96, 96, 64]"],
    "resnet18": ["MODEL.RESNETS.STEM_OUT_CHANNELS", 16, "MODEL.RESNETS.RES2_OUT_CHANNELS", 16],
    "resnet50": [
        *("MODEL.RESNETS.STEM_OUT_CHANNELS", 16, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64),
        *("MODEL.RESNETS.WIDTH_PER_GROUP", 16),
    ],
    "mobilenet": ["MODEL.MOBILENET.WIDTH", 0.35],
}
for backbone in ("resnet18", "resnet50", "mobilenet"):
    NARROW[backbone] += ["MODEL.SIAMESE.ADJUST_CHANNELS", "[64]"]

LEVELS = "SiamRPN++/siamrpn_{}_l234_dw.yaml"
FAMILIES = [
    ("SiamFC/siamfc_alex.yaml", "alexnet", []),
    ("SiamRPN/siamrpn_alex.yaml", "alexnet", []),
    ("SiamRPN/siamrpn_alex_dw.yaml", "alexnet", []),
    (LEVELS.format("r18"), "resnet18", []),
    (LEVELS.format("r50"), "resnet50", []),
    (LEVELS.format("r50"), "resnet50", ["MODEL.SIAMESE.LEVEL_HEAD", "UpChannelRPNHead"]),
    (LEVELS.format("mobilev2"), "mobilenet", []),
]


def texture(seed, height, width, cell=8):
    """Random blocks of colour, (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (-(-height // cell), -(-width // cell), 3), dtype=np.uint8)
    return np.repeat(np.repeat(blocks, cell, 0), cell, 1)[:height, :width]


def frame(x, y, side=240):
    """A small textured object at (x, y) over a smooth background."""
    image = cv2.GaussianBlur(texture(0, side, side, 40), (0, 0), 20)
    image[y : y + 40, x : x + 40] = texture(1, 40, 40)
    return image


def training_pairs(cfg):
    """Two pairs of crops with 64x64 objects: in the middle, and off it in the search crop. Search
    crops are smaller than in training: the same code, and less to do."""
    size = cfg.INPUT.TEMPLATE_SIZE
    search_size, batch = size + 32, []
    for seed, shift in ((1, (0, 0)), (2, (12, -8))):
        crops = []
        for side, (dx, dy) in ((size, (0, 0)), (search_size, shift)):
            crop = cv2.GaussianBlur(texture(seed + 10, side, side, 30), (0, 0), 15)
            x, y = (side - 64) // 2 + dx, (side - 64) // 2 + dy
            crop[y : y + 64, x : x + 64] = texture(seed, 64, 64)
            crops.append(torch.from_numpy(crop).permute(2, 0, 1))
        instances = Instances((search_size, search_size))
        instances.gt_boxes = Boxes(torch.tensor([[x, y, x + 64.0, y + 64.0]]))
        instances.gt_negative = torch.tensor([False])
        batch.append({"template": crops[0], "search": crops[1], "instances": instances})
    return batch


def train(model, batch, optimizer, steps=1):
    """Sum of the losses at each step."""
    model.train()
    history = []
    with EventStorage():
        for _ in range(steps):
            losses = model(batch)
            assert losses and all(torch.isfinite(v) and v >= 0 for v in losses.values()), losses
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
            history.append(sum(losses.values()).item())
    return history


def set_norm_statistics(model, cfg):
    """Make the running statistics of a random network's norms those of its own activations, else
    deep networks overflow."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad(), EventStorage():
        model.train()(training_pairs(cfg))
    for norm in norms:
        norm.momentum = 0.1
    return model.eval()


@pytest.fixture(scope="module", params=CONFIGS)
def built(request):
    """Name, config and network with random weights; made once for the tests below."""
    opts = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "TEST.TRACKER.ENGINE", "torch"]
    cfg = load_config(request.param, opts)
    if cfg.TEST.TRACKER.LOST_SEARCH_SIZE:  # 831 is slow
        opts += ["TEST.TRACKER.LOST_SEARCH_SIZE", cfg.INPUT.SEARCH_SIZE_TEST + 64]
        cfg = load_config(request.param, opts)
    torch.manual_seed(0)
    return request.param, cfg, set_norm_statistics(build_model(cfg), cfg)


def test_tracks_three_frames(built):
    name, cfg, model = built
    tracker = build_siamese_tracker(cfg, model)
    sizes, predict = [], tracker.model.predict

    def watched(kernels, features, crop_size):
        out = predict(kernels, features, crop_size)
        if isinstance(out, tuple):  # boxes of all anchors, scores
            assert torch.isfinite(out[0]).all()
            sizes.append(math.isqrt(out[1].shape[1] // tracker.model.num_anchors))
        else:
            sizes.append(out.shape[-1])
        return out

    tracker.model.predict = watched
    tracker.init(frame(100, 100), (100, 100, 40, 40))
    results = [tracker.update(frame(100 + 4 * i, 100)) for i in (1, 2)]
    assert sizes[0] == RESPONSES.get(name, sizes[0]) > 1
    for result in results:
        x, y, w, h = result.box
        assert w > 0 and h > 0 and -w < x < 240 and -h < y < 240
        assert 0 <= result.score <= 1


def test_trains_an_iteration(built):
    """The config's own optimizer and schedule; every parameter that is to be trained gets a
    gradient and moves."""
    _, cfg, model = built
    optimizer = Trainer.build_optimizer(cfg, model)
    schedule = Trainer.build_lr_scheduler(cfg, optimizer)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert {id(p) for g in optimizer.param_groups for p in g["params"]} == set(
        map(id, trained.values())
    )
    train(model, training_pairs(cfg), optimizer)
    schedule.step()
    missing = [name for name, p in trained.items() if p.grad is None or not p.grad.any()]
    assert not missing
    assert all(torch.isfinite(p.grad).all() for p in trained.values())


@pytest.mark.parametrize("name", CONFIGS)
def test_weights_of_a_config_are_there_and_fit(name):
    cfg = load_config(name, ["MODEL.DEVICE", "cpu"])
    if cfg.MODEL.WEIGHTS:
        model = build_model(cfg)
        assert all(torch.isfinite(p).all() for p in model.parameters())
    else:
        with pytest.raises(ValueError, match="without trained weights"):
            build_tracker(cfg)


@pytest.mark.parametrize(
    "name, levels, opts",
    [
        ("l3_dw", ["res3"], []),
        ("l3_dw", ["res5"], []),
        ("l3_dw", ["res4"], ["MODEL.RPN.HEAD_NAME", "UpChannelRPNHead"]),
        ("l23_dw", ["res3", "res5"], []),
        ("l23_dw", ["res4", "res5"], []),
        ("l23_dw", ["res3", "res4"], ["MODEL.SIAMESE.LEVEL_HEAD", "UpChannelRPNHead"]),
    ],
)
def test_overrides_for_other_levels(name, levels, opts):
    """The command lines that stand in the configs, on a narrow network."""
    for key in ("MODEL.RESNETS.OUT_FEATURES", "MODEL.RPN.IN_FEATURES"):
        opts = [*opts, key, str(levels)]
    opts = ["MODEL.DEVICE", "cpu", *NARROW["resnet50"], *opts]
    model = build_model(load_config(f"SiamRPN++/siamrpn_r50_{name}.yaml", opts))
    with torch.no_grad():
        kernels = model.template(torch.zeros(1, 3, 127, 127))
        (logits,), (deltas,) = model.search(kernels, torch.zeros(1, 3, 167, 167))
    assert len(kernels) == 2 * len(levels)
    assert logits.shape == (1, 5, 14, 14) and deltas.shape == (1, 20, 14, 14)


@pytest.mark.parametrize(
    "name, narrow, frozen, unfreeze",
    [
        ("SiamRPN/siamrpn_alex_dw.yaml", "alexnet", 3, [["backbone", 46875]]),
        (LEVELS.format("r50"), "resnet50", 2, [["backbone", 46875]]),
        (
            "SiamDW/siamfc_ciresnet22.yaml",
            None,
            1,
            [
                *(["backbone.res3.2", 37500], ["backbone.res3.1", 84375]),
                *(["backbone.res3.0", 131250], ["backbone.res2.2", 225000]),
                *(["backbone.res2.1", 271875], ["backbone.res2.0", 318750]),
            ],
        ),
    ],
)
def test_overrides_for_training_from_a_classifier(name, narrow, frozen, unfreeze):
    """The command lines that stand in the configs: what never learns, and what learns later."""
    opts = ["MODEL.BACKBONE.FREEZE_AT", frozen, "SOLVER.UNFREEZE", str(unfreeze)]
    cfg = load_config(name, ["MODEL.DEVICE", "cpu", *NARROW.get(narrow, []), *opts])
    model = build_model(cfg)
    starts = {g["name"]: g["start_iter"] for g in parameter_groups(cfg, model)}
    rest = {"head": 0} if len(unfreeze) == 1 else {"head": 0, "backbone": 0}
    assert {n.split("_")[0]: start for n, start in starts.items()} == {**dict(unfreeze), **rest}
    layers = [child for _, child in model.backbone.named_children()]
    learns = [any(p.requires_grad for p in layer.parameters()) for layer in layers]
    assert learns == [False] * frozen + [True] * (len(layers) - frozen)
    norms = [m for layer in layers[:frozen] for m in layer.modules()]
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in norms)


@pytest.mark.parametrize("name, narrow, opts", FAMILIES)
def test_overfits_two_pairs(name, narrow, opts):
    cfg = load_config(name, ["MODEL.DEVICE", "cpu", *NARROW[narrow], *opts])
    model = build_model(cfg)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = train(model, training_pairs(cfg), optimizer, steps=25)
    # anchors are drawn anew at each step: not the last one alone
    assert np.mean(losses[-5:]) < 0.5 * losses[0], losses


@pytest.mark.parametrize("name", CONFIGS)
def test_data_mix_fits_the_training_sets_and_the_schedule(name):
    """Photographs are tracks of one frame, so many that without numbers they would be most."""
    cfg = load_config(name)
    sizes = cfg.DATASETS.TRAIN_EPOCH_SIZE
    if sizes:
        pairs = 100000 if "michigan" in name else 600000
        assert len(sizes) == len(cfg.DATASETS.TRAIN) and sum(sizes) == pairs
    else:
        assert len(cfg.DATASETS.TRAIN) == 1


OURS = ("Base-", "quick_schedules/", "SiamRPN/siamrpn_compact", "SiamRPN/siamrpn_lite")


@pytest.mark.parametrize("name", [n for n in CONFIGS if not n.startswith(OURS)])
def test_recipes_of_papers_name_the_data_of_their_papers(name):
    datasets = load_config(name).DATASETS
    assert not any(n.startswith("synthetic") for n in (*datasets.TRAIN, *datasets.TEST))
