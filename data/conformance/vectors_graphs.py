"""Test vectors, networks that are graphs: sums and concatenations, residual and inception-like networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from vectors_architectures import ASSIGNMENTS, BY_COMPOSITES, Network
from vectors_networks import Conditions, network_case
from vectors_parts import EPSILON, ZERO, case, conv2d, dense, numbers, plain, pool, random, relevance, scale

from refcrp.conformance.cases import Case, LayerSpec, RuleSpec

HALF = RuleSpec("epsilon", {"epsilon": 0.5})
WORDS = {"zero": (ZERO, "LRP-0"), "epsilon": (EPSILON, "LRP-epsilon"), "large-epsilon": (HALF, "LRP-epsilon")}


def cases() -> Iterator[Case]:
    """Give the vectors."""
    yield from by_hand()
    for word, (rule, title) in WORDS.items():
        yield from sums(word, rule, title)
        yield from concatenations(word, rule, title)
    for name, network in NETWORKS.items():
        for assignment in network.assignments:
            yield network_case(f"graph-{name}-{assignment}", network, assignment, network.n)
    for name, (network, assignment, n, what, conditions) in CONDITIONS.items():
        yield network_case(f"crp-{name}", NETWORKS[network], assignment, n, what, conditions)


def reading(spec: LayerSpec, *names: str) -> LayerSpec:
    """Give a layer that reads others."""
    return replace(spec, inputs=names)


def add(name: str, *names: str, rule: RuleSpec = ZERO) -> LayerSpec:
    """Give a sum."""
    return LayerSpec("add", name, rule, inputs=names)


def concat(name: str, *names: str, rule: RuleSpec = ZERO, axis: int = 1) -> LayerSpec:
    """Give a concatenation."""
    return LayerSpec("concat", name, rule, settings={"axis": axis}, inputs=names)


# Small ones -------------------------------------------------------------------------------------------------


def by_hand() -> Iterator[Case]:
    """Give those that can be worked out on paper."""
    layers = [dense([[3, 4], [5, 6]], [7, 8], name="body"), add("sum", "x", "body"), plain("relu")]
    reason = (
        "A residual block by hand: the sums are 19 and 27, of which 1 and 2 come straight from the input."
    )
    x, R = np.array([[1.0, 2], [1, 2]]), np.eye(2)
    yield case("residual-hand-1", reason, layers, x, R, "hand-checked")
    first, second = reading(dense([[1, 0]], name="first"), "x"), reading(dense([[0, 1]], name="second"), "x")
    layers = [first, second, add("sum", "first", "second")]
    reason = "Parts 2 and -2 of a sum leave the stabilizer alone, which is positive where z is zero."
    yield case(
        "add-zero-sum-hand-1", reason, layers, [[2.0, -2]], [[1.0]], "hand-checked", "zero-denominator"
    )
    layers = [
        scale([0.5], name="second"),
        reading(scale([-2], name="third"), "x"),
        add("sum", "x", "second", "third", rule=HALF),
    ]
    reason = "Parts 4, 2 and -8 of a sum of -2, from which an epsilon of 1/2 is taken away."
    yield case("add-epsilon-hand-1", reason, layers, [[4.0]], [[1.0]], "hand-checked")
    layers = [scale([1, 1], [1, 0], name="shift"), concat("concat", "shift", "x")]
    reason = "A concatenation by hand: relevance is cut apart, and both parts come back to the same input."
    yield case("concat-hand-1", reason, layers, [[1.0, 2]], [[4.0, 3, 2, 1]], "hand-checked")


def drawn(name: str, reason: str, make: list[LayerSpec], x: np.ndarray, *flags: str) -> Case:
    """Give a case with relevances of the output drawn at random, by its id."""
    made = case(name, reason, make, x, np.zeros(1), *flags)
    shape = made.outputs()[-1].shape
    return replace(made, relevance_out=relevance(random(name), *shape))


def sums(word: str, rule: RuleSpec, title: str) -> Iterator[Case]:
    """Give sums of two and three branches."""
    rng = random(f"add {word}")
    conv = conv2d(numbers(rng, 2, 2, 3, 3, sign=1), numbers(rng, 2, sign=1), rule, "body", padding=1)
    layers = [conv, add("sum", "x", "body", rule=rule)]
    reason = f"A convolution around which the input is led and added, under {title}."
    yield drawn(f"add-maps-{word}", reason, layers, numbers(rng, 2, 2, 3, 3, sign=1))
    first = reading(dense(numbers(rng, 4, 3, sign=1), numbers(rng, 4), rule, "first"), "x")
    second = reading(dense(numbers(rng, 4, 3), numbers(rng, 4, sign=1), rule, "second"), "x")
    third = reading(dense(numbers(rng, 4, 3, sign=1), None, rule, "third"), "x")
    layers = [first, second, third, add("sum", "first", "second", "third", rule=rule)]
    reason = f"A sum of three dense layers that read the same input, under {title}."
    yield drawn(f"add-three-{word}", reason, layers, numbers(rng, 2, 3, sign=1))
    zeros = reading(dense(np.zeros((3, 3)), None, rule, "zeros"), "x")
    layers = [zeros, add("sum", "x", "zeros", rule=rule)]
    reason = f"A branch of zeros in a sum takes no relevance, under {title}."
    yield drawn(f"add-branch-of-zeros-{word}", reason, layers, numbers(rng, 1, 3), "zero-denominator")
    swap = dense([[0, 1, 0], [1, 0, 0], [0, 0, 1]], None, rule, "swap")
    layers = [swap, add("sum", "x", "swap", rule=rule)]
    reason = f"Two of three sums are exactly zero, under {title}."
    x = numbers(rng, 1, 3)
    x[:, 1] = -x[:, 0]
    yield drawn(f"add-zero-sum-{word}", reason, layers, x, "zero-denominator")


def concatenations(word: str, rule: RuleSpec, title: str) -> Iterator[Case]:
    """Give concatenations of maps and of vectors."""
    rng = random(f"concat {word}")
    for axis, along in ((1, "channels"), (2, "the height"), (3, "the width")):
        conv = conv2d(numbers(rng, 2, 2, 3, 3, sign=1), numbers(rng, 2), rule, "conv", padding=1)
        layers = [conv, concat("concat", "conv", "x", rule=rule, axis=axis)]
        reason = f"Maps put together along {along}, under {title}."
        name = f"concat-{along.split()[-1]}-{word}"
        yield drawn(name, reason, layers, numbers(rng, 2, 2, 3, 3, sign=1))
    first = reading(dense(numbers(rng, 1, 3, sign=1), numbers(rng, 1), rule, "first"), "x")
    second = reading(dense(numbers(rng, 2, 3, sign=1), numbers(rng, 2), rule, "second"), "x")
    layers = [first, second, concat("concat", "second", "x", "first", rule=rule)]
    reason = f"Vectors of three lengths put together in another order than they were computed, under {title}."
    yield drawn(f"concat-vectors-{word}", reason, layers, numbers(rng, 2, 3, sign=1))


# Networks ---------------------------------------------------------------------------------------------------


def residual(rng: np.random.Generator) -> list[LayerSpec]:
    """Give two residual blocks, the second with a convolution in its shortcut."""
    return [
        *(
            conv2d(numbers(rng, 2, 1, 3, 3), numbers(rng, 2), name="stem", padding=1),
            plain("relu", name="relu1"),
        ),
        *(
            conv2d(numbers(rng, 3, 2, 3, 3), numbers(rng, 3), name="body1", padding=1),
            plain("relu", name="relu2"),
        ),
        conv2d(numbers(rng, 2, 3, 1, 1), numbers(rng, 2), name="body2"),
        *(add("sum1", "relu1", "body2"), plain("relu", name="relu3")),
        conv2d(numbers(rng, 3, 2, 3, 3), numbers(rng, 3), name="body3", stride=2, padding=1),
        reading(conv2d(numbers(rng, 3, 2, 1, 1), None, name="shortcut", stride=2), "relu3"),
        *(add("sum2", "body3", "shortcut"), plain("relu", name="relu4"), plain("flatten")),
        dense(numbers(rng, 3, 12), numbers(rng, 3), name="dense1"),
    ]


def inception(rng: np.random.Generator) -> list[LayerSpec]:
    """Give a stem, and three branches side by side, one of which pools."""
    return [
        *(conv2d(numbers(rng, 2, 1, 2, 2), numbers(rng, 2), name="stem"), plain("relu", name="relu1")),
        conv2d(numbers(rng, 2, 2, 1, 1), numbers(rng, 2), name="narrow"),
        reading(conv2d(numbers(rng, 2, 2, 3, 3), numbers(rng, 2), name="wide", padding=1), "relu1"),
        reading(pool("avg_pool", 3, name="pooled", stride=1, padding=1), "relu1"),
        *(concat("concat", "narrow", "wide", "pooled"), plain("relu", name="relu2")),
        *(pool("max_pool", 2, name="pool2"), plain("flatten")),
        dense(numbers(rng, 3, 24), numbers(rng, 3), name="dense1"),
    ]


def residual_mlp(rng: np.random.Generator) -> list[LayerSpec]:
    """Give a residual block of dense layers."""
    return [
        *(dense(numbers(rng, 5, 4), numbers(rng, 5), name="body1"), plain("relu", name="relu1")),
        *(dense(numbers(rng, 4, 5), numbers(rng, 4), name="body2"), add("sum", "x", "body2")),
        *(plain("relu", name="relu2"), dense(numbers(rng, 3, 4), numbers(rng, 3), name="dense3")),
    ]


NETWORKS: dict[str, Network] = {
    "residual-mlp": Network(
        "A residual block of dense layers",
        *(residual_mlp, (4,), ("zero", "epsilon", "gamma", "zplus", "alpha2beta1"), 2),
    ),
    "residual": Network("A small residual network", residual, (1, 4, 4), (*BY_COMPOSITES, "epsilon")),
    "inception": Network(
        "Branches of three kinds side by side", inception, (1, 5, 5), (*BY_COMPOSITES, "epsilon")
    ),
}

# Network, assignment, samples, what is conditioned, conditions.
CONDITIONS: dict[str, tuple[str, str, int, str, Conditions]] = {
    "residual-body": (
        *(
            "residual",
            "epsilon-plus",
            1,
            "channels of a body, around which relevance flows, one after another",
        ),
        ({"body1": (0,)}, {"body1": (1,)}, {"body1": (2,)}),
    ),
    "residual-sum": ("residual", "epsilon-plus", 2, "a channel of a sum", ({"sum1": (1,)},)),
    "residual-and": (
        *("residual", "zero", 1, "channels of a body AND of a shortcut beside another"),
        ({"shortcut": (0, 2), "body2": (1,)}, {}),
    ),
    "inception-branch": (
        *("inception", "epsilon-plus", 1, "channels of one branch, the others flowing on"),
        ({"wide": (0,)}, {"narrow": (1,), "wide": (1,)}),
    ),
    "inception-concat": (
        "inception",
        "epsilon-plus",
        1,
        "channels of a concatenation",
        ({"concat": (0, 3, 5)},),
    ),
}
assert all(assignment in ASSIGNMENTS for network in NETWORKS.values() for assignment in network.assignments)
