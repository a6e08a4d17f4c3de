#!/usr/bin/env python3
r"""Draw the training pairs as the network sees them, and the positions of targets in search crops:

    python tools/visualize_pairs.py --config-file configs/SiamRPN/siamrpn_lite.yaml \
        --output output/pairs DATASETS.TRAIN "('coco:photos:photos.json', 'folder:videos')"

OUTPUT/pairs.png       template and search crop of the first pairs that a training with this seed
                       draws, with the target and the anchors that the network matches with it
OUTPUT/positions.png   statistics of more pairs: the centre, the area and the size of the target
                       (SiamRPN++, Figure 1)

KEY VALUE pairs follow as for train_net.py. Compare, for example,

    ... INPUT.SEARCH_AUG.SHIFT 0.0
    ... DATALOADER.NEGATIVE_PAIR_FRACTION 0.5 MODEL.RPN.IOU_THRESHOLDS "[0.3, 0.5]"
"""

import os
import sys
from itertools import chain, islice
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; see utils/cpu.py

import sot  # isort: skip  (first, since it silences a warning of detectron2's import)
import numpy as np
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances, pairwise_iou
from pair_plots import PairView, anchor_noun, draw_pairs, draw_positions
from tqdm import tqdm

from sot.boxes import sides_of
from sot.data import build_siamese_train_loader
from sot.modeling.anchor_generator import response_centers
from sot.utils.command_line import add_config_options, make_parser, one_line_errors

MAX_DRAWN = 300
NAME_LENGTH = 21  # letters that fit below a template
BATCH = 8  # pairs that a loader worker hands over at once


def caption(pair: str):
    """The names of the two frames of a pair, which the mapper gives as "A -> B", with their middle
    left out where they are longer than NAME_LENGTH."""
    half = (NAME_LENGTH - 1) // 2
    frames = pair.split(" -> ")
    return [f if len(f) <= NAME_LENGTH else f"{f[:half]}…{f[-half:]}" for f in frames]


class AnchorLabels:
    """Anchors of a network with a proposal generator, and their labels in training."""

    def __init__(self, model, kernels, search):
        self.rpn = model.proposal_generator
        self.levels = []
        hook = self.rpn.anchor_generator.register_forward_hook(
            lambda module, inputs, anchors: self.levels.extend(anchors)
        )
        model.detect(kernels, search)
        hook.remove()
        self.anchors = Boxes.cat(self.levels).tensor.numpy()

    def __call__(self, instances: Instances):
        """(R,) bool, the anchors on the box; and (R,) the labels 1, 0 or -1 after sampling."""
        overlaps = pairwise_iou(instances.gt_boxes, Boxes.cat(self.levels))
        _, matched = self.rpn.anchor_matcher(overlaps)
        (labels,), _ = self.rpn.label_and_sample_anchors(self.levels, [instances])
        return matched.numpy() == 1, labels.numpy()


class PositionLabels:
    """Positions of SiamFC's response as anchors of no size, and their labels in training."""

    def __init__(self, model, kernels, search):
        self.model = model
        self.size = model.detect(kernels, search).shape[1:]
        self.crop_size = search.shape[-1]
        ys, xs = response_centers(self.size, model.stride, self.crop_size)
        y, x = (v.reshape(-1) for v in torch.meshgrid(ys, xs, indexing="ij"))
        self.anchors = torch.stack([x, y, x, y], dim=1).numpy()

    def __call__(self, instances: Instances):
        """The same as in AnchorLabels. All positions are used."""
        same = Instances(instances.image_size, gt_boxes=instances.gt_boxes)
        same.gt_negative = torch.zeros_like(instances.gt_negative)
        matched, labels = (
            self.model.label_positions(self.size, self.crop_size, [i])[0].reshape(-1).numpy()
            for i in (same, instances)
        )
        return matched, labels.astype(int)


