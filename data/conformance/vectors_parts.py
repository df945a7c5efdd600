"""What test vectors are put together from: numbers of few bits, layers, rules, cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from refcrp.conformance.cases import Case, LayerSpec, RuleSpec

Array = np.ndarray

# The rules for layers with weights, by what they are called in ids. Box: what inputs from -2 to 2 lie in.
RULES: Mapping[str, RuleSpec] = {
    "zero": RuleSpec("zero"),
    "epsilon": RuleSpec("epsilon", {"epsilon": 1e-6}),
    "gamma": RuleSpec("gamma", {"gamma": 0.25}),
    "generalized-gamma": RuleSpec("generalized_gamma", {"gamma": 0.25}),
    "zplus": RuleSpec("zplus"),
    "alpha2beta1": RuleSpec("alpha_beta", {"alpha": 2.0, "beta": 1.0}),
    "wsquare": RuleSpec("wsquare"),
    "flat": RuleSpec("flat"),
    "zbox": RuleSpec("zbox", {"low": -2.0, "high": 2.0}),
}
PASS = RuleSpec("pass")
LAYER_NORM = RuleSpec("layer_norm")
ZERO = RULES["zero"]
EPSILON = RULES["epsilon"]

TITLES: Mapping[str, str] = {
    "zero": "LRP-0",
    "epsilon": "LRP-epsilon",
    "gamma": "LRP-gamma",
    "generalized-gamma": "generalized LRP-gamma",
    "zplus": "z-plus",
    "alpha2beta1": "alpha-2-beta-1",
    "wsquare": "w-square",
    "flat": "the flat rule",
    "zbox": "z-box",
}


def random(seed: int | str) -> np.random.Generator:
    """Give the random numbers of one vector; they depend on nothing but its `seed`, an id as a rule."""
    digits = [ord(letter) for letter in seed] if isinstance(seed, str) else [seed]
    return np.random.default_rng(digits)


def numbers(rng: np.random.Generator, *shape: int, sign: int = 0, bound: int = 2) -> Array:
    """Give multiples of 1/64 between -bound and bound, not zero; of one sign if `sign` is 1 or -1."""
    sizes = rng.integers(1, 64 * bound + 1, shape) / 64
    return sizes * (rng.choice([-1, 1], shape) if sign == 0 else sign)


def relevance(rng: np.random.Generator, *shape: int, signed: bool = False) -> Array:
    """Give relevances that are multiples of 1/16, positive or of both signs."""
    R = rng.integers(1, 33, shape) / 16
    if signed:
        R *= np.where(np.arange(R.size) % 2, -1, 1).reshape(shape)
    return R


def pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    """Give (vertical, horizontal), or what is a tuple already."""
    return (value, value) if isinstance(value, int) else value


def conv2d(
    weight: Any,
    bias: Any = None,
    rule: RuleSpec = ZERO,
    name: str = "conv",
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, ...] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> LayerSpec:
    """Give a convolution; padding may be four sides."""
    settings = {"stride": stride, "padding": padding, "dilation": dilation}
    pairs: dict[str, Any] = {key: pair(value) for key, value in settings.items()}
    return LayerSpec("conv2d", name, rule, arrays(weight=weight, bias=bias), {**pairs, "groups": groups})


def conv_transpose2d(
    weight: Any,
    bias: Any = None,
    rule: RuleSpec = ZERO,
    name: str = "up",
    *,
    output_padding: int | tuple[int, int] = 0,
    **settings: Any,
) -> LayerSpec:
    """Give a transposed convolution."""
    spec = conv2d(weight, bias, rule, name, **settings)
    given = {**spec.settings, "output_padding": pair(output_padding)}
    return replace(spec, kind="conv_transpose2d", settings=given)


def dense(weight: Any, bias: Any = None, rule: RuleSpec = ZERO, name: str = "dense") -> LayerSpec:
    """Give a fully connected layer."""
    return LayerSpec("dense", name, rule, arrays(weight=weight, bias=bias))


def scale(weight: Any, bias: Any = None, rule: RuleSpec = ZERO, name: str = "scale") -> LayerSpec:
    """Give one weight and one bias a channel."""
    return LayerSpec("scale", name, rule, arrays(weight=weight, bias=bias))


def pool(
    kind: str,
    kernel_size: int | tuple[int, int],
    rule: RuleSpec = ZERO,
    name: str = "pool",
    *,
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, ...] = 0,
    **more: bool,
) -> LayerSpec:
    """Give pooling, kind ``max_pool`` or ``avg_pool``; the stride is as the kernel if None."""
    settings: dict[str, Any] = {
        "kernel_size": pair(kernel_size),
        "stride": pair(kernel_size if stride is None else stride),
        "padding": pair(padding),
    }
    if kind == "avg_pool":
        settings["count_include_pad"] = more.pop("count_include_pad", True)
    return LayerSpec(kind, name, rule, {}, {**settings, **more})


def plain(kind: str, rule: RuleSpec = ZERO, name: str | None = None, **settings: Any) -> LayerSpec:
    """Give a layer that has no parameters."""
    return LayerSpec(kind, kind if name is None else name, rule, settings=settings)


def norm(kind: str, rule: RuleSpec, name: str = "norm", *, epsilon: float = 1e-5, **given: Any) -> LayerSpec:
    """Give normalisation, kind ``batch_norm`` or ``layer_norm``."""
    return LayerSpec(kind, name, rule, arrays(**given), {"epsilon": epsilon})


def group_norm(kind: str, rule: RuleSpec, name: str = "norm", *, groups: int = 0, **given: Any) -> LayerSpec:
    """Give normalisation by groups or by channels, kind ``group_norm`` or ``instance_norm``."""
    settings = {"groups": groups} if kind == "group_norm" else {}
    return LayerSpec(kind, name, rule, arrays(**given), {**settings, "epsilon": 1e-5})


def arrays(**given: Any) -> dict[str, Array]:
    """Give the parameters that are there, as float64."""
    return {key: np.asarray(value, dtype=np.float64) for key, value in given.items() if value is not None}


def case(name: str, reason: str, layers: LayerSpec | list[LayerSpec], x: Any, R: Any, *flags: str) -> Case:
    """Give a case for one layer, or some, and the relevance of the last one's output."""
    chain = (layers,) if isinstance(layers, LayerSpec) else tuple(layers)
    x, R = np.asarray(x, dtype=np.float64), np.asarray(R, dtype=np.float64)
    return Case(id=name, reason=reason, layers=chain, x=x, relevance_out=R, flags=flags)


def drawn(name: str, reason: str, layer: LayerSpec, x: Array, *flags: str, signed: bool = False) -> Case:
    """Give a case for one layer, with relevances of its output drawn at random, by its id."""
    shape = layer.layer.output_shape(x.shape[1:])
    return case(name, reason, layer, x, relevance(random(name), len(x), *shape, signed=signed), *flags)


def explained(
    name: str,
    reason: str,
    layers: list[LayerSpec],
    x: Any,
    output: tuple[int, ...],
    *flags: str,
    conditions: tuple[Mapping[str, tuple[int, ...]], ...] | None = None,
) -> Case:
    """Give a case that explains one output neuron of each sample, under conditions if there are any."""
    x = np.asarray(x, dtype=np.float64)
    return Case(name, reason, tuple(layers), x, output=output, conditions=conditions, flags=flags)
