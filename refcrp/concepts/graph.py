"""Attribution graphs: which concepts of lower layers a class, or a concept, is made of.

From an output neuron, or one channel of a layer, relevance goes down to the nearest layers of concepts. The
channels there that receive most become its children; each of them is conditioned on in turn, and so on down.

References
----------
Achtibat et al., From attribution maps to human-understandable explanations through Concept Relevance
Propagation, Nature Machine Intelligence 5, 2023: "concept-composition graphs", figure 3d.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from refcrp.arrays import Array
from refcrp.batches import condition_batches
from refcrp.checks import as_flag, as_integer, check_finite
from refcrp.concepts.graph_result import AttributionGraph, GraphEdge, GraphNode, GraphOrigin
from refcrp.errors import ParameterError, ShapeError
from refcrp.layers import WeightedLayer
from refcrp.lrp import LRP, analysis, layer_indices
from refcrp.model import INPUT, OUTPUT_NAME, Model
from refcrp.selection import OutputSelector, check_range
from refcrp.trace import Front, Trace

__all__ = ["attribution_graph"]


def attribution_graph(
    lrp: LRP,
    x: Array,
    output: int | OutputSelector | None = None,
    *,
    layer: int | str | None = None,
    channel: int | None = None,
    width: Sequence[int] = (4, 2),
    layers: Iterable[int | str] | None = None,
    along_path: bool = True,
    normalize_output_relevance: bool | None = None,
) -> AttributionGraph:
    """Take a class, or a concept, apart into concepts of the layers below, for one sample.

    Parameters
    ----------
    lrp : LRP
    x : (1, ...) array
        One sample.
    output : int or OutputSelector, optional
        The output neuron whose relevance is followed; the highest by default.
    layer, channel : optional
        The concept to take apart, of a layer by index or name; the output neuron itself if there is none.
    width : sequence of int
        How many children: ``width[0]`` channels in each input layer of the root, ``width[1]`` in each input
        layer of these, and so on. Input layers of a layer are the nearest layers of concepts below it, on
        any path.
    layers : layers, optional
        The layers of concepts, by index or name. Those with weights if None, `Conv2d`, `ConvTranspose2d` and
        `Dense`, except the last layer, whose channels are the output.
    along_path : bool
        A node is conditioned on all that lies between it and the root, so that what it passes on is what it
        was given by its parents. If False it is conditioned on the root and itself alone, as zennit-crp's
        ``AttributionGraph`` does: what came by channels that are not in the graph counts as well.
    normalize_output_relevance : bool, optional
        As for `LRP`.

    Returns
    -------
    AttributionGraph
        Nodes from the root down, and edges with their relevance.

    Raises
    ------
    ShapeError
        If there is not exactly one sample, or a layer's output has no channels.
    UnknownLayerError, FeatureError
        If there is no such layer, channel or output neuron.
    ParameterError
        If one of `layer` and `channel` is missing, or the last layer is among `layers`.

    Notes
    -----
    Children are the channels with the highest relevance, by value and with its sign: negative ones come last,
    and only where there are too few others. Among equals the lower channel comes first. Those that get no
    relevance at all are left out; a layer with fewer channels than asked for gives all it has. A root without
    relevance has no children.

    Relevance that passes around an input layer on another branch is not counted in it, and relevance that
    passes through a nearer layer of concepts counts there, not in those behind it. So nothing counts twice:
    the channels of all input layers together receive what their parent passes on.

    A channel that is reached several times is one node. Its relevance is the sum over its parents, it is
    taken apart once, and its level is the fewest edges from the root.

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    >>> graph = rc.attribution_graph(lrp, x[:1], layer="conv2", channel=11, width=[2])
    >>> [(edge.target, round(edge.share, 2)) for edge in graph.edges]
    [(('conv1', 1), 0.36), (('conv1', 0), 0.27)]
    """
    if not isinstance(lrp, LRP):
        raise ParameterError(f"attribution_graph: lrp must be an LRP analyzer, got {lrp!r}")
    if np.shape(x)[:1] != (1,):
        raise ShapeError(f"attribution_graph: expected one sample (1, ...), got shape {np.shape(x)}")
    if (layer is None) != (channel is None):
        raise ParameterError(f"attribution_graph: layer={layer!r} and channel={channel!r}; give both or none")
    root = len(lrp.model) - 1 if layer is None else lrp.model.index(layer)
    plan = Plan(
        root=root,
        channel=None if channel is None else as_integer(channel, "attribution_graph: channel"),
        width=as_width(width),
        concepts=concept_layers(lrp.model, layers),
        along_path=as_flag("attribution_graph: along_path", along_path),
    )
    return grow(lrp, x, output, plan, normalize_output_relevance)


class Plan(NamedTuple):
    """What was asked for, checked."""

    root: int
    channel: int | None
    width: tuple[int, ...]
    concepts: frozenset[int]
    along_path: bool


class Found(NamedTuple):
    """A child: its layer and channel, its relevance, and the part of the layer's that this is."""

    layer: int
    channel: int
    R: Array  # of its neurons
    relevance: Any
    share: Any


