#!/usr/bin/env python3
"""Make the clip that `make demo` tracks, and the true boxes of its two targets:

    python docs/make_clip.py --photos .../site-packages/skimage/data

A hand-held camera looks down on gravel. The first target, a cup, passes another cup that looks like
it. The second target, the photo of a cat, is hidden under the cup and comes out again.

The photographs come with scikit-image (`pip install scikit-image`). All are under CC0: coffee.png
by Rachel Michetti, chelsea.png by Stefan van der Walt, gravel.png from CC0Textures."""

import argparse
from pathlib import Path

import sot  # noqa: F401 isort: skip  (first, since it silences a warning of detectron2's import)
import cv2
import numpy as np

from sot.visualization import VideoWriter

DEMO = Path(__file__).resolve().parent.parent / "demo"
SIZE, RATE, FRAMES = (640, 360), 25, 200
INSTANTS = 4  # pictures that are averaged to a frame, which gives motion blur
GROUND = 1100  # side of the ground, in its pixels
SHADOW = (9, 6)  # how far (y, x) shadows lie from their objects, in pixels of the clip

# Paths: time in 0..1, then x and y on the ground, scale, and angle in degrees.
CUP = [
    *((0, 330, 560, 0.34, 0), (0.2, 430, 520, 0.34, -14), (0.4, 570, 570, 0.35, 10)),
    *((0.55, 700, 520, 0.34, 30), (0.8, 640, 420, 0.34, 55), (1, 520, 430, 0.34, 70)),
]
OTHER_CUP = [
    *((0, 800, 420, 0.33, 40), (0.25, 690, 390, 0.33, 20), (0.5, 570, 400, 0.33, -10)),
    *((0.75, 430, 480, 0.33, -30), (1, 380, 560, 0.33, -50)),
]
PHOTO = [
    *((0, 600, 620, 0.21, -12), (0.3, 580, 590, 0.21, 0), (0.5, 590, 575, 0.21, 6)),
    *((0.75, 570, 590, 0.21, -16), (1, 640, 570, 0.21, -30)),
]
CAMERA = [
    *((0, 540, 520, 1, 0), (0.3, 530, 510, 1.08, 1.5), (0.6, 600, 500, 1.15, -2)),
    *((0.85, 580, 500, 1, 1), (1, 560, 510, 0.95, 0)),
]


def cut_out_cup(image):
    """BGRA of the cup, its saucer and its spoon. Their outlines are two ellipses and a line."""
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.ellipse(mask, ((278, 228), (400, 316), 12), 255, -1)
    cv2.ellipse(mask, ((290, 115), (236, 188), 0), 255, -1)
    cv2.line(mask, (395, 130), (414, 74), 255, 16)
    return np.dstack([image, cv2.GaussianBlur(mask, (0, 0), 1.2)])[10:395, 70:490]


def print_photo(image):
    """BGRA of a photograph with a white border."""
    image = cv2.copyMakeBorder(image, 18, 18, 18, 18, cv2.BORDER_CONSTANT, value=(235, 240, 242))
    return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])


def light_ground(texture):
    """The ground (GROUND, GROUND, 3), float32, which is brightest at the upper left."""
    ground = cv2.resize(texture, (GROUND, GROUND), interpolation=cv2.INTER_CUBIC)
    y, x = np.indices((GROUND, GROUND), np.float32) / GROUND
    light = 1.12 - 0.45 * np.hypot(x - 0.35, y - 0.3)
    return ground * light[..., None] * np.float32([0.7, 0.81, 0.89])


def place_on(path, time):
    """The values of a path at ``time``: cubic Hermite interpolation."""
    times, *columns = np.transpose(path)
    i = min(np.searchsorted(times, time, side="right"), len(times) - 1) - 1
    step = times[i + 1] - times[i]
    u = (time - times[i]) / step
    weights = [2 * u**3 - 3 * u**2 + 1, 3 * u**2 - 2 * u**3, u**3 - 2 * u**2 + u, u**3 - u**2]
    slopes = [step * np.gradient(column, times) for column in columns]
    return [
        np.dot(weights, [*column[i : i + 2], *slope[i : i + 2]])
        for column, slope in zip(columns, slopes)
    ]


def similarity(middle, scale, angle, to):
    """The 3x3 matrix that turns and scales about ``middle``, which it moves to ``to``."""
    matrix = cv2.getRotationMatrix2D(middle, angle, scale)
    matrix[:, 2] += np.subtract(to, middle)
    return np.vstack([matrix, (0, 0, 1)])


def lay(canvas, sprite, matrix):
    """Draw a BGRA picture with its shadow onto the float canvas."""
    warped = cv2.warpAffine(sprite, matrix[:2], SIZE).astype(np.float32)
    alpha = warped[..., 3:] / 255
    shadow = cv2.GaussianBlur(np.roll(alpha[..., 0], SHADOW, (0, 1)), (0, 0), 6)
    canvas *= (1 - 0.55 * shadow[..., None]) * (1 - alpha)
    canvas += alpha * warped[..., :3]


def box_of(sprite, matrix):
    """x,y,w,h of the opaque pixels of a picture, whether or not something hides them."""
    y, x = np.nonzero(sprite[..., 3] > 127)
    x, y = (matrix @ [x + 0.5, y + 0.5, np.ones(len(x))])[:2]
    return x.min(), y.min(), x.max() - x.min(), y.max() - y.min()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="folder of the photographs")
    photos = parser.parse_args().photos
    coffee, cat, gravel = (
        cv2.imread(str(photos / f"{name}.png")) for name in ("coffee", "chelsea", "gravel")
    )
    ground, cup, photo = light_ground(gravel), cut_out_cup(coffee), print_photo(cat)
    objects = [(photo, PHOTO), (cup[:, ::-1].copy(), OTHER_CUP), (cup, CUP)]  # the last is on top
    random = np.random.default_rng(0)
    shake = cv2.GaussianBlur(random.normal(size=(FRAMES * INSTANTS, 3)), (1, 0), 0.1, sigmaY=18)
    shake *= [3, 3, 0.5] / shake.std(axis=0)  # pixels, pixels, degrees
    boxes, writer = [[], []], VideoWriter(str(DEMO / "cups.mp4"), RATE)
    writer.options = {"crf": "28", "preset": "slow"}
    with writer:
        for i in range(FRAMES):
            frame = np.zeros((*SIZE[::-1], 3))
            for k in range(INSTANTS):
                time = min(1, (i + 0.5 * k / INSTANTS) / (FRAMES - 1))
                x, y, zoom, angle = place_on(CAMERA, time)
                dx, dy, turn = shake[i * INSTANTS + k]
                to = np.divide(SIZE, 2)
                camera = similarity((x + dx, y + dy), zoom, angle + turn, to)
                canvas = cv2.warpAffine(ground, camera[:2], SIZE)
                for sprite, path in objects:
                    *to, scale, angle = place_on(path, time)
                    middle = np.divide(sprite.shape[1::-1], 2)
                    matrix = camera @ similarity(middle, scale, angle, to)
                    lay(canvas, sprite, matrix)
                    if k == INSTANTS // 2 and path is not OTHER_CUP:
                        boxes[0 if path is CUP else 1].append(box_of(sprite, matrix))
                frame += canvas / INSTANTS
            frame += random.normal(scale=2.5, size=frame.shape)
            writer.write(frame.clip(0, 255).astype(np.uint8))
    for name, rows in zip(("cups_groundtruth_0.txt", "cups_groundtruth_1.txt"), boxes):
        np.savetxt(DEMO / name, rows, fmt="%.1f", delimiter=",")


if __name__ == "__main__":
    main()
