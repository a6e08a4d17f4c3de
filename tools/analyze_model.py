#!/usr/bin/env python3
"""Size, cost and geometry of the networks, as a markdown table and as JSON:

    python tools/analyze_model.py --config-file SiamRPN/siamrpn_lite.yaml
    python tools/analyze_model.py --all --json models.json INPUT.SEARCH_SIZE_TEST 255
    python tools/analyze_model.py --all --guidelines

Parameters of backbone, neck and head are in millions. The template pass runs once for each target,
the search pass once for each frame and target (for each frame, target and scale with SiamFC). Their
cost is in 10^9 multiply-adds of convolutions, correlations included; element-wise work is not
counted. Crops have the sizes of the config, INPUT.TEMPLATE_SIZE and INPUT.SEARCH_SIZE_TEST.

Receptive field and stride are computed from the operations of a forward pass: see Span.

--guidelines compares the features of a network with the advice of SiamDW (Zhang and Peng, CVPR
2019) for Siamese trackers: a stride of 4 or 8, a receptive field of 60 to 80 % of the template
crop, no padding. Two neighbouring receptive fields overlap by 1 - stride / field.
"""

import copy
import json
import os
import sys
from dataclasses import dataclass, replace
from typing import Dict, List, Tuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; see utils/cpu.py

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from sot.api import build_network
from sot.config import list_configs, load_config, merge_opts
from sot.modeling import SiamRPN
from sot.utils.command_line import make_parser, one_line_errors, print_error
from sot.utils.files import write_text


@dataclass(frozen=True)
class Span:
    """The input columns on which a column of a feature map depends.

    Column i depends on the columns ``start + i * stride`` to ``end + i * stride`` of the crop, both
    included, as far as they are inside the crop. A convolution or pooling with kernel k, dilation d
    and padding p moves ``start`` back by p strides and ``end`` forward by d (k - 1) - p strides.
    The spans of branches that are added or concatenated are united. ``least`` is the width of the
    narrowest path through concatenated branches, as in SiamDW's table for Inception. An addition,
    such as that of a shortcut, counts as one path with the wider of its two widths."""

    start: int = 0
    end: int = 0
    stride: int = 1
    least: int = 1

    @property
    def width(self) -> int:
        return self.end - self.start + 1

    def window(self, kernel: int, stride: int, padding: int, dilation: int) -> "Span":
        reach = dilation * (kernel - 1)
        return Span(
            self.start - padding * self.stride,
            self.end + (reach - padding) * self.stride,
            self.stride * stride,
            self.least + reach * self.stride,
        )

    def shift(self, columns: int) -> "Span":
        """The span of a map that begins ``columns`` columns further to the right."""
        offset = columns * self.stride
        return replace(self, start=self.start + offset, end=self.end + offset)

    @staticmethod
    def unite(spans: List["Span"], least) -> "Span":
        if len({s.stride for s in spans}) != 1:
            raise ValueError(f"maps of different strides are put together: {spans}")
        start, end = min(s.start for s in spans), max(s.end for s in spans)
        return Span(start, end, spans[0].stride, least(s.least for s in spans))


class SpanMode(TorchDispatchMode):
    """Computes the Span of every tensor that depends on ``image``, while it is active."""

    def __init__(self, image: torch.Tensor):
        super().__init__()
        # the tensors are kept, so that no id is used again
        self._spans: Dict[int, Tuple[torch.Tensor, Span]] = {id(image): (image, Span())}

    def __getitem__(self, tensor: torch.Tensor) -> Span:
        return self._spans[id(tensor)][1]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        flat = [y for x in args for y in (x if isinstance(x, (list, tuple)) else [x])]
        inputs = [x for x in flat if id(x) in self._spans]
        if inputs:
            result = out[0] if isinstance(out, (list, tuple)) else out
            span = self._span(func.overloadpacket.__name__, args, inputs, result)
            self._spans[id(result)] = (result, span)
        return out

    def _span(self, name: str, args, inputs: List[torch.Tensor], result: torch.Tensor) -> Span:
        span = self[inputs[0]]
        if name == "convolution" and not args[6]:  # not a transposed one
            _, weight, _, stride, padding, dilation = args[:6]
            return span.window(weight.shape[-1], stride[-1], padding[-1], dilation[-1])
        if name in ("max_pool2d_with_indices", "avg_pool2d"):
            kernel, stride, padding = (_last(args, i, d) for i, d in ((1, 1), (2, None), (3, 0)))
            dilation = _last(args, 4, 1) if name.startswith("max") else 1
            return span.window(kernel, stride or kernel, padding, dilation)
        if name == "constant_pad_nd":
            return span.shift(-args[1][0])
        if name == "slice" and args[1] in (-1, inputs[0].dim() - 1):
            start, step = args[2] or 0, args[4] if len(args) > 4 else 1
            start += 0 if start >= 0 else inputs[0].shape[-1]
            return span.shift(start).window(1, step, padding=0, dilation=1)
        if name == "cat":
            return Span.unite([self[x] for x in inputs], least=min)
        if name != "slice" and result.shape[-2:] != inputs[0].shape[-2:]:
            raise ValueError(f"cannot follow the receptive field through aten::{name}")
        return Span.unite([self[x] for x in inputs], least=max)


def _last(args, index: int, default):
    """Last of the numbers of an argument, which may be missing or empty."""
    value = args[index] if len(args) > index else default
    return (value[-1] if value else default) if isinstance(value, (list, tuple)) else value


@torch.no_grad()
def receptive_fields(backbone: nn.Module, size: int) -> Dict[str, Span]:
    """The Span of each output of a backbone, for crops of side ``size``. ValueError: the backbone
    has an operation that moves values in another way than convolution, pooling, padding and
    cropping."""
    image = torch.zeros(1, 3, size, size, device="meta")
    backbone = copy.deepcopy(backbone).eval().to("meta")
    with SpanMode(image) as spans:
        features = backbone(image)
        return {name: spans[x] for name, x in features.items()}


