"""Where the parts of an attribution graph's picture stand: layers in rows, edges in lanes between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from refcrp.concepts.graph_result import AttributionGraph, GraphEdge

__all__ = ["LAYER_GAP", "MAP", "NODE", "PAD", "TEXT", "Frame", "Layout", "Passage", "layout"]

# Inches.
NODE, TEXT, MAP = 0.86, 0.42, 0.86  # the width of a node, the height of its text, the side of its heatmap
GAP, LAYER_GAP, ROW_GAP = 0.14, 0.4, 1.0  # between nodes, between layers of a row, between rows
PAD, NAME, LANE = 0.1, 0.2, 0.09  # around the nodes of a layer, the height of its name, between passing edges

Key = tuple[str, int]


class Frame(NamedTuple):
    """The frame around a layer's nodes."""

    layer: str
    left: float
    bottom: float
    width: float
    height: float


class Passage(NamedTuple):
    """Where an edge passes through a row: straight down."""

    x: float
    top: float
    bottom: float


@dataclass(frozen=True)
class Layout:
    """Where everything is, in inches; y grows upwards from 0.

    Attributes
    ----------
    size : (width, height)
    height : float
        Of a node.
    centres : mapping
        Of nodes, by layer and channel.
    frames : tuple of Frame
    passages : mapping
        Of each edge (source, target), from the top down: the rows between its ends.
    """

    size: tuple[float, float]
    height: float
    centres: Mapping[Key, tuple[float, float]]
    frames: tuple[Frame, ...]
    passages: Mapping[tuple[Key, Key], tuple[Passage, ...]]

    def curves(self, graph: AttributionGraph) -> dict[tuple[Key, Key], list[tuple[float, float]]]:
        """Give for each edge the points it goes through: down curves, and straight through rows."""
        out, into = self.ports(graph, -1), self.ports(graph, 1)
        return {
            ends: [
                (out[ends], self.centres[ends[0]][1] - self.height / 2),
                *(point for x, top, bottom in passages for point in ((x, top), (x, bottom))),
                (into[ends], self.centres[ends[1]][1] + self.height / 2),
            ]
            for ends, passages in self.passages.items()
        }

    def ports(self, graph: AttributionGraph, side: int) -> dict[tuple[Key, Key], float]:
        """Give the x at which edges leave their source (side -1) or enter their target (1): few cross."""
        at_node: dict[Key, list[tuple[float, tuple[Key, Key]]]] = defaultdict(list)
        for edge in graph.edges:
            ends = edge.source, edge.target
            own, other = ends if side < 0 else ends[::-1]
            passages = self.passages[ends]
            beyond = passages[0 if side < 0 else -1].x if passages else self.centres[other][0]
            at_node[own].append((beyond, ends))
        return {
            ends: self.centres[own][0] + 0.7 * NODE * ((i + 0.5) / len(edges) - 0.5)
            for own, edges in at_node.items()
            for i, (_, ends) in enumerate(sorted(edges))
        }


class Block(NamedTuple):
    """What stands together in a row: the nodes of a layer, or edges that pass between the same two layers."""

    layer: str | None
    nodes: list[Key]
    passing: list[GraphEdge]

    @property
    def width(self) -> float:
        if self.layer is None:
            return LANE * len(self.passing)
        return len(self.nodes) * (NODE + GAP) - GAP + 2 * PAD


def layout(graph: AttributionGraph, height: float, beside: float) -> Layout:
    """Place layers in rows by their longest way from the root's, nodes near those they are reached from.

    `height` is that of a node, `beside` the width to keep free on both sides of the root.
    """
    rows = rows_of(graph)
    widths = [sum(block.width + LAYER_GAP for block in row) - LAYER_GAP for row in rows]
    width = max(*widths, widths[0] + 2 * beside, 2.0) + 4 * PAD
    frame_height = height + NAME + 2 * PAD
    total = len(rows) * (frame_height + ROW_GAP) - ROW_GAP + 4 * PAD

    centres: dict[Key, tuple[float, float]] = {}
    frames: list[Frame] = []
    passages: dict[tuple[Key, Key], tuple[Passage, ...]] = {(e.source, e.target): () for e in graph.edges}

    def above(edge: GraphEdge) -> float:
        """Give the x from which an edge comes into the next row."""
        passed = passages[edge.source, edge.target]
        return passed[-1].x if passed else centres[edge.source][0]

    def pull(key: Key) -> float:
        """Give the mean x of a node's parents, weighted by shares; rounded, so that siblings tie."""
        edges = [edge for edge in graph.edges if edge.target == key]
        weights = [abs(float(edge.share)) for edge in edges]
        return round(float(np.average([above(edge) for edge in edges], weights=weights)), 6) if edges else 0

    for r, row in enumerate(rows):
        left = (width - widths[r]) / 2
        top = total - 2 * PAD - r * (frame_height + ROW_GAP)
        bottom = top - frame_height
        pulls = [[pull(key) for key in b.nodes] + [above(edge) for edge in b.passing] for b in row]
        for k in np.argsort([np.mean(values) for values in pulls], kind="stable"):
            block = row[k]
            for i, edge in enumerate(sorted(block.passing, key=above)):
                passage = Passage(left + LANE * (i + 0.5), top, bottom)
                passages[edge.source, edge.target] += (passage,)
            for i, key in enumerate(sorted(block.nodes, key=pull)):
                centres[key] = left + PAD + i * (NODE + GAP) + NODE / 2, bottom + PAD + height / 2
            if block.layer is not None:
                frames.append(Frame(block.layer, left, bottom, block.width, frame_height))
            left += block.width + LAYER_GAP
    return Layout((width, total), height, centres, tuple(frames), passages)


def rows_of(graph: AttributionGraph) -> list[list[Block]]:
    """Give the rows, from the root down.

    Edges are listed so: when one comes, all edges into its source's layer have come.
    """
    depth = {node.layer: 0 for node in graph.nodes}
    for (above, _), (below, _) in ((edge.source, edge.target) for edge in graph.edges):
        depth[below] = max(depth[below], depth[above] + 1)
    rows: list[list[Block]] = [[] for _ in range(max(depth.values()) + 1)]
    for layer, r in depth.items():
        rows[r].append(Block(layer, [node.key for node in graph.nodes if node.layer == layer], []))
    lanes: dict[tuple[str, str], list[GraphEdge]] = defaultdict(list)
    for edge in graph.edges:
        lanes[edge.source[0], edge.target[0]].append(edge)
    for (above, below), edges in lanes.items():
        for r in range(depth[above] + 1, depth[below]):
            rows[r].append(Block(None, [], edges))
    return rows
