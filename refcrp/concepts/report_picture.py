"""The explanation card as a picture: one page, laid out in inches from its upper left corner."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from refcrp.arrays import Array
from refcrp.concepts.pictures import tile_picture
from refcrp.concepts.report_text import INPUT, LRP, NAMES, facts, footnote, how_to_read, title
from refcrp.drawing import COLOUR_MAP, as_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from refcrp.concepts.report import Report
    from refcrp.concepts.tiles import ReferenceTile

__all__ = ["draw"]

MARGIN, GAP = 0.2, 0.06
HEAD = 1.65  # side of the input and of its heatmap
MAP = 1.0  # side of a conditional heatmap
BESIDE = 1.2  # width of a concept's name and share
TILE = 0.74  # side of a reference sample
CAPTION = 0.16  # height of the class below it
BETWEEN = 0.3  # RelMax and ActMax
ROW = MAP + 0.16
LABEL = 0.2  # height of the words above the input
TITLES = 0.55  # height of the titles of the columns
WORDS = 4.6  # width of what is written beside the input, at least
GREY, LINE = "0.4", "0.8"
RED, BLUE = "#b2182b", "#2166ac"  # of the colour map


@dataclass(frozen=True)
class Paper:
    """A page in inches; y counts from the top."""

    axes: Axes
    height: float

    def write(self, x: float, y: float, text: str, size: float, **style: Any) -> None:
        """Write text, its upper left corner at x and y unless `style` says otherwise."""
        options: dict[str, Any] = {"va": "top", "ha": "left", "parse_math": False} | style
        self.axes.text(x, self.height - y, text, fontsize=size, **options)

    def show(self, x: float, y: float, side: float, picture: Array, frame: str = LINE) -> None:
        """Show a picture (channels, height, width), values 0 to 1, in the middle of a square."""
        values = np.moveaxis(picture, 0, 2) if len(picture) == 3 else picture.mean(axis=0)
        self.put(x, y, side, values, frame, cmap="gray", vmin=0, vmax=1)

    def show_map(self, x: float, y: float, side: float, R: Array) -> None:
        """Show relevance (height, width), with colours symmetric about zero."""
        limit = np.abs(R).max(initial=0) or 1.0
        self.put(x, y, side, R, LINE, cmap=COLOUR_MAP, vmin=-limit, vmax=limit)

    def put(self, x: float, y: float, side: float, values: Array, frame: str, **colours: Any) -> None:
        """Put values into the middle of a square, with a thin frame."""
        high, wide = (side * length / max(values.shape[:2]) for length in values.shape[:2])
        left, top = x + (side - wide) / 2, self.height - y - (side - high) / 2
        extent = left, left + wide, top - high, top
        self.axes.imshow(values, extent=extent, aspect="auto", interpolation="nearest", **colours)
        self.box(left, self.height - top, wide, high, fc="none", ec=frame, lw=0.6)

    def box(self, x: float, y: float, width: float, height: float, **style: Any) -> None:
        """Draw a rectangle."""
        from matplotlib.patches import Rectangle  # noqa: PLC0415 - imported where it is used

        self.axes.add_patch(Rectangle((x, self.height - y - height), width, height, **style))

    def rule(self, y: float, start: float, end: float) -> None:
        """Draw a thin line across."""
        self.axes.plot((start, end), (self.height - y,) * 2, color=LINE, lw=0.6)


def draw(report: Report) -> Figure:
    """Draw a card."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - imported where it is used

    counts = {kind: max(map(len, rows), default=0) for kind, rows in report.tiles.items()}
    body = MAP + BESIDE + sum(BETWEEN + width_of(count) for count in counts.values())
    words = max(WORDS, body - 2 * (HEAD + MARGIN))
    width = 2 * MARGIN + max(body, 2 * (HEAD + MARGIN) + words)
    note = wrapped(footnote(report), width - 2 * MARGIN, 7.5)
    height = 2 * MARGIN + LABEL + HEAD + TITLES + ROW * len(report.channels) + (0.25 if note else 0)

    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    paper = Paper(axes, height)
    draw_head(paper, report, words)
    y = MARGIN + LABEL + HEAD
    draw_titles(paper, counts, y + TITLES - 0.32)
    for k in range(len(report.channels)):
        top = y + TITLES + k * ROW
        paper.rule(top, MARGIN, width - MARGIN)
        draw_concept(paper, report, counts, k, top + (ROW - MAP) / 2)
    paper.write(MARGIN, height - MARGIN, note, 7.5, color=GREY, va="bottom")
    axes.set(xlim=(0, width), ylim=(0, height))  # last, as pictures move them
    return figure


