"""Local analysis: which concepts an explanation uses in a part of the input.

References
----------
Achtibat et al., From attribution maps to human-understandable explanations through Concept Relevance
Propagation, Nature Machine Intelligence 5, 2023, section "Local and regional analysis".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from refcrp.arrays import Array
from refcrp.batches import condition_batches
from refcrp.checks import check_finite
from refcrp.concept import ChannelConcept, Concept
from refcrp.concepts.localisation import as_mask
from refcrp.errors import ParameterError
from refcrp.lrp import LRP, analysis
from refcrp.model import INPUT
from refcrp.selection import Indices, OutputSelector, TopNFeatures
from refcrp.trace import Trace

__all__ = ["LocalConcepts", "local_concepts", "relevance_of_parts"]


@dataclass(frozen=True, eq=False)
class LocalConcepts:
    """Which concepts matter inside a mask; k of them for each of n samples, best first.

    Attributes
    ----------
    layer : str
    channels : (k, n) array of int
        As `GivenFeatures` takes them. The numbers of the concepts, if they are not channels.
    relevance : (k, n) array
        Of their heatmaps, inside the mask.
    share : (k, n) array
        Part of the relevance that all concepts of the layer have inside the mask; with signs, so that it can
        leave [0, 1]. NaN where that sum is 0.
    total : (n,) array
        That sum.
    selected : (n,) array of int
        The output neuron that was explained.

    Examples
    --------
    >>> import numpy as np
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    >>> local = rc.local_concepts(lrp, x[:1], "conv2", np.ones((28, 28), bool), n=2)
    >>> rc.CRP(lrp, "conv2", rc.GivenFeatures(local.channels))(x[:1]).features
    array([[11],
           [ 3]])
    """

    layer: str
    channels: Indices
    relevance: Array
    share: Array
    total: Array
    selected: Indices


def local_concepts(
    lrp: LRP,
    x: Array,
    layer: int | str,
    mask: Array,
    output: int | Iterable[int] | OutputSelector | None = None,
    *,
    n: int = 5,
    concept: Concept | None = None,
) -> LocalConcepts:
    """Rank the concepts of a layer by their relevance inside a part of the input.

    The conditional heatmaps of all concepts are summed over the channels of the input, then over the mask.
    With the whole input as the mask the ranking is that of `CRP` with `TopNFeatures`, up to what is lost on
    the way down.

    Parameters
    ----------
    lrp : LRP
    x : (m, channels, ...) or (m, features) array
    layer : int or str
        By index or name.
    mask : (...) or (m, ...) array of bool
        Which pixels, without channels; or which features. One for all samples, or one for each.
    output : int, sequence of int, or OutputSelector, optional
        The output neuron to explain, as for `LRP`; the highest by default.
    n : int
        How many concepts. Among equals the lower number comes first.
    concept : Concept, optional
        What a concept is; a channel by default.

    Returns
    -------
    LocalConcepts

    Raises
    ------
    ShapeError
        If the mask does not fit the input, or the layer's output has no channels.
    ParameterError
        If the mask is not of bool, or is empty.
    UnknownLayerError, FeatureError
        If there is no such layer or output neuron, or the layer has fewer concepts.

    Examples
    --------
    >>> import numpy as np
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    >>> upper = np.arange(28 * 28).reshape(28, 28) < 14 * 28
    >>> local = rc.local_concepts(lrp, x[:1], "conv2", upper, n=2)
    >>> local.channels[:, 0], local.share[:, 0].round(2)
    (array([11,  2]), array([0.46, 0.17]))
    """

    def inside(maps: Array) -> Array:
        kept = np.where(as_mask(mask, maps[0], "local_concepts"), maps, 0)
        return np.asarray(kept.reshape(*maps.shape[:2], -1).sum(axis=2))

    R, selected = relevance_of_parts(lrp, x, layer, inside, output, concept)
    name = lrp.model.names[lrp.model.index(layer)]
    channels = TopNFeatures(n).select(R.T, f"layer {name!r}")
    relevance, total = np.take_along_axis(R, channels, axis=0), R.sum(axis=0)
    share = relevance / np.where(total == 0, np.nan, total)
    return LocalConcepts(name, channels, relevance, share, total, selected)


def relevance_of_parts(
    lrp: LRP,
    x: Array,
    layer: int | str,
    of_parts: Callable[[Array], Array],
    output: int | Iterable[int] | OutputSelector | None = None,
    concept: Concept | None = None,
) -> tuple[Array, Indices]:
    """Sum up the conditional heatmaps of all concepts of a layer over parts of the input.

    They go down together, as many at a time as memory is meant for, and no more of their heatmaps are kept.

    Parameters
    ----------
    lrp, x, layer, output, concept
        As for `local_concepts`.
    of_parts : callable
        Sums heatmaps (k, n, ...), which have no channels, over the axes behind n.

    Returns
    -------
    relevance : (concepts, n, ...) array
        What `of_parts` makes of the heatmaps; in float64 at least.
    selected : (n,) array of int
        The output neuron that was explained.
    """
    if not isinstance(lrp, LRP):
        raise ParameterError(f"lrp must be an LRP analyzer, got {lrp!r}")
    concept = ChannelConcept() if concept is None else concept
    if not isinstance(concept, Concept):
        raise ParameterError(f"concept must be a Concept, got {concept!r}")
    return summed(lrp, x, lrp.model.index(layer), of_parts, output, concept)


@analysis
def summed(
    lrp: LRP,
    x: Array,
    k: int,
    of_parts: Callable[[Array], Array],
    output: int | Iterable[int] | OutputSelector | None,
    concept: Concept,
) -> tuple[Array, Indices]:
    """Pull relevance down to layer `k` once, and from there for each concept; as `relevance_of_parts`."""
    trace = lrp.trace(x)
    selected = lrp.select(trace, output)
    seed = lrp.seed(trace, [selected[:, None]], lrp.starts_at_one(None))
    R, _ = trace.pull(seed, down_to=k)
    count = concept.scores(R[0]).shape[1]
    concepts = np.repeat(np.arange(count)[:, None], len(selected), axis=1)
    parts = []
    for batch in condition_batches(count, trace.outputs[: k + 1], None):
        R_concepts = concept.restrict(R[0], concepts[batch])
        parts.append(of_parts(heatmaps(trace, k, R_concepts)))
    return np.concatenate(parts), selected


def heatmaps(trace: Trace, layer: int, R: Array) -> Array:
    """Carry relevance (k, n, ...) of a layer's output down to the input, and sum it over channels."""
    R_in = trace.flow({layer: R})[0][INPUT]
    check_finite(R_in, "relevance (a denominator is too small for this element type)")
    if R_in.dtype.kind == "f":
        R_in = R_in.astype(np.result_type(R_in, np.float64), copy=False)
    return np.asarray(R_in.sum(axis=2) if R_in.ndim > 3 else R_in)
