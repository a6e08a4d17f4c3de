"""What synthetic sequences are painted with: random outlines, textures and sprites.

Everything is drawn from the `numpy.random.Generator` that is passed in; the global one is never
touched. An outline is a list of closed polygons, float (N, 2) arrays in unit coordinates: their
joint bounds are exactly [-1, 1] x [-1, 1]. Images are BGR uint8; a sprite is premultiplied BGRA.
"""

from typing import List, Tuple

import cv2
import numpy as np

Outline = List[np.ndarray]

SUPERSAMPLE = 4


def superellipse(center, radii, power: float) -> np.ndarray:
    """Closed curve |x/rx|^power + |y/ry|^power = 1: 2 is an ellipse, 8 a rounded box."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    unit = np.sign(unit) * np.abs(unit) ** (2 / power)
    return np.asarray(center) + unit * np.asarray(radii)


def _round_corners(polygon: np.ndarray, times: int = 3) -> np.ndarray:
    """Chaikin's corner cutting."""
    for _ in range(times):
        following = np.roll(polygon, -1, axis=0)
        pair = [0.75 * polygon + 0.25 * following, 0.25 * polygon + 0.75 * following]
        polygon = np.stack(pair, axis=1).reshape(-1, 2)
    return polygon


def _polygon(rng) -> Outline:
    n = rng.integers(4, 9)
    angle = (np.arange(n) + rng.uniform(-0.25, 0.25, n)) * 2 * np.pi / n
    radius = rng.uniform(0.7, 1.0, n)
    return [_round_corners(np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, None])]


def _blob(rng) -> Outline:
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    wave = sum(
        rng.uniform(0, 0.25) / k * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
        for k in range(2, 7)
    )
    return [np.stack([np.cos(angle), np.sin(angle)], axis=1) * (1 + wave)[:, None]]


def _figure(rng) -> Outline:
    """Head, body and two legs."""
    width, spread = rng.uniform(0.35, 0.5), rng.uniform(0.2, 0.32)
    return [
        superellipse((0, -0.76), (0.22, 0.24), 2.0),
        superellipse((0, -0.05), (width, 0.58), 3.5),
        superellipse((-spread, 0.62), (0.17, 0.38), 4.0),
        superellipse((spread, 0.62), (0.17, 0.38), 4.0),
    ]


def _vehicle(rng) -> Outline:
    """Body, cabin and two wheels."""
    cabin = rng.uniform(-0.25, 0.25)
    return [
        superellipse((0, 0.2), (1.0, 0.45), 5.0),
        superellipse((cabin, -0.3), (rng.uniform(0.4, 0.65), 0.5), 4.0),
        superellipse((-0.6, 0.62), (0.22, 0.3), 2.0),
        superellipse((0.6, 0.62), (0.22, 0.3), 2.0),
    ]


def random_outline(rng) -> Outline:
    """A random outline, normalised to the unit box."""
    kind = rng.choice(["ellipse", "polygon", "blob", "figure", "vehicle"])
    if kind == "ellipse":
        outline = [superellipse((0, 0), (1, 1), rng.choice([2.0, 3.0, 6.0]))]
    else:
        outline = {"polygon": _polygon, "blob": _blob, "figure": _figure, "vehicle": _vehicle}[
            str(kind)
        ](rng)
    return fit_unit_box(outline)[0]


def fit_unit_box(outline: Outline) -> Tuple[Outline, np.ndarray]:
    """The outline in the units in which its bounds are the unit box, and those bounds before:
    (2, 2), lower and upper corner."""
    points = np.concatenate(outline)
    low, high = points.min(axis=0), points.max(axis=0)
    center, half = (low + high) / 2, (high - low) / 2
    return [(part - center) / half for part in outline], np.stack([low, high])


def outline_polygons(outline: Outline, half_size, center) -> List[np.ndarray]:
    """
    Args:
        half_size: (x, y) pixels of one unit.
        center: (x, y) of the unit box's centre, continuous pixel coordinates.

    Returns:
        int32 polygons for `cv2.fillPoly`, whose coordinates are those of pixel centres.
    """
    return [np.round(part * half_size + center - 0.5).astype(np.int32) for part in outline]


