#!/usr/bin/env python3
"""Make the pictures of the demo clip, after `make demo`:

    python docs/make_pictures.py

docs/how_it_works.png shows what the default network sees and predicts, demo/tracked.jpg six frames
of the result."""

from pathlib import Path

import sot  # isort: skip  (first, since it silences a warning of detectron2's import)
import cv2
import numpy as np
import torch
from detectron2.structures import Boxes, Instances

from sot.boxes import to_xyxy
from sot.data.datasets import read_boxes
from sot.data.frames import VideoFrames
from sot.data.transforms import TargetCrop
from sot.engine.vis import draw_predictions

ROOT = Path(__file__).resolve().parent.parent
FRAMES = (75, 130)  # frames of the search crops; the template is from frame 0
TRACKED_FRAMES = ((0, 62, 78), (104, 117, 190))


def pair_of(clip, boxes, cfg, frame: int) -> dict:
    """Template crop of frame 0 and search crop of ``frame``, which is off the target's centre."""
    pair = {}
    for name, i, size, shift in [
        ("template", 0, cfg.INPUT.TEMPLATE_SIZE, 0),
        ("search", frame, cfg.INPUT.SEARCH_SIZE_TEST, 40),
    ]:
        crop = TargetCrop(size, cfg.INPUT.TEMPLATE_SIZE, cfg.INPUT.CONTEXT_AMOUNT, shift)
        transform = crop.get_transform(clip[i], boxes[i : i + 1])
        pair[name] = torch.from_numpy(transform.apply_image(clip[i])).permute(2, 0, 1)
        truth = transform.apply_box(boxes[i : i + 1])
    instances = Instances((size, size), gt_boxes=Boxes(torch.from_numpy(truth).float()))
    instances.gt_negative = torch.zeros(1, dtype=torch.bool)
    return {**pair, "instances": instances}


@torch.no_grad()
def main():
    cfg = sot.load_config("SiamRPN/siamrpn_lite.yaml", ["MODEL.DEVICE", "cpu"])
    model = sot.build_model(cfg)
    clip = VideoFrames(ROOT / "demo" / "cups.mp4")
    boxes = to_xyxy(read_boxes(ROOT / "demo" / "cups_groundtruth_0.txt"))
    np.random.seed(0)
    pairs = [pair_of(clip, boxes, cfg, frame) for frame in FRAMES]
    picture = draw_predictions(pairs, model(pairs), model.stride)
    cv2.imwrite(str(ROOT / "docs" / "how_it_works.png"), picture[::-1].transpose(1, 2, 0))
    tracked = VideoFrames(ROOT / "output" / "demo" / "tracked.mp4")
    picture = cv2.vconcat([cv2.hconcat([tracked[i] for i in row]) for row in TRACKED_FRAMES])
    picture = cv2.resize(picture, None, fx=0.625, fy=0.625, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(ROOT / "demo" / "tracked.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
