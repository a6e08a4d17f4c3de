#!/usr/bin/env python3
r"""Analyse the response of a trained network as in SiamRPN++ (Li et al., CVPR 2019).

    python tools/analyze_response.py equivariance --config-file SiamRPN/siamrpn_lite.yaml
    python tools/analyze_response.py center --shifts 0 16 32 64 --config-file ...
    python tools/analyze_response.py channels --dataset lasot_test --config-file ...

equivariance  the difference between the features of a shifted crop and the shifted features (Sec.
              3.1), for each layer of the backbone and for the response: the norm of the difference
              divided by the norm of the features, where both have values. It is 0 without padding.
center        the mean response over pairs whose targets are shifted by up to --shifts pixels,
              beside the positions of the targets (Fig. 1). A network with a bias to the centre has
              its response in the centre, wherever the targets are.
channels      the channels of a depthwise response by category (Fig. 5): the selectivity of a
              channel is (a - b) / (a + b) of its mean peak a for the category that has the
              largest, and b for the others. A category is a sequence's name up to its last "-".

A pair is the first frame and a later frame of a sequence. The pairs are spread over the sequences
of --dataset. The results are NAME.png and NAME.json in OUTPUT. KEY VALUE pairs may follow as for
train_net.py, such as MODEL.WEIGHTS for your own weights."""

import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Sequence

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; see utils/cpu.py

import sot  # isort: skip  (first, since it silences a warning of detectron2's import)
import numpy as np
import torch
from analyze_model import response_of

from sot.config import load_config
from sot.data import get_tracks
from sot.data.dataset_mapper import numpy_seed
from sot.data.transforms import TargetCrop
from sot.utils.command_line import add_config_options, make_parser, one_line_errors
from sot.utils.figures import panel_grid
from sot.utils.files import write_text

SHOWN_CHANNELS = 24


class Pair(NamedTuple):
    """Crops (1, 3, S, S), float; the target's centre (x, y) in the search crop; its category."""

    template: torch.Tensor
    search: torch.Tensor
    center: np.ndarray
    category: str


