"""Drawings of images, kernels and outputs as grids of cells.

Nothing is computed here: the pages hand in the numbers they have computed, and get a figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

INK, LINE, PADDING = "#222222", "#8a8a8a", "#efefef"
GREEN, YELLOW = "#b7dfb9", "#ffe08a"


@dataclass(frozen=True)
class Grid:
    """Cells with something written in them.

    Parameters
    ----------
    title : str
    cells : (height, width) array
        What is written: text, numbers (fractions as such), or nothing where it is "".
    fill : (height, width) array or None
        The colour of each cell, "" for white; or numbers, which become red where positive and blue where
        negative.
    padding : int
        How many cells on each side are padding, drawn grey.
    frames : sequence of (top, left, height, width, colour)
        Rectangles drawn around cells.
    """

    title: str
    cells: Any
    fill: Any = None
    padding: int = 0
    frames: Sequence[tuple[float, float, float, float, str]] = ()


def show(value: Any) -> str:
    """Write a number as a reader would: 4/3, −1/3, 2; text as it is."""
    if isinstance(value, str):
        return value
    nearest = Fraction(float(value)).limit_denominator(1000)
    return str(nearest).replace("-", "\N{MINUS SIGN}")


def draw_grids(*grids: Grid, between: Sequence[str] = (), cell: float = 0.44, fontsize: int = 12) -> Figure:
    """Draw grids side by side, with a text (an arrow, say) between each two of them."""
    gap = 0.9
    heights, widths = zip(*(np.shape(grid.cells) for grid in grids), strict=True)
    height, width = max(heights), sum(widths) + gap * (len(grids) - 1)
    figure, ax = plt.subplots(figsize=(cell * (width + 0.3), cell * (height + 1.2)))
    figure.subplots_adjust(0, 0, 1, 1)
    ax.set(xlim=(-0.15, width + 0.15), ylim=(height + 0.1, -1.1), aspect="equal")
    ax.axis("off")
    left = 0.0
    for k, grid in enumerate(grids):
        top = (height - heights[k]) / 2
        draw_cells(ax, grid, top, left, fontsize)
        left += widths[k]
        if k < len(between):
            ax.text(left + gap / 2, height / 2, between[k], ha="center", va="center", fontsize=fontsize + 3)
        left += gap
    return figure


def draw_cells(ax: Any, grid: Grid, top: float, left: float, fontsize: int) -> None:
    """Draw one grid with its upper left corner at (top, left)."""
    cells = np.asarray(grid.cells, dtype=object)
    height, width = cells.shape
    ax.text(left + width / 2, top - 0.3, grid.title, ha="center", va="bottom", fontsize=fontsize, color=INK)
    for (i, j), value in np.ndenumerate(cells):
        p = grid.padding
        is_padding = not (p <= i < height - p and p <= j < width - p)
        colour = PADDING if is_padding else colour_of(grid.fill, i, j)
        ax.add_patch(Rectangle((left + j, top + i), 1, 1, facecolor=colour, edgecolor=LINE, linewidth=0.8))
        ax.text(left + j + 0.5, top + i + 0.52, show(value), ha="center", va="center", fontsize=fontsize)
    for i, j, h, w, colour in grid.frames:
        ax.add_patch(
            Rectangle((left + j, top + i), w, h, fill=False, edgecolor=colour, linewidth=2.2, zorder=3)
        )


def colour_of(fill: Any, i: int, j: int) -> Any:
    """Give the colour of a cell: as named, or from the sign and size of its number."""
    if fill is None:
        return "white"
    value = np.asarray(fill, dtype=object)[i, j]
    if isinstance(value, str):
        return value or "white"
    largest = max(abs(float(v)) for v in np.asarray(fill, dtype=object).flat) or 1.0
    return plt.get_cmap("bwr")(0.5 + 0.28 * float(value) / largest)
