import pytest
import torch

from sot.config import load_config, resolve_device

CONFIG = "SiamRPN/siamrpn_compact.yaml"


@pytest.mark.parametrize(
    "key, value, match",
    [
        ("MODEL.BACKBONE.NAME", "build_alexnt", "'build_alexnt' is not known; known are .*alexnet"),
        ("TEST.TRACKER.CROP", "exact", "'exact' is not known; known are subpixel, pysot"),
        ("MODEL.RPN.HEAD_NAME", "Head", "'Head' is not known; known are .*DepthwiseRPNHead"),
        (
            "MODEL.META_ARCHITECTURE",
            "SiamRPM",
            "'SiamRPM' is not known; known are .*SiamFC, SiamRPN",
        ),
        ("MODEL.DEVICE", "xyz", "'xyz' is not available: write cpu or cuda"),
        ("MODEL.DEVICE", "mps", "'mps' is not available"),
        ("SOLVER.MAX_ITER", 0, "is 0: it must be at least 1"),
        ("SOLVER.CHECKPOINT_PERIOD", 0, "is 0: it must be at least 1"),
        ("SOLVER.IMS_PER_BATCH", -1, "is -1: it must be at least 1"),
        ("TEST.EVAL_PERIOD", -1, "is -1: it must be at least 0"),
        ("INPUT.SEARCH_SIZE_TEST", 100, "is 100: it must be at least INPUT.TEMPLATE_SIZE"),
        ("INPUT.SEARCH_AUG.BLUR_PROB", 1.5, "is 1.5: it must be from 0 to 1"),
        ("INPUT.GRAY_PROB", float("nan"), "is nan: its numbers must be finite"),
        ("TEST.TRACKER.SIZE_LR", -0.1, "is -0.1: it must be from 0 to 1"),
        ("INPUT.CONTEXT_AMOUNT", -3.0, "is -3.0: it must be at least 0"),
        ("INPUT.SEARCH_AUG.SCALE", 1.0, "is 1.0: it must be at most 0.99"),
        ("INPUT.SEARCH_AUG.SCALE", -0.1, "is -0.1: it must be at least 0"),
        ("MODEL.ANCHOR_GENERATOR.SIZES", [[-5]], r"is \[\[-5\]\]: it must be above 0"),
        ("MODEL.ALEXNET.KERNELS", [11, 0, 3, 3, 3], r"is \[11, 0, .*: it must be at least 1"),
        ("MODEL.ALEXNET.STRIDES", [0, 1, 1, 1, 1], "is .*: it must be at least 1"),
        ("MODEL.ALEXNET.POOL_STRIDES", [-1, 2, 0, 0, 0], "is .*: it must be at least 0"),
        ("MODEL.COMPACT.CHANNELS", [0, 8, 8, 8], "is .*: it must be at least 1"),
        ("MODEL.CIR.STRIDES", (0, 2), r"is \(0, 2\): it must be from 1 to 2"),
        ("MODEL.MOBILENET.WIDTH", 0.0, "is 0.0: it must be above 0"),
        ("MODEL.SIAMESE.HEAD_CHANNELS", -8, "is -8: it must be at least 0"),
        ("MODEL.COMPACT.CHANNELS", [8, 8], r"is \[8, 8\]: it must hold 4 numbers"),
        ("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [[]], r"is \[\[\]\]: it must hold a number"),
        ("MODEL.RPN.POSITIVE_FRACTION", 5.0, "is 5.0: it must be from 0 to 1"),
        ("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "x", "'x' is not known; known are value, norm, full"),
        ("SOLVER.BASE_LR", 0.0, "is 0.0: it must be above 0"),
        ("SEED", 2**32, "is 4294967296: it must be at most 4294967295"),
        ("SOLVER.MOMENTUM", -0.5, "is -0.5: it must be at least 0"),
        ("SOLVER.STEPS", (100, -1), r"is \(100, -1\): it must be at least 0"),
        ("SOLVER.BASE_LR", float("nan"), "is nan: its numbers must be finite"),
        ("SOLVER.BASE_LR", 10**400, "is inf: its numbers must be finite"),
        ("MODEL.PIXEL_MEAN", [1.0], r"is \[1.0\]: it must hold 3 numbers"),
        ("MODEL.PIXEL_STD", [1.0, 0.0, 1.0], r"is \[.*\]: it must be above 0"),
        ("TEST.TRACKER.SCALE_STEP", 0.0, "is 0.0: it must be at least 1"),
        ("TEST.EXPECTED_RESULTS", [5], "has 5: write .*tolerance"),
        ("OUTPUT_DIR", "", "is empty: name a folder"),
        ("INPUT.SEARCH_SIZE_TEST", 100_000, "is 100000: it must be at most 4096"),
    ],
)
def test_impossible_value_is_named_with_its_key(key, value, match):
    with pytest.raises(ValueError, match=f"{key} {match}"):
        load_config(CONFIG, [key, value])


def test_batch_that_cannot_be_scaled():
    with pytest.raises(ValueError, match="IMS_PER_BATCH is 32: .*REFERENCE_WORLD_SIZE, 3"):
        load_config(CONFIG, ["SOLVER.IMS_PER_BATCH", 32, "SOLVER.REFERENCE_WORLD_SIZE", 3])


def test_gpu_that_is_not_there_becomes_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("cuda:0") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("cuda:0") == "cuda:0"
