import numpy as np
import pytest
import torch

from sot.config import load_config
from sot.engine.teacher import Teacher, TeacherMapper, build_teacher, search_positions

TINY = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""]
COMPACT = "SiamRPN/siamrpn_compact.yaml"


class FakeNetwork:
    """Crops of 31 and 63, a map of 3 x 3 positions 16 px apart, two anchors each."""

    stride, num_anchors = 16, 2

    def __init__(self):
        self.sizes = []

    def template(self, crops):
        self.sizes.append(crops.shape[-1])
        return [crops]

    def detect(self, kernels, crops):
        self.sizes.append(crops.shape[-1])
        # the second anchor is the better one; probabilities 0, .1, ..., .8 row by row
        scores = torch.stack([torch.zeros(9), torch.arange(9) / 10], dim=1).view(1, 18)
        boxes = torch.zeros(9, 2, 4)
        boxes[:, 1] = torch.arange(9)[:, None] * torch.ones(4)
        return boxes.view(1, 18, 4), scores


def crops(template=31, search=63):
    return [torch.zeros(3, size, size, dtype=torch.uint8) for size in (template, search)]


def test_the_teachers_own_positions_give_its_own_map():
    # the first of three positions of a crop of 63: (63 - 2 * 16) / 2
    positions = torch.tensor([15.5, 31.5, 47.5])
    found = Teacher(FakeNetwork(), 31, 63)(*crops(), positions)
    assert torch.allclose(found[0], torch.arange(9).view(3, 3) / 10, atol=1e-6)
    assert torch.allclose(found[1], torch.arange(9.0).view(3, 3))


def test_between_positions_the_probability_is_interpolated_and_the_box_the_nearest():
    found = Teacher(FakeNetwork(), 31, 63)(*crops(), torch.tensor([19.5, 31.5]))
    # a quarter of the way from 0 to 1 on both axes: row 0.25 * 3, column 0.25
    assert found[0, 0, 0].item() == pytest.approx((0.75 + 0.25) / 10, abs=1e-6)
    assert found[1, 0, 0].item() == 0.0
    assert found[1, 1, 1].item() == 4.0


def test_other_crop_sizes_are_resized_and_boxes_scaled_back():
    network = FakeNetwork()
    found = Teacher(network, 31, 63)(*crops(62, 126), torch.tensor([31.0, 63.0, 95.0]))
    assert network.sizes == [31, 63]
    assert torch.allclose(found[0], torch.arange(9).view(3, 3) / 10, atol=1e-6)
    assert torch.allclose(found[1], 2 * torch.arange(9.0).view(3, 3))


def test_outside_of_the_map_its_border_counts():
    found = Teacher(FakeNetwork(), 31, 63)(*crops(), torch.tensor([-100.0, 200.0]))
    assert torch.allclose(found[0], torch.tensor([[0.0, 0.2], [0.6, 0.8]]), atol=1e-6)


def test_the_mapper_passes_on_what_cannot_be_read():
    mapper = TeacherMapper(lambda pair: None, Teacher(FakeNetwork(), 31, 63), torch.zeros(1))
    assert mapper({}) is None


def test_no_teacher():
    assert build_teacher(load_config(COMPACT, TINY)) is None


@pytest.mark.parametrize(
    "opts, message",
    [
        (["MODEL.DISTILL.TEACHER", ("a.onnx", "b.onnx")], "a.onnx"),
        (["MODEL.DISTILL.TEACHER", ("a.onnx",)], "must name two files"),
        (["MODEL.DISTILL.TEACHER", ("SiamFC/siamfc_alex.yaml", "")], "is not a SiamRPN"),
        (
            ["MODEL.DISTILL.TEACHER", (COMPACT, ""), "INPUT.SEARCH_SIZE_TRAIN", 287],
            "search crop / template crop must be the same",
        ),
        (
            ["MODEL.DISTILL.TEACHER", (COMPACT, ""), "MODEL.META_ARCHITECTURE", "SiamFC"],
            "teaches a SiamRPN",
        ),
    ],
)
def test_a_teacher_that_does_not_work_is_named(opts, message):
    with pytest.raises((ValueError, FileNotFoundError, ImportError), match=message):
        build_teacher(load_config(COMPACT, [*TINY, *opts]))


def test_the_own_network_as_teacher_sees_what_it_would_detect():
    cfg = load_config(COMPACT, [*TINY, "MODEL.DISTILL.TEACHER", (COMPACT, "")])
    teacher = build_teacher(cfg)
    positions = search_positions(
        teacher.network, cfg.INPUT.TEMPLATE_SIZE, cfg.INPUT.SEARCH_SIZE_TRAIN
    )
    # a crop of 255, stride 8: 17 positions, the first at (255 - 16 * 8) / 2
    assert positions.tolist() == [63.5 + 8 * k for k in range(17)]
    template, search = (
        torch.from_numpy(np.random.default_rng(k).integers(0, 256, (3, size, size), np.uint8))
        for k, size in ((0, 127), (1, 255))
    )
    found = teacher(template, search, positions)
    with torch.inference_mode():
        boxes, scores = teacher.network.detect(
            teacher.network.template(template[None]), search[None]
        )
    best = scores.view(17, 17, 5).max(dim=2)
    assert torch.allclose(found[0], best.values, atol=1e-5)
    chosen = boxes.view(17, 17, 5, 4)[4, 9, best.indices[4, 9]]
    assert torch.allclose(found[1:, 4, 9], chosen, atol=1e-3)
