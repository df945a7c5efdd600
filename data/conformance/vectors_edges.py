"""Test vectors at the edges: every rule, on a fully connected layer and on a convolution.

The two layers see the same numbers wherever that can be: the convolution has the weights of the fully
connected layer in a kernel of one row, and slides over a longer input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from vectors_parts import RULES, TITLES, Array, case, conv2d, dense, numbers, random, relevance

from refcrp.conformance.cases import Case, LayerSpec, RuleSpec

WIDTH = 3  # inputs of the fully connected layer, and pixels of the kernel
OUTPUTS = 3


@dataclass(frozen=True)
class Numbers:
    """One sample, weights, bias (none if None), relevance of the outputs, and a box that holds the inputs."""

    x: Array
    weight: Array
    bias: Array | None
    R: Array
    box: float = 2.0


Maker = Callable[[np.random.Generator, int], Numbers]  # for an input of some length


@dataclass(frozen=True)
class Edge:
    """What makes a vector an edge, and for which rules; the others must not feel it."""

    make: Maker
    reason: str
    flags: tuple[str, ...] = ()
    felt_by: tuple[str, ...] = tuple(RULES)
    otherwise: str | None = None  # the reason for rules that do not feel it; none: not tried on them
    kinds: tuple[str, ...] = ("dense", "conv")


def cases() -> Iterator[Case]:
    """Give the vectors."""
    for rule in RULES:
        for name, edge in EDGES.items():
            is_felt = rule in edge.felt_by
            reason = edge.reason if is_felt else edge.otherwise
            for kind in edge.kinds if reason else ():
                sentence = f"{reason} Here {KINDS[kind]} under {TITLES[rule]}."
                yield edge_case(kind, name, rule, edge.make, sentence, edge.flags if is_felt else ())
        yield single(rule)


KINDS = {"dense": "a fully connected layer", "conv": "a convolution"}


def edge_case(kind: str, name: str, rule: str, make: Maker, reason: str, flags: tuple[str, ...]) -> Case:
    """Give an edge as a case, on a fully connected layer or a convolution whose kernel has one row."""
    full_name = f"{kind}-{name}-{rule}"
    given = make(random(full_name), WIDTH if kind == "dense" else WIDTH + 2)
    spec = boxed(RULES[rule], given.box)
    layer: LayerSpec
    if kind == "dense":
        layer, x, R = dense(given.weight, given.bias, spec), given.x[None], given.R[None, :, 0]
    else:
        layer = conv2d(given.weight[:, None, None, :], given.bias, spec)
        x, R = given.x[None, None, None], given.R[None, :, None]
    return case(full_name, reason, layer, x, R, "edge", *flags)


def boxed(spec: RuleSpec, box: float) -> RuleSpec:
    """Give a rule with a box that the inputs lie in, if it has one."""
    return RuleSpec(spec.name, {"low": -box, "high": box}) if spec.name == "zbox" else spec


def single(rule: str) -> Case:
    """Give the smallest case there is."""
    name = f"dense-single-{rule}"
    rng = random(name)
    layer = dense(numbers(rng, 1, 1), numbers(rng, 1), RULES[rule])
    reason = f"One input and one output under {TITLES[rule]}: the equation itself."
    return case(name, reason, layer, numbers(rng, 1, 1), relevance(rng, 1, 1), "edge")


# What is at the edge ----------------------------------------------------------------------------------------


def relevance_for(rng: np.random.Generator, length: int, *, signed: bool = False) -> Array:
    """Give the relevance of the outputs, (outputs, places)."""
    return relevance(rng, OUTPUTS, length - WIDTH + 1, signed=signed)


def drawn(sign: int = 0, *, size: float = 1.0, signed: bool = False) -> Maker:
    """Give numbers at random, with inputs of one sign, or of sizes far from 1."""

    def make(rng: np.random.Generator, length: int) -> Numbers:
        x, weight, bias = numbers(rng, length, sign=sign), numbers(rng, OUTPUTS, WIDTH), numbers(rng, OUTPUTS)
        R = relevance_for(rng, length, signed=signed)
        return Numbers(x * size, weight * size, bias * size**2, R * size, 2 * size)

    return make


def zero_input(rng: np.random.Generator, length: int) -> Numbers:
    """Give an input of zeros."""
    return replace(drawn()(rng, length), x=np.zeros(length))


def bias_only(rng: np.random.Generator, length: int) -> Numbers:
    """Give weights that are zero."""
    return replace(drawn()(rng, length), weight=np.zeros((OUTPUTS, WIDTH)))


def large_bias(sign: int) -> Maker:
    """Give a bias of one sign."""

    def make(rng: np.random.Generator, length: int) -> Numbers:
        return replace(drawn()(rng, length), bias=numbers(rng, OUTPUTS, sign=sign, bound=16))

    return make


def halves(length: int) -> Array:
    """Give an input of which all windows see the same."""
    return np.full(length, 0.5)


def zero_denominator(rng: np.random.Generator, length: int) -> Numbers:
    """Give contributions that cancel: as they are in the first row, raised by gamma = 1/4 in the second."""
    weight = np.array([[2, -1, -1], [4, -3, -2], [3, 1, 0.5]])
    return Numbers(halves(length), weight, np.zeros(OUTPUTS), relevance_for(rng, length))


def empty_denominator(rng: np.random.Generator, length: int) -> Numbers:
    """Give rows without weights, and with weights of one sign: nothing is for, or against, the output."""
    weight = np.array([[0, 0, 0], [-1, -2, -0.5], [1, 0.25, 2]])
    return Numbers(numbers(rng, length, sign=1), weight, None, relevance_for(rng, length))


def bias_cancels(rng: np.random.Generator, length: int) -> Numbers:
    """Give a bias that takes away the sum as it is in the first row, raised by gamma = 1/4 in the second."""
    weight = np.array([[2, 1, 1], [3, -1, 1], [1, 2, 3]])
    return Numbers(halves(length), weight, np.array([-2, -2, -4]), relevance_for(rng, length))


def cancellation(difference: float) -> Maker:
    """Give contributions that cancel up to `difference`; raised by gamma = 1/4 in the second row."""

    def make(rng: np.random.Generator, length: int) -> Numbers:
        weight = np.array([[2, -1, -1 + difference], [4, -3, -2 - difference], [3, 1, 0.5]])
        return Numbers(halves(length), weight, np.array([0, 0, 0.25]), relevance_for(rng, length))

    return make


PLAIN = ("zero", "epsilon", "gamma")  # rules whose contributions have both signs under one denominator

EDGES: dict[str, Edge] = {
    "positive-input": Edge(drawn(1), "All inputs are positive, as after a ReLU."),
    "negative-input": Edge(drawn(-1), "All inputs are negative, and negative weights speak for the output."),
    "zero-input": Edge(zero_input, "All inputs are zero, and so are products with them."),
    "signed-relevance": Edge(
        drawn(signed=True), "The output has relevance of both signs, neither of which may be clipped."
    ),
    "positive-bias": Edge(
        large_bias(1), "The bias is positive and large, and absorbs much where it counts.", kinds=("dense",)
    ),
    "negative-bias": Edge(
        large_bias(-1),
        "The bias is negative and large, and counts where it is not clipped.",
        kinds=("dense",),
    ),
    "bias-only": Edge(bias_only, "All weights are zero, and the output is the bias alone.", ("bias-only",)),
    "zero-denominator": Edge(
        zero_denominator,
        "Contributions cancel to exactly zero, where sign(0) is 1 and the stabilizer alone is left.",
        ("zero-denominator",),
        (*PLAIN, "generalized-gamma"),
        "Contributions add up to exactly zero, which this rule does not divide by.",
    ),
    "empty-denominator": Edge(
        empty_denominator,
        "Some outputs have no contributions, or none of one sign, and zero over zero must count as zero.",
        ("zero-denominator",),
        tuple(rule for rule in RULES if rule != "flat"),
        "Some outputs have no weights but zeros, which are connected all the same.",
    ),
    "bias-cancels": Edge(
        bias_cancels,
        "The bias cancels exactly what the inputs contribute.",
        ("zero-denominator",),
        (*PLAIN, "generalized-gamma"),
        "The bias would cancel exactly what the inputs contribute, if it were not clipped or left out.",
    ),
    "cancellation": Edge(
        cancellation(2.0**-9),
        "Contributions of both signs leave a small denominator, and rounding errors grow.",
        ("cancellation",),
        PLAIN,
        "Contributions of both signs almost cancel, which must not make this rule less precise.",
    ),
    "severe-cancellation": Edge(
        cancellation(2.0**-26),
        "Contributions cancel up to 1e-8 of their size: float32 has no digit left, float64 half of them.",
        ("cancellation",),
        PLAIN,
    ),
    "huge": Edge(
        drawn(size=2.0**30), "All numbers are around 1e9, and their products around 1e18.", ("huge",)
    ),
    "tiny": Edge(
        drawn(size=2.0**-15),
        "Products are around 1e-9, as small as the stabilizer, whose size and sign then show.",
        ("tiny",),
    ),
}
