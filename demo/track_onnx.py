#!/usr/bin/env python
"""Follow one object through a video with an exported tracker. Needs NumPy, OpenCV and onnxruntime:

    python tools/export_model.py --config-file SiamRPN/siamrpn_lite.yaml --output exported
    python demo/track_onnx.py --model exported --input clip.mp4 --init-box 120,80,60,90 --output out

It has no online model and no long-term search. Its boxes are, but for rounding, those of
track_video.py with TEST.TRACKER.ONLINE.ENABLED False, TEST.TRACKER.LOST_SEARCH_SIZE 0 and
TEST.TRACKER.ENGINE onnxruntime. out/boxes.csv has a row for each frame, with the box in pixels."""

import argparse
import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime


class Tracker:
    """The target: its centre (x, y) and its size (w, h), arrays in frame pixels."""

    def __init__(self, folder: Path):
        self.s = s = json.loads((folder / "tracker.json").read_text(encoding="utf-8"))
        files = {"template": s["template"], "search": s["search"][str(s["search_size"])]}
        self.graphs = {k: onnxruntime.InferenceSession(folder / v) for k, v in files.items()}
        self.is_siamfc = s["tracker"] == "SiamFC"
        steps = np.arange(s["num_scales"]) - s["num_scales"] // 2
        self.scales = s["scale_step"] ** steps if self.is_siamfc else np.ones(1)

    def run(self, graph, *arrays):
        names = (node.name for node in self.graphs[graph].get_inputs())
        return self.graphs[graph].run(None, dict(zip(names, arrays)))

    def start(self, image, x, y, w, h):
        self.center, self.size = np.array([x + w / 2, y + h / 2]), np.array([w, h])
        self.pad, self.status, self.score = cv2.mean(image)[:3], "init", 1.0
        self.kernels = self.run("template", self.crop(image, self.s["template_size"])[None])

    def per_pixel(self):
        """Frame pixels per crop pixel."""
        context = self.s["context"] * self.size.sum()
        return np.sqrt(np.prod(self.size + context)) / self.s["template_size"]

    def crop(self, image, size, scale=1.0):
        """Cut the crop (3, size, size) as SubwindowTransform in sot/data/transforms.py does."""
        side = self.per_pixel() * size * scale
        if self.s.get("crop") == "pysot":
            return self.crop_whole_pixels(image, size, side)
        origin, ratio, shrink = self.center - side / 2, np.full(2, side / size), int(side / size)
        if shrink >= 2:  # pixels are averaged first
            limit = np.array(image.shape[1::-1])
            lo = np.clip(np.floor(origin) - shrink, 0, limit - 1).astype(int)
            hi = np.clip(np.ceil(origin + side) + shrink, lo + 1, limit).astype(int)
            reduced = np.maximum(np.rint((hi - lo) / shrink), 1).astype(int)
            part = image[lo[1] : hi[1], lo[0] : hi[0]]
            image = cv2.resize(part, tuple(map(int, reduced)), interpolation=cv2.INTER_AREA)
            factor = (hi - lo) / reduced
            origin, ratio = (origin - lo) / factor, ratio / factor
        shift = origin + 0.5 * ratio - 0.5  # pixel i has its centre at i + 0.5
        matrix = np.array([[ratio[0], 0, shift[0]], [0, ratio[1], shift[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(image, matrix, (size, size), flags=flags, borderValue=self.pad)
        return np.ascontiguousarray(crop.transpose(2, 0, 1))

    def crop_whole_pixels(self, image, size, side):
        """Cut the crop as WholePixelTransform there does."""
        side, height, width = max(round(side), 1), *image.shape[:2]
        left, top = np.floor(self.center - (side + 1) / 2 + 1e-6).astype(int)
        right, bottom = left + side, top + side
        part = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        outside = [max(v, 0) for v in (-top, bottom - height, -left, right - width)]
        color = [int(v + 1e-6) for v in self.pad]
        part = cv2.copyMakeBorder(part, *outside, cv2.BORDER_CONSTANT, value=color)
        return np.ascontiguousarray(cv2.resize(part, (size, size)).transpose(2, 0, 1))

    def step(self, image):
        per_pixel = self.per_pixel()
        crops = np.stack([self.crop(image, self.s["search_size"], k) for k in self.scales])
        kernels = [k.repeat(len(crops), axis=0) for k in self.kernels]
        *outputs, _ = self.run("search", crops, *kernels)
        match = self.match_response if self.is_siamfc else self.match_boxes
        shift, size, self.score, rate = match(*outputs, self.size / per_pixel)
        self.status = "tracked" if self.score >= self.s["confidence_threshold"] else "uncertain"
        limit = np.array(image.shape[1::-1], dtype=float)
        self.center = np.clip(self.center + shift * per_pixel, 0, limit)
        self.size = self.size + rate * (size * per_pixel - self.size)
        self.size = np.clip(self.size, np.minimum(self.s.get("min_side", 4.0), limit), limit)

    def match_boxes(self, boxes, scores, previous):
        """SiamRPN: the shift from the centre of the crop, the size, the score, and the rate at
        which the size changes."""
        s, boxes, scores, influence = self.s, boxes[0], scores[0], self.s["window_influence"]
        side = round((len(boxes) / s["num_anchors"]) ** 0.5)
        sizes = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
        area, before = (np.prod(x + x.sum(-1, keepdims=True) / 2, -1) for x in (sizes, previous))
        ratio, scale = sizes[:, 0] / sizes[:, 1] * previous[1] / previous[0], (area / before) ** 0.5
        change = np.maximum(ratio, 1 / ratio) * np.maximum(scale, 1 / scale)
        penalty = np.exp(-s["penalty_k"] * (change - 1))  # SiamRPN, Sec. 4.3
        window = np.outer(np.hanning(side), np.hanning(side)).repeat(s["num_anchors"])
        ranking = (1 - influence) * penalty * scores + influence * window
        if s["center_size"]:
            inside = np.abs(np.arange(side) - (side - 1) / 2) < s["center_size"] / 2
            ranking[~np.outer(inside, inside).repeat(s["num_anchors"])] = -np.inf
        best = ranking.argmax()
        box, rate = boxes[best].astype(float), penalty[best] * scores[best] * s["size_lr"]
        shift = (box[:2] + box[2:] - s["search_size"]) / 2
        return shift, box[2:] - box[:2], float(scores[best]), float(rate)

    def match_response(self, responses, previous):
        """SiamFC: the same values, for the peak of the response over the scales."""
        s, up, influence = self.s, self.s["response_up"], self.s["window_influence"]
        fine = [cv2.resize(r, None, fx=up, fy=up, interpolation=cv2.INTER_CUBIC) for r in responses]
        peaks, factor = np.max(fine, axis=(1, 2)), np.where(self.scales == 1, 1, s["scale_penalty"])
        k = np.where(peaks > 0, peaks * factor, peaks / factor).argmax()
        positive, n = fine[k] - fine[k].min(), len(fine[k])
        window = np.outer(np.hanning(n), np.hanning(n))
        values = (1 - influence) * positive / max(positive.sum(), 1e-16)
        y, x = divmod(int((values + influence * window / window.sum()).argmax()), n)
        shift = (np.array([x, y]) - (n - 1) / 2) * s["stride"] / up * self.scales[k]
        return shift, previous * self.scales[k], 1 / (1 + np.exp(-fine[k][y, x])), s["size_lr"]


def natural_key(name: str):
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def parse_box(text: str):
    """'x,y,w,h' -> four floats. ValueError: it is another text."""
    try:
        box = [float(v) for v in text.split(",")]
    except ValueError:
        box = []
    if len(box) != 4 or not np.isfinite(box).all() or min(box[2:]) <= 0:
        raise ValueError(f"--init-box {text}: give four numbers x,y,w,h, with w and h above 0")
    return box


def read_frames(source: str):
    """BGR images of a video file, or of a folder of images, of which 2.jpg comes before 10.jpg."""
    if Path(source).is_dir():
        paths = sorted(Path(source).iterdir(), key=lambda path: natural_key(path.name))
        images = (cv2.imread(str(path)) for path in paths)
    else:
        video = cv2.VideoCapture(source)
        images = (image for _, image in iter(video.read, (False, None)))
    return (image for image in images if image is not None)


def main():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--model", required=True, type=Path, help="folder of export_model.py")
    parser.add_argument("--input", required=True, help="video file, or folder of images")
    parser.add_argument("--init-box", required=True, help="x,y,w,h in the first frame, pixels")
    parser.add_argument("--output", required=True, type=Path, help="folder for boxes.csv")
    args, count = parser.parse_args(), 0
    box, tracker = parse_box(args.init_box), Tracker(args.model)
    args.output.mkdir(parents=True, exist_ok=True)
    with open(args.output / "boxes.csv", "w", encoding="utf-8") as f:
        print("frame,target,x,y,w,h,score,status", file=f)
        for count, image in enumerate(read_frames(args.input), 1):
            tracker.step(image) if count > 1 else tracker.start(image, *box)
            row = [*(tracker.center - tracker.size / 2), *tracker.size, tracker.score]
            print(count - 1, 0, *(f"{v:.4f}" for v in row), tracker.status, sep=",", file=f)
    if not count:
        raise ValueError(f"--input: no frame of {args.input} can be read")
    print(f"{count} frames; results: {args.output / 'boxes.csv'}")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
