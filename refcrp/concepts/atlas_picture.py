"""Concept atlases as pictures: regions in the colours of their concepts, and a legend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from refcrp.arrays import Array
from refcrp.concepts.pictures import draw_tile
from refcrp.concepts.tiles import ReferenceTile
from refcrp.drawing import as_picture, draw_picture, require_matplotlib, share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from refcrp.concepts.atlas import ConceptAtlas

__all__ = ["COLOURS", "NONE", "draw"]

NONE = -1  # the concept of a region in which none has positive relevance
# Okabe and Ito, Color universal design, 2008: distinct to the colour-blind, too.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
OTHERS = "#888888"
OPACITY = 0.12, 0.75  # of a region with hardly any relevance, and of the one with most
LIGHTER = 0.45  # how far the image is moved towards white: colours do not show on black
READABLE = 0.025  # of the image's larger side: the room that a number needs around it
SIDE, MARGIN, HEAD, ROW, TILE, SWATCH, TEXT = 4.6, 0.12, 0.42, 0.4, 0.52, 0.22, 1.25  # inches
LETTERS = 12  # of the layer's name
BOX = {"boxstyle": "round,pad=0.18", "fc": "white", "ec": "none", "alpha": 0.85}

Tiles = Sequence[Sequence[ReferenceTile]]
Segment = tuple[tuple[float, float], tuple[float, float]]


def draw(atlas: ConceptAtlas, tiles: Tiles | None, path: str | PathLike[str] | None) -> Figure:
    """Draw an atlas, with the reference samples of the concepts that have a colour, if they are given."""
    require_matplotlib()
    from matplotlib.figure import Figure  # noqa: PLC0415 - imported where it is used

    height, width = (SIDE * length / max(atlas.regions.shape) for length in atlas.regions.shape)
    lines, row = len(legend(atlas)), ROW if tiles is None else TILE
    strip = 0.0 if tiles is None else TILE * max(map(len, tiles), default=0)
    whole = width + SWATCH + TEXT + strip + 4 * MARGIN, max(height, HEAD + row * lines) + 2 * MARGIN

    figure = Figure(figsize=whole)
    page = figure.add_axes((0, 0, 1, 1), xlim=(0, whole[0]), ylim=(whole[1], 0))  # inches from the top left
    page.set_axis_off()
    draw_regions(axes_at(page, MARGIN, MARGIN, width, height), atlas)
    draw_legend(page, atlas, tiles, width + 2 * MARGIN, row)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def axes_at(page: Axes, x: float, y: float, width: float, height: float) -> Axes:
    """Put axes on a page, by inches from its top left corner."""
    whole_width, whole_height = page.get_xlim()[1], page.get_ylim()[0]
    box = x / whole_width, 1 - (y + height) / whole_height, width / whole_width, height / whole_height
    return page.figure.add_axes(box)


def colours(atlas: ConceptAtlas) -> dict[int, str]:
    """Give each concept that dominates anywhere its colour."""
    concepts = atlas.ranking()[0].tolist()
    return {c: COLOURS[k] if k < len(COLOURS) else OTHERS for k, c in enumerate(concepts)}


def legend(atlas: ConceptAtlas) -> list[tuple[str, str, str]]:
    """Give the lines of the legend: colour, which concept, which part of the layer's relevance."""
    concepts, relevance = atlas.ranking()
    name = atlas.layer if len(atlas.layer) <= LETTERS else f"…{atlas.layer[1 - LETTERS :]}"
    texts, own = [f"{name} [{c}]" for c in concepts[: len(COLOURS)]], relevance[: len(COLOURS)]
    if (rest := len(concepts) - len(COLOURS)) > 0:
        texts, own = [*texts, f"{rest} others"], np.append(own, relevance[len(COLOURS) :].sum())
    parts = share(own, np.full(len(own), atlas.all_relevance.sum()))
    return list(zip((*COLOURS, OTHERS), texts, parts, strict=False))


