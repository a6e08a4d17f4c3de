#!/usr/bin/env python
r"""Convert weights of an image classifier to the backbone of a config, to start a training from,
and list what loaded, what did not, and why.

    # torchvision's ResNet-50, -34, -18, MobileNetV2 (width 1.0) or AlexNet: .pth
    wget https://download.pytorch.org/models/resnet50-0676ba61.pth
    # detectron2's ResNet-50 (or a detector with it): .pkl or .pth
    wget https://dl.fbaipublicfiles.com/detectron2/ImageNetPretrained/torchvision/R-50.pkl

    python tools/convert_pretrained.py resnet50-0676ba61.pth --output r50.pth \
        --config-file CONFIG.yaml [KEY VALUE ...]

Then train with r50.pth and with the same values of the keys that decide about its tensors:

MODEL:
  WEIGHTS: "r50.pth"
  PIXEL_MEAN: [0.0, 0.0, 0.0]  # the config's: the first convolution was converted to them
  PIXEL_STD: [1.0, 1.0, 1.0]
  BACKBONE:
    NAME: "build_atrous_resnet_backbone"
    FREEZE_AT: 2               # stem and res2 keep the classifier's weights; 0: all are trained
  RESNETS:
    DEPTH: 50                  # 18 and 34 with RES2_OUT_CHANNELS 64
    OUT_FEATURES: ["res3", "res4", "res5"]

or, for torchvision's other networks,

MODEL:
  BACKBONE:
    NAME: "build_mobilenet_backbone"
  MOBILENET:
    WIDTH: 1.0

MODEL:
  BACKBONE:
    NAME: "build_alexnet_backbone"
  ALEXNET:
    CHANNELS: [64, 192, 384, 256, 256]

sot/checkpoint/pretrained.py says how the networks differ and what is done about it.
"""

import sys

import sot  # isort: skip  # noqa: F401  (first, since it silences a warning of detectron2's import)
import torch
from detectron2.modeling import build_backbone

from sot.checkpoint.array_pickle import load_pickle
from sot.checkpoint.checkpointer import load_tensors, split_weights
from sot.checkpoint.pretrained import PIXELS, convert_pretrained
from sot.config import load_config
from sot.utils.command_line import add_config_options, make_parser, one_line_errors
from sot.utils.files import atomic_write


def convert(source: str, output: str, cfg, pixels=None) -> None:
    """Write the backbone of ``cfg`` with the weights of the file ``source`` to ``output``.
    ValueError: see convert_pretrained; names the file."""
    # what the file does not have is the same at every run
    torch.manual_seed(max(cfg.SEED, 0))
    backbone = build_backbone(cfg)
    try:
        content = load_pickle(source) if source.endswith(".pkl") else load_tensors(source)
        weights, others = split_weights(content)
        if pixels is None and others.get("__author__") in PIXELS:
            pixels = others["__author__"]
        model = cfg.MODEL
        result = convert_pretrained(weights, backbone, model.PIXEL_MEAN, model.PIXEL_STD, pixels)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    print(result.report())
    with atomic_write(output) as f:
        torch.save({"model": result.weights}, f)
    print(f"written to {output}, for MODEL.WEIGHTS")


@one_line_errors()
def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("weights", help="the classifier's .pth or .pkl file")
    parser.add_argument("--output", required=True, help="file to write, for MODEL.WEIGHTS")
    parser.add_argument(
        "--pixels", choices=list(PIXELS), help="what the classifier was fed, if not the usual"
    )
    add_config_options(parser, required=True, help="config whose backbone to convert to")
    args = parser.parse_intermixed_args()
    convert(args.weights, args.output, load_config(args.config_file, args.opts), args.pixels)
    return 0


if __name__ == "__main__":
    sys.exit(main())
