"""Test vectors, the systematic part: every rule on every layer with parameters in every setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from vectors_parts import (
    EPSILON,
    LAYER_NORM,
    PASS,
    RULES,
    TITLES,
    ZERO,
    conv2d,
    dense,
    drawn,
    norm,
    numbers,
    plain,
    random,
    scale,
)

from refcrp.conformance.cases import Case, LayerSpec, RuleSpec


def cases() -> Iterator[Case]:
    """Give the vectors."""
    yield from dense_cases()
    yield from conv_cases()
    yield from affine_cases()
    yield from norm_cases()
    yield from moving_cases()


def dense_cases() -> Iterator[Case]:
    """Dense layers: with and without bias, one sample and three; epsilon large enough to matter."""
    for rule, spec in RULES.items():
        for setting, n, has_bias, what in (
            ("bias", 1, True, "with a bias"),
            ("no-bias", 1, False, "without bias: implementations that take one for granted fail here"),
            ("batch", 3, True, "on three samples, none of which may feel the others"),
        ):
            name = f"dense-{setting}-{rule}"
            rng = random(name)
            x, weight, bias = numbers(rng, n, 5), numbers(rng, 4, 5), numbers(rng, 4)
            layer = dense(weight, bias if has_bias else None, spec)
            yield drawn(name, f"A fully connected layer under {TITLES[rule]}, {what}.", layer, x, "layer")
    yield from parameter_cases()
    rng = random("dense-pass")
    layer = dense(numbers(rng, 4, 4), numbers(rng, 4), PASS)
    reason = "A layer with as many outputs as inputs can pass relevance on unchanged."
    yield drawn("dense-pass", reason, layer, numbers(rng, 2, 4), "layer")


PARAMETERS = {
    "epsilon-quarter": (RuleSpec("epsilon", {"epsilon": 0.25}), "epsilon is no small number here"),
    "epsilon-tiny": (
        RuleSpec("epsilon", {"epsilon": 2.0**-40}),
        "epsilon is smaller than the usual stabilizer",
    ),
    "gamma-zero": (RuleSpec("gamma", {"gamma": 0.0}), "with gamma 0 the gamma rule is LRP-0"),
    "gamma-large": (RuleSpec("gamma", {"gamma": 1000.0}), "with a large gamma the rule nears z-plus"),
    "generalized-gamma-zero": (
        RuleSpec("generalized_gamma", {"gamma": 0.0}),
        "with gamma 0 the generalized gamma rule is LRP-0",
    ),
    "generalized-gamma-large": (
        RuleSpec("generalized_gamma", {"gamma": 1000.0}),
        "with a large gamma only contributions of the sign of z count",
    ),
    "alpha1beta0": (RuleSpec("alpha_beta", {"alpha": 1.0, "beta": 0.0}), "alpha 1 and beta 0 are z-plus"),
    "alpha3beta2": (
        RuleSpec("alpha_beta", {"alpha": 3.0, "beta": 2.0}),
        "alpha and beta are none of the usual",
    ),
    "zbox-pixels": (RuleSpec("zbox", {"low": 0.0, "high": 2.0}), "the box begins at zero, as for pixels"),
    "zbox-asymmetric": (RuleSpec("zbox", {"low": -3.0, "high": 2.5}), "the box is not symmetric"),
}


def parameter_cases() -> Iterator[Case]:
    """The rules' parameters at other than their usual values."""
    for rule, (spec, what) in PARAMETERS.items():
        name = f"dense-parameter-{rule}"
        rng = random(name)
        x = numbers(rng, 1, 5, sign=1 if rule == "zbox-pixels" else 0)
        layer = dense(numbers(rng, 4, 5), numbers(rng, 4), spec)
        yield drawn(name, f"A fully connected layer where {what}.", layer, x, "layer")


