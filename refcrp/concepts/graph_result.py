"""What an attribution graph holds, and what can be made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refcrp.arrays import Array
from refcrp.batches import condition_batches
from refcrp.concepts.graph_export import to_dot, to_graphml, to_json
from refcrp.concepts.graph_picture import draw
from refcrp.errors import ParameterError, ShapeError, nearest_names
from refcrp.lrp import LRP, analysis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AttributionGraph", "GraphEdge", "GraphNode", "GraphOrigin"]


@dataclass(frozen=True)
class GraphNode:
    """A concept in the graph.

    Attributes
    ----------
    layer : str
        ``"y"`` is the model's output.
    channel : int
    relevance : number
        What arrives at the channel from all its parents; with ``along_path=False`` from the root on any path.
        Of the root, what is taken apart.
    level : int
        The fewest edges from the root, whose level is 0.
    """

    layer: str
    channel: int
    relevance: Any
    level: int

    @property
    def key(self) -> tuple[str, int]:
        """Layer and channel."""
        return self.layer, self.channel


@dataclass(frozen=True)
class GraphEdge:
    """What one concept gives to another.

    Attributes
    ----------
    source : (layer, channel)
        The concept above, which passes relevance down.
    target : (layer, channel)
        The concept below, which receives it.
    relevance : number
        How much: the sum over the target's neurons.
    share : number
        `relevance` divided by the sum, over all channels of the target's layer, of the absolute relevance
        that the source gives them.
    """

    source: tuple[str, int]
    target: tuple[str, int]
    relevance: Any
    share: Any


@dataclass(frozen=True, eq=False)
class GraphOrigin:
    """What a graph was made of: analyzer, sample, and the relevance of each node's neurons, by index."""

    lrp: LRP
    input: Array
    arrived: tuple[tuple[tuple[int, int], Array], ...]


@dataclass(frozen=True)
class AttributionGraph:
    """Concepts and how relevance flows between them, for one sample; made by `attribution_graph`.

    Attributes
    ----------
    nodes : tuple of GraphNode
        The root first, then level by level.
    edges : tuple of GraphEdge
        From the root down.
    output : int
        The output neuron whose relevance was followed.
    origin : GraphOrigin
        What the graph was made of, for `heatmaps`.

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    >>> graph = rc.attribution_graph(lrp, x[:1], layers=["conv1", "conv2"], width=(2, 1))
    >>> for node in graph.nodes:
    ...     print(node.level, node.layer, node.channel, round(node.relevance, 2))
    0 y 0 1.0
    1 conv2 11 0.31
    1 conv2 3 0.26
    2 conv1 1 0.19
    >>> graph.heatmaps().shape
    (4, 1, 28, 28)
    """

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    output: int
    origin: GraphOrigin = field(repr=False, compare=False)

    @property
    def root(self) -> GraphNode:
        """The concept, or output neuron, that is taken apart."""
        return self.nodes[0]

    def heatmaps(self) -> Array:
        """Compute the relevance of the input through each node, (nodes, ...), in the order of `nodes`."""
        return node_heatmaps(self.origin.lrp, self.origin)

    def to_json(self) -> str:
        """Write nodes and edges as JSON, as ``networkx.node_link_graph`` reads it."""
        return to_json(self)

    def to_dot(self) -> str:
        """Write the graph for Graphviz; edges are as wide as their share, red, or blue where negative."""
        return to_dot(self)

    def to_graphml(self) -> str:
        """Write the graph as GraphML, as ``networkx.read_graphml`` and graph editors read it."""
        return to_graphml(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the graph to a file; the ending says how: ``.json``, ``.dot``, ``.gv``, ``.graphml``.

        Raises
        ------
        ParameterError
            If the file has another ending.
        """
        path = Path(path)
        if path.suffix not in FORMATS:
            raise ParameterError(
                f"cannot save a graph as {path.name!r}; {nearest_names(path.suffix, FORMATS)}"
            )
        path.write_text(FORMATS[path.suffix](self), encoding="utf-8")

    def draw(self, path: str | PathLike[str] | None = None, *, maps: bool = False) -> Figure:
        """Draw the graph, the root on top; edges red where relevance is positive, blue where it is negative.

        The wider and darker an edge, the larger its share, which is written on it where there is room. Below
        each channel stands its relevance, as a part of the root's.

        Parameters
        ----------
        path : path, optional
            Where to write the picture; the ending says in which format.
        maps : bool
            Show at each node its conditional heatmap, and the input; for images only.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ShapeError
            If there are to be heatmaps and the input is not an image.
        MissingDependencyError
            If matplotlib is not installed.
        """
        if maps and self.origin.input.ndim != 4:
            raise ShapeError(
                f"maps=True: the input has shape {self.origin.input.shape}, not that of an image"
            )
        return draw(self, path, self.heatmaps().sum(axis=1) if maps else None)


FORMATS: dict[str, Callable[[AttributionGraph], str]] = {
    ".json": to_json,
    ".dot": to_dot,
    ".gv": to_dot,
    ".graphml": to_graphml,
}


@analysis
def node_heatmaps(lrp: LRP, origin: GraphOrigin) -> Array:
    """Carry the relevance of each node down to the input, all nodes of a layer together."""
    trace = lrp.trace(origin.input)
    maps = np.zeros((len(origin.arrived), *origin.input.shape[1:]), dtype=trace.output.dtype)
    for k in dict.fromkeys(k for (k, _), _ in origin.arrived):
        rows = [row for row, (key, _) in enumerate(origin.arrived) if key[0] == k]
        for batch in condition_batches(len(rows), trace.outputs[: k + 1], None):
            R = np.zeros((len(rows[batch]), *trace.outputs[k].shape), dtype=trace.output.dtype)
            for R_row, row in zip(R, rows[batch], strict=True):
                (_, channel), arrived = origin.arrived[row]
                R_row[0, channel] = arrived
            maps[rows[batch]] = trace.pull(R, k)[0][:, 0]
    return maps
