"""Test vectors that can be worked out on paper; `tests/conformance/test_vectors.py` has done so."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from vectors_parts import (
    EPSILON,
    LAYER_NORM,
    RULES,
    ZERO,
    Array,
    case,
    conv2d,
    dense,
    explained,
    norm,
    plain,
    pool,
)

from refcrp.conformance.cases import Case, LayerSpec, RuleSpec


def cases() -> Iterator[Case]:
    """Give the vectors."""
    for name, (reason, layer, x, R, *flags) in HAND.items():
        yield case(f"{name}-hand-1", reason, layer, np.array([x]), np.array([R]), "hand-checked", *flags)
    reason = "Relevance starts as 1, or as the output's own value 2; the other output is not asked for."
    layers = [dense([[1, 0], [0, 1]], name="dense1"), plain("relu"), dense([[1, 0.5], [0, 3]], name="dense2")]
    yield explained("seed-hand-1", reason, layers, [[1.0, 2.0]], (0,), "hand-checked")
    reason = (
        "One hidden neuron, the other one, and both: conditions on a layer add up where no bias takes part."
    )
    conditions = ({"dense1": (0,)}, {"dense1": (1,)}, {"dense1": (0, 1)})
    yield explained("crp-hand-1", reason, layers, [[1.0, 2.0]], (0,), "hand-checked", conditions=conditions)


def neuron(weight: list[float], bias: float | None, rule: RuleSpec) -> LayerSpec:
    """Give a layer of one neuron."""
    return dense([weight], None if bias is None else [bias], rule)


ONES = np.ones((1, 2, 2))

# Name, reason, layer, one sample, the relevance of its output, flags.
HAND: dict[str, tuple[str, LayerSpec, Array | list[float], Array | list[float], *tuple[str, ...]]] = {
    "zero-bias": (
        "LRP-0 by hand: contributions 3 and -2 and a bias of 1.",
        neuron([3, -1], 1, ZERO),
        [1, 2],
        [1],
    ),
    "zero-denominator": (
        "Contributions 1 and -1 leave the stabilizer alone, which is positive where z is zero.",
        neuron([1, -1], None, ZERO),
        [1, 1],
        [1],
        "zero-denominator",
    ),
    "epsilon": (
        "An epsilon of 1 absorbs a quarter of the relevance.",
        neuron([1, 2], None, RuleSpec("epsilon", {"epsilon": 1.0})),
        [1, 1],
        [1],
    ),
    "epsilon-negative": (
        "Where z is negative epsilon is taken away from it, so that it still absorbs relevance.",
        neuron([-1, -2], None, RuleSpec("epsilon", {"epsilon": 1.0})),
        [1, 1],
        [1],
    ),
    "epsilon-zero-denominator": (
        "Contributions 1 and -1 leave epsilon alone, 1/2, which is added where z is zero.",
        neuron([1, -1], None, RuleSpec("epsilon", {"epsilon": 0.5})),
        [1, 1],
        [1],
        "zero-denominator",
    ),
    "zplus-bias": (
        "A negative input times a negative weight, and a negative bias: where z-plus rules differ.",
        neuron([1, -3], -0.5, RULES["zplus"]),
        [1, -2],
        [1],
    ),
    "wsquare-bias": (
        "Whether the squared bias stands in the denominator of w-square.",
        neuron([1, -3], -0.5, RULES["wsquare"]),
        [1, -2],
        [1],
    ),
    "gamma-bias": (
        "Whether gamma raises the bias, and whether it raises weights or contributions.",
        neuron([3, -1], 0.5, RULES["gamma"]),
        [1, 1],
        [1],
    ),
    "generalized-gamma-negative": (
        "Where z is negative the generalized gamma rule raises negative contributions.",
        neuron([1, -3], None, RuleSpec("generalized_gamma", {"gamma": 1.0})),
        [1, 1],
        [1],
    ),
    "alpha-beta-bias": (
        "Whether a positive bias enters the denominator of negative contributions, too.",
        neuron([2, -1, 1], 2, RULES["alpha2beta1"]),
        [1, 1, 1],
        [1],
    ),
    "flat": (
        "The flat rule looks neither at inputs nor at weights.",
        neuron([5, 0, -1, 2], 3, RULES["flat"]),
        [1, 0, -3, 2],
        [1],
    ),
    "flat-padding": (
        "Each of four windows of nine places sees four pixels; padding takes no relevance.",
        conv2d(np.ones((1, 1, 3, 3)), None, RULES["flat"], padding=1),
        ONES,
        ONES,
    ),
    "zbox": (
        "An input at the high end of its box whose weight is negative contributes nothing.",
        neuron([2, -1], None, RuleSpec("zbox", {"low": 0.0, "high": 1.0})),
        [0.5, 1],
        [1],
    ),
    "max-pool-tie": (
        "Two maxima: the first one wins, or they share.",
        pool("max_pool", 2),
        np.array([[[1, 1], [0, 0]]]),
        np.ones((1, 1, 1)),
        "tie",
    ),
    "max-pool-zeros": (
        "A window of zeros drops its relevance, or gives it to the first pixel, or to all.",
        pool("max_pool", 2),
        np.zeros((1, 2, 2)),
        np.ones((1, 1, 1)),
        "zero-window",
        "tie",
    ),
    "max-pool-near-tie": (
        "A value less than the square root of 2**-23 below the maximum comes first.",
        pool("max_pool", (1, 2)),
        np.array([[[1 - 2.0**-12, 1]]]),
        np.ones((1, 1, 1)),
        "near-tie",
    ),
    "avg-pool": (
        "Average pooling divides in proportion to values, not evenly.",
        pool("avg_pool", 2),
        np.array([[[1, 2], [3, -2]]]),
        np.ones((1, 1, 1)),
    ),
    "batch-norm": (
        "An affine map with weight 1 and bias 2, once mean and variance are worked in; or nothing at all.",
        norm("batch_norm", EPSILON, epsilon=0.0, mean=[1], variance=[4], gamma=[2], beta=[3]),
        [3],
        [1],
    ),
    "layer-norm": (
        "Two values that are 1 away from their mean: subtracting it is a linear map.",
        norm("layer_norm", LAYER_NORM, epsilon=0.0, weight=[1, 1]),
        [1, 3],
        [1, 2],
    ),
}
