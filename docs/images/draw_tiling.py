"""Draw docs/images/tiling.svg, the drawing of docs/kernels.md: ``python docs/images/draw_tiling.py``.

An argument names another file to write, a PNG for instance. Units are points, y goes down.
"""
# ruff: noqa: RUF001 - sizes are written 16 × 16

import sys
from itertools import groupby
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection
from matplotlib.patches import FancyArrowPatch, Rectangle

WIDTH, HEIGHT = 800, 728
TEXT, SMALL = 12, 11
INK, LINE, ZERO, PAPER = "#222222", "#8a8a8a", "#dddddd", "white"
ORANGE, BLUE, GREEN, PURPLE = "#f4a259", "#7fb2e5", "#8cc084", "#c3a3d8"

mpl.rcParams.update({"font.family": "DejaVu Sans", "svg.hashsalt": "refcrp", "svg.fonttype": "path"})
figure = plt.figure(figsize=(WIDTH / 72, HEIGHT / 72), facecolor=PAPER)
axes = figure.add_axes((0, 0, 1, 1))
axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
axes.axis("off")


def box(x, y, width, height, fill="none", edge=LINE, line=0.7, **more):
    """Draw a rectangle."""
    axes.add_patch(Rectangle((x, y), width, height, facecolor=fill, edgecolor=edge, linewidth=line, **more))


def grid(x, y, columns, rows, cell, fill=lambda row, column: PAPER):
    """Draw cells, `cell` wide and high, each filled as `fill(row, column)` says."""
    width, height = columns * cell[0], rows * cell[1]
    for row in range(rows):
        start = 0
        for colour, equal in groupby(fill(row, column) for column in range(columns)):
            length = len(list(equal))
            box(x + start * cell[0], y + row * cell[1], length * cell[0], cell[1], colour, line=0)
            start += length
    across = [[(x, y + row * cell[1]), (x + width, y + row * cell[1])] for row in range(rows + 1)]
    down = [[(x + column * cell[0], y), (x + column * cell[0], y + height)] for column in range(columns + 1)]
    axes.add_collection(LineCollection(across + down, colors=LINE, linewidths=0.7, zorder=1))


def text(x, y, words, size=SMALL, **more):
    """Write words, from the top left corner on."""
    more = {"va": "top", "ha": "left", "color": INK, "linespacing": 1.35} | more
    axes.text(x, y, words, fontsize=size, **more)


def title(x, y, words):
    """Write a heading."""
    text(x, y, words, TEXT, weight="bold")


def arrow(start, end, bend=0.0):
    """Draw an arrow."""
    style = {"arrowstyle": "-|>", "mutation_scale": 13, "color": INK, "linewidth": 1.2}
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", **style))


def image():
    """Draw the image with a run of 16 places, and what two of the nine taps see from them."""
    title(20, 14, "1  The image; around it is zero")
    x, y, size = 34, 56, 15
    for behind in (14, 7):  # other channels
        box(x + behind, y - behind, 20 * size, 9 * size, PAPER)
    run = [(4, column) for column in range(2, 18)]
    margin = [(r, c) for r in range(9) for c in range(20) if r in (0, 8) or c in (0, 19)]
    colours = dict.fromkeys(margin, ZERO) | dict.fromkeys(run, ORANGE)
    grid(x, y, 20, 9, (size, size), lambda row, column: colours.get((row, column), PAPER))
    for (dy, dx), colour in (((-1, -1), "#2f6fad"), ((1, 1), "#3c7d34")):
        box(x + (2 + dx) * size, y + (4 + dy) * size, 16 * size, size, edge=colour, line=2.6)
    text(x, y + 9 * size + 9, "Filled: a run of 16 neighbouring places, as the middle tap of")
    text(x, y + 9 * size + 25, "3 × 3 sees it. Blue and green: what the first and the last tap")
    text(x, y + 9 * size + 41, "see. Each tap sees the same run, moved.")


def panel(x, y, cell):
    """Draw the packed panel: a row for each tap and channel."""
    title(x - 4, 14, "2  Packed panel")
    for tap, tint in enumerate((BLUE, PAPER)):
        top = y + tap * (9 * cell[1] + 4)
        grid(x, top, 16, 9, cell, lambda row, column, tint=tint: tint)
        text(x - 10, top + 4.5 * cell[1], f"tap {tap + 1}\n64 channels", ha="right", va="center")
    box(x, y + 4 * cell[1], 16 * cell[0], cell[1], edge=INK, line=2)
    text(x + 16 * cell[0] + 9, y + 4.5 * cell[1], "row k", va="center")
    text(x + 8 * cell[0], y + 18 * cell[1] + 6, "… up to 192 rows at a time", ha="center")
    text(x + 8 * cell[0], y - 4, "16 places", ha="center", va="bottom")


