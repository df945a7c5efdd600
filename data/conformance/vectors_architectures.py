"""Small networks of the usual kinds, and the usual assignments of rules to their layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from vectors_parts import EPSILON, LAYER_NORM, RULES, ZERO, conv2d, dense, norm, numbers, plain, pool, scale

from refcrp.conformance.cases import LayerSpec, RuleSpec

# Rules ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Assignment:
    """Which rules go where, and how to say so."""

    what: str
    conv: RuleSpec
    dense: RuleSpec
    first: RuleSpec | None = None  # for the first layer with weights
    other: RuleSpec = ZERO  # for pooling and normalisation

    def rule(self, kind: str, *, is_first: bool) -> RuleSpec:
        """Give the rule for a layer."""
        by_kind = {"dense": self.dense} | dict.fromkeys(("conv2d", "conv_transpose2d", "scale"), self.conv)
        by_kind |= dict.fromkeys(("layer_norm", "group_norm", "instance_norm"), LAYER_NORM)
        if is_first and self.first is not None:
            return self.first
        return ZERO if kind in ("relu", "flatten") else by_kind.get(kind, self.other)


def everywhere(rule: str, what: str) -> Assignment:
    """Give one rule to all layers with weights."""
    return Assignment(what, RULES[rule], RULES[rule])


QUARTER = RuleSpec("epsilon", {"epsilon": 0.25})

ASSIGNMENTS: dict[str, Assignment] = {
    "zero": everywhere("zero", "LRP-0 everywhere"),
    "epsilon": Assignment("LRP-epsilon with a large epsilon everywhere", QUARTER, QUARTER, other=QUARTER),
    "gamma": everywhere("gamma", "LRP-gamma on all weights"),
    "generalized-gamma": everywhere("generalized-gamma", "generalized LRP-gamma on all weights"),
    "zplus": everywhere("zplus", "z-plus on all weights"),
    "alpha2beta1": everywhere("alpha2beta1", "alpha-2-beta-1 on all weights"),
    "wsquare": everywhere("wsquare", "w-square on all weights"),
    "flat": everywhere("flat", "the flat rule on all weights"),
    "epsilon-plus": Assignment("epsilon-plus", RULES["zplus"], EPSILON),
    "epsilon-plus-flat": Assignment("epsilon-plus-flat", RULES["zplus"], EPSILON, RULES["flat"]),
    "epsilon-gamma-box": Assignment("epsilon-gamma-box", RULES["gamma"], EPSILON, RULES["zbox"]),
    "epsilon-alpha2beta1": Assignment("epsilon-alpha-2-beta-1", RULES["alpha2beta1"], EPSILON),
    "epsilon-alpha2beta1-flat": Assignment(
        "epsilon-alpha-2-beta-1-flat", RULES["alpha2beta1"], EPSILON, RULES["flat"]
    ),
}

# Networks, with LRP-0 everywhere ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """How to draw a network, the shape of its input, and under which assignments to try it."""

    what: str
    make: Callable[[np.random.Generator], list[LayerSpec]]
    image: tuple[int, ...]
    assignments: tuple[str, ...]
    n: int = 1


def mlp(rng: np.random.Generator) -> list[LayerSpec]:
    """Give three fully connected layers."""
    return [
        *(dense(numbers(rng, 5, 4), numbers(rng, 5), name="dense1"), plain("relu", name="relu1")),
        *(dense(numbers(rng, 4, 5), numbers(rng, 4), name="dense2"), plain("relu", name="relu2")),
        dense(numbers(rng, 3, 4), numbers(rng, 3), name="dense3"),
    ]


def lenet(kind: str) -> Callable[[np.random.Generator], list[LayerSpec]]:
    """Give LeNet in miniature, with pooling of a kind."""

    def make(rng: np.random.Generator) -> list[LayerSpec]:
        return [
            *(conv2d(numbers(rng, 2, 1, 3, 3), numbers(rng, 2), name="conv1"), plain("relu", name="relu1")),
            pool(kind, 2, name="pool1"),
            *(conv2d(numbers(rng, 3, 2, 2, 2), numbers(rng, 3), name="conv2"), plain("relu", name="relu2")),
            plain("flatten"),
            *(dense(numbers(rng, 4, 12), numbers(rng, 4), name="dense1"), plain("relu", name="relu3")),
            dense(numbers(rng, 3, 4), numbers(rng, 3), name="dense2"),
        ]

    return make


def normalized(kind: str) -> Callable[[np.random.Generator], list[LayerSpec]]:
    """Give a convolution with a layer after it that scales its channels."""

    def make(rng: np.random.Generator) -> list[LayerSpec]:
        middle = scale(numbers(rng, 3), numbers(rng, 3), name="norm")
        if kind == "batch_norm":
            given = {"mean": numbers(rng, 3), "variance": numbers(rng, 3, sign=1)}
            middle = norm(kind, ZERO, **given, gamma=numbers(rng, 3), beta=numbers(rng, 3))
        return [
            *(conv2d(numbers(rng, 3, 1, 2, 2), numbers(rng, 3), name="conv1"), middle, plain("relu")),
            *(pool("max_pool", 2, name="pool1"), plain("flatten")),
            dense(numbers(rng, 3, 12), numbers(rng, 3), name="dense1"),
        ]

    return make


def layer_normalized(rng: np.random.Generator) -> list[LayerSpec]:
    """Give fully connected layers with layer normalisation between them."""
    return [
        dense(numbers(rng, 5, 4), numbers(rng, 5), name="dense1"),
        norm("layer_norm", LAYER_NORM, weight=numbers(rng, 5), bias=numbers(rng, 5)),
        *(plain("relu"), dense(numbers(rng, 3, 5), numbers(rng, 3), name="dense2")),
    ]


def one_pixel(rng: np.random.Generator) -> list[LayerSpec]:
    """Give convolutions of one pixel."""
    return [
        *(conv2d(numbers(rng, 4, 3, 1, 1), numbers(rng, 4), name="conv1"), plain("relu")),
        *(conv2d(numbers(rng, 3, 4, 1, 1), None, name="conv2"), plain("flatten")),
    ]


def pooled(kind: str) -> Callable[[np.random.Generator], list[LayerSpec]]:
    """Give a convolution and global pooling of a kind."""

    def make(rng: np.random.Generator) -> list[LayerSpec]:
        return [
            *(conv2d(numbers(rng, 4, 2, 2, 2), numbers(rng, 4), name="conv1"), plain("relu")),
            *(plain(kind, name="pool1"), plain("flatten")),
            dense(numbers(rng, 3, 4), numbers(rng, 3), name="dense1"),
        ]

    return make


def strided(rng: np.random.Generator) -> list[LayerSpec]:
    """Give convolutions with every setting, and overlapping pooling."""
    first = conv2d(numbers(rng, 4, 2, 3, 3), numbers(rng, 4), name="conv1", stride=2, padding=1)
    return [
        *(first, plain("relu", name="relu1"), pool("max_pool", 2, name="pool1", stride=1, padding=1)),
        conv2d(numbers(rng, 4, 2, 2, 2), numbers(rng, 4), name="conv2", groups=2, dilation=2),
        *(plain("relu", name="relu2"), plain("flatten")),
        dense(numbers(rng, 3, 16), numbers(rng, 3), name="dense1"),
    ]


BY_COMPOSITES = (
    *("zero", "epsilon-plus", "epsilon-plus-flat", "epsilon-gamma-box"),
    *("epsilon-alpha2beta1", "epsilon-alpha2beta1-flat"),
)
NETWORKS: dict[str, Network] = {
    "mlp": Network(
        "Three fully connected layers",
        mlp,
        (4,),
        ("zero", "epsilon", "gamma", "generalized-gamma", "zplus", "alpha2beta1", "wsquare", "flat"),
        2,
    ),
    "lenet": Network(
        "LeNet in miniature", lenet("max_pool"), (1, 8, 8), (*BY_COMPOSITES, "epsilon", "wsquare", "zplus")
    ),
    "average": Network(
        "LeNet in miniature with average pooling", lenet("avg_pool"), (1, 8, 8), BY_COMPOSITES
    ),
    "batch-norm": Network(
        "A convolution with batch normalisation", normalized("batch_norm"), (1, 5, 5), BY_COMPOSITES[:4]
    ),
    "scale": Network(
        "A convolution with a scale after it", normalized("scale"), (1, 5, 5), BY_COMPOSITES[:4]
    ),
    "layer-norm": Network("Layer normalisation in a network", layer_normalized, (4,), ("zero", "epsilon"), 2),
    "one-pixel": Network("A network on one pixel", one_pixel, (3, 1, 1), (*BY_COMPOSITES[:4], "flat")),
    "global-average": Network(
        "Global average pooling in a network", pooled("global_avg_pool"), (2, 4, 4), BY_COMPOSITES[:3]
    ),
    "global-maximum": Network(
        "Global max pooling in a network", pooled("global_max_pool"), (2, 4, 4), BY_COMPOSITES[:3]
    ),
    "strided": Network(
        "Stride, padding, dilation, groups and overlapping pooling in one network",
        *(strided, (2, 5, 5), BY_COMPOSITES),
    ),
}