def as_width(width: Sequence[int]) -> tuple[int, ...]:
    """Give the widths as positive integers, one at least."""
    if isinstance(width, str) or not isinstance(width, Iterable) or not (given := tuple(width)):
        raise ParameterError(f"attribution_graph: width must list one integer a level, got {width!r}")
    return tuple(as_integer(w, "attribution_graph: width", 1) for w in given)


def concept_layers(model: Model, layers: Iterable[int | str] | None) -> frozenset[int]:
    """Give the indices of the layers that hold concepts."""
    last = len(model) - 1
    if layers is None:
        return frozenset(k for k, layer in enumerate(model) if isinstance(layer, WeightedLayer)) - {last}
    chosen = frozenset(layer_indices(model, layers))
    if last in chosen:
        raise ParameterError(
            f"attribution_graph: layers={layers!r}: the last layer's channels are the output, a root only"
        )
    return chosen


@analysis
def grow(
    lrp: LRP, x: Array, output: int | OutputSelector | None, plan: Plan, normalize: bool | None
) -> AttributionGraph:
    """Go down from the root, layer by layer; all channels of a layer go down together."""
    model, trace = lrp.model, lrp.trace(x)
    selected = lrp.select(trace, output)
    seed = lrp.seed(trace, [selected[:, None]], lrp.starts_at_one(normalize))
    start = int(selected[0]) if plan.channel is None else plan.channel
    R_root, _ = trace.pull(seed, down_to=plan.root)
    check_channels(model, trace, plan)
    only = alone(R_root[0, 0], start)
    unconditioned = {} if plan.along_path else given_root(trace, plan, only)

    # R, level: of each node (layer, channel), the relevance of its neurons and how far it is from the root.
    R: dict[tuple[int, int], Array] = {(plan.root, start): np.array(only[start])}
    level = {(plan.root, start): 0}
    edges: list[tuple[tuple[int, int], Found]] = []
    for k in range(plan.root, INPUT, -1):  # parents lie above, and have been taken apart before
        parents = [key for key in R if key[0] == k and level[key] < len(plan.width)]
        widths = [plan.width[level[key]] for key in parents]
        for parent, child in children(trace, k, parents, widths, R, plan.concepts):
            key = child.layer, child.channel
            edges.append((parent, child))
            level[key] = min(level.get(key, level[parent] + 1), level[parent] + 1)
            if not plan.along_path:
                R[key] = unconditioned[child.layer][child.channel]
            else:
                R[key] = R[key] + child.R if key in R else child.R

    names: dict[tuple[int, int], tuple[str, int]] = {
        (k, c): (OUTPUT_NAME if plan.channel is None and k == plan.root else model.names[k], c) for k, c in R
    }
    order = sorted(R, key=lambda key: (level[key], -key[0], -total(R[key])))
    return AttributionGraph(
        nodes=tuple(GraphNode(*names[key], total(R[key]), level[key]) for key in order),
        edges=tuple(
            GraphEdge(names[parent], names[child.layer, child.channel], child.relevance, child.share)
            for parent, child in edges
        ),
        output=int(selected[0]),
        origin=GraphOrigin(lrp, trace.input, tuple((key, R[key]) for key in order)),
    )


