"""Attribution graphs as pictures: rows of concepts, the root on top, and relevance flowing down."""

from __future__ import annotations

from itertools import pairwise
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from refcrp.arrays import Array
from refcrp.concepts.graph_export import NEGATIVE, POSITIVE
from refcrp.concepts.graph_layout import LAYER_GAP, MAP, NODE, PAD, TEXT, Layout, layout
from refcrp.drawing import as_picture, draw_map, draw_picture, require_matplotlib
from refcrp.model import OUTPUT_NAME

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from refcrp.concepts.graph_result import AttributionGraph

__all__ = ["draw"]

GREY = "#f3f3f3"
MIDDLE: dict[str, Any] = {"ha": "center", "va": "center"}
CLEAR = {"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none", "alpha": 0.85}  # behind labels of edges
LABELS = (0.6, 0.5, 0.7, 0.4, 0.3, 0.78)  # where along an edge its share may stand, best first
LABEL = (0.3, 0.13)  # width and height of a label, in inches

Point = tuple[float, float]


def draw(graph: AttributionGraph, path: str | PathLike[str] | None, maps: Array | None) -> Figure:
    """Draw a graph, with the heatmap (h, w) of each node, if they are given."""
    require_matplotlib()
    from matplotlib.figure import Figure  # noqa: PLC0415 - imported where it is used

    place = layout(graph, TEXT, 0) if maps is None else layout(graph, TEXT + MAP, MAP + LAYER_GAP)
    figure = Figure(figsize=place.size)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, place.size[0]), ylim=(0, place.size[1]))
    axes.set_axis_off()
    draw_frames(axes, place)
    draw_edges(axes, graph, place)
    draw_nodes(axes, graph, place)
    if maps is not None:
        draw_maps(axes, graph, place, maps)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def draw_frames(axes: Axes, place: Layout) -> None:
    """Draw a frame around the nodes of each layer, with its name."""
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415 - imported where it is used

    for layer, x, y, width, height in place.frames:
        shape = "round,pad=0,rounding_size=0.08"
        axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, fc=GREY, ec="none", zorder=0))
        letters = int(width / 0.072)
        name = layer if len(layer) <= letters else f"…{layer[1 - letters :]}"
        axes.text(
            x + PAD,
            y + height - PAD / 2,
            "output" if layer == OUTPUT_NAME else name,
            fontsize=7,
            color="0.4",
            va="top",
            bbox={"boxstyle": "round,pad=0.1", "fc": GREY, "ec": "none"},
            parse_math=False,
            zorder=2,
        )


def draw_edges(axes: Axes, graph: AttributionGraph, place: Layout) -> None:
    """Draw each edge, as wide and dark as its share is large, and write the share on it if there is room.

    Best where no other edge passes behind it.
    """
    from matplotlib.patches import PathPatch  # noqa: PLC0415 - imported where it is used

    curves = place.curves(graph)
    ways = {ends: trace(points) for ends, points in curves.items()}
    written: list[Point] = []
    for edge in sorted(graph.edges, key=lambda edge: -abs(edge.share)):
        share, points = float(edge.share), curves[edge.source, edge.target]
        colour = POSITIVE if share >= 0 else NEGATIVE
        strength = {"lw": 0.6 + 7 * abs(share), "alpha": 0.3 + 0.6 * min(1.0, 2 * abs(share))}
        axes.add_patch(PathPatch(curve(points), fc="none", ec=colour, capstyle="butt", zorder=1, **strength))
        pieces = [points[-2:], points[:2]]  # above its target, or below its source
        spots = (on_curve(bezier(*piece), t) for piece in pieces for t in LABELS)
        free = [spot for spot in spots if not any(is_near(spot, other) for other in written)]
        others = [way for ends, way in ways.items() if ends != (edge.source, edge.target)]
        alone = [spot for spot in free if not any(passes(way, spot) for way in others)]
        for spot in (alone or free)[:1]:
            written.append(spot)
            axes.text(*spot, per_cent(share), fontsize=6, color=colour, bbox=CLEAR, zorder=2, **MIDDLE)


