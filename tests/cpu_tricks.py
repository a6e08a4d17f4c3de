"""What each piece of CPU arithmetic gains: processor time with it over that without it, in turns.

    python tests/cpu_tricks.py [--turns 20]

Each line is a geometric mean of the ratio with its 95 % interval. One thread; processor time, not
time of the clock, so that other programs on the machine disturb it less.
"""

import argparse
import copy
import ctypes
import time
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

import sot
from sot.modeling import fuse, rpn_heads, siamese_rpn
from sot.utils.cpu import M_MMAP_MAX, M_TRIM_THRESHOLD, keep_freed_memory


def compare(name, with_it, without, turns):
    """Print the ratio of the processor times of two functions."""
    functions = [with_it, without]
    for function in functions:
        function()
    logs = []
    for turn in range(turns):
        seconds = {}
        for i in (0, 1) if turn % 2 else (1, 0):
            begin = time.process_time()
            functions[i]()
            seconds[i] = time.process_time() - begin
        logs.append(np.log(seconds[0] / seconds[1]))
    mean, error = np.mean(logs), 1.96 * np.std(logs, ddof=1) / np.sqrt(turns)
    low, middle, high = np.exp([mean - error, mean, mean + error])
    print(f"{name:60} {middle:.3f}  [{low:.3f}, {high:.3f}]", flush=True)


@contextmanager
def usual_memory():
    """What glibc does by default."""
    mallopt = ctypes.CDLL("libc.so.6").mallopt
    mallopt(M_MMAP_MAX, 65536), mallopt(M_TRIM_THRESHOLD, 128 << 10)
    yield
    keep_freed_memory()


def network(config, *opts):
    return sot.build_model(sot.load_config(config, ["MODEL.DEVICE", "cpu", *opts]))


def stepper(model, size, repeats=4, targets=1):
    crops = torch.randint(0, 256, (targets, 3, size, size), dtype=torch.uint8)

    @torch.inference_mode()
    def step():
        for _ in range(repeats):
            model.detect(kernels, crops)

    with torch.inference_mode():
        kernels = model.template(crops[..., :127, :127])
    return step


def without_channels_last(model):
    return copy.deepcopy(model).to(memory_format=torch.contiguous_format)


def plain_decode(self, anchors, deltas):
    anchors, deltas = Boxes.cat(anchors).tensor, torch.cat(deltas, dim=1)
    tiled = anchors.expand(len(deltas), -1, -1).reshape(-1, 4)
    return self.box2box_transform.apply_deltas(deltas.reshape(-1, 4), tiled).view_as(deltas)


def tracking(config, turns):
    size = sot.load_config(config).INPUT.SEARCH_SIZE_TEST
    model = network(config).eval()
    fused = fuse.fuse_for_inference(model)
    now = stepper(fused, size)

    def patched(*args):
        def step():
            with mock.patch.object(*args):
                now()

        return step

    def ablated(*args):
        with mock.patch.object(*args):
            return stepper(fuse.fuse_for_inference(model), size)

    compare(f"{config}: the fused copy", now, stepper(model, size), turns)
    compare("  of it: folded norms", now, ablated(fuse, "_fold_norm", lambda conv: None), turns)
    compare("  of it: activations in place", now, ablated(fuse, "IN_PLACE", {}), turns)
    compare("  of it: 1x1 as product", now, ablated(fuse, "_is_pointwise", lambda m: False), turns)
    joined = ablated(rpn_heads.DepthwiseRPNHead, "fused", lambda self: self)
    compare("  of it: joined branches of the head", now, joined, turns)
    compare("  of it: channels_last", now, stepper(without_channels_last(fused), size), turns)
    rpn = siamese_rpn.SiameseRPN
    compare("  decode of all boxes at once", now, patched(rpn, "_decode", plain_decode), turns)


def trainer(model, autocast=False, num_pairs=4):
    torch.manual_seed(0)
    model = model.train()
    truth = Instances((255, 255))
    truth.gt_boxes, truth.gt_negative = Boxes([[96, 96, 160, 160]]), torch.tensor([False])
    pairs = [
        {
            "template": torch.randint(0, 256, (3, 127, 127), dtype=torch.uint8),
            "search": torch.randint(0, 256, (3, 255, 255), dtype=torch.uint8),
            "instances": truth,
        }
        for _ in range(num_pairs)
    ]

    def step():
        with EventStorage(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            losses = model(pairs)
        model.zero_grad()
        sum(losses.values()).backward()

    return step


def training(turns):
    for config in ("SiamRPN/siamrpn_compact.yaml", "SiamRPN/siamrpn_lite.yaml"):
        step = trainer(network(config))

        def usual(step=step):
            with usual_memory():
                step()

        compare(f"{config}, training: freed memory kept", step, usual, turns)
    model = network("SiamRPN/siamrpn_compact.yaml")
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    compare("  channels_last (bfloat16)", trainer(last, True), trainer(model, True), turns)
    model = network("SiamRPN/siamrpn_lite.yaml")
    other = copy.deepcopy(model)
    other.backbone._frozen_layers = plain_frozen
    compare("  frozen layers compiled", trainer(model), trainer(other), turns)
    other = copy.deepcopy(model)
    other.backbone._frozen_layers.CHUNK = 1000
    many = [trainer(m, num_pairs=16) for m in (model, other)]
    compare("  frozen layers by four images", *many, turns)


@torch.no_grad()
def plain_frozen(layers, positions, x):
    outputs = []
    for i, layer in enumerate(layers):
        x = layer(x)
        if i in positions:
            outputs.append(x)
    return outputs


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=20)
    turns = parser.parse_args().turns
    torch.set_num_threads(1)
    keep_freed_memory()
    for config in ("SiamRPN/siamrpn_lite.yaml", "SiamRPN/siamrpn_compact.yaml"):
        tracking(config, turns)
    training(turns)