@dataclass(frozen=True)
class Convolution:
    """A convolution to be tried under every rule."""

    what: str
    image: tuple[int, int, int]
    weight: tuple[int, int, int, int]
    settings: dict[str, Any] = field(default_factory=dict)
    bias: bool = True
    n: int = 1
    flags: tuple[str, ...] = ()


CONVOLUTIONS = {
    "plain": Convolution("with nothing special", (2, 4, 4), (3, 2, 2, 2)),
    "batch": Convolution("on three samples", (1, 3, 3), (2, 1, 2, 2), n=3),
    "no-bias": Convolution("without bias", (2, 4, 4), (3, 2, 2, 2), bias=False),
    "rectangular": Convolution("with a kernel and an image that are not square", (2, 3, 5), (2, 2, 1, 3)),
    "padded": Convolution(
        "with padding, which must not take relevance", (2, 3, 3), (2, 2, 3, 3), {"padding": 1}
    ),
    "strided": Convolution("with strides that fit the image", (2, 4, 4), (2, 2, 2, 2), {"stride": 2}),
    "strided-unseen": Convolution(
        "with strides larger than its kernel, which leave pixels out that get no relevance",
        (1, 6, 6),
        (2, 1, 2, 2),
        {"stride": 3},
        flags=("unseen-inputs",),
    ),
    "strided-leftover": Convolution(
        "whose strides end before the image does: the last row and column are seen by no window",
        (2, 4, 4),
        (2, 2, 1, 1),
        {"stride": (3, 2)},
        flags=("unseen-inputs",),
    ),
    "dilated": Convolution("with dilation", (2, 4, 5), (2, 2, 2, 2), {"dilation": (2, 3)}),
    "grouped": Convolution(
        "in two groups, each of which sees half of the channels", (4, 3, 3), (4, 2, 2, 2), {"groups": 2}
    ),
    "depthwise": Convolution(
        "in which each channel is a group of its own", (3, 3, 3), (3, 1, 2, 2), {"groups": 3}
    ),
    "depthwise-multiplied": Convolution(
        "with two outputs for each channel, which is a group", (2, 3, 3), (4, 1, 2, 2), {"groups": 2}
    ),
    "one-pixel": Convolution(
        "on a map of one pixel, where it is a fully connected layer", (4, 1, 1), (3, 4, 1, 1)
    ),
    "one-by-one": Convolution("with a kernel of one pixel on a larger image", (3, 2, 3), (2, 3, 1, 1)),
    "wide-padding": Convolution(
        "with padding wider than its kernel: some windows see no pixel at all",
        (1, 2, 2),
        (2, 1, 2, 2),
        {"padding": 3},
        flags=("zero-denominator",),
    ),
    "everything": Convolution(
        "with stride, padding, dilation and groups at once",
        (4, 5, 6),
        (4, 2, 3, 2),
        {"stride": (2, 3), "padding": (2, 1), "dilation": (1, 2), "groups": 2},
        n=2,
    ),
}


def conv_cases() -> Iterator[Case]:
    """Convolutions."""
    for rule, spec in RULES.items():
        for setting, conv in CONVOLUTIONS.items():
            name = f"conv-{setting}-{rule}"
            rng = random(name)
            x, weight = numbers(rng, conv.n, *conv.image), numbers(rng, *conv.weight)
            bias = numbers(rng, conv.weight[0]) if conv.bias else None
            layer = conv2d(weight, bias, spec, **conv.settings)
            # Windows without pixels have a zero denominator only where the bias does not count.
            flags = [f for f in conv.flags if f != "zero-denominator" or rule in ("wsquare", "flat", "zbox")]
            yield drawn(name, f"A convolution {conv.what}, under {TITLES[rule]}.", layer, x, "layer", *flags)