@torch.no_grad()
def build_labels(cfg, item):
    """AnchorLabels or PositionLabels of the config's network for crops like those of ``item``."""
    cfg = cfg.clone()
    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg).eval()  # its weights do not matter
    kernels = model.template(item["template"][None])
    kind = AnchorLabels if hasattr(model, "proposal_generator") else PositionLabels
    return kind(model, kernels, item["search"][None])


def view(item, labels, with_crops: bool) -> PairView:
    """The parts of a training item that are drawn."""
    instances = item["instances"]
    return PairView(
        instances.gt_boxes.tensor[0].numpy(),
        bool(instances.gt_negative),
        *labels(instances),
        crops=(item["template"].numpy(), item["search"].numpy()) if with_crops else None,
        caption=caption(item["name"]),
    )


def visualize(cfg, output, num_pairs: int, num_positions: int) -> str:
    """Write pairs.png and positions.png with these numbers of pairs. Both begin with the same
    pairs. Returns a summary."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(cfg.SEED)  # the sampling of anchors draws from it
    items = chain.from_iterable(build_siamese_train_loader(cfg))
    total = max(num_pairs, num_positions)
    labels, views = None, []
    for i, item in enumerate(tqdm(islice(items, total), "pairs", total, mininterval=1)):
        labels = labels or build_labels(cfg, item)
        views.append(view(item, labels, i < num_pairs))
    size, shift = cfg.INPUT.SEARCH_SIZE_TRAIN, cfg.INPUT.SEARCH_AUG.SHIFT
    files = output / "pairs.png", output / "positions.png"
    draw_pairs(views[:num_pairs], labels.anchors, files[0])
    draw_positions(views, labels.anchors, size, shift, files[1])
    return f"{summary(views, labels.anchors)}\n{files[0]}, {files[1]}"


def summary(views, anchors) -> str:
    """A summary of the pairs in a few lines: their targets, and the anchors that match."""
    boxes = np.stack([v.box for v in views])
    width, height = np.median(sides_of(boxes), axis=0)
    positive = [v for v in views if not v.negative]
    lines = [
        f"{len(views)} pairs, {100 * (1 - len(positive) / len(views)):.1f} % negative",
        f"median target {width:.0f} x {height:.0f} px",
    ]
    if positive:
        matched = np.array([v.matched.sum() for v in positive])
        used = np.array([(v.labels == 1).sum() for v in positive])
        lines.append(
            f"positive pairs: {matched.mean():.1f} {anchor_noun(anchors)}s match, "
            f"{used.mean():.1f} are used; none in {100 * np.mean(used == 0):.1f} % of the pairs"
        )
    return "\n".join(lines)


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add_config_options(parser, default="SiamRPN/siamrpn_lite.yaml")
    parser.add_argument("--output", required=True, help="folder for the two pictures")
    parser.add_argument(
        "--num-pairs",
        type=int,
        default=24,
        help=f"pairs in pairs.png, up to {MAX_DRAWN} (%(default)s)",
    )
    parser.add_argument(
        "--num-positions",
        type=int,
        default=2000,
        help="pairs in positions.png (%(default)s), thousands for a smooth picture",
    )
    parser.add_argument("--seed", type=int, help="of the draw of pairs (the config's SEED)")
    args = parser.parse_intermixed_args(argv)
    if args.seed is not None and args.seed < 0:
        parser.error(f"--seed {args.seed}: it must be at least 0")
    if not 0 < args.num_pairs <= MAX_DRAWN:
        parser.error(f"--num-pairs {args.num_pairs}: it must be from 1 to {MAX_DRAWN}")
    if args.num_positions < 1:
        parser.error(f"--num-positions {args.num_positions}: it must be at least 1")
    return args


@one_line_errors()
def main(argv=None) -> int:
    args = parse_args(argv)
    cfg = sot.load_config(args.config_file, args.opts)
    cfg.SOLVER.IMS_PER_BATCH = BATCH
    cfg.SEED = max(cfg.SEED, 0) if args.seed is None else args.seed
    print(visualize(cfg, args.output, args.num_pairs, args.num_positions))
    return 0


if __name__ == "__main__":
    sys.exit(main())