def width_of(count: int) -> float:
    """Give the width of so many reference samples."""
    return count * (TILE + GAP) - GAP


def wrapped(text: str, width: float, size: float) -> str:
    """Break text into lines of at most so many inches, as letters of a size are wide on average."""
    return textwrap.fill(text, int(width / (0.0078 * size)))


def shortened(name: str, length: int) -> str:
    """Leave letters out of the middle of a name that is too long."""
    end = length // 2 + 1
    return name if len(name) <= length else f"{name[: length - 1 - end]}…{name[-end:]}"


def draw_head(paper: Paper, report: Report, words: float) -> None:
    """Draw the input, its LRP heatmap, and what is explained."""
    x, y = MARGIN, MARGIN
    paper.write(x, y, INPUT, 9, color=GREY)
    paper.show(x, y + LABEL, HEAD, as_picture(report.whole.input[0], report.normalization))
    x += HEAD + MARGIN
    paper.write(x, y, LRP, 9, color=GREY)
    paper.show_map(x, y + LABEL, HEAD, report.heatmap)
    x += HEAD + 1.4 * MARGIN
    paper.write(x, y + LABEL - 0.03, title(report), 18, weight="bold")
    room = words - 0.4 * MARGIN
    lines = (wrapped(fact, room, 9.5) for fact in facts(report, shortened(str(report.concepts.layer), 15)))
    paper.write(x, y + 0.56, "\n".join(lines), 9.5, linespacing=1.4)
    text = wrapped(how_to_read(report), room, 8)
    paper.write(x, y + LABEL + HEAD, text, 8, color=GREY, va="bottom", linespacing=1.4)


def draw_titles(paper: Paper, counts: dict[str, int], y: float) -> None:
    """Write what the columns are, on a base line."""
    on = {"va": "baseline"}
    paper.write(MARGIN, y + 0.2, "concept", 11, weight="bold", **on)
    x = MARGIN + MAP + BESIDE
    for kind, count in counts.items():
        name, how = NAMES[kind]
        paper.write(x + BETWEEN, y + 0.2, name, 11, weight="bold", **on)
        if count > 2:
            paper.write(x + BETWEEN + 0.75, y + 0.2, how, 9, color=GREY, **on)
        x += BETWEEN + width_of(count)


def draw_concept(paper: Paper, report: Report, counts: dict[str, int], k: int, y: float) -> None:
    """Draw one row: the conditional heatmap, the share of relevance, the reference samples."""
    paper.show_map(MARGIN, y, MAP, report.heatmaps[k])
    x = MARGIN + MAP + 0.12
    paper.write(x, y + 0.12, shortened(str(report.concepts.layer), 15), 9, color=GREY)
    paper.write(x, y + 0.28, f"channel {report.channels[k]}", 11.5, weight="bold")
    paper.write(x, y + 0.56, report.shares[k], 10)
    part, room = report.parts[k], BESIDE - 0.12
    paper.box(x, y + 0.8, room, 0.07, fc="0.92", ec="none")
    if np.isfinite(part):
        paper.box(x, y + 0.8, room * min(abs(part), 1), 0.07, fc=RED if part >= 0 else BLUE, ec="none")
    x = MARGIN + MAP + BESIDE
    for kind, count in counts.items():
        x += BETWEEN
        for place, tile in enumerate(report.tiles[kind][k]):
            draw_sample(paper, report, tile, x + place * (TILE + GAP), y + (MAP - TILE - CAPTION) / 2)
        x += width_of(count)


def draw_sample(paper: Paper, report: Report, tile: ReferenceTile, x: float, y: float) -> None:
    """Draw a reference sample, and for which output it was explained."""
    paper.show(x, y, TILE, tile_picture(tile, "masked", report.normalization))
    paper.write(x + TILE / 2, y + TILE + 0.03, str(tile.target), 7.5, color=GREY, ha="center")
