"""Drawings of the page on conservation: what each layer keeps back, and a network in which all losses occur.

Nothing is computed here: the page hands in the numbers it has computed, and gets a figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from network_drawing import GREY, INK, colour_of, show

COLOURS = {"masked": "#9a6fb0", "bias": "#d98c21", "stabilizer": "#3c8d7d", "dropped": "#8a8a8a"}
WIDTH = 5.2


def draw_losses(ledgers: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    """Draw what each layer keeps back: one panel an analysis, one row a layer, the output on top.

    Parameters
    ----------
    ledgers : dict
        From a title to layers, from layers to losses by name. To the right of zero, the layer passes on less
        than it received; to the left, more.
    """
    layers = [len(ledger) for ledger in ledgers.values()]
    figure, axes = plt.subplots(
        len(ledgers), 1, figsize=(WIDTH, 0.24 * sum(layers) + 0.62 * len(layers)), squeeze=False
    )
    for ax, (title, ledger) in zip(axes.flat, ledgers.items(), strict=True):
        for row, losses in enumerate(ledger.values()):
            ends = {True: 0.0, False: 0.0}  # so far, to the right and to the left
            for name, loss in losses.items():
                side = loss > 0
                ax.barh(row, loss, left=ends[side], color=COLOURS[name], height=0.7)
                ends[side] += loss
        ax.set_yticks(range(len(ledger)), list(ledger), fontsize=9)
        ax.invert_yaxis()
        ax.axvline(0, color=INK, lw=0.8)
        reach = 1.08 * max(abs(end) for end in ax.dataLim.intervalx)
        ax.set_xlim(-reach, reach)
        ax.locator_params(axis="x", nbins=5)
        ax.tick_params(axis="x", labelsize=9)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.set_title(title, fontsize=10, loc="left")
    shown = {
        name for ledger in ledgers.values() for losses in ledger.values() for name, v in losses.items() if v
    }
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for name, colour in COLOURS.items() if name in shown]
    names = [name for name in COLOURS if name in shown]
    figure.legend(handles, names, loc="lower center", ncols=len(names), frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.3 / figure.get_figheight(), 1, 1))
    return figure


X = {"x": 0.0, "pool": 2.0, "hidden": 4.0, "out": 6.0}
ROWS = {"x": (1.8, 0.6, -0.6, -1.8), "pool": (1.2, -1.2), "hidden": (1.2, -1.2), "out": (0.0,)}


def draw_network(
    values: Mapping[str, Sequence[Any]],
    labels: Mapping[tuple[str, int, str, int], Any],
    notes: Sequence[tuple[str, int, str]] = (),
    *,
    backward: bool = False,
) -> Figure:
    """Draw four pixels, two windows of a pool, two hidden neurons and an output.

    Parameters
    ----------
    values : dict
        What is written in the neurons of each layer.
    labels : dict
        What is written on the arrow from one neuron (layer, number) to another: a number, or a text.
    notes : sequence of (layer, neuron, text)
        What is written beside a neuron.
    backward : bool
        Whether arrows point from the output to the input, and numbers are relevance.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.9))
    ax.set(xlim=(-0.6, 6.75), ylim=(-2.75, 2.75), aspect="equal")
    ax.axis("off")
    for (low, i, high, j), amount in labels.items():
        start, end = np.array([X[low], ROWS[low][i]]), np.array([X[high], ROWS[high][j]])
        along = (end - start) / np.linalg.norm(end - start)
        start, end = start + 0.42 * along, end - 0.42 * along
        colour = colour_of(amount) if backward else INK
        style = {"arrowstyle": "-|>,head_width=0.22,head_length=0.4", "color": colour, "lw": 1.3}
        tail, head = (end, start) if backward else (start, end)
        ax.annotate("", head, tail, arrowprops={**style, "shrinkA": 0, "shrinkB": 0}, zorder=1)
        part = 0.35 if low == "pool" and i != j else 0.42 if high == "out" else 0.5
        at = start + (end - start) * part
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        text, size = (amount, 10) if isinstance(amount, str) else (show(amount), 11)
        ax.text(*at, text, ha="center", va="center", fontsize=size, color=colour, bbox=box, zorder=2)
    for layer, x in X.items():
        ax.text(x, 2.55, layer, ha="center", va="center", fontsize=10, color=GREY)
        for y, value in zip(ROWS[layer], values[layer], strict=True):
            ax.add_patch(plt.Circle((x, y), 0.38, facecolor="white", edgecolor=INK, linewidth=1.3, zorder=3))
            colour = colour_of(value) if backward and value else INK
            ax.text(x, y, show(value), ha="center", va="center", fontsize=12, color=colour, zorder=4)
    for layer, i, text in notes:
        place = X[layer], ROWS[layer][i] - 0.5
        ax.text(*place, text, ha="center", va="top", fontsize=10, color=GREY, linespacing=1.3)
    figure.subplots_adjust(0, 0, 1, 1)
    return figure
