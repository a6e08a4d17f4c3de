"""Pictures of a tracked video: the scores over time, and the path of each target."""

import os
from pathlib import Path
from typing import Iterable, Optional

import numpy as np
from matplotlib.figure import Figure

from sot.data.labels import Label, Labels
from sot.utils.files import atomic_write
from sot.visualization import target_color

DPI = 120
MARKS = {"init": "s", "lost": "x"}  # markers of frames with these statuses


def plot_scores(labels: Iterable[Label], last: int) -> Figure:
    """The score of each target over the frames from 0 to ``last``. Frames with MARKS are marked."""
    rows = sorted(labels)
    targets = sorted({b.target for b in rows})
    figure = Figure(figsize=(9, 2.2), layout="constrained")
    axes = figure.subplots()
    for target in targets:
        color = np.array(target_color(target)[::-1]) / 255
        points = [(b.frame, b.score, b.status) for b in rows if b.target == target]
        axes.plot(*zip(*(p[:2] for p in points)), color=color, label=str(target))
        for status, marker in MARKS.items():
            marked = [p[:2] for p in points if p[2] == status]
            axes.scatter(*zip(*marked or [(np.nan, np.nan)]), 12, [color], marker=marker)
    axes.set(xlim=(0, max(last, 1)), ylim=(0, 1.02), xlabel="frame", ylabel="score")
    if len(targets) > 1:
        axes.legend(title="target", loc="lower left")
    return figure


def plot_trajectory(video: Labels, target: int, image: np.ndarray) -> Figure:
    """The centres of a target, in colours that tell the frame, over ``image`` (H, W, 3) uint8 BGR.
    Frames with MARKS are marked."""
    boxes = [b for b in video.labels if b.target == target]
    x, y = np.array([(b.x + b.w / 2, b.y + b.h / 2) for b in boxes]).T
    frames, status = (np.array([getattr(b, k) for b in boxes]) for k in ("frame", "status"))
    figure = Figure(figsize=(8, 7 * video.height / video.width + 0.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(image[..., ::-1], extent=(0, video.width, video.height, 0), alpha=0.5)
    axes.plot(x, y, color="0.2", linewidth=0.5)
    for marker, chosen in (
        (".", ~np.isin(status, list(MARKS))),
        *((marker, status == name) for name, marker in MARKS.items()),
    ):
        points = axes.scatter(
            *(x[chosen], y[chosen], 25, frames[chosen]),
            **{"marker": marker, "vmin": frames[0], "vmax": frames[-1], "cmap": "plasma"},
        )
    figure.colorbar(points, label="frame", shrink=0.8)
    axes.set_title(f"target {target}, over the last frame")
    return figure


def save_plots(video: Labels, image: Optional[np.ndarray], folder: str) -> None:
    """Write scores.png and a trajectory_TARGET.png for each target into a folder, or nothing if
    there is no image. Pictures of an earlier run are removed. OSError: a file cannot be written;
    the message names it."""
    for pattern in ("scores.png", "trajectory_*.png"):
        for path in Path(folder).glob(pattern):
            path.unlink()
    if image is None:
        return
    os.makedirs(folder, exist_ok=True)
    figures = {"scores": plot_scores(video.labels, video.num_frames - 1)}
    for target in video.targets:
        figures[f"trajectory_{target}"] = plot_trajectory(video, target, image)
    for name, figure in figures.items():
        with atomic_write(os.path.join(folder, f"{name}.png")) as f:
            figure.savefig(f, format="png", dpi=DPI)