def weights(x, y, cell):
    """Draw the packed weights, in blocks of sixteen outputs."""
    title(20, y - 41, "3  Packed weights, 16 outputs to a block")
    for block, shade in enumerate((PURPLE, PAPER)):
        top = y + block * (16 * cell[1] + 5)
        grid(x, top, 18, 16, cell, lambda row, column, shade=shade: shade)
        text(x + 18 * cell[0] + 6, top + 8 * cell[1], "…", va="center")
    box(x + 4 * cell[0], y, cell[0], 16 * cell[1], edge=INK, line=2)
    text(x + 4.5 * cell[0], y - 4, "k", ha="center", va="bottom")
    text(x + 6 * cell[0], y - 4, "a column for each tap and channel", va="bottom")


def tile(x, y, cell):
    """Draw the tile: a register for each output."""
    grid(x, y, 16, 16, cell, lambda row, column: PURPLE)
    for row in range(16):
        box(x, y + row * cell[1], 16 * cell[0], cell[1], edge=INK, line=1.4)
    title(x - 4, y - 41, "4  Tile, 16 × 16")
    text(x - 4, y - 21, "16 registers of 16 numbers")
    below = y + 16 * cell[1] + 9
    text(x - 4, below, "for each k:  tile += column k × row k")
    text(x - 4, below + 28, "at last:  + bias (forward), or\n× a (relevance); then stored")


def conditions(x, y):
    """Draw a panel of one pixel and 16 conditions, and what is left of it."""
    title(x, y, "Conditions last: the columns are 16 conditions of one pixel")
    cell, kept, rows = (9, 10), (1, 4, 5, 8), 10
    left, top, right = x + 14, y + 42, x + 228
    grid(left, top, 16, rows, cell, lambda row, column: BLUE if row in kept else ZERO)
    for row in set(range(rows)) - set(kept):
        axes.plot([left, left + 16 * cell[0]], [top + (row + 0.5) * cell[1]] * 2, color=LINE, linewidth=1)
    text(left, top - 4, "seen by each channel and tap", va="bottom")
    packed = (9, 14)
    grid(right, top + 8, 16, len(kept), packed, lambda row, column: BLUE)
    text(right, top + 4, "packed", va="bottom")
    for place, row in enumerate(kept):
        start, end = top + (row + 0.5) * cell[1], top + 8 + (place + 0.5) * packed[1]
        axes.plot([left + 16 * cell[0] + 4, right - 4], [start, end], color=INK, linewidth=0.9)
        text(right + 16 * cell[0] + 6, end, f"k = {row}", va="center")
    text(right, top + 74, "Rows of zeros are left out,\nand so are their weights.")


def phases(x, y):
    """Draw which taps see which pixels in the adjoint of a 3 x 3 convolution with stride 2, padding 1."""
    title(x, y, "Adjoint of 3 × 3, stride 2, padding 1")
    colours = {(0, 0): ORANGE, (0, 1): BLUE, (1, 0): GREEN, (1, 1): PURPLE}
    top, size = y + 42, 17
    grid(x + 14, top, 3, 3, (size, size), lambda r, c: colours[(r + 1) % 2, (c + 1) % 2])
    text(x + 14, top - 4, "taps", va="bottom")
    left = x + 96
    grid(left, top, 6, 6, (size, size), lambda r, c: colours[r % 2, c % 2])
    text(left, top - 4, "pixels", va="bottom")
    for place, (colour, taps) in enumerate(zip(colours.values(), (1, 2, 2, 4), strict=True)):
        box(left + 6 * size + 16, top + 4 + place * 20, 12, 12, colour)
        text(left + 6 * size + 34, top + 10 + place * 20, f"{taps} tap" + "s" * (taps > 1), va="center")
    words = "4 phases: pixels of one colour are\nseen by the taps of that colour only."
    text(x + 14, top + 6 * size + 8, words)


CELL, FLAT = (13, 9), (13, 4.5)
PANEL, TILE_TOP = (540, 52), 360
image()
panel(*PANEL, CELL)
weights(34, TILE_TOP, FLAT)
tile(PANEL[0], TILE_TOP, FLAT)
arrow((360, 106), (456, 106))
arrow((300, TILE_TOP + 8 * FLAT[1]), (PANEL[0] - 12, TILE_TOP + 8 * FLAT[1]))
arrow((PANEL[0] + 190, 242), (PANEL[0] + 190, TILE_TOP - 8))
axes.plot([20, WIDTH - 20], [522, 522], color=LINE, linewidth=0.8)
conditions(20, 536)
phases(494, 536)

target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("tiling.svg")
metadata = {"Date": None, "Creator": None} if target.suffix == ".svg" else None
figure.savefig(target, facecolor=PAPER, metadata=metadata)
print(target)
