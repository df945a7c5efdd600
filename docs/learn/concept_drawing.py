"""Drawings of the pages on concepts: rows of heatmaps, the order of results, a block with a shortcut.

Nothing is computed here: the pages hand in what they have computed, and get a figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from network_drawing import GREY, INK, RED, arrow, label, show

PALE = "#b4b4b4"
SAMPLES = ("#f2c572", "#9fc5a8", "#a9b7d9")  # grounds that tell samples apart
WIDTH = 5.2  # inches: what a phone shows without making letters too small


def draw_maps(
    panels: Sequence[tuple[str, Any]], columns: int = 4, *, limit: float | None = None, picture: int = 0
) -> Figure:
    """Draw heatmaps in rows, red above zero and blue below.

    Parameters
    ----------
    panels : sequence of (title, (h, w) array or None)
        None leaves a place empty.
    columns : int
    limit : float, optional
        The value of the strongest colour in all maps; each map has its own scale if None.
    picture : int
        So many panels at the front are pictures, values 0 to 1, and no heatmaps.
    """
    rows = math.ceil(len(panels) / columns)
    side = WIDTH / columns
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, rows * (side + 0.32)), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for k, (ax, (title, values)) in enumerate(zip(axes.flat, panels, strict=False)):
        if values is None:
            continue
        if k < picture:
            ax.imshow(values, cmap="gray", vmin=0, vmax=1)
        else:
            draw_map(ax, values, limit)
        ax.set_title(title, fontsize=9, color=INK, pad=3)
    figure.subplots_adjust(0.01, 0.01, 0.99, 1 - 0.4 / (rows * (side + 0.32)), 0.06, 0.3)
    return figure


def draw_map(ax: Axes, values: Any, limit: float | None = None) -> None:
    """Draw one heatmap in a thin frame."""
    values = np.asarray(values, dtype=float)
    limit = limit or np.abs(values).max() or 1.0
    ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.axis("on")
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(color="#bbbbbb", linewidth=0.6)


def draw_order(features: Any) -> Figure:
    """Draw which row of the result belongs to which feature and which sample.

    Parameters
    ----------
    features : (k, n) array of int
        The channel of each feature and sample.
    """
    k, n = features.shape
    figure, ax = plt.subplots(figsize=(WIDTH, 0.5 * k * n + 0.8))
    ax.set(xlim=(-0.1, 10.4), ylim=(k * n + 0.35, -1.05))
    ax.axis("off")
    for x, head in ((3.9, "row of relevance"), (6.6, "sample"), (8.9, "channel")):
        ax.text(x, -0.55, head, ha="center", va="center", fontsize=10, color=GREY)
    for row in range(k * n):
        feature, sample = divmod(row, n)
        ax.add_patch(plt.Rectangle((2.4, row), 7.8, 0.92, facecolor=SAMPLES[sample], edgecolor="none"))
        for x, text in ((3.9, row), (6.6, sample), (8.9, features[feature, sample])):
            ax.text(x, row + 0.46, str(text), ha="center", va="center", fontsize=11, color=INK)
    for feature in range(k):
        top, bottom = feature * n, (feature + 1) * n - 0.08
        ax.plot([2.2, 2.05, 2.05, 2.2], [top, top, bottom, bottom], color=INK, lw=1.2)
        ax.text(
            1.9, (top + bottom) / 2, f"feature {feature}", ha="right", va="center", fontsize=10, color=INK
        )
    figure.subplots_adjust(0, 0, 1, 1)
    return figure


PLACES = {"x": (0.0, 0.0), "h1": (2.3, 1.25), "h2": (2.3, 0.0), "y": (4.6, 0.0)}
NAMES = {"x": "$x$", "h1": "$h_1$", "h2": "$h_2$", "y": "$y$"}


def draw_shortcut(
    values: Mapping[str, Any],
    arrows: Mapping[tuple[str, str], str],
    shortcut: str,
    *,
    backward: bool = False,
    dead: Sequence[tuple[str, str]] = (),
    masked: Sequence[str] = (),
) -> Figure:
    """Draw a block of two neurons and a shortcut around them.

    Parameters
    ----------
    values : dict
        What is written in each neuron.
    arrows : dict
        What is written on the arrow from one neuron to another.
    shortcut : str
        What is written on the shortcut.
    backward : bool
        Whether arrows point from the output to the input.
    dead : sequence
        The arrows on which nothing flows, ``("x", "y")`` for the shortcut.
    masked : sequence of str
        The neurons that pass on nothing of what they hold.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.4))
    ax.set(xlim=(-0.6, 5.2), ylim=(-2.05, 1.75), aspect="equal")
    ax.axis("off")
    for (low, high), text in arrows.items():
        colour = GREY if (low, high) in dead else INK
        ends = [np.array(PLACES[low]), np.array(PLACES[high])]
        along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
        start, end = ends[0] + 0.46 * along, ends[1] - 0.46 * along
        point(ax, start, end, PALE if (low, high) in dead else INK, backward)
        label(ax, *(start + end) / 2, text, colour)
    colour = GREY if ("x", "y") in dead else INK
    low, high = (PLACES["x"][0] + 0.28, -0.36), (PLACES["y"][0] - 0.28, -0.36)
    point(ax, low, high, PALE if ("x", "y") in dead else INK, backward, curve=0.5)
    label(ax, 2.3, -1.38, shortcut, colour)
    ax.text(2.3, -1.78, "shortcut", ha="center", va="center", fontsize=10, color=GREY)
    for name in masked:
        x, y = PLACES[name]
        point(ax, (x, y - 0.42), (x, y - 0.72), GREY, backward=False)
        ax.text(x, y - 0.78, f"masked {show(values[name])}", ha="center", va="top", fontsize=12, color=GREY)
    for name, place in PLACES.items():
        ax.add_patch(plt.Circle(place, 0.42, facecolor="white", edgecolor=INK, linewidth=1.4, zorder=3))
        value = values.get(name)
        text = NAMES[name] if value is None else show(value)
        ax.text(*place, text, ha="center", va="center", fontsize=13, color=INK, zorder=4)
        if value is not None:
            side = (-0.62, 0.36) if name == "h1" else (0, 0.62)
            ax.text(
                place[0] + side[0],
                place[1] + side[1],
                NAMES[name],
                ha="center",
                va="center",
                fontsize=13,
                color=INK,
            )
    figure.subplots_adjust(0, 0, 1, 1)
    return figure