def check_channels(model: Model, trace: Trace, plan: Plan) -> None:
    """Raise unless the root has its channel, and each layer of concepts has channels."""
    for k in sorted({plan.root, *plan.concepts}):
        shape, where = trace.outputs[k].shape, f"layer {model.names[k]!r}"
        if len(shape) < 2:
            raise ShapeError(f"attribution_graph: {where} has no channels, its output has shape {shape}")
        if k == plan.root and plan.channel is not None:
            check_range(plan.channel, shape[1], "channel", where)


def given_root(trace: Trace, plan: Plan, R: Array) -> Front:
    """Give the relevance (channels, ...) of every layer below that comes from the root, on all paths."""
    lowest = min(plan.concepts, default=plan.root)
    _, recorded = trace.flow({plan.root: R[None, None]}, lowest - 1, record=plan.concepts)
    return {k: R_k[0, 0] for k, R_k in recorded.items()}


def children(
    trace: Trace,
    k: int,
    parents: Sequence[tuple[int, int]],
    widths: Sequence[int],
    R: Mapping[tuple[int, int], Array],
    concepts: frozenset[int],
) -> Iterator[tuple[tuple[int, int], Found]]:
    """Give the children of channels of layer `k`, parent by parent, each input layer's by relevance."""
    leads = leads_to(trace.model, concepts)
    if not leads[k]:
        return
    shape = trace.outputs[k].shape[1:]
    for batch in condition_batches(len(parents), trace.outputs[: k + 1], None):
        R_k = np.stack([placed(R[key], key[1], shape) for key in parents[batch]])
        arrived = to_concepts(trace, k, R_k[:, None], concepts, leads)
        for row, (parent, width) in enumerate(zip(parents[batch], widths[batch], strict=True)):
            for j in sorted(arrived, reverse=True):
                R_j = arrived[j][row, 0]
                check_finite(R_j, f"attribution_graph: relevance of layer {trace.model.names[j]!r}")
                yield from ((parent, found) for found in highest(j, R_j, width))


def leads_to(model: Model, concepts: frozenset[int]) -> tuple[bool, ...]:
    """Tell for each layer whether a layer of concepts lies below it."""
    leads: list[bool] = []
    for node in model.nodes:
        leads.append(any(j != INPUT and (j in concepts or leads[j]) for j in node.sources))
    return tuple(leads)


def to_concepts(
    trace: Trace, k: int, R: Array, concepts: frozenset[int], leads: Sequence[bool]
) -> dict[int, Array]:
    """Carry relevance (conditions, 1, ...) of layer `k` to the nearest layers of concepts below."""
    front, arrived = {k: R}, {}
    for j in range(k, INPUT, -1):
        if j not in front:
            continue
        R_j = front.pop(j)
        if j in concepts and j != k:
            arrived[j] = R_j
        elif leads[j]:
            for source, R_in in zip(trace.model.nodes[j].sources, trace.step(j, R_j, {}, None), strict=True):
                front[source] = front[source] + R_in if source in front else R_in
    return arrived


def highest(layer: int, R: Array, width: int) -> Iterator[Found]:
    """Give the channels of R (channels, ...) with the most relevance, at most `width` of them."""
    R_channels = R.reshape(len(R), -1).sum(axis=1)
    whole = np.abs(R_channels).sum()
    for c in np.argsort(-R_channels, kind="stable")[:width]:
        if R_channels[c] != 0:
            yield Found(layer, int(c), np.array(R[c]), number(R_channels[c]), number(R_channels[c] / whole))


def alone(R: Array, channel: int) -> Array:
    """Give R (channels, ...) with nothing in other channels."""
    return placed(R[channel], channel, R.shape)


def placed(R: Array, channel: int, shape: tuple[int, ...]) -> Array:
    """Give relevance of `shape` (channels, ...) that is R in one channel and zero elsewhere."""
    whole = np.zeros(shape, dtype=np.asarray(R).dtype)
    whole[channel] = R
    return whole


def total(R: Array) -> Any:
    """Sum the relevance of a node's neurons."""
    return number(np.sum(R))


def number(value: Any) -> Any:
    """Give a NumPy number as Python's; fractions stay."""
    return value.item() if isinstance(value, np.generic) else value
