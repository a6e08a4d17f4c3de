#!/usr/bin/env python3
"""Strip a training checkpoint to its weights (their average, if it was trained with SOLVER.EMA) in
half precision, named by their hash:

    python tools/publish_model.py output/model_final.pth weights/siamrpn_lite

writes weights/siamrpn_lite_<first 8 digits of the file's SHA-256>.pth, for MODEL.WEIGHTS. A
checkpoint of PySOT is converted, too, although MODEL.WEIGHTS also takes it as it is."""

import hashlib
import io
import sys
from pathlib import Path

import torch

from sot.checkpoint.checkpointer import averaged_weights, read_checkpoint
from sot.utils.command_line import make_parser, one_line_errors
from sot.utils.files import atomic_write


def publish(source: str, stem: str) -> Path:
    """Write the weights of ``source`` to ``<stem>_<hash>.pth`` and return that path. ValueError:
    ``source`` is no checkpoint, or a weight is not finite in half precision."""
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in averaged_weights(read_checkpoint(source)).items()
    }
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{source}: {name} is not finite in half precision")
    content = io.BytesIO()
    torch.save({"model": weights}, content)
    digest = hashlib.sha256(content.getvalue()).hexdigest()[:8]
    path = Path(f"{stem}_{digest}.pth")
    with atomic_write(str(path)) as f:
        f.write(content.getvalue())
    return path


@one_line_errors()
def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("checkpoint", help="file that train_net.py saved")
    parser.add_argument("stem", help="path of the result without _<hash>.pth")
    args = parser.parse_args()
    path = publish(args.checkpoint, args.stem)
    print(f"{path} ({path.stat().st_size / 1e6:.2f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