def draw_pairs(cfg, dataset: str, count: int, shift: float = 0, margin: int = 0) -> Iterator[Pair]:
    """``count`` pairs; targets are shifted by up to ``shift`` crop pixels, the search crop has
    ``margin`` pixels more on each side."""
    size, context = cfg.INPUT.TEMPLATE_SIZE, cfg.INPUT.CONTEXT_AMOUNT
    template = TargetCrop(size, size, context)
    search = TargetCrop(cfg.INPUT.SEARCH_SIZE_TEST + 2 * margin, size, context, shift)
    tracks = get_tracks(dataset)
    for k in range(count):
        track = tracks[k % len(tracks)]
        seen = np.flatnonzero(track["visible"])
        first = seen[0]
        # the pairs of a sequence are evenly spaced in it
        later = seen[(k // len(tracks) + 1) * len(seen) // (count // len(tracks) + 2)]
        images = []
        with numpy_seed(k):
            for crop, i in ((template, first), (search, later)):
                image = track["frames"][i]
                transform = crop.get_transform(image, track["boxes"][i : i + 1])
                images.append(transform.apply_image(image))
        corners = transform.apply_coords(track["boxes"][later].reshape(2, 2))
        z, x = (torch.from_numpy(i).permute(2, 0, 1)[None].float() for i in images)
        category = track["name"].rpartition("-")[0] or track["name"]
        yield Pair(z, x, corners.mean(axis=0), category)


def layer_outputs(model, kernels, search: torch.Tensor) -> Dict[str, torch.Tensor]:
    """Maps (N, C, H, W) of the backbone's layers, and the "response"."""
    outputs, hooks = {}, []
    for name, layer in model.backbone.named_children():
        keep = lambda _module, _inputs, out, name=name: outputs.update({name: out})  # noqa: E731
        hooks.append(layer.register_forward_hook(keep))
    try:
        response = response_of(model, kernels, search)
    finally:
        for hook in hooks:
            hook.remove()
    maps = {n: o for n, o in outputs.items() if isinstance(o, torch.Tensor) and o.dim() == 4}
    return {**maps, "response": response}


def equivariance(model, pairs: Sequence[Pair], shifts: Sequence[int], margin: int) -> Dict:
    """{layer: relative errors at the shifts}, means over pairs whose search crops have a
    ``margin`` of at least the largest shift and a multiple of the stride."""
    errors = defaultdict(list)
    for pair in pairs:
        kernels = model.template(pair.template)
        side = pair.search.shape[-1] - 2 * margin
        windows = [
            pair.search[..., margin : margin + side, margin + d : margin + d + side]
            for d in (0, *shifts)
        ]
        still, *moved = (layer_outputs(model, kernels, w) for w in windows)
        whole = layer_outputs(model, kernels, pair.search)
        for name, reference in still.items():
            # a map grows by the margin over its stride
            stride = 2 * margin // (whole[name].shape[-1] - reference.shape[-1])
            row = []
            for d, maps in zip(shifts, moved):
                k = d // stride
                a, b = maps[name][..., : maps[name].shape[-1] - k], reference[..., k:]
                row.append(float((a - b).norm() / b.norm()))
            errors[name].append(row)
    return {name: np.mean(rows, axis=0).tolist() for name, rows in errors.items()}


def mean_response(model, pairs: Sequence[Pair]) -> Dict:
    """Mean of the best anchor's probability at each position (H, W); and where the targets'
    centres are, the share of pairs at each position of a map of that size."""
    total, places = 0, 0
    for pair in pairs:
        logits = response_of(model, model.template(pair.template), pair.search)
        response = logits[0].amax(dim=0).sigmoid().numpy()
        side, stride = response.shape[-1], model.stride
        total = total + response
        # position 0 is (S - stride (n - 1)) / 2 in the crop
        middle = (pair.center - pair.search.shape[-1] / 2) / stride + (side - 1) / 2
        x, y = np.rint(middle).astype(int).clip(0, side - 1)
        hit = np.zeros_like(response)
        hit[y, x] = 1
        places = places + hit
    return {"response": total / len(pairs), "targets": places / len(pairs)}


def channel_peaks(model, pairs: Sequence[Pair]) -> Dict[str, np.ndarray]:
    """{category: (C,)}, the mean peaks of the channels of the depthwise correlation for the scores.
    If the network has several levels, they are those of the middle level. ValueError: the network
    has no such correlation."""
    head = getattr(getattr(model, "proposal_generator", None), "rpn_head", None)
    heads = getattr(head, "heads", [head])
    branch = getattr(heads[len(heads) // 2], "cls", None)
    if not hasattr(branch, "head"):
        raise ValueError("channels: the network of --config-file has no depthwise correlation")
    peaks, found = [], defaultdict(list)
    hook = branch.head.register_forward_pre_hook(
        lambda _module, inputs: peaks.append(inputs[0][0].amax(dim=(1, 2)).numpy())
    )
    try:
        for pair in pairs:
            response_of(model, model.template(pair.template), pair.search)
            found[pair.category].append(peaks.pop())
    finally:
        hook.remove()
    return {category: np.mean(rows, axis=0) for category, rows in found.items()}


def selectivity(peaks: Dict[str, np.ndarray]) -> List[Dict]:
    """The number, the category and the selectivity (-1..1) of each channel, the most selective one
    first. Peaks below 0 count as 0. ValueError: there is only one category."""
    if len(peaks) < 2:
        raise ValueError("channels needs a --dataset with two categories or more")
    names, table = list(peaks), np.maximum(np.stack(list(peaks.values())), 0)
    best = table.argmax(axis=0)
    a = table.max(axis=0)
    b = (table.sum(axis=0) - a) / (len(names) - 1)
    values = (a - b) / np.maximum(a + b, 1e-12)
    return [
        {"channel": int(c), "category": names[best[c]], "selectivity": float(values[c])}
        for c in np.argsort(-values, kind="stable")
    ]


def run_equivariance(args, cfg, model):
    stride = model.stride
    shifts = [stride * round(d / stride) for d in args.shifts]
    margin = max(*shifts, 4 * stride)
    pairs = list(draw_pairs(cfg, args.dataset, args.pairs, margin=margin))
    errors = equivariance(model, pairs, shifts, margin)
    figure, (axes,) = panel_grid(1, 1, 7, 4)
    for i, d in enumerate(shifts):
        axes.plot(list(errors), [row[i] for row in errors.values()], "o-", label=f"{d} px")
    axes.set(ylabel="relative error", title="Features of a shifted crop, and shifted features")
    axes.tick_params(axis="x", rotation=45)
    axes.legend(title="shift")
    return figure, {"shifts": shifts, "errors": errors}


def run_center(args, cfg, model):
    results = {}
    for d in args.shifts:
        pairs = list(draw_pairs(cfg, args.dataset, args.pairs, shift=d))
        results[d] = mean_response(model, pairs)
    figure, cells = panel_grid(2 * len(results), len(results), 3, 2.8)
    for row, kind in enumerate(("response", "targets")):
        for column, (d, found) in enumerate(results.items()):
            axes = cells[row * len(results) + column]
            axes.imshow(found[kind], cmap="magma")
            axes.set_title(f"{kind}, shift up to {d} px", fontsize=9)
            axes.grid(False)
    lists = {d: {k: v.tolist() for k, v in found.items()} for d, found in results.items()}
    return figure, {"shifts": lists}


def run_channels(args, cfg, model):
    peaks = channel_peaks(model, list(draw_pairs(cfg, args.dataset, args.pairs)))
    ranked = selectivity(peaks)
    shown = [entry["channel"] for entry in ranked[:SHOWN_CHANNELS]]
    table = np.stack([p[shown] for p in peaks.values()])
    figure, (axes,) = panel_grid(1, 1, 8, 1.5 + 0.25 * len(peaks))
    axes.imshow(table / np.maximum(np.abs(table).max(axis=0), 1e-12), cmap="magma", aspect="auto")
    axes.set_xticks(range(len(shown)), shown, rotation=90, fontsize=8)
    axes.set_yticks(range(len(peaks)), list(peaks), fontsize=8)
    axes.set(
        xlabel="channel, the most selective ones", title="Mean peak, of each channel's largest"
    )
    axes.grid(False)
    return figure, {"peaks": {n: p.tolist() for n, p in peaks.items()}, "channels": ranked}


ANALYSES = {"equivariance": run_equivariance, "center": run_center, "channels": run_channels}


@one_line_errors()
@torch.no_grad()
def main(argv=None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("analysis", choices=list(ANALYSES))
    parser.add_argument("--dataset", default="synthetic_val", help="default: synthetic_val")
    parser.add_argument("--pairs", type=int, default=48, help="number of pairs, default 48")
    parser.add_argument(
        "--shifts", type=int, nargs="+", default=[0, 16, 32], help="pixels; default 0 16 32"
    )
    parser.add_argument("--output", default="output/analysis", help="folder")
    add_config_options(parser, default="SiamRPN/siamrpn_lite.yaml")
    args = parser.parse_intermixed_args(argv)
    cfg = load_config(args.config_file, ["MODEL.DEVICE", "cpu", *args.opts])
    figure, numbers = ANALYSES[args.analysis](args, cfg, sot.build_model(cfg).eval())
    picture = Path(args.output, f"{args.analysis}.png")
    write_text(picture.with_suffix(".json"), json.dumps(numbers, indent=2) + "\n")
    figure.savefig(picture, dpi=80)
    print(f"wrote {picture} and {picture.with_suffix('.json')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
