#!/usr/bin/env python
"""
Convert a PySOT checkpoint to this project's names and channel orders, and list what became what.

    python tools/convert_pysot.py siamrpn_alex_dwxcorr.pth --output siamrpn_alex_dw.pth

Not needed to use such a file: MODEL.WEIGHTS takes PySOT's checkpoints as they are. The networks
that are known are listed in sot/checkpoint/pysot.py (ARCHITECTURES).
"""

import argparse
import sys

import torch

from sot.checkpoint.checkpointer import load_tensors, split_weights
from sot.checkpoint.pysot import convert_pysot, find_table, is_pysot


def convert(source: str, output: str) -> None:
    """Write the PySOT checkpoint ``source`` to ``output``; ValueError if it is not one."""
    try:
        weights, _ = split_weights(load_tensors(source))
        if not is_pysot(weights):
            raise ValueError("not a PySOT checkpoint: no tensor's name begins with rpn_head.")
        architecture, table = find_table(weights)
        converted = convert_pysot(weights)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    for key, value in weights.items():
        new = converted[table[key]]
        print(f"{key} {tuple(value.shape)} -> {table[key]} {tuple(new.shape)}")
    with open(output, "wb") as f:
        torch.save({"model": converted}, f)
    count = sum(value.numel() for value in converted.values())
    print(f"PySOT {architecture}: {len(converted)} tensors, {count:,} numbers, written to {output}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Convert a PySOT checkpoint.")
    parser.add_argument("checkpoint", help="PySOT's .pth file")
    parser.add_argument("--output", required=True, help="file to write, for MODEL.WEIGHTS")
    args = parser.parse_args()
    try:
        convert(args.checkpoint, args.output)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