def affine_cases() -> Iterator[Case]:
    """Scale, on features and on maps."""
    for rule, spec in RULES.items():
        for setting, shape, has_bias in (
            ("features", (2, 4), True),
            ("maps", (1, 3, 2, 2), True),
            ("no-bias", (1, 4), False),
        ):
            name = f"scale-{setting}-{rule}"
            rng = random(name)
            weight, bias = numbers(rng, shape[1]), numbers(rng, shape[1])
            layer = scale(weight, bias if has_bias else None, spec)
            what = {
                "features": "each feature",
                "maps": "each channel of a map",
                "no-bias": "each feature, without bias,",
            }
            reason = f"A scale of {what[setting]} under {TITLES[rule]}: each output has one input only."
            yield drawn(name, reason, layer, numbers(rng, *shape), "layer")
    rng = random("scale-pass")
    layer = scale(numbers(rng, 3), numbers(rng, 3), PASS)
    yield drawn("scale-pass", "A scale can pass relevance on unchanged.", layer, numbers(rng, 2, 3), "layer")


PLAIN_RULES = {"zero": ZERO, "epsilon": EPSILON, "pass": PASS}


def norm_cases() -> Iterator[Case]:
    """Batch normalisation and layer normalisation."""
    for rule, spec in PLAIN_RULES.items():
        for setting, shape in (
            ("maps", (2, 3, 2, 2)),
            ("features", (3, 4)),
            ("bare", (1, 3, 2, 2)),
            ("rational", (1, 4)),
        ):
            name = f"batch-norm-{setting}-{rule}"
            rng = random(name)
            channels = shape[1]
            given = {"mean": numbers(rng, channels), "variance": numbers(rng, channels, sign=1)}
            if setting != "bare":
                given |= {"gamma": numbers(rng, channels), "beta": numbers(rng, channels)}
            if setting == "rational":
                given["variance"] = np.array([4, 0.25, 1, 2.25])
            layer = norm("batch_norm", spec, epsilon=0.0 if setting == "rational" else 1e-5, **given)
            what = {
                "maps": "of maps",
                "features": "of features",
                "bare": "without gamma and beta",
                "rational": "whose standard deviations are rational, and whose epsilon is zero",
            }[setting]
            reason = f"Batch normalisation {what}, not merged into a layer, under the rule {rule}."
            yield drawn(name, reason, layer, numbers(rng, *shape), "layer")
    for setting, shape, axes, has_bias, what in LAYER_NORMS:
        for rule, spec in (("layer-norm", LAYER_NORM), ("pass", PASS)):
            name = f"layer-norm-{setting}-{rule}"
            rng = random(name)
            weight, bias = numbers(rng, *shape[-axes:]), numbers(rng, *shape[-axes:])
            layer = norm("layer_norm", spec, weight=weight, bias=bias if has_bias else None)
            reason = f"Layer normalisation {what}, under the rule {rule}."
            yield drawn(name, reason, layer, numbers(rng, *shape), "layer")


LAYER_NORMS = (
    ("features", (1, 5), 1, True, "of features"),
    ("batch", (3, 4), 1, True, "of three samples, each by its own mean"),
    ("no-bias", (1, 4), 1, False, "without bias"),
    ("maps", (1, 2, 2, 3), 3, True, "over channels, height and width"),
    ("last-axis", (1, 2, 2, 4), 1, True, "over the last axis only, as often as there are places"),
)


def moving_cases() -> Iterator[Case]:
    """Layers that pass relevance on."""
    makers: dict[str, tuple[Callable[[RuleSpec], LayerSpec], str]] = {
        "relu": (
            lambda spec: plain("relu", spec),
            "A ReLU passes relevance on, that of inputs below zero too",
        ),
        "flatten": (lambda spec: plain("flatten", spec), "Flattening gives relevance the input's shape back"),
    }
    for kind, (make, reason) in makers.items():
        for rule, spec in PLAIN_RULES.items():
            name = f"{kind}-{rule}"
            rng = random(name)
            yield drawn(
                name,
                f"{reason}; the rule is {rule}.",
                make(spec),
                numbers(rng, 2, 2, 2, 3),
                "layer",
                signed=True,
            )