def count_flops(network: nn.Module, method: str, *args) -> int:
    """Multiply-adds of the convolutions and products of matrices in ``network.method(*args)``."""
    with FlopCounterMode(display=False) as counter:
        getattr(network, method)(*args)
    return counter.get_total_flops() // 2  # the counter counts a multiply-add as two


def response_of(model: nn.Module, kernels, search: torch.Tensor) -> torch.Tensor:
    """(N, A, H, W) logits of search crops."""
    if isinstance(model, SiamRPN):
        return model.search(kernels, search)[0][0]
    return model.detect(kernels, search)[:, None]


@torch.no_grad()
def analyze(cfg) -> Dict:
    """The numbers of a config's network, see the docstring of this file; here they are not in
    millions. ``features`` has an entry for each output of the backbone."""
    # "meta": shapes without values, for which nothing is computed
    model = build_network(merge_opts(cfg.clone(), ["MODEL.DEVICE", "cpu"])).eval().to("meta")
    sizes = {"template": cfg.INPUT.TEMPLATE_SIZE, "search": cfg.INPUT.SEARCH_SIZE_TEST}
    crops = {name: torch.zeros(1, 3, s, s, device="meta") for name, s in sizes.items()}
    kernels = model.template(crops["template"])
    maps = {name: model.features(x, is_template=name == "template") for name, x in crops.items()}
    response = response_of(model, kernels, crops["search"])
    parts = {"backbone": _count(model.backbone), "neck": _count(model.neck)}
    total = _count(model)
    return {
        "template_size": sizes["template"],
        "search_size": sizes["search"],
        "parameters": {**parts, "head": total - sum(parts.values()), "total": total},
        "flops": {
            "template": count_flops(model, "template", crops["template"]),
            "search": count_flops(model, "detect", kernels, crops["search"]),
        },
        "features": {
            name: {
                "receptive_field": span.width,
                "least_receptive_field": span.least,
                "stride": span.stride,
                "padded": span.start < 0,
                "template_size": maps["template"][name].shape[-1],
                "search_size": maps["search"][name].shape[-1],
            }
            for name, span in receptive_fields(model.backbone, sizes["template"]).items()
        },
        "response_size": response.shape[-1],
    }


def _count(module) -> int:
    return sum(p.numel() for p in module.parameters()) if module is not None else 0


HEADER = (
    "config", "backbone, M", "neck, M", "head, M", "all, M", "template, G", "search, G",
    "receptive field", "stride", "features, template", "features, search", "response",
)  # fmt: skip


def table_row(result: Dict) -> List[str]:
    """The cells under HEADER. Numbers that differ between the features are separated by slashes."""
    parameters, flops, features = (result[k] for k in ("parameters", "flops", "features"))

    def of_features(text) -> str:
        cells = [str(text(f)) for f in features.values()]
        return cells[0] if len(set(cells)) == 1 else " / ".join(cells)

    def field(f) -> str:
        narrow, wide = f["least_receptive_field"], f["receptive_field"]
        return f"{wide}" if narrow == wide else f"{narrow}~{wide}"

    return [
        result["config"],
        *(f"{parameters[k] / 1e6:.3f}" for k in ("backbone", "neck", "head", "total")),
        *(f"{flops[k] / 1e9:.2f}" for k in ("template", "search")),
        of_features(field),
        of_features(lambda f: f["stride"]),
        of_features(lambda f: f["template_size"]),
        of_features(lambda f: f["search_size"]),
        str(result["response_size"]),
    ]


GUIDELINES = (
    "config", "feature", "receptive field / template", "overlap", "stride", "padding",
    "features, template", "does not follow",
)  # fmt: skip


def guideline_rows(result: Dict) -> List[List[str]]:
    """The cells under GUIDELINES, a row for each feature."""
    rows = []
    for name, f in result["features"].items():
        share = f["receptive_field"] / result["template_size"]
        departs = {
            "stride": f["stride"] not in (4, 8),
            "receptive field": not 0.6 <= share <= 0.8,
            "padding": f["padded"],
        }
        rows.append(
            [
                *(result["config"], name, f"{share:.0%}"),
                f"{1 - f['stride'] / f['receptive_field']:.2f}",
                *(str(f["stride"]), "yes" if f["padded"] else "no", str(f["template_size"])),
                ", ".join(key for key, value in departs.items() if value) or "nothing",
            ]
        )
    return rows


@one_line_errors()
def main(argv=None) -> int:
    parser = make_parser(__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--config-file", action="append", metavar="C", help="path or name; may be repeated"
    )
    which.add_argument("--all", action="store_true", help="every config but the Base-*.yaml")
    parser.add_argument("--json", metavar="FILE", help="also write a list of one object per config")
    parser.add_argument(
        "--guidelines", action="store_true", help="compare with what SiamDW advises"
    )
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="overrides for all configs")
    args = parser.parse_args(argv)
    names = args.config_file or [n for n in list_configs() if not n.startswith("Base-")]
    results, failed = [], False
    for name in names:
        try:
            results.append({"config": name, **analyze(load_config(name, args.opts))})
        except (ValueError, OSError) as error:
            print_error(f"{name}: {error}")
            failed = True
    if results:
        rows = list(map(table_row, results))
        header = GUIDELINES if args.guidelines else HEADER
        if args.guidelines:
            rows = [row for result in results for row in guideline_rows(result)]
        for cells in (header, ["---"] * len(header), *rows):
            print("| " + " | ".join(cells) + " |")
    if args.json:
        write_text(args.json, json.dumps(results, indent=2) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
