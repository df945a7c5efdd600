"""Drawings of the network of three neurons: what goes forward along its arrows, and what comes back.

Nothing is computed here: the pages hand in the numbers they have computed, and get a figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PLACES = {"x1": (0.0, 1.1), "x2": (0.0, -1.1), "h1": (2.5, 1.1), "h2": (2.5, -1.1), "y": (5.0, 0.0)}
OUTWARD = {"x1": -1, "x2": 1, "h1": 1, "h2": -1, "y": -1}  # where a neuron's bias is drawn: above it or below
NAMES = {"x1": "$x_1$", "x2": "$x_2$", "h1": "$h_1$", "h2": "$h_2$", "y": "$y$"}
EDGES = (("x1", "h1"), ("x2", "h1"), ("x1", "h2"), ("x2", "h2"), ("h1", "y"), ("h2", "y"))
RED, BLUE, GREY, INK = "#b3261e", "#1f5fa8", "#666666", "#222222"

Edge = tuple[str, str]


def show(number: Any) -> str:
    """Write a number as a reader would: 4/3, −1/3, 2."""
    return str(Fraction(number)).replace("-", "\N{MINUS SIGN}")


def times(weight: Any) -> str:
    """Write a weight as a reader would: ×4, ×(−1)."""
    sign = "\N{MULTIPLICATION SIGN}"
    return f"{sign}{show(weight)}" if weight >= 0 else f"{sign}({show(weight)})"


def colour_of(relevance: Any) -> str:
    """Give the colour of relevance: red above zero, blue below, grey for none."""
    return GREY if relevance == 0 else RED if relevance > 0 else BLUE


def draw_forward(
    values: Mapping[str, Any], labels: Mapping[Edge, str], biases: Mapping[str, Any] | None = None
) -> Figure:
    """Draw the network with a value in each neuron, a label on each arrow, and the biases.

    Parameters
    ----------
    values : dict
        What is written in a neuron; those that are missing show their name only.
    labels : dict
        What is written on the arrow from one neuron to another.
    biases : dict, optional
        What is added at a neuron, drawn beside it where it is not zero.
    """
    biases = {name: bias for name, bias in (biases or {}).items() if bias}
    figure, ax = canvas(dict.fromkeys(biases, 1))
    for edge in EDGES:
        arrow(ax, *ends(*edge), INK, 1.2)
        label(ax, *along(*edge, place_of_label(*edge)), labels.get(edge, ""), INK)
    for name, bias in biases.items():
        (x, y), up = PLACES[name], OUTWARD[name]
        arrow(ax, (x, y + up * 0.92), (x, y + up * 0.47), GREY, 1.2)
        beside(ax, x, y + up * 0.97, up, f"{'+' if bias > 0 else ''}{show(bias)}")
    neurons(ax, values)
    return figure


def draw_relevance(
    relevances: Mapping[str, Any],
    messages: Mapping[Edge, Any],
    losses: Mapping[str, Mapping[str, Any]] | None = None,
) -> Figure:
    """Draw relevance on its way back: red where it speaks for the output, blue where against.

    Parameters
    ----------
    relevances : dict
        What each neuron has received.
    messages : dict
        What goes from a neuron to one below it; keys as the network's arrows, (input, output).
    losses : dict, optional
        For each neuron, what stays there and why: ``{"h1": {"bias": 1/3}}``.
    """
    lost = {
        name: [f"{why} {show(part)}" for why, part in parts.items() if part]
        for name, parts in (losses or {}).items()
    }
    figure, ax = canvas({name: len(lines) for name, lines in lost.items()})
    for low, high in EDGES:
        message = messages[low, high]
        colour = colour_of(message)
        arrow(ax, *ends(high, low), colour, 0.8 + 2.4 * min(1.5, abs(float(message))))
        label(ax, *along(low, high, place_of_label(low, high)), show(message), colour)
    for name, lines in lost.items():
        if lines:
            (x, y), up = PLACES[name], OUTWARD[name]
            arrow(ax, (x, y + up * 0.47), (x, y + up * 0.92), GREY, 1.2)
            beside(ax, x, y + up * 0.97, up, "\n".join(lines))
    neurons(ax, relevances, sign=True)
    return figure


def canvas(lines: Mapping[str, int]) -> tuple[Figure, Axes]:
    """Open a figure as wide as a phone, with room for so many lines of text beside the neurons."""
    top, bottom = (1.12 + 0.36 * lines[n] if lines.get(n) else 0.9 for n in ("h1", "h2"))
    low, high = PLACES["h2"][1] - bottom, PLACES["h1"][1] + top
    figure, ax = plt.subplots(figsize=(5.2, 5.2 * (high - low) / 6.2))
    ax.set(xlim=(-0.6, 5.6), ylim=(low, high))
    ax.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    return figure, ax


def neurons(ax: Axes, values: Mapping[str, Any], *, sign: bool = False) -> None:
    """Draw the circles, a name above each and a value in it."""
    for name, (x, y) in PLACES.items():
        value = values.get(name)
        colour = INK if not sign or not value else RED if value > 0 else BLUE
        ax.add_patch(plt.Circle((x, y), 0.44, facecolor="white", edgecolor=INK, linewidth=1.4, zorder=3))
        up = -OUTWARD[name]
        ax.text(x, y + up * 0.66, NAMES[name], ha="center", va="center", color=INK, fontsize=14)
        text = "" if value is None else show(value)
        ax.text(x, y, text, ha="center", va="center", color=colour, fontsize=13, zorder=4)


def arrow(ax: Axes, start: Any, end: Any, colour: str, width: float, curve: float = 0) -> None:
    """Draw an arrow whose head stays legible however thin its line."""
    style = {"arrowstyle": "-|>,head_width=0.28,head_length=0.5", "color": colour, "lw": width}
    bend = f"arc3,rad={curve}"
    ax.annotate(
        "", end, start, arrowprops={**style, "connectionstyle": bend, "shrinkA": 0, "shrinkB": 0}, zorder=1
    )


def label(ax: Axes, x: float, y: float, text: str, colour: str) -> None:
    """Write on an arrow, on a white ground that hides the line."""
    if text:
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        ax.text(x, y, text, ha="center", va="center", color=colour, fontsize=12, bbox=box, zorder=2)


def beside(ax: Axes, x: float, y: float, up: int, text: str) -> None:
    """Write above or below a neuron, at the end of its grey arrow."""
    side = "bottom" if up > 0 else "top"
    ax.text(x, y, text, ha="center", va=side, color=GREY, fontsize=12, linespacing=1.25)


def place_of_label(low: str, high: str) -> float:
    """Say how far along an arrow its label stands: away from where two arrows cross."""
    return 0.29 if low[1] != high[-1] and high != "y" else 0.5


def along(low: str, high: str, part: float) -> tuple[float, float]:
    """Give the point that lies `part` of the way from `low` to `high`."""
    (x0, y0), (x1, y1) = PLACES[low], PLACES[high]
    return x0 + part * (x1 - x0), y0 + part * (y1 - y0)


def ends(start: str, end: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Give where an arrow between two circles begins and ends: just outside them."""
    (x0, y0), (x1, y1) = PLACES[start], PLACES[end]
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    dx, dy = 0.49 * (x1 - x0) / length, 0.49 * (y1 - y0) / length
    return (x0 + dx, y0 + dy), (x1 - dx, y1 - dy)
