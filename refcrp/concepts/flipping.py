"""Concept flipping: channels are taken away, or put back, in the order of their relevance.

References
----------
Achtibat et al., From attribution maps to human-understandable explanations through Concept Relevance
Propagation, Nature Machine Intelligence 5, 2023.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from refcrp.arrays import Array, unchecked_array
from refcrp.batches import with_progress
from refcrp.concept import ChannelConcept
from refcrp.concepts.curves import (
    FlippingCurve,
    Score,
    check_score,
    descending,
    flip_counts,
    is_flipped,
    random_order,
    score_of,
)
from refcrp.concepts.forward import forward_from
from refcrp.errors import ParameterError
from refcrp.lrp import LRP, analysis
from refcrp.selection import Indices, OutputSelector

__all__ = ["concept_flipping"]


def concept_flipping(
    lrp: LRP,
    x: Array,
    layer: int | str,
    output: int | Iterable[int] | OutputSelector | None = None,
    *,
    order: Literal["relevance", "activation", "random"] | Array = "relevance",
    mode: Literal["zero", "keep"] = "zero",
    steps: int | Iterable[int] | None = None,
    seed: int = 0,
    score: Score = "logit",
) -> FlippingCurve:
    """Set channels of a layer to zero, one after another, and follow the explained output.

    In this order: the samples are explained; each channel gets its relevance, or activation, summed over
    positions with its sign; channels are ranked from the highest to the lowest value, the lower channel first
    among equals; at each step the layer's output is changed, and the model computes on from there, on every
    branch that depends on it. The order is that of the unchanged sample throughout.

    Parameters
    ----------
    lrp : LRP
    x : (n, ...) array
    layer : int or str
        Whose output's channels are flipped.
    output : int, sequence of int, or OutputSelector, optional
        The output neuron to explain and to follow; the highest by default.
    order : "relevance", "activation", "random", or (n, channels) array of int
        Random gives each sample an order of its own, from `seed`.
    mode : "zero" or "keep"
        Set the first channels of the order to zero; or all others, so that the curve starts with none.
    steps : int or sequence of int, optional
        How many steps to the last channel, or how many channels are flipped at each point; one channel a step
        by default.
    seed : int
    score : "logit" or "probability"
        The output as the model gives it, or its softmax.

    Returns
    -------
    FlippingCurve

    Raises
    ------
    UnknownLayerError, FeatureError
        If there is no such layer or output neuron.
    ParameterError
        If `order`, `mode`, `steps` or `score` is not one of these.

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    >>> by_relevance = rc.concept_flipping(lrp, x[:10], "conv2")
    >>> by_chance = rc.concept_flipping(lrp, x[:10], "conv2", order="random")
    >>> bool(by_relevance.area.mean() > by_chance.area.mean())
    True
    """
    if not isinstance(lrp, LRP):
        raise ParameterError(f"concept_flipping: lrp must be an LRP analyzer, got {lrp!r}")
    if mode not in ("zero", "keep"):
        raise ParameterError(f"concept_flipping: mode={mode!r}, expected 'zero' or 'keep'")
    check_score(score, "concept_flipping")
    return flip_channels(lrp, x, layer, output, order, mode, steps, seed, score)


@analysis
def flip_channels(
    lrp: LRP,
    x: Array,
    layer: int | str,
    output: int | Iterable[int] | OutputSelector | None,
    order: str | Array,
    mode: str,
    steps: int | Iterable[int] | None,
    seed: int,
    score: Score,
) -> FlippingCurve:
    """Rank the channels, and follow the output as they are flipped."""
    k = lrp.model.index(layer)
    trace = lrp.trace(x)
    selected = lrp.select(trace, output)
    a = trace.outputs[k]
    if isinstance(order, str) and order == "relevance":
        R, _ = trace.pull(lrp.seed(trace, [selected[:, None]], lrp.starts_at_one(None))[0], down_to=k)
        ranked = descending(ChannelConcept().scores(R))
    elif isinstance(order, str) and order == "activation":
        ranked = descending(ChannelConcept().scores(a))
    elif isinstance(order, str) and order == "random":
        ranked = random_order(a.shape[0], a.shape[1], seed)
    else:
        ranked = as_order(order, a)

    counts = flip_counts(steps, a.shape[1])
    scores = []
    for count in with_progress([int(c) for c in counts], "steps of concept flipping"):
        stays = is_flipped(ranked, count) if mode == "keep" else ~is_flipped(ranked, count)
        changed = a * stays.reshape(*stays.shape, *[1] * (a.ndim - 2)).astype(a.dtype)
        scores.append(
            score_of(forward_from(lrp.model, {k: changed}, trace.input, trace.outputs), selected, score)
        )
    return FlippingCurve(
        steps=counts,
        scores=np.stack(scores, axis=1),
        order=ranked,
        selected=selected,
        label=order if isinstance(order, str) else "given order",
        parts=f"channels of {lrp.model.names[k]}",
        rises=mode == "keep",
    )


def as_order(order: str | Array, a: Array) -> Indices:
    """Give an order that the user has made, one permutation of the channels for each sample."""
    given = unchecked_array(order, "order")
    n, channels = a.shape[:2]
    is_order = given.shape == (n, channels) and given.dtype.kind in "iu"
    if not is_order or (np.sort(given, axis=1) != np.arange(channels)).any():
        got = repr(order) if isinstance(order, str) else f"{given.dtype} {given.shape}"
        raise ParameterError(
            f"concept_flipping: order: got {got}, expected 'relevance', 'activation', 'random', or for each "
            f"of {n} samples the channels 0 to {channels - 1}, each once"
        )
    return given.astype(np.intp)