def draw_regions(axis: Axes, atlas: ConceptAtlas) -> None:
    """Draw the image, the regions in the colours of their concepts, and the borders between them."""
    from matplotlib.collections import LineCollection  # noqa: PLC0415 - imported where it is used

    picture = as_picture(atlas.image, atlas.lrp.model.normalization)
    draw_picture(axis, picture + LIGHTER * (1 - picture))
    axis.imshow(layer_of_colour(atlas))
    concepts = atlas.concepts[atlas.regions]
    inner = list(borders(atlas.regions))
    axis.add_collection(LineCollection(inner, colors="white", linewidths=0.4, alpha=0.5))
    outer = list(borders(concepts))
    axis.add_collection(LineCollection(outer, colors="white", linewidths=2.2, capstyle="round"))
    axis.add_collection(LineCollection(outer, colors="black", linewidths=1.0, capstyle="round"))
    for x, y, text in numbers(concepts):
        axis.text(x, y, text, fontsize=7, ha="center", va="center", bbox=BOX)


def layer_of_colour(atlas: ConceptAtlas) -> Array:
    """Give what lies over the image, (height, width, 4): red, green, blue, opacity."""
    from matplotlib.colors import to_rgba  # noqa: PLC0415 - imported where it is used

    most = atlas.relevance.max(initial=0) or 1
    low, high = OPACITY
    over = np.zeros((len(atlas.concepts), 4))
    for concept, colour in colours(atlas).items():
        over[atlas.concepts == concept] = to_rgba(colour)
    over[:, 3] *= low + (high - low) * np.sqrt((atlas.relevance / most).astype(np.float64))
    return np.asarray(over[atlas.regions])


def borders(labels: Array) -> Iterator[Segment]:
    """Give the sides of pixels between which labels differ, as lines (x, y) to (x, y)."""
    for y, x in np.argwhere(labels[1:] != labels[:-1]):
        yield (x - 0.5, y + 0.5), (x + 0.5, y + 0.5)
    for y, x in np.argwhere(labels[:, 1:] != labels[:, :-1]):
        yield (x + 0.5, y - 0.5), (x + 0.5, y + 0.5)


def numbers(concepts: Array) -> Iterator[tuple[float, float, str]]:
    """Give each connected piece of one concept, if it is large enough, its number and where to write it."""
    for concept in np.unique(concepts[concepts != NONE]):
        pieces, count = ndimage.label(concepts == concept)
        for piece in range(1, count + 1):
            depth = ndimage.distance_transform_edt(np.pad(pieces == piece, 1))[1:-1, 1:-1]
            if depth.max() >= READABLE * max(concepts.shape):
                deepest = np.argwhere(depth == depth.max())
                y, x = middle = deepest.mean(axis=0)
                if depth[round(y), round(x)] < depth.max():  # it lies between two of them
                    y, x = deepest[np.abs(deepest - middle).sum(axis=1).argmin()]
                yield float(x), float(y), str(concept)


def draw_legend(page: Axes, atlas: ConceptAtlas, tiles: Tiles | None, x: float, row: float) -> None:
    """Write which colour is which concept, from `x` inches on, best first."""
    from matplotlib.patches import Rectangle  # noqa: PLC0415 - imported where it is used

    title = f"output {atlas.selected}\nrelevance in its regions"
    page.text(x, MARGIN, title, fontsize=8, va="top", parse_math=False)
    for k, (colour, name, part) in enumerate(legend(atlas)):
        middle = MARGIN + HEAD + (k + 0.5) * row
        page.add_patch(
            Rectangle((x, middle - SWATCH / 2), SWATCH, SWATCH, fc=colour, ec="black", linewidth=0.6)
        )
        words = x + SWATCH + MARGIN, middle, f"{name}\n{part}"
        page.text(*words, fontsize=8, va="center", parse_math=False)
        for column, tile in enumerate(tiles[k] if tiles and k < len(tiles) else ()):
            left = x + SWATCH + TEXT + MARGIN + column * TILE
            small = axes_at(page, left, middle - 0.47 * TILE, 0.94 * TILE, 0.94 * TILE)
            draw_tile(small, tile, "masked", atlas.lrp.model.normalization)
