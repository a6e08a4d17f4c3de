"""The part of the report that shows the sequences in which trackers are worst."""

from html import escape
from typing import Dict, List, Tuple

import numpy as np

from .comparison import LOWER_IS_BETTER, Comparison, TrackerScores, finite
from .film import choose_frames, film_frame, overlap_plot, overlaps
from .html_page import figure_image, film_html, swatch
from .plots import style

__all__ = ["worst_html", "worst_sequences"]

STRIP_FRAMES = 5
MOST_IN_STRIP = 6  # trackers whose boxes are drawn
MOST_STRIPS = 24


def worst_html(comparison: Comparison, count: int) -> List[str]:
    """Film strips of the ``count`` worst sequences of each tracker; [] if there are none."""
    chosen = worst_sequences(comparison, count)
    if not chosen:
        return []
    html = [
        f'<p class="note">Up to {count} of each tracker, by {comparison.sequence_measure}, '
        "the worst of all first. Truth: green; trackers: their colours as above. "
        "Frames count from 0 and are shown around the boxes; one of them is where the first "
        "tracker that is named is off. Dotted lines: the frames that are shown.</p>"
    ]
    tracks = {track["name"]: track for track in comparison.tracks}
    for name, losers in chosen[:MOST_STRIPS]:
        html += _strip(comparison, tracks[name], losers)
    return html


def worst_sequences(comparison: Comparison, count: int) -> List[Tuple[str, List[TrackerScores]]]:
    """The ``count`` worst sequences of each tracker.

    Returns:
        [(sequence, the trackers that it is one of the worst of, worst first)], worst first.
    """
    measure, chosen = comparison.sequence_measure, {}
    sign = -1 if measure in LOWER_IS_BETTER else 1
    for tracker in comparison.scored:
        values = {n: finite(s.get(measure)) for n, s in tracker.scores.items()}
        ranked = sorted((sign * v, n) for n, v in values.items() if v is not None)
        for value, name in ranked[:count]:
            chosen.setdefault(name, []).append((value, tracker.number, tracker))
    ordered = sorted(chosen.items(), key=lambda item: min(item[1])[:2])
    return [(name, [tracker for *_, tracker in sorted(found)]) for name, found in ordered]


def _strip(comparison: Comparison, track: Dict, losers: List[TrackerScores]) -> List[str]:
    name, measure = track["name"], comparison.sequence_measure
    others = [t for t in comparison.scored if t not in losers and name in t.results]
    drawn = (losers + others)[:MOST_IN_STRIP]
    styles, ious = (
        [style(t) for t in drawn],
        [overlaps(t.results[name].boxes, track) for t in drawn],
    )
    frames = choose_frames(ious[0], STRIP_FRAMES)
    predictions = [t.results[name].boxes for t in drawn]
    colors = [s["color"] for s in styles]
    images = [film_frame(track, predictions, colors, index) for index in frames]
    captions = [_caption(track, drawn[0].name, ious[0], index) for index in frames]
    scores = ", ".join(
        swatch(style(t)["color"], f"{t.name} {t.scores[name][measure]:.3f}") for t in losers
    )
    plot = overlap_plot(ious, styles, [t.name for t in drawn], frames)
    return [
        f"<h3>{escape(name)}</h3>",
        f"<p>Among the worst of {scores}</p>",
        film_html(images, captions, name),
        figure_image(plot, f"IoU over the frames of {name}", wide=True),
    ]


def _caption(track: Dict, tracker: str, ious: np.ndarray, index: int) -> str:
    if not track["visible"][index]:
        return f"frame {index}, no truth"
    return f"frame {index}" + (f", {tracker} is off" if ious[index] <= 0 else "")
