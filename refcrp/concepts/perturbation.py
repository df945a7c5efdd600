"""Pixel flipping: regions of the input are replaced in the order of their relevance.

References
----------
Bach et al., On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
propagation, PLoS ONE 10(7), 2015, section "Evaluation of heatmaps by pixel-flipping".
Samek et al., Evaluating the visualization of what a deep neural network has learned, IEEE TNNLS 28(11), 2017,
section III.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np

from refcrp.arrays import Array, as_array, like
from refcrp.batches import with_progress
from refcrp.checks import as_integer, check_number, show_shape
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
from refcrp.errors import ParameterError, ShapeError
from refcrp.kernels import using_threads
from refcrp.lrp import LRP, as_input
from refcrp.model import Model
from refcrp.selection import Indices, OutputSelector, output_selector

__all__ = ["pixel_flipping"]

Order = Literal["most-relevant", "least-relevant", "random"]
ORDERS: tuple[str, ...] = get_args(Order)


def pixel_flipping(
    model: LRP | Model,
    x: Array,
    relevance: Array,
    output: int | Iterable[int] | OutputSelector | None = None,
    *,
    regions: int = 1,
    order: Order = "most-relevant",
    replace: float | Array | Literal["zero", "mean", "random"] = "zero",
    steps: int | Iterable[int] | None = None,
    seed: int = 0,
    score: Score = "logit",
) -> FlippingCurve:
    """Replace pixels, or square regions, one after another, and follow the explained output.

    In this order: relevance is summed over channels, with its sign; then over each region; regions are ranked
    by this sum, the lower index first among equals; at each step the next ones are replaced, in all channels,
    and stay so. The relevance is that of the unchanged input throughout.

    Parameters
    ----------
    model : Model or LRP
        Of an LRP analyzer its model.
    x : (n, channels, height, width) or (n, features) array
        Images; or vectors, each of whose features is a region.
    relevance : array
        Of the shape of `x`, or of images (n, height, width): any method's.
    output : int, sequence of int, or OutputSelector, optional
        The output neuron to follow; the highest for the unchanged input by default.
    regions : int
        Height and width of a region. They lie side by side from the upper left, numbered row by row; at the
        lower and right edge they may be smaller.
    order : "most-relevant", "least-relevant" or "random"
        From the largest sum down (MoRF), from the smallest up (LeRF), or by chance, with an order of its own
        for each sample.
    replace : "zero", "mean", "random", number or array
        By 0; by the mean of the sample's channel (of all features of a vector); by values uniform between the
        sample's smallest and largest one, drawn once from `seed`; by a number; or by the values of an array
        that broadcasts to `x`.
    steps : int or sequence of int, optional
        How many steps to the last region, or how many regions are flipped at each point: ``range(1, 101)``
        for the first hundred. One region a step by default.
    seed : int
    score : "logit" or "probability"
        The output as the model gives it, or its softmax.

    Returns
    -------
    FlippingCurve
        With ``area`` and ``aopc`` for each sample. The drop counts, whatever the order: the least relevant
        ones are to have a small one.

    Raises
    ------
    ShapeError
        If relevance, or the replacement, does not fit the input, or the input not the model.
    ParameterError
        If an option is not one of these.

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    >>> curve = rc.pixel_flipping(lrp, x[:10], lrp(x[:10]).relevance, regions=4)
    >>> curve.aopc.shape
    (10,)
    """
    if not isinstance(model, (LRP, Model)):
        raise ParameterError(f"pixel_flipping: expected a model or an LRP analyzer, got {model!r}")
    if not isinstance(order, str) or order not in ORDERS:
        raise ParameterError(f"pixel_flipping: order={order!r}, expected one of {ORDERS}")
    check_score(score, "pixel_flipping")
    size = as_integer(regions, "pixel_flipping: regions", 1)
    threads = None
    if isinstance(model, LRP):
        x, threads, model = as_input(x, model.dtype), model.threads, model.model
    with np.errstate(all="ignore"), using_threads(threads):
        return flip_regions(model, x, relevance, output, size, order, replace, steps, seed, score)


def flip_regions(
    model: Model,
    x: Array,
    relevance: Array,
    output: int | Iterable[int] | OutputSelector | None,
    size: int,
    order: str,
    replace: Any,
    steps: int | Iterable[int] | None,
    seed: int,
    score: Score,
) -> FlippingCurve:
    """Rank the regions, and follow the output as they are replaced."""
    x = model.check_input(x)
    if x.ndim not in (2, 4):
        raise ShapeError(
            f"pixel_flipping: input of shape {x.shape}, expected (n, channels, h, w) or (n, features)"
        )
    if x.ndim == 2 and size > 1:
        raise ParameterError(f"pixel_flipping: regions={size}, but vectors have no squares; expected 1")
    region = region_map(x.shape[2:] if x.ndim == 4 else (1, x.shape[1]), size)
    parts = int(region.max()) + 1
    ranked = rank(pooled(relevance, x), region, order, seed)
    replacement = values_to_put(replace, x, seed)
    y = model.forward(x)
    if y.ndim != 2:
        raise ShapeError(f"pixel_flipping: the model's output has shape {y.shape}, expected (n, neurons)")
    selected = output_selector(output).select(y)

    counts = flip_counts(steps, parts)
    one_channel = (len(x), 1, *x.shape[2:]) if x.ndim == 4 else x.shape
    scores = [score_of(y, selected, score)]
    for count in with_progress([int(c) for c in counts[1:]], "steps of pixel flipping"):
        flipped = is_flipped(ranked, count)[:, region.ravel()]
        changed = np.where(flipped.reshape(one_channel), replacement, x)
        scores.append(score_of(model.forward(changed), selected, score))
    kind = "features" if x.ndim == 2 else "pixels" if size == 1 else f"regions of {size} x {size} pixels"
    return FlippingCurve(counts, np.stack(scores, axis=1), ranked, selected, order, kind)


def region_map(shape: tuple[int, ...], size: int) -> Indices:
    """Number the regions row by row, and give each pixel (h, w) the number of its own."""
    rows, columns = (np.arange(length) // size for length in shape)
    return np.asarray(rows[:, None] * (columns[-1] + 1) + columns, dtype=np.intp)


def pooled(relevance: Array, x: Array) -> Array:
    """Sum relevance over channels, if it has any: gives (n, pixels)."""
    R = as_array(relevance, "pixel_flipping: relevance", x.dtype)
    if x.ndim == 4 and R.shape == (len(x), *x.shape[2:]):
        return R.reshape(len(x), -1)
    if R.shape != x.shape:
        also = f" or {show_shape((len(x), *x.shape[2:]))}" if x.ndim == 4 else ""
        raise ShapeError(
            f"pixel_flipping: relevance of shape {R.shape}, expected {show_shape(x.shape)}{also}; "
            "relevance under several conditions is to be flipped one by one"
        )
    return R if x.ndim == 2 else np.asarray(R.sum(axis=1)).reshape(len(x), -1)


def rank(R: Array, region: Indices, order: str, seed: int) -> Indices:
    """Sum relevance (n, pixels) over regions, and rank these."""
    parts = int(region.max()) + 1
    if order == "random":
        return random_order(len(R), parts, seed)
    sums = np.zeros((len(R), parts), dtype=R.dtype)
    np.add.at(sums.T, region.ravel(), R.T)
    return descending(sums if order == "most-relevant" else -sums)


def values_to_put(replace: Any, x: Array, seed: int) -> Array:
    """Give what replaces the input: an array that broadcasts to it, in its type."""
    if isinstance(replace, str):
        return named_values(replace, x, seed)
    if np.ndim(replace) == 0:
        check_number("pixel_flipping: replace", replace, -np.inf)
    values = like(as_array(replace, "pixel_flipping: replace", x.dtype), x)
    try:
        return np.broadcast_to(values, x.shape)
    except ValueError:
        raise ShapeError(
            f"pixel_flipping: replace has shape {np.shape(values)}, which does not broadcast to {x.shape}"
        ) from None


def named_values(replace: str, x: Array, seed: int) -> Array:
    """Give zeros, means, or values drawn by chance, each from the sample itself."""
    if replace == "zero":
        return np.zeros_like(x)
    if replace == "mean":
        positions = (2, 3) if x.ndim == 4 else (1,)
        count = math.prod(x.shape[axis] for axis in positions)
        return np.broadcast_to(x.sum(axis=positions, keepdims=True) / count, x.shape)
    if replace != "random":
        raise ParameterError(
            f"pixel_flipping: replace={replace!r}, expected 'zero', 'mean', 'random', a number or an array"
        )
    axes = tuple(range(1, x.ndim))
    low, high = x.min(axis=axes, keepdims=True), x.max(axis=axes, keepdims=True)
    u = np.random.default_rng(as_integer(seed, "seed")).random(x.shape)
    return np.asarray(low + (high - low) * like(u, x))
