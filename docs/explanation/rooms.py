"""The rooms of the package, as the test of the architecture lists them, and the imports that there are."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

import refcrp

PACKAGE = Path(refcrp.__file__).parent
TEST = Path(__file__).parents[2] / "tests" / "test_architecture.py"

# What people come to read: drawn darker.
MAIN = {"propagation", "rule", "rules", "input_rules", "lrp", "crp"}
INK, FILL, MAIN_FILL, LINE = "#222222", "#e8edf3", "#9fc5a8", "#8a97a8"


def rooms() -> list[list[str]]:
    """Give the rooms level by level, from the bottom up, as `ROOMS` in the test has them."""
    for node in ast.parse(TEST.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ROOMS":
            return list(ast.literal_eval(node.value))
    raise LookupError(f"no ROOMS in {TEST}")


def imports() -> dict[str, set[str]]:
    """Give the rooms that each room imports from: what the files say now, wherever in the file."""
    names = {room for level in rooms() for room in level}
    found: dict[str, set[str]] = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        here = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                module = node.module or ""
                modules = [f"refcrp.{a.name}" for a in node.names] if module == "refcrp" else [module]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                continue
            for module in modules:
                package, _, rest = module.partition(".")
                if package == "refcrp":
                    room = rest.partition(".")[0]
                    found[here].add(room if room in names else "__init__")
    return {room: found[room] - {room} for room in names}


def first_line(room: str) -> str:
    """Give the first line of a room's docstring."""
    path = PACKAGE / room
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.splitlines()[0]


def draw_rooms() -> Figure:
    """Draw the levels on top of each other: a room may import from everything that lies lower."""
    levels = rooms()
    width, row = 7.0, 0.36
    figure = plt.figure(figsize=(width, row * len(levels)))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, row * len(levels)))
    ax.axis("off")
    for k, level in enumerate(levels):
        lengths = [0.3 + 0.095 * len(room) for room in level]
        x = (width - sum(lengths) - 0.15 * (len(level) - 1)) / 2
        for room, length in zip(level, lengths, strict=True):
            box = FancyBboxPatch(
                (x, k * row + 0.06),
                length,
                row - 0.12,
                boxstyle="round,pad=0,rounding_size=0.05",
                facecolor=MAIN_FILL if room in MAIN else FILL,
                edgecolor=LINE,
            )
            ax.add_patch(box)
            ax.text(x + length / 2, (k + 0.5) * row, room, ha="center", va="center", fontsize=10, color=INK)
            x += length + 0.15
    return figure


def draw_imports() -> Figure:
    """Draw a matrix: the row's room imports from the column's. Downwards only is left of the diagonal."""
    levels, found = rooms(), imports()
    order = [room for level in levels for room in level]
    level_of = {room: k for k, level in enumerate(levels) for room in level}
    place = {room: k for k, room in enumerate(order)}
    figure = plt.figure(figsize=(7, 7.2))
    ax = figure.add_axes((0.15, 0.01, 0.84, 0.86))
    for room, others in found.items():
        ax.scatter([place[o] for o in others], [place[room]] * len(others), s=14, color=INK, zorder=3)
    start = 0
    for k, level in enumerate(levels):
        end = start + len(level)
        ax.fill_between([-0.5, start - 0.5], start - 0.5, end - 0.5, color=FILL if k % 2 else "#f4f6f9", lw=0)
        ax.fill_between([start - 0.5, end - 0.5], start - 0.5, end - 0.5, color="#d0d5dc", lw=0)
        start = end
    ax.set(xlim=(-0.5, len(order) - 0.5), ylim=(len(order) - 0.5, -0.5))
    ax.set_xticks(range(len(order)), order, rotation=90, fontsize=7)
    ax.set_yticks(range(len(order)), order, fontsize=7)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    upwards = [(a, b) for a, others in found.items() for b in others if level_of[a] <= level_of[b]]
    assert not upwards, upwards
    return figure


def table() -> str:
    """Give a Markdown table of all rooms, from the top down."""
    lines = ["| room | what it is | imports from |", "|:--|:--|:--|"]
    found = imports()
    order = [room for level in rooms() for room in level]
    for room in reversed(order):
        below = " ".join(f"`{other}`" for other in order if other in found[room])
        lines.append(f"| `{room}` | {first_line(room)} | {below} |")
    return "\n".join(lines)
