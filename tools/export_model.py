#!/usr/bin/env python3
"""Export the tracker of a config as ONNX files, for onnxruntime and other programs:

    python tools/export_model.py --config-file SiamRPN/siamrpn_lite.yaml --output exported
    python demo/track_onnx.py --model exported --input clip.mp4 --init-box 120,80,60,90 --output out

This writes template.onnx, search.onnx and tracker.json into the folder: the graphs with their
weights, and the settings of the tracker. sot/deploy/export.py describes them. It needs onnx and
onnxscript.

    python tools/export_model.py --config-file SiamRPN/siamrpn_lite.yaml --without-weights \\
        --output sot/deploy/graphs/siamrpn_lite

writes the graphs that come with the package, for TEST.TRACKER.ENGINE auto. They depend on the
architecture and not on the weights, so they stay when other weights are published.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; see utils/cpu.py

from sot.api import build_model
from sot.config import load_config
from sot.deploy import crop_sizes, export_network, network_key, tracker_settings
from sot.utils.command_line import add_config_options, make_parser, one_line_errors


@one_line_errors()
def main(argv=None) -> int:
    parser = make_parser(__doc__)
    add_config_options(parser, required=True)
    parser.add_argument("--output", required=True, help="folder, made if it is missing")
    parser.add_argument(
        "--without-weights", action="store_true", help="graphs alone, for any weights"
    )
    args = parser.parse_intermixed_args(argv)
    cfg = load_config(args.config_file, [*args.opts, "MODEL.DEVICE", "cpu"])
    if args.without_weights:
        cfg.MODEL.WEIGHTS, settings = "", {"network": network_key(cfg)}
    else:
        settings = tracker_settings(cfg)
        if not cfg.MODEL.WEIGHTS and "MODEL.WEIGHTS" not in args.opts:
            raise ValueError(
                "this config comes without trained weights: name a file (MODEL.WEIGHTS)"
            )
    model, sizes = build_model(cfg), crop_sizes(cfg)
    export_network(model, Path(args.output), *sizes, not args.without_weights, **settings)
    print(f"exported to {args.output}: template.onnx, search.onnx, tracker.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
