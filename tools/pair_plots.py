"""Pictures of training pairs: a contact sheet, and where the targets lie in the search crops.

R: anchors of a search crop, or positions of the response of a network without anchors; these are
anchors of no size here. Boxes are XYXY in pixels of the search crop. Nothing opens a window.
"""

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

TARGET, OTHER, POSITIVE, NEGATIVE = "#1fa84a", "#e02020", "#ffd400", "#ff5fa2"
DOT = {"linestyle": "", "marker": "o", "markersize": 2.5, "markeredgewidth": 0}
DPI = 100
GAP, TEXT_HEIGHT, LEGEND_HEIGHT = 10, 128, 44  # of the contact sheet, pixels
LEGEND_WIDTH = 640


@dataclass
class PairView:
    """A training pair as the network gets it.

    Attributes:
        box: (4,) of the target, or of the other object in a negative pair.
        negative: the search crop shows another object than the template.
        matched: (R,) bool, the anchors on the box.
        labels: (R,) what is trained: 1 positive, 0 negative, -1 not used. A negative pair has
            no positive one.
        crops: template and search crop, (3, S, S) uint8 BGR; None where only numbers are needed.
        caption: lines of text.
    """

    box: np.ndarray
    negative: bool
    matched: np.ndarray
    labels: np.ndarray
    crops: Optional[Tuple[np.ndarray, np.ndarray]] = None
    caption: Sequence[str] = ()


def anchor_noun(anchors: np.ndarray) -> str:
    """What anchors (R, 4) are called: "anchor", or "position" where they have no size."""
    return "anchor" if (anchors[:, 2:] > anchors[:, :2]).any() else "position"