def outline_mask(outline: Outline, half_size, shape: Tuple[int, int], center=None) -> np.ndarray:
    """uint8 (H, W) of the shape: 255 inside, 0 outside; centred if no `center` is given."""
    h, w = shape
    mask = np.zeros(shape, np.uint8)
    center = np.array([w, h]) / 2 if center is None else center
    for polygon in outline_polygons(outline, half_size, center):
        cv2.fillPoly(mask, [polygon], 255)
    return mask


def sprite_mask(outline: Outline, half_size) -> np.ndarray:
    """uint8 (H, W): the smooth-edged shape, the unit box centred in it, with a margin."""
    w, h = (2 * int(np.ceil(s * 1.05)) + 4 for s in half_size)
    size = (h * SUPERSAMPLE, w * SUPERSAMPLE)
    alpha = outline_mask(outline, np.multiply(half_size, SUPERSAMPLE), size)
    return cv2.resize(alpha, (w, h), interpolation=cv2.INTER_AREA)


def fractal_noise(rng, shape: Tuple[int, int], cell: float, octaves: int = 4) -> np.ndarray:
    """
    Args:
        cell: size of the coarsest structure in pixels; each octave halves it.

    Returns:
        float32 (H, W) in [0, 1].
    """
    h, w = shape
    noise = np.zeros(shape, np.float32)
    for octave in range(octaves):
        step = max(cell / 2**octave, 1.0)
        grid = rng.random((int(h / step) + 2, int(w / step) + 2), dtype=np.float32)
        noise += cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC) * (0.6**octave)
    return cv2.normalize(noise, None, 0.0, 1.0, cv2.NORM_MINMAX)


def random_palette(rng, muted: bool = False) -> np.ndarray:
    """(256, 3) uint8 BGR ramp through two to four related colours, as a natural surface has."""
    n = rng.integers(2, 5)
    hue = (rng.uniform(0, 180) + rng.normal(0, rng.choice([6, 25]), n)) % 180
    saturation = np.clip(rng.choice([40, 90, 160]) + rng.normal(0, 30, n), 0, 230)
    if muted:
        saturation *= 0.5
    value = np.clip(rng.uniform(60, 200) + rng.normal(0, 50, n), 20, 245)
    knots = np.stack([hue, saturation, value], axis=1).astype(np.uint8)
    knots = cv2.cvtColor(knots[None], cv2.COLOR_HSV2BGR)[0].astype(np.float32)
    ramp = [np.interp(np.linspace(0, n - 1, 256), np.arange(n), knots[:, c]) for c in range(3)]
    return np.stack(ramp, axis=1).astype(np.uint8)


def _pattern(rng, kind: str, noise: np.ndarray, cell: float) -> np.ndarray:
    """Stripes, a checker, rings or a ramp, turned and bent by noise (H, W): float32 (H, W)."""
    h, w = noise.shape
    angle, bend = np.float32(rng.uniform(0, np.pi)), np.float32(rng.uniform(0, 4))
    cos, sin, scale = np.cos(angle), np.sin(angle), np.float32(np.pi / cell)
    x = (np.arange(w, dtype=np.float32) - w * np.float32(rng.random())) * scale
    y = ((np.arange(h, dtype=np.float32) - h * np.float32(rng.random())) * scale)[:, None]
    u, v = cos * x + sin * y, cos * y - sin * x
    if kind == "stripes":
        return 0.5 + 0.5 * np.sin(u + bend * noise)
    if kind == "checker":
        return 0.5 + 0.5 * np.sin(u + 0.3 * bend * noise) * np.sin(v + 0.3 * bend * noise)
    if kind == "rings":
        return 0.5 + 0.5 * np.sin(np.hypot(u, v) + bend * noise)
    return 0.5 + 0.4 * u / np.abs(u).max() + 0.3 * (noise - 0.5)


