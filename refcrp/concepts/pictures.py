"""What channels stand for, in pictures: a row of reference samples for each."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import as_integer
from refcrp.concepts.tiles import FADED, Crop, ReferenceTile, reference_tiles
from refcrp.drawing import as_picture, draw_map, draw_picture, require_matplotlib
from refcrp.errors import ParameterError
from refcrp.lrp import LRP
from refcrp.normalization import Normalization

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from refcrp.concepts.references import ReferenceSamples

__all__ = ["STYLES", "Style", "concept_grid", "draw_tile"]

Style = Literal["masked", "heatmaps", "plain"]
STYLES: tuple[Style, ...] = ("masked", "heatmaps", "plain")
MAX_PANELS = 2000
BESIDE, CELL, MARGIN, GAP = 0.9, 0.95, 0.1, 0.06  # inches, but the gap, which is a part of a picture
NAMES = {"relevance": "RelMax", "activation": "ActMax"}


def concept_grid(
    refs: ReferenceSamples,
    lrp: LRP,
    data: Any,
    layer: int | str,
    channels: Sequence[int],
    path: str | PathLike[str] | None = None,
    *,
    n: int = 8,
    by: Literal["relevance", "activation", "both"] = "both",
    crop: Crop | None = "receptive-field",
    style: Style = "masked",
    **which: Any,
) -> Figure:
    """Draw the reference samples of some channels: one row a channel, or two, RelMax above ActMax.

    Parameters
    ----------
    refs : ReferenceSamples
    lrp : LRP
    data : array, pair of arrays, or sequence of (image, label)
        What `refs` were collected from.
    layer : int or str
    channels : sequence of int
    path : path, optional
        Where to write the picture; the ending says in which format.
    n : int
        Samples a row.
    by : "relevance", "activation" or "both"
    crop : "receptive-field", "heatmap" or None
        As for `reference_tiles`.
    style : "masked", "heatmaps" or "plain"
        Fade what the concept does not look at; show the conditional heatmap below each sample; or neither.
    **which
        As for `ReferenceSamples.top`: ``over``, ``label``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.

    Examples
    --------
    >>> import refcrp as rc
    >>> lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    >>> refs, data = rc.load_references("lenet5")
    >>> figure = rc.concept_grid(refs, lrp, data, "conv2", [3, 11], n=2)
    >>> len(figure.axes)  # RelMax and ActMax of two channels, two samples each
    8
    """
    if style not in STYLES:
        raise ParameterError(f"style={style!r}: expected one of {', '.join(map(repr, STYLES))}")
    if by not in (*NAMES, "both"):
        raise ParameterError(f"by={by!r}: expected 'relevance', 'activation' or 'both'")
    require_matplotlib()
    from matplotlib.figure import Figure  # noqa: PLC0415 - imported where it is used

    kinds = list(NAMES) if by == "both" else [by]
    lines = 2 if style == "heatmaps" else 1
    rows = len(channels) * len(kinds) * lines
    if not 0 < rows * as_integer(n, "n", 1) <= MAX_PANELS:
        raise ParameterError(f"concept_grid: {rows} rows of {n} pictures; expected 1 to {MAX_PANELS} in all")
    tiles = {
        kind: reference_tiles(refs, lrp, data, layer, channels, crop=crop, n=n, by=kind, **which)
        for kind in kinds
    }
    width, height = BESIDE + CELL * n, CELL * rows + MARGIN
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(BESIDE / width, MARGIN / height / 2, 1, 1 - MARGIN / height / 2, GAP, GAP)
    axes = figure.subplots(rows, n, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    name = lrp.model.names[lrp.model.index(layer)]
    row = 0
    for k, channel in enumerate(channels):
        for kind in kinds:
            write_beside(axes[row, 0], f"{name} [{channel}]\n{NAMES[kind]}")
            for column, tile in enumerate(tiles[kind][k]):
                draw_tile(axes[row, column], tile, style, lrp.model.normalization)
                if style == "heatmaps":
                    draw_map(axes[row + 1, column], tile.heatmap, "")
            row += lines
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def draw_tile(axis: Axes, tile: ReferenceTile, style: Style, normalization: Normalization | None) -> None:
    """Draw a reference sample."""
    draw_picture(axis, tile_picture(tile, style, normalization))
    axis.set_axis_on()


def tile_picture(tile: ReferenceTile, style: Style, normalization: Normalization | None) -> Array:
    """Give the picture (channels, height, width), values 0 to 1."""
    picture = as_picture(tile.image, normalization)
    if style == "masked":
        picture = picture * np.where(tile.visible, 1.0, FADED)
    return picture


def write_beside(axis: Axes, text: str) -> None:
    """Write text at the left of a row of pictures."""
    axis.set_axis_on()
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_ylabel(text, fontsize=8, rotation=0, ha="right", va="center", parse_math=False)
