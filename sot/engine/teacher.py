"""A teacher's soft targets for training pairs (MODEL.DISTILL)."""

from typing import Dict, Optional

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.evaluation import inference_context

from ..api import build_model
from ..config import load_config
from ..deploy import NanoTrack
from ..modeling.anchor_generator import response_centers

# The teacher must see what the network sees. So the ratio of the sides of its search and template
# crops may differ from that of the network by at most this much.
MAX_RATIO_ERROR = 0.02


class Teacher:
    """A trained tracker that predicts, for each position of a search crop, whether the target is
    there and its box."""

    def __init__(self, network, template_size: int, search_size: int):
        """``network`` is a SiamRPN in eval mode, or another object with its ``template``,
        ``detect``, ``stride`` and ``num_anchors``. The sizes are the sides of its crops."""
        self.network = network
        self.template_size, self.search_size = template_size, search_size

    @torch.inference_mode()
    def __call__(
        self, template: torch.Tensor, search: torch.Tensor, positions: torch.Tensor
    ) -> torch.Tensor:
        """
        Args:
            template, search: (3, Z, Z) and (3, S, S) uint8 BGR crops.
            positions: (n,) coordinates of the positions of the map, in pixels of the search crop.
                They are the same for both axes.

        Returns:
            Tensor: (5, n, n), the probability of the target, which is interpolated, and the box
                XYXY in pixels of the search crop, which is that of the teacher's nearest position.
        """
        scale = search.shape[-1] / self.search_size
        kernels = self.network.template(_resize(template, self.template_size))
        boxes, scores = self.network.detect(kernels, _resize(search, self.search_size))
        side = round((scores.shape[1] / self.network.num_anchors) ** 0.5)
        scores, best = scores[0].view(side, side, -1).max(dim=2)  # the best anchor of a position
        boxes = boxes[0].view(side, side, -1, 4)
        boxes = boxes.gather(2, best[..., None, None].expand(-1, -1, 1, 4))[:, :, 0] * scale
        (own,) = response_centers((side,), self.network.stride, self.search_size)
        own = own * scale
        # -1..1 spans the map of the teacher
        place = 2 * (positions - own[0]) / (own[-1] - own[0]) - 1
        grid = torch.stack(torch.meshgrid(place, place, indexing="xy"), dim=-1)[None]

        def sample(maps, mode):
            return F.grid_sample(
                maps[None], grid, mode=mode, padding_mode="border", align_corners=True
            )[0]

        probability = sample(scores[None], "bilinear")
        return torch.cat([probability, sample(boxes.permute(2, 0, 1), "nearest")]).float()


def _resize(crop: torch.Tensor, side: int) -> torch.Tensor:
    """(1, 3, side, side) uint8 from (3, S, S)."""
    crop = crop[None]
    if crop.shape[-1] == side:
        return crop
    resized = F.interpolate(crop.float(), size=(side, side), mode="bilinear", align_corners=False)
    return resized.round().to(torch.uint8)


class TeacherMapper:
    """A SiameseDatasetMapper that adds the teacher's map to each pair, as ``instances.gt_teacher``
    (1, 5, n, n). It runs in the workers of the loader."""

    def __init__(self, mapper, teacher: Teacher, positions: torch.Tensor):
        self.mapper, self.teacher, self.positions = mapper, teacher, positions

    def __call__(self, pair: Dict) -> Optional[Dict]:
        item = self.mapper(pair)
        if item is not None:
            found = self.teacher(item["template"], item["search"], self.positions)
            item["instances"].gt_teacher = found[None]
        return item


def search_positions(model, template_size: int, search_size: int) -> torch.Tensor:
    """The coordinates (n,) of the positions of the response map, in pixels of the search crop."""
    template, search = (
        torch.zeros(1, 3, size, size, dtype=torch.uint8) for size in (template_size, search_size)
    )
    with inference_context(model), torch.no_grad():
        (logits, *_), _ = model.search(model.template(template), search)
    return response_centers(logits.shape[-1:], model.stride, search_size)[0]


def build_teacher(cfg: CfgNode) -> Optional[Teacher]:
    """Build the teacher of MODEL.DISTILL.TEACHER on the CPU; None if the key is empty.

    FileNotFoundError: a file is missing. ValueError: onnxruntime is not installed, the files are
    those of another network, or distillation does not work with this teacher or this network."""
    names = list(cfg.MODEL.DISTILL.TEACHER)
    if not names:
        return None
    if cfg.MODEL.META_ARCHITECTURE != "SiamRPN":
        raise ValueError(
            f"MODEL.DISTILL teaches a SiamRPN, not a {cfg.MODEL.META_ARCHITECTURE}; "
            "set MODEL.DISTILL.TEACHER to ()"
        )
    if len(names) != 2:
        raise ValueError(
            "MODEL.DISTILL.TEACHER must name two files: backbone and head of NanoTrack V3 (.onnx), "
            f"or config (.yaml) and weights of a SiamRPN network; not {names}"
        )
    if all(str(name).endswith(".onnx") for name in names):
        network = NanoTrack(*names)
        teacher = Teacher(network, network.template_size, network.search_size)
    else:
        other = load_config(names[0], ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", names[1]])
        if other.MODEL.META_ARCHITECTURE != "SiamRPN":
            raise ValueError(f"MODEL.DISTILL.TEACHER: {names[0]} is not a SiamRPN")
        network = build_model(other)
        teacher = Teacher(network, other.INPUT.TEMPLATE_SIZE, other.INPUT.SEARCH_SIZE_TEST)
    own = cfg.INPUT.SEARCH_SIZE_TRAIN / cfg.INPUT.TEMPLATE_SIZE
    theirs = teacher.search_size / teacher.template_size
    if abs(own / theirs - 1) > MAX_RATIO_ERROR:
        raise ValueError(
            "MODEL.DISTILL.TEACHER: search crop / template crop must be the same for teacher and "
            f"network; it is {theirs:.3f} for the teacher and {own:.3f} here "
            "(INPUT.SEARCH_SIZE_TRAIN / INPUT.TEMPLATE_SIZE)"
        )
    return teacher