def curve(points: list[Point]) -> Any:
    """Join points by turns by a curve and a straight line."""
    from matplotlib.path import Path  # noqa: PLC0415 - imported where it is used

    vertices, codes = [points[0]], [Path.MOVETO]
    for k, (start, end) in enumerate(pairwise(points)):
        vertices += [end] if k % 2 else bezier(start, end)[1:]
        codes += [Path.LINETO] if k % 2 else 3 * [Path.CURVE4]
    return Path(vertices, codes)


def bezier(start: Point, end: Point) -> list[Point]:
    """Give the four points of a cubic Bézier curve that leaves and arrives upright."""
    (x0, y0), (x1, y1) = start, end
    bend = 0.45 * (y0 - y1)
    return [start, (x0, y0 - bend), (x1, y1 + bend), end]


def on_curve(points: list[Point], t: float) -> Point:
    """Give the point at t, from 0 to 1, of a cubic Bézier curve."""
    weights = np.array([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    x, y = weights @ np.asarray(points)
    return float(x), float(y)


def is_near(spot: Point, other: Point) -> bool:
    """Whether two labels would overlap."""
    return abs(spot[0] - other[0]) < LABEL[0] and abs(spot[1] - other[1]) < LABEL[1]


def trace(points: list[Point]) -> Array:
    """Give points along the curves of an edge, (m, 2); labels stand beside no straight line."""
    pieces = list(pairwise(points))[::2]
    return np.array([on_curve(bezier(*piece), t) for piece in pieces for t in np.linspace(0, 1, 40)])


def passes(way: Array, spot: Point) -> bool:
    """Whether an edge would pass behind a label."""
    return bool(np.any(np.all(np.abs(way - spot) < np.divide(LABEL, 2), axis=1)))


def per_cent(share: float) -> str:
    """Write a share in whole per cent."""
    return f"{100 * share:.0f} %" if abs(share) >= 0.005 else "< 1 %"


def draw_nodes(axes: Axes, graph: AttributionGraph, place: Layout) -> None:
    """Draw each node: its channel, and its relevance as a part of the root's."""
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415 - imported where it is used

    whole = float(graph.root.relevance)
    for node in graph.nodes:
        x, y = place.centres[node.key]
        bottom = y - place.height / 2
        axes.add_patch(
            FancyBboxPatch(
                (x - NODE / 2, bottom),
                NODE,
                place.height,
                boxstyle="round,pad=0,rounding_size=0.06",
                fc="white",
                ec="0.55" if node.relevance >= 0 else NEGATIVE,
                lw=0.8,
                zorder=3,
            )
        )
        part = f"{round(100 * float(node.relevance) / whole, 1) + 0.0:.1f} %" if whole else "-"  # no -0.0
        axes.text(x, bottom + 0.29, f"{node.channel}", fontsize=9, weight="bold", zorder=4, **MIDDLE)
        axes.text(x, bottom + 0.12, part, fontsize=7, color="0.3", zorder=4, **MIDDLE)


def draw_maps(axes: Axes, graph: AttributionGraph, place: Layout, maps: Array) -> None:
    """Draw the heatmap in each node, and the input to the left of the root."""
    margin = 0.04
    side = MAP - 2 * margin

    def panel(x: float, y: float) -> Axes:
        """Give axes in the upper part of a node, had it its centre at x and y."""
        corner = x - NODE / 2 + margin, y - place.height / 2 + TEXT
        return axes.inset_axes((*corner, side, side), transform=axes.transData, zorder=5)

    for node, values in zip(graph.nodes, maps, strict=True):
        on_node = panel(*place.centres[node.key])
        draw_map(on_node, np.asarray(values, dtype=np.float64))
        on_node.spines[:].set_visible(False)
    x, y = place.centres[graph.root.key]
    beside = panel(x - NODE - LAYER_GAP, y)
    draw_picture(beside, as_picture(graph.origin.input[0], graph.origin.lrp.model.normalization))
    beside.set_xlabel("input", fontsize=7, color="0.4")
