"""Pictures of training pairs: a contact sheet, and plots of the positions of targets in search
crops.

R: anchors of a search crop, or positions of the response of a network without anchors; these are
anchors of no size here. Boxes are XYXY in pixels of the search crop. Nothing opens a window.
"""

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np
from matplotlib import get_data_path
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageDraw, ImageFont

from sot.boxes import center_of, sides_of

TARGET, OTHER, POSITIVE, NEGATIVE = "#1fa84a", "#e02020", "#ffd400", "#ff5fa2"
DPI = 100
GAP, TEXT_HEIGHT, LEGEND_HEIGHT = 10, 128, 44  # of the contact sheet, pixels
LEGEND_WIDTH = 760
FONT = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", 10)


@dataclass
class PairView:
    """A training pair as the network gets it."""

    box: np.ndarray  # (4,) of the target, or of the other object in a negative pair
    negative: bool  # the search crop shows another object than the template
    matched: np.ndarray  # (R,) bool, the anchors on the box
    labels: np.ndarray  # (R,) 1 positive (none in a negative pair), 0 negative, -1 not used
    # template and search crop, (3, S, S) uint8 BGR; None where only numbers are needed
    crops: Optional[Tuple[np.ndarray, np.ndarray]] = None
    caption: Sequence[str] = ()  # lines of text


def anchor_noun(anchors: np.ndarray) -> str:
    """The word for anchors (R, 4): "anchor", or "position" if they have no size."""
    return "anchor" if (anchors[:, 2:] > anchors[:, :2]).any() else "position"


