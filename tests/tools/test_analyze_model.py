import json
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone, build_backbone
from tool_modules import load_tool
from torch import nn

from sot.config import add_sot_config, list_configs, load_config
from sot.modeling import AlexNet, CompactCIRNet, SiamFC, xcorr, xcorr_depthwise

COMPACT = "SiamRPN/siamrpn_compact.yaml"


@pytest.fixture(scope="module")
def tool():
    return load_tool("analyze_model")


class Zigzag(nn.Module):
    """Padding, dilation, both poolings, a strided slice, a shortcut and an Inception."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 5, stride=2, padding=1)
        self.dilated = nn.Conv2d(4, 4, 3, padding=2, dilation=2)
        self.narrow, self.wide = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 3)

    def forward(self, x):
        x = F.max_pool2d(self.stem(x), 3, 2, padding=1)
        x = F.relu(self.dilated(x)) + x
        x = torch.cat([self.narrow(x)[..., 1:-1, 1:-1], self.wide(x)], dim=1)
        x = F.avg_pool2d(F.pad(x, (1, 0, 1, 0)), 2, stride=1)
        return {"out": x[..., -9:, -9::2]}


def probe(net, size, column):
    """Input columns that column ``column`` of the only output depends on: the weights are positive
    and nothing is subtracted, so those that make it positive when they alone are lit."""
    net = net.double().eval()
    for p in net.parameters():
        nn.init.constant_(p, 1 / p[0].numel() if p.dim() > 1 else 0.0)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.ones_(m.weight)
    images = torch.eye(size).double()[:, None, None].expand(-1, 3, size, -1)
    with torch.no_grad():
        (out,) = net(images).values()
    return out[..., column].sum(dim=(1, 2)).nonzero().flatten().tolist()


@pytest.mark.parametrize(
    "net, size, column",
    [
        (AlexNet(channels=(2, 3, 2, 3, 2)), 111, 2),
        (CompactCIRNet(channels=(2, 3, 2, 2)), 111, 2),
        (Zigzag(), 64, 2),
        (Zigzag(), 67, 1),
    ],
)
def test_span_is_what_an_output_depends_on(tool, net, size, column):
    (span,) = tool.receptive_fields(net, size).values()
    start = span.start + column * span.stride
    assert probe(net, size, column) == list(range(start, start + span.width))


def test_least_field_leaves_out_the_wider_branch(tool):
    # 5; pooling: 5 + 2 * 2 = 9 at stride 4; dilated: 9 + 4 * 4 = 25; 3x3: 25 + 2 * 4 = 33, 1x1: 25;
    # pooling: 33 + 4 = 37 and 29; every other column: stride 8
    (span,) = tool.receptive_fields(Zigzag(), 64).values()
    assert (span.width, span.least, span.stride) == (37, 29, 8)


@pytest.mark.parametrize(
    "depth, fields",
    [
        # 7 + 4 = 11 at stride 4; res2 has three 3x3: 11 + 3 * 8 = 35; res3: 35 + 8 + 3 * 16 = 91;
        # res4: 91 + 16 + 5 * 32 = 267; res5: 267 + 32 + 2 * 64 = 427
        (50, [91, 267, 427]),
        # 11 + 4 * 8 = 43; 43 + 8 + 3 * 16 = 99; 99 + 16 + 3 * 32 = 211; 211 + 32 + 3 * 64 = 435
        (18, [99, 211, 435]),
    ],
)
def test_dilated_resnets(tool, depth, fields):
    cfg = get_cfg()
    add_sot_config(cfg)
    cfg.MODEL.BACKBONE.NAME = "build_atrous_resnet_backbone"
    cfg.MODEL.RESNETS.DEPTH = depth
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.RESNETS.STEM_OUT_CHANNELS = 8
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 8
    cfg.MODEL.RESNETS.WIDTH_PER_GROUP = 8
    spans = tool.receptive_fields(build_backbone(cfg), 127)
    assert list(spans) == ["res3", "res4", "res5"]
    assert [s.width for s in spans.values()] == fields
    assert [s.least for s in spans.values()] == fields
    assert {s.stride for s in spans.values()} == {8}


def test_what_cannot_be_followed_is_named(tool):
    class Upsample(nn.Module):
        def forward(self, x):
            return {"out": F.interpolate(x, scale_factor=2)}

    with pytest.raises(ValueError, match="aten::upsample_nearest2d"):
        tool.receptive_fields(Upsample(), 8)


class OneConvolution(Backbone):
    """3 -> 2 channels, 3x3, stride 2."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, stride=2)

    def output_shape(self):
        return {"f": ShapeSpec(channels=2, stride=2)}

    def forward(self, x):
        return {"f": self.conv(x)}


def test_multiply_adds_of_a_network(tool):
    model = SiamFC(
        backbone=OneConvolution(),
        neck=None,
        in_feature="f",
        stride=2,
        pixel_mean=[0.0] * 3,
        pixel_std=[1.0] * 3,
    )
    with torch.no_grad():
        # 3 * 2 * 9 for each of 3 x 3 positions
        assert tool.count_flops(model, "template", torch.zeros(1, 3, 7, 7)) == 486
        kernels = model.template(torch.zeros(1, 3, 7, 7))
        # 54 for each of 7 x 7 positions, and 2 * 9 for each of 5 x 5
        assert tool.count_flops(model, "detect", kernels, torch.zeros(1, 3, 15, 15)) == 3096


class Correlations(nn.Module):
    def depthwise(self, kernel, x):
        return xcorr_depthwise(kernel, x)

    def up_channel(self, kernel, x):
        return xcorr(kernel, x)