def point(ax: Axes, low: Any, high: Any, colour: str, backward: bool, curve: float = 0) -> None:
    """Draw an arrow up, or down."""
    start, end = (high, low) if backward else (low, high)
    arrow(ax, start, end, colour, 1.5, -curve if backward else curve)


def draw_conditions(channels: Mapping[str, int], kept: Sequence[tuple[str, Mapping[str, Any]]]) -> Figure:
    """Draw which channels conditions let through, one column a layer.

    Parameters
    ----------
    channels : dict
        How many channels each layer has, from the output down.
    kept : sequence of (condition, dict)
        What is written beside a row, and what it keeps of each layer; all of layers that are missing.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 0.78 * len(kept) + 0.4))
    ax.axis("off")
    right = 4.6
    starts = {}
    for layer, count in channels.items():
        starts[layer] = right
        right += count * 0.42 + 0.75
    ax.set(xlim=(0, right - 0.7), ylim=(len(kept) * 1.55 + 0.1, -0.75))
    for layer, start in starts.items():
        middle = start + channels[layer] * 0.21
        ax.text(middle, -0.4, layer, ha="center", va="center", fontsize=10, color=GREY)
    for row, (text, keeps) in enumerate(kept):
        y = row * 1.55 + 0.2
        ax.text(0.05, y + 0.5, text, ha="left", va="center", fontsize=9, color=INK, family="monospace")
        for layer, start in starts.items():
            for channel in range(channels[layer]):
                on = layer not in keeps or channel in keeps[layer]
                box = FancyBboxPatch(
                    (start + channel * 0.42, y),
                    0.34,
                    1.0,
                    boxstyle="round,pad=0,rounding_size=0.06",
                    facecolor=RED if on else "#ececec",
                    edgecolor="none",
                )
                ax.add_patch(box)
    figure.subplots_adjust(0, 0, 1, 1)
    return figure
