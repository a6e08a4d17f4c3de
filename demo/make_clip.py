#!/usr/bin/env python3
"""Make a clip like demo/clip.mp4 and its boxes: a synthetic sequence that the project owns.

python demo/make_clip.py --output DIR

demo/clip.mp4 itself was rendered by an earlier version, and stays as it is. Frames and boxes are
the same in every run; the bytes of the video depend on the encoder.
"""

import argparse
from pathlib import Path

import numpy as np

from sot.boxes import to_xywh
from sot.data.datasets.synthetic import SyntheticFrames
from sot.visualization import VideoWriter

FPS = 24
CLIP = SyntheticFrames(seed=2_014_013, length=144, size=(270, 480))  # of no training or test split


def write_boxes(boxes: np.ndarray, path: Path):
    """XYXY (T, 4) as one `x,y,w,h` per line."""
    np.savetxt(path, to_xywh(boxes), fmt="%.2f", delimiter=",")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    with VideoWriter(str(output / "clip.mp4"), FPS, crf="21", preset="slow") as writer:
        for i in range(len(CLIP)):
            writer.write(CLIP[i])
    write_boxes(CLIP.annotation()[0], output / "clip_groundtruth.txt")
    print(f"{len(CLIP)} frames are in {output / 'clip.mp4'}, the boxes in clip_groundtruth.txt")


if __name__ == "__main__":
    main()
