"""The prototypes of a class on a page: sample, coverage, concepts."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import as_integer
from refcrp.concepts.atlas_picture import axes_at
from refcrp.concepts.pictures import draw_tile
from refcrp.concepts.sources import as_data
from refcrp.concepts.tiles import ReferenceTile, reference_tiles
from refcrp.drawing import as_picture, draw_picture, require_matplotlib
from refcrp.errors import FeatureError, ParameterError
from refcrp.lrp import LRP
from refcrp.selection import Indices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from refcrp.concepts.prototypes import Prototypes
    from refcrp.concepts.references import ReferenceSamples

__all__ = ["draw", "strongest"]

MARGIN, HEAD, CELL, NAME, BAR, GAP = 0.12, 0.3, 0.5, 1.3, 0.7, 0.2  # inches
PICTURE = 2.0  # inches at most
MAX_HEIGHT = 100  # inches, which are 15,000 pixels
LETTERS = 12  # of the layer's name
POSITIVE, NEGATIVE = "#B2182B", "#2166AC"  # the ends of the colours of relevance


def draw(
    prototypes: Prototypes,
    lrp: LRP,
    data: Any,
    target: int,
    path: str | PathLike[str] | None,
    refs: ReferenceSamples | None,
    concepts: int,
    n: int,
    which: Mapping[str, Any],
) -> Figure:
    """Draw what `Prototypes.draw` says."""
    require_matplotlib()
    from matplotlib.figure import Figure  # noqa: PLC0415 - imported where it is used

    layer, means = prototypes.vectors.layer, prototypes.means[target]
    top = strongest(means, concepts)
    images = as_data(data).images(prototypes.samples[target])
    tiles = tiles_of(refs, lrp, data, layer, top, n, which)

    tall = max(concepts, 2) * CELL
    side = min(tall, PICTURE)
    strip = CELL * max(map(len, tiles.values()), default=0)
    width = side + NAME + BAR + strip + 4 * MARGIN
    height = len(means) * (HEAD + tall + GAP) + 2 * MARGIN - GAP
    if height > MAX_HEIGHT:
        raise ParameterError(f"Prototypes.draw: {len(means)} prototypes of {concepts} concepts are too many")
    figure = Figure(figsize=(width, height))
    page = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))  # inches from the top left
    page.set_axis_off()
    scale = np.abs(means).max() or 1.0
    for row, i in enumerate(np.argsort(-prototypes.coverage[target], kind="stable")):
        y = MARGIN + row * (HEAD + tall + GAP)
        page.text(MARGIN, y + HEAD / 2, title(prototypes, target, i), fontsize=9, va="center")
        picture = as_picture(images[i], lrp.model.normalization)
        draw_picture(axes_at(page, MARGIN, y + HEAD, side, side), picture)
        for k, concept in enumerate(top[i].tolist()):
            place = 2 * MARGIN + side, y + HEAD + k * CELL
            relevance = float(means[i, concept])
            draw_concept(page, place, f"{short(layer)} [{concept}]\n{relevance:+.3g}", relevance / scale)
            for column, tile in enumerate(tiles.get(concept, ())):
                x = place[0] + NAME + BAR + MARGIN + column * CELL
                small = axes_at(page, x, place[1] + 0.03 * CELL, 0.94 * CELL, 0.94 * CELL)
                draw_tile(small, tile, "masked", lrp.model.normalization)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def strongest(means: Array, concepts: int) -> Indices:
    """Give the concepts with the largest absolute relevance of each mean (k, concepts), descending."""
    if as_integer(concepts, "concepts", 1) > means.shape[1]:
        raise FeatureError(f"concepts={concepts}: there are only {means.shape[1]}")
    return np.argsort(-np.abs(means), axis=1, kind="stable")[:, :concepts]


def tiles_of(
    refs: ReferenceSamples | None,
    lrp: LRP,
    data: Any,
    layer: str,
    top: Indices,
    n: int,
    which: Mapping[str, Any],
) -> dict[int, list[ReferenceTile]]:
    """Give the reference samples of each concept that is shown, if there are any."""
    if refs is None:
        return {}
    shown = np.unique(top).tolist()
    return dict(zip(shown, reference_tiles(refs, lrp, data, layer, shown, n=n, **which), strict=True))


def title(prototypes: Prototypes, target: int, i: int) -> str:
    """Say what a prototype stands for."""
    part, sample = 100 * prototypes.coverage[target][i], prototypes.samples[target][i]
    return f"class {target}, prototype {i}: {part:.0f} % of the samples; nearest is sample {sample}"


def short(layer: str) -> str:
    """Cut a long name."""
    return layer if len(layer) <= LETTERS else f"…{layer[1 - LETTERS :]}"


def draw_concept(page: Axes, place: tuple[float, float], name: str, part: float) -> None:
    """Write which concept it is, and draw its relevance as a bar, red if it is positive, else blue."""
    from matplotlib.patches import Rectangle  # noqa: PLC0415 - imported where it is used

    x, y = place
    page.text(x, y + CELL / 2, name, fontsize=8, va="center", parse_math=False)
    page.add_patch(
        Rectangle(
            (x + NAME, y + 0.3 * CELL),
            abs(part) * BAR,
            0.4 * CELL,
            fc=POSITIVE if part > 0 else NEGATIVE,
            ec="none",
        )
    )