def test_multiply_adds_of_correlations(tool):
    x = torch.zeros(2, 4, 7, 7)
    # 2 samples * 4 channels * 3 x 3 for each of 5 x 5 positions
    depthwise = tool.count_flops(Correlations(), "depthwise", torch.zeros(2, 4, 3, 3), x)
    assert depthwise == 1800
    # the same for each of 6 outputs
    up_channel = tool.count_flops(Correlations(), "up_channel", torch.zeros(2, 24, 3, 3), x)
    assert up_channel == 6 * 1800


def test_analyzes_a_config(tool, tmp_path, capsys):
    path = tmp_path / "models.json"
    args = ["--config-file", COMPACT, "--json", str(path), "INPUT.SEARCH_SIZE_TEST", "287"]
    assert tool.main(args) == 0
    (result,) = json.loads(path.read_text())
    assert result["config"] == COMPACT
    assert (result["template_size"], result["search_size"]) == (127, 287)
    # 9 (3 * 24 + 24 * 48 + 48 * 64 + 64 * 128 + 4 * 128 * 128) + norms 2 (24 + 48 + 64 + 5 * 128);
    # two branches of 2 * (9 * 128 * 128 + 256) + 128 * 128 + 256, and 129 * (5 + 20)
    parts = {"backbone": 703768, "neck": 0, "head": 627353, "total": 1331121}
    assert result["parameters"] == parts
    # 3x3 convolutions at strides 2, 4, 4, 8 and four at 8: 3 + 4 + 8 + 8 + 4 * 16 = 87
    assert result["features"] == {
        "blocks": {
            "receptive_field": 87,
            "least_receptive_field": 87,
            "stride": 8,
            "padded": False,
            "template_size": 6,
            "search_size": 26,
        }
    }
    assert result["response_size"] == 21
    *_, row = capsys.readouterr().out.strip().splitlines()
    assert row.startswith(f"| {COMPACT} | ") and row.endswith(" | 87 | 8 | 6 | 26 | 21 |")


@pytest.mark.parametrize(
    "config",
    [
        "SiamRPN/siamrpn_alex.yaml",  # up-channel correlation
        "SiamFC/siamfc_alex.yaml",
        *(pytest.param(name, marks=pytest.mark.slow) for name in list_configs() if "/" in name),
    ],
)
def test_every_kind_of_head_is_counted(tool, config):
    result = tool.analyze(load_config(config))
    assert 0 < result["flops"]["template"] < result["flops"]["search"]
    assert len(tool.table_row({"config": config, **result})) == len(tool.HEADER)


def test_a_bad_config_does_not_stop_the_others(tool, capsys):
    names = ["--config-file", "no_such.yaml", "--config-file", COMPACT]
    assert tool.main(names) == 1
    out, err = capsys.readouterr()
    assert "error: no_such.yaml: " in err
    assert f"| {COMPACT} |" in out


def test_all_are_all_but_the_bases(tool, monkeypatch, capsys):
    result = {
        "parameters": dict.fromkeys(("backbone", "neck", "head", "total"), 1234567),
        "flops": {"template": 2 * 10**9, "search": 456 * 10**7},
        "features": {
            name: {
                "receptive_field": field,
                "least_receptive_field": least,
                "stride": 8,
                "template_size": 7,
                "search_size": 31,
            }
            for name, field, least in (("a", 93, 13), ("b", 267, 267))
        },
        "response_size": 25,
    }
    monkeypatch.setattr(tool, "analyze", lambda cfg: result)
    assert tool.main(["--all"]) == 0
    header, rule, *rows = capsys.readouterr().out.strip().splitlines()
    assert header.startswith("| config | backbone, M |") and set(rule) == set("| -")
    expected = [name for name in list_configs() if not name.startswith("Base-")]
    cells = "1.235 | 1.235 | 1.235 | 1.235 | 2.00 | 4.56 | 13~93 / 267 | 8 | 7 | 31 | 25"
    assert rows == [f"| {name} | {cells} |" for name in expected]
    assert load_config(expected[0])  # they are names that load_config takes


def test_guidelines(tool):
    # 87 px of 127; 339 px of 111
    (row,) = tool.guideline_rows({"config": "x", **tool.analyze(load_config(COMPACT))})
    assert row == ["x", "blocks", "69%", "0.91", "8", "no", "6", "nothing"]
    lite = tool.analyze(load_config("SiamRPN/siamrpn_lite.yaml"))
    (row,) = tool.guideline_rows({"config": "lite", **lite})
    assert row[2:] == ["305%", "0.95", "16", "yes", "6", "stride, receptive field, padding"]


def zoo_rows():
    """Cells of each network in the last table of MODEL_ZOO.md, by config."""
    text = (Path(__file__).parents[2] / "MODEL_ZOO.md").read_text(encoding="utf-8")
    table = text.split("## All networks")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line[:3] == "| ["]
    return {re.search(r"\(configs/(.+)\)", cells[0])[1]: cells[1:] for cells in rows}


def test_the_zoo_lists_all_networks():
    listed = {n for n in list_configs() if not n.startswith(("Base-", "quick_schedules"))}
    assert set(zoo_rows()) == listed


SMALL = {
    "SiamFC/siamfc_alex.yaml",
    COMPACT,
    "SiamRPN/siamrpn_lite.yaml",
    "SiamRPN/siamrpn_alex.yaml",
}


@pytest.mark.parametrize(
    "config", [pytest.param(c, marks=[] if c in SMALL else pytest.mark.slow) for c in zoo_rows()]
)
def test_the_zoo_has_the_numbers_of_the_tool(tool, config):
    found = tool.table_row({"config": config, **tool.analyze(load_config(config))})
    assert found[1:] == zoo_rows()[config]
