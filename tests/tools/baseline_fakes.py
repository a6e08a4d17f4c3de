"""Stand-ins for OpenCV's trackers, which other processes can import."""

import os

import numpy as np


class Fake:
    """Keeps its box; fails on a first image that is `bad`, or takes its process down."""

    bad, dead = 100, 200  # grey levels

    def init(self, image, box):
        if image[0, 0, 0] == self.bad:
            raise RuntimeError("assertion failed")
        if image[0, 0, 0] == self.dead:
            os._exit(3)
        self.box = box

    def update(self, image):
        return True, self.box


def make_fake(name, models):
    if name == "CSRT":
        raise ValueError("no tracker CSRT")
    return Fake()


def image(level):
    return np.full((60, 80, 3), level, np.uint8)