def draw_pairs(pairs: Sequence[PairView], anchors: np.ndarray, path) -> None:
    """Write a contact sheet, a PNG file in which the crops keep their size in pixels, of pairs with
    crops of the same sizes; anchors: (R, 4)."""
    template, search = (crop.shape[-1] for crop in pairs[0].crops)
    columns = min(len(pairs), 4 if len(pairs) <= 24 else 6)
    width, height = template + search + 2 * GAP, max(search, template + TEXT_HEIGHT) + GAP
    rows = -(-len(pairs) // columns)
    size = max(columns * width, LEGEND_WIDTH), LEGEND_HEIGHT + rows * height
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for i, pair in enumerate(pairs):
        row, column = divmod(i, columns)
        x, y = GAP // 2 + column * width, LEGEND_HEIGHT + row * height
        crops = [Image.fromarray(cv2.merge(list(crop[::-1]))) for crop in pair.crops]
        _draw_boxes(ImageDraw.Draw(crops[1]), pair, anchors)
        sheet.paste(crops[0], (x, y))
        sheet.paste(crops[1], (x + template + GAP // 2, y))
        kind, color = ("negative", OTHER) if pair.negative else ("positive", TARGET)
        pen.text((x, y + template + 4), f"{i + 1}  {kind}", color, FONT)
        text = "\n".join([*pair.caption, *_counts(pair, anchors)])
        pen.multiline_text((x, y + template + 20), text, "black", FONT, spacing=3)
    _draw_legend(pen, anchor_noun(anchors))
    sheet.save(path)


def _counts(pair: PairView, anchors: np.ndarray) -> List[str]:
    width, height = sides_of(pair.box)
    used = np.count_nonzero(pair.matched & (pair.labels >= 0))
    matched = f"{np.count_nonzero(pair.matched)} {anchor_noun(anchors)}s match"
    return [f"box {width:.0f} x {height:.0f} px", matched, f"{used} of them used"]


def _draw_boxes(pen, pair: PairView, anchors: np.ndarray) -> None:
    """The target and its anchors in the search crop."""
    used = pair.labels >= 0
    color = NEGATIVE if pair.negative else POSITIVE
    for chosen, shade in ((pair.matched & ~used, "white"), (pair.matched & used, color)):
        for box in anchors[chosen]:
            if anchor_noun(anchors) == "anchor":
                pen.rectangle(box.tolist(), outline=shade)
            else:
                _draw_dot(pen, center_of(box), shade)
    if not used.all():  # the few that were sampled; all of them would be a full grid
        for center in center_of(anchors[used & ~pair.matched]):
            _draw_dot(pen, center, NEGATIVE)
    pen.rectangle(pair.box.tolist(), outline=OTHER if pair.negative else TARGET, width=2)


def _draw_dot(pen, center, color) -> None:
    x, y = center
    pen.ellipse((x - 2, y - 2, x + 1, y + 1), fill=color)


def _draw_legend(pen, noun: str) -> None:
    entries = [("box", TARGET, "target"), ("box", OTHER, "other object, in a negative pair")]
    mark = "box" if noun == "anchor" else "dot"
    entries.append((mark, POSITIVE, f"positive {noun}"))
    entries.append((mark, NEGATIVE, f"negative {noun} on the other object"))
    if noun == "anchor":  # there is no sampling of positions
        entries.append(("box", "white", "anchor that matches and is not used"))
        entries.append(("dot", NEGATIVE, "centre of a negative anchor elsewhere"))
    for i, (mark, color, text) in enumerate(entries):
        x, y = GAP + (i % 3) * LEGEND_WIDTH // 3, 6 + i // 3 * 20
        pen.rectangle((x, y, x + 12, y + 12), "#707070", color if mark == "box" else None, 2)
        if mark == "dot":
            _draw_dot(pen, (x + 7, y + 7), color)
        pen.text((x + 18, y), text, "black", FONT)


def covered_area(boxes: np.ndarray, size: int) -> np.ndarray:
    """(size, size) share of the boxes (K, 4) that cover each pixel of a crop."""
    area = np.zeros((size, size))
    for x0, y0, x1, y1 in np.clip(np.rint(boxes), 0, size).astype(int):
        area[y0:y1, x0:x1] += 1 / len(boxes)
    return area


def draw_positions(
    pairs: Sequence[PairView], anchors: np.ndarray, size: int, shift: float, path
) -> None:
    """Plot, as a PNG file, where in search crops of side ``size`` the targets of many pairs lie
    (SiamRPN++, Figure 1). The largest ``shift`` of a target's centre is drawn as a square; anchors:
    (R, 4)."""
    boxes = np.stack([pair.box for pair in pairs])
    figure = Figure(figsize=(14, 4.7), layout="constrained")
    num_negative = sum(pair.negative for pair in pairs)
    title = f"{len(pairs)} pairs, {len(pairs) - num_negative} of them positive"
    if num_negative:
        title += "; in the others the target is the other object"
    figure.suptitle(title)
    centers, covered, sizes = figure.subplots(1, 3)
    _plot_centers(centers, boxes, size, shift)
    _heat_map(covered, covered_area(boxes, size), size, "Area that the target covers")
    _plot_sizes(sizes, boxes, anchors, size)
    figure.savefig(path, dpi=DPI)


def _heat_map(axes, shares: np.ndarray, size: int, title: str) -> None:
    """Shares of the pairs (n, n) over a crop of side ``size``."""
    extent = (0, size, size, 0)
    shown = axes.imshow(100 * shares, extent=extent, cmap="viridis", vmin=0, interpolation="none")
    axes.figure.colorbar(shown, ax=axes, label="% of pairs", shrink=0.85)
    axes.set(title=title, xlabel="x in the search crop, px", ylabel="y in the search crop, px")


def _plot_centers(axes, boxes, size: int, shift: float) -> None:
    bins = int(np.clip(len(boxes) ** 0.5 / 2, 11, 51))
    x, y = center_of(boxes).T
    counts, _, _ = np.histogram2d(y, x, bins=bins, range=((0, size), (0, size)))
    _heat_map(axes, counts / len(boxes), size, "Centre of the target")
    corner = (size / 2 - shift, size / 2 - shift)
    square = Rectangle(corner, 2 * shift, 2 * shift, fill=False, edgecolor="white", linestyle="--")
    axes.add_patch(square)
    label = f"dashed: shift of {shift:g} px, before the change of scale"
    axes.text(size / 2, 0.97 * size, label, color="white", ha="center", size=9)


def _plot_sizes(axes, boxes, anchors, size: int) -> None:
    width, height = sides_of(boxes).T
    axes.plot(width, height, ".", markersize=3, alpha=0.5, color=TARGET, label="target")
    if anchor_noun(anchors) == "anchor":
        shapes = np.unique(sides_of(anchors).round(1), axis=0)
        axes.plot(*shapes.T, "k+", markersize=11, markeredgewidth=2, label="anchor")
    axes.set(title="Size of the target", xlabel="width, px", ylabel="height, px")
    axes.set(xlim=(0, size), ylim=(0, size), aspect="equal")
    axes.legend(loc="upper right")