def draw_pairs(pairs: Sequence[PairView], anchors: np.ndarray, path) -> None:
    """Write a contact sheet in which the crops keep their size in pixels.

    Args:
        pairs: with crops, all of the same sizes.
        anchors: (R, 4).
        path: of a PNG file.
    """
    template, search = (crop.shape[-1] for crop in pairs[0].crops)
    columns = min(len(pairs), 4 if len(pairs) <= 24 else 6)
    cell_width = template + search + 2 * GAP
    cell_height = max(search, template + TEXT_HEIGHT) + GAP
    width = max(columns * cell_width, LEGEND_WIDTH)
    height = LEGEND_HEIGHT + -(-len(pairs) // columns) * cell_height
    canvas = np.full((height, width, 3), 255, np.uint8)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    for i, pair in enumerate(pairs):
        row, column = divmod(i, columns)
        x, y = GAP // 2 + column * cell_width, LEGEND_HEIGHT + row * cell_height
        corners = (x, y), (x + template + GAP // 2, y)
        for crop, (left, top) in zip(pair.crops, corners):
            side = crop.shape[-1]
            canvas[top : top + side, left : left + side] = crop[::-1].transpose(1, 2, 0)
        _draw_boxes(axes, pair, anchors, corners[1], search)
        _write_caption(axes, pair, anchors, i + 1, (x, y + template + 6))
    axes.imshow(canvas, extent=(0, width, height, 0), interpolation="none")
    axes.set(xlim=(0, width), ylim=(height, 0))
    _draw_legend(figure, anchors)
    figure.savefig(path)


def _draw_boxes(axes, pair: PairView, anchors, corner, side: int) -> None:
    """The target and its anchors in the search crop that has its top left corner there."""
    shift = np.tile(corner, 2)
    used = pair.labels >= 0
    artists = _draw_anchors(axes, anchors[pair.matched & ~used] + shift, "white")
    color = NEGATIVE if pair.negative else POSITIVE
    artists += _draw_anchors(axes, anchors[pair.matched & used] + shift, color)
    if not used.all():  # the few that were sampled; all of them would be a full grid
        background = anchors[used & ~pair.matched] + shift
        artists += axes.plot(*_centers(background), color=NEGATIVE, **DOT)
    artists += _draw_rectangles(axes, [pair.box + shift], OTHER if pair.negative else TARGET, 2)
    frame = Rectangle(corner, side, side, transform=axes.transData)
    for artist in artists:
        artist.set_clip_path(frame)


def _draw_anchors(axes, anchors, color) -> List:
    if len(anchors) and anchor_noun(anchors) == "anchor":
        return _draw_rectangles(axes, anchors, color, 0.9)
    return axes.plot(*_centers(anchors), color=color, **DOT)


def _draw_rectangles(axes, boxes, color, linewidth) -> List:
    patches = [Rectangle((x0, y0), x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes]
    style = {"facecolor": "none", "edgecolor": color, "linewidth": linewidth}
    return [axes.add_collection(PatchCollection(patches, **style), autolim=False)]


def _centers(boxes: np.ndarray) -> np.ndarray:
    """(2, K): x and y of the centres of boxes (K, 4)."""
    return (boxes[:, :2] + boxes[:, 2:]).T / 2


def _write_caption(axes, pair: PairView, anchors, number: int, corner) -> None:
    x, y = corner
    kind, color = ("negative", OTHER) if pair.negative else ("positive", TARGET)
    width, height = pair.box[2:] - pair.box[:2]
    used = np.count_nonzero(pair.matched & (pair.labels >= 0))
    lines = [
        *pair.caption,
        f"box {width:.0f} x {height:.0f} px",
        f"{np.count_nonzero(pair.matched)} {anchor_noun(anchors)}s match",
        f"{used} of them used",
    ]
    axes.text(x, y, f"{number}  {kind}", color=color, weight="bold", size=8, va="top")
    axes.text(x, y + 15, "\n".join(lines), size=7, va="top", linespacing=1.2)


def _draw_legend(figure, anchors) -> None:
    noun = anchor_noun(anchors)
    boxes = [(TARGET, "target", 2), (OTHER, "other object, in a negative pair", 2)]
    dots = []
    used = [(POSITIVE, f"positive {noun}"), (NEGATIVE, f"negative {noun} on the other object")]
    if noun == "anchor":
        used.append(("white", "anchor that matches and is not used"))
        boxes += [(color, label, 1) for color, label in used]
        dots = [(NEGATIVE, "centre of a negative anchor elsewhere")]
    else:  # there is no sampling of positions
        dots = used
    style = {**DOT, "markersize": 5}
    handles = [
        *(Patch(facecolor="#707070", edgecolor=c, label=text, linewidth=w) for c, text, w in boxes),
        *(Line2D([], [], color=c, label=text, **style) for c, text in dots),
    ]
    figure.legend(handles=handles, loc="upper center", ncols=3, fontsize=8, frameon=False)


def covered_area(boxes: np.ndarray, size: int) -> np.ndarray:
    """(size, size) share of the boxes (K, 4) that cover each pixel of a crop."""
    area = np.zeros((size, size))
    for x0, y0, x1, y1 in np.clip(np.rint(boxes), 0, size).astype(int):
        area[y0:y1, x0:x1] += 1 / len(boxes)
    return area


def position_shares(anchors: np.ndarray, hits: np.ndarray):
    """Share of pairs that have a hit at each position of the response.

    Args:
        anchors: (R, 4).
        hits: (K, R) bool, for K pairs.

    Returns:
        (W,) x and (H,) y of the positions in crop pixels, and the shares (H, W).
    """
    x, y = _centers(anchors).round(3)
    xs, ys = np.unique(x), np.unique(y)
    position = np.searchsorted(ys, y) * len(xs) + np.searchsorted(xs, x)
    counts = np.zeros(len(ys) * len(xs))
    for pair in hits:
        counts[np.unique(position[pair])] += 1
    return xs, ys, counts.reshape(len(ys), len(xs)) / len(hits)


def draw_positions(
    pairs: Sequence[PairView], anchors: np.ndarray, size: int, shift: float, path
) -> None:
    """Plot where in the search crop the targets of many pairs lie, and what of it becomes a
    positive label (SiamRPN++, Figure 1).

    Args:
        pairs: crops are not needed.
        anchors: (R, 4).
        size: side of the search crop.
        shift: largest shift of the target's centre, drawn as a square.
        path: of a PNG file.
    """
    boxes = np.stack([pair.box for pair in pairs])
    figure = Figure(figsize=(14, 9), layout="constrained")
    positive = [pair for pair in pairs if not pair.negative]
    title = f"{len(pairs)} pairs, {len(positive)} of them positive"
    if len(positive) < len(pairs):
        title += "; in the others the target is the other object"
    figure.suptitle(title)
    (top, bottom) = figure.subplots(2, 3)
    _plot_centers(top[0], boxes, size, shift)
    area = 100 * covered_area(boxes, size)
    _heat_map(top[1], area, (0, size, size, 0), size, "Area that the target covers", "% of pairs")
    _plot_sizes(top[2], boxes, anchors, size)
    if positive:
        _plot_positives(bottom, positive, anchors, size)
    else:
        for axes in bottom:
            axes.axis("off")
    figure.savefig(path, dpi=DPI)


def _heat_map(axes, image, extent, size: int, title: str, label: str) -> None:
    shown = axes.imshow(image, extent=extent, cmap="viridis", vmin=0, interpolation="none")
    axes.figure.colorbar(shown, ax=axes, label=label, shrink=0.85)
    axes.set(title=title, xlabel="x in the search crop, px", ylabel="y in the search crop, px")
    axes.set(xlim=(0, size), ylim=(size, 0))


def _plot_centers(axes, boxes, size: int, shift: float) -> None:
    bins = int(np.clip(len(boxes) ** 0.5 / 2, 11, 51))
    x, y = _centers(boxes)
    counts, _, _ = np.histogram2d(y, x, bins=bins, range=((0, size), (0, size)))
    extent = (0, size, size, 0)
    _heat_map(axes, 100 * counts / len(boxes), extent, size, "Centre of the target", "% of pairs")
    corner = (size / 2 - shift, size / 2 - shift)
    square = Rectangle(corner, 2 * shift, 2 * shift, fill=False, edgecolor="white", linestyle="--")
    axes.add_patch(square)
    label = f"dashed: shift of {shift:g} px, before the change of scale"
    axes.text(size / 2, 0.97 * size, label, color="white", ha="center", size=9)


def _plot_sizes(axes, boxes, anchors, size: int) -> None:
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    axes.plot(width, height, ".", markersize=3, alpha=0.5, color=TARGET, label="target")
    if anchor_noun(anchors) == "anchor":
        shapes, _ = _shapes(anchors)
        axes.plot(*shapes.T, "k+", markersize=11, markeredgewidth=2, label="anchor")
    axes.set(title="Size of the target", xlabel="width, px", ylabel="height, px")
    axes.set(xlim=(0, size), ylim=(0, size), aspect="equal")
    axes.legend(loc="upper right")


def _shapes(anchors: np.ndarray):
    """(S, 2) the widths and heights that there are, and (R,) which of them each anchor has."""
    sizes = (anchors[:, 2:] - anchors[:, :2]).round(1)
    shapes, which = np.unique(sizes, axis=0, return_inverse=True)
    return shapes, which.reshape(-1)


def _plot_positives(row, pairs: Sequence[PairView], anchors, size: int) -> None:
    """Where the positive anchors of positive pairs are, how many, and of which shape."""
    hits = np.stack([pair.labels == 1 for pair in pairs])
    xs, ys, shares = position_shares(anchors, hits)
    half = (xs[1] - xs[0]) / 2 if len(xs) > 1 else size / 2
    extent = (xs[0] - half, xs[-1] + half, ys[-1] + half, ys[0] - half)
    title = f"Positive {anchor_noun(anchors)}s in the response"
    _heat_map(row[0], 100 * shares, extent, size, title, "% of positive pairs")

    matched = np.array([np.count_nonzero(pair.matched) for pair in pairs])
    used = hits.sum(axis=1)
    bins = np.arange(max(matched.max(), used.max()) + 2) - 0.5
    style = {"bins": bins, "weights": np.full(len(pairs), 100 / len(pairs))}
    row[1].hist(matched, histtype="step", color="black", label="match", **style)
    row[1].hist(used, color=POSITIVE, label="used", **style)
    row[1].set(title=f"None in {100 * np.mean(used == 0):.1f} % of the positive pairs")
    row[1].set(xlabel=f"{anchor_noun(anchors)}s of a pair", ylabel="% of positive pairs")
    row[1].xaxis.get_major_locator().set_params(integer=True)
    row[1].legend(loc="upper center", ncols=2)
    row[1].set_ylim(top=1.15 * row[1].get_ylim()[1])  # room for the legend

    shapes, which = _shapes(anchors)
    if len(shapes) == 1:
        row[2].axis("off")
        return
    share = np.bincount(which, hits.sum(axis=0), len(shapes)) / max(used.sum(), 1)
    row[2].bar([f"{w:.0f} x {h:.0f}" for w, h in shapes], 100 * share, color=POSITIVE)
    row[2].set(title="Positive anchors by shape", xlabel="width x height, px")
    row[2].set(ylabel="% of positive anchors")