def random_texture(rng, palette: np.ndarray, shape: Tuple[int, int], cell: float) -> np.ndarray:
    """
    Noise, spots, stripes, checkers, rings or a ramp, coloured by `palette`.

    Args:
        cell: size of the structure in pixels.

    Returns:
        uint8 (H, W, 3).
    """
    kind = str(rng.choice(["noise", "spots", "stripes", "checker", "rings", "ramp"]))
    field = fractal_noise(rng, shape, cell * rng.uniform(1, 3))
    if kind not in ("noise", "spots"):
        field = _pattern(rng, kind, field, cell)
    if kind in ("spots", "checker") or rng.random() < 0.3:  # hard edges
        field = 0.5 + 0.5 * np.tanh((field - 0.5) * np.float32(rng.uniform(4, 15)))
    grain = rng.standard_normal(shape, dtype=np.float32) * np.float32(rng.uniform(2, 10))
    return palette[np.clip(field * 255 + grain, 0, 255).astype(np.uint8)]


def paint_sprite(structure, colours, outline: Outline, half_size) -> Tuple[np.ndarray, np.ndarray]:
    """
    Paint a textured object of several parts, shaded as if it were round.

    Args:
        structure, colours: generators; sprites that share the first look alike but for colour.
        half_size: (x, y) pixels of one unit of the outline.

    Returns:
        sprite: uint8 (H, W, 4) premultiplied BGRA, the unit box centred in it, with a margin.
        alpha: uint8 (H, W), the sprite's coverage.
    """
    alpha = sprite_mask(outline, half_size)
    h, w = alpha.shape
    cell = float(min(half_size)) * structure.uniform(0.2, 0.7)
    color = random_texture(structure, random_palette(colours), (h, w), cell)
    for _ in range(structure.integers(1, 4)):
        part_size = np.multiply(half_size, structure.uniform(0.2, 0.6, 2))
        center = np.multiply(half_size, structure.uniform(-0.6, 0.6, 2)) + (w / 2, h / 2)
        mask = outline_mask(random_outline(structure), part_size, (h, w), center)
        part = random_texture(structure, random_palette(colours), (h, w), cell / 2)
        cv2.copyTo(part, mask, color)

    # darker towards the edge, brighter towards a light from above
    reach = 2 * int(0.3 * min(half_size)) + 1
    depth = cv2.blur(alpha, (reach, reach), borderType=cv2.BORDER_CONSTANT).astype(np.float32) / 255
    slope = np.linspace(1.15, 0.85, h, dtype=np.float32)[:, None]
    weight = (0.45 + 0.6 * depth) * slope * (alpha / np.float32(255))
    color = np.clip(color * weight[..., None], 0, 255).astype(np.uint8)
    return np.dstack([np.minimum(color, alpha[..., None]), alpha]), alpha


def paint_background(rng, shape: Tuple[int, int]) -> np.ndarray:
    """Ground, patches of other ground, and clutter: uint8 (H, W, 3)."""
    h, w = shape
    layers = []
    for _ in range(2):  # at half the resolution: it is a little out of focus, and quick
        palette = random_palette(rng, muted=True)
        layer = random_texture(rng, palette, (h // 2, w // 2), rng.uniform(6, 40))
        layers.append(cv2.resize(layer, (w, h)))
    background = layers[0].copy()
    patches = fractal_noise(rng, shape, 0.5 * min(shape)) > rng.uniform(0.4, 0.8)
    cv2.copyTo(layers[1], patches.astype(np.uint8), background)
    for _ in range(rng.integers(0, 25)):
        half_size = min(shape) * rng.uniform(0.02, 0.12, 2)
        center = rng.uniform(0, 1, 2) * (w, h)
        outline = random_outline(rng)
        if rng.random() < 0.5:
            cv2.copyTo(layers[1], outline_mask(outline, half_size, shape, center), background)
        else:
            color = random_palette(rng, muted=True)[128].tolist()
            for polygon in outline_polygons(outline, half_size, center):
                cv2.fillPoly(background, [polygon], color)
    return background
