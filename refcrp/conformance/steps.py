"""Layers as steps of a network: how values go up through one, and how relevance comes down."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from refcrp.conformance import equations
from refcrp.conformance.arithmetic import Arithmetic, Number, total
from refcrp.conformance.cases import LayerSpec
from refcrp.conformance.equations import RULES, Reading, Vector
from refcrp.conformance.matrices import LINEAR, Matrix, as_matrix, centring, diagonal
from refcrp.conformance.moves import ACTIVATIONS, MOVES
from refcrp.conformance.windows import Shape, pool_windows
from refcrp.errors import ModelError, ParameterError, RuleCompatibilityError, ShapeError, SoftmaxError

__all__ = ["Step", "numbers_of", "step_of"]

CONVOLUTIONS = {"conv2d", "conv_transpose2d"}
WEIGHTED = {"dense", *CONVOLUTIONS, "scale", "batch_norm"}
MAX_POOLS = {"max_pool", "global_max_pool", "adaptive_max_pool"}
SAMPLE_NORMS = {"layer_norm", "group_norm", "instance_norm"}


@dataclass(frozen=True)
class Step:
    """A layer, for samples of one shape: how values go up, and how relevance comes down."""

    shape: Shape  # of the output
    forward: Callable[..., list[Number]]  # of one input or several
    relevance: Callable[[Any, Vector], list[Any]]  # (a, R of the output); merges: (all inputs, R), for each
    merges: bool = False
    sources: tuple[int, ...] = ()  # which values it reads

    def parts(self, inputs: Sequence[Vector], R: Vector) -> list[list[Number]]:
        """Give the relevance of each input."""
        return self.relevance(inputs, R) if self.merges else [self.relevance(inputs[0], R)]


def numbers_of(array: npt.NDArray[Any], arithmetic: Arithmetic) -> list[Number]:
    """Give an array as a flat list of numbers."""
    return [arithmetic.number(value) for value in array.ravel().tolist()]


def step_of(spec: LayerSpec, shapes: Sequence[Shape], reading: Reading) -> Step:
    """Make a layer a step for samples of one shape for each input."""
    check_rule(spec)
    if spec.kind in MERGES:
        return MERGES[spec.kind](spec, shapes, reading)
    if len(shapes) != 1:
        raise ModelError(f"layer {spec.name!r} reads {len(shapes)} inputs; {spec.kind} takes one")
    return single_step(spec, shapes[0], reading)


def single_step(spec: LayerSpec, shape: Shape, reading: Reading) -> Step:
    """Make a layer with one input a step."""
    if spec.kind in ACTIVATIONS:
        step = activation_step(spec, shape, reading)
    elif spec.kind in MOVES:
        step = move_step(spec, shape)
    elif spec.kind in MAX_POOLS:
        step = max_pool_step(spec, shape, reading)
    elif spec.kind in SAMPLE_NORMS:
        step = norm_step(spec, shape, reading)
    else:
        step = linear_step(spec, shape, reading)
    passes = spec.rule.name == "pass" or (
        spec.kind == "batch_norm"
        and reading.dialect.batch_norm == "pass"
        and spec.rule.name in {"zero", "epsilon"}
    )
    if not passes or reading.mistake == "gradient times input":
        return step
    if math.prod(step.shape) != math.prod(shape):
        raise RuleCompatibilityError(
            f"rule pass on {spec.kind} {spec.name!r}: input and output differ in size"
        )
    return step if spec.kind in MOVES else replace(step, relevance=lambda a, R: list(R))


def check_rule(spec: LayerSpec) -> None:
    """Raise unless the rule is defined on the layer."""
    plain = {"zero", "epsilon", "pass"}
    if spec.kind == "softmax":
        raise SoftmaxError(f"layer {spec.name!r}: relevance is defined on the scores before a softmax")
    if spec.kind in SAMPLE_NORMS:
        defined = {"layer_norm", "pass"}
    elif spec.kind in MERGES:
        defined = {"zero", "epsilon"}
    elif spec.kind in MAX_POOLS.union(ACTIVATIONS, MOVES, LINEAR):
        defined = plain | set(RULES) if spec.kind in WEIGHTED else plain
    else:
        raise ParameterError(f"layer {spec.name!r}: there is no layer {spec.kind!r}")
    if spec.rule.name not in defined:
        raise RuleCompatibilityError(f"rule {spec.rule.name!r} is not defined on {spec.kind} {spec.name!r}")


def activation_step(spec: LayerSpec, shape: Shape, reading: Reading) -> Step:
    """R_i = R_i; a gradient is multiplied by the slope."""
    functions = ACTIVATIONS[spec.kind](spec, shape, reading.arithmetic)

    def forward(a: Vector) -> list[Number]:
        return [f.value(a_i) for f, a_i in zip(functions, a, strict=True)]

    if reading.mistake != "gradient times input":
        return Step(shape, forward, lambda a, R: list(R))
    return Step(
        shape,
        forward,
        lambda a, G: [f.slope(a_i) * G_i for f, a_i, G_i in zip(functions, a, G, strict=True)],
    )


def move_step(spec: LayerSpec, shape: Shape) -> Step:
    """Give each value its relevance back; that of padding is dropped."""
    out, places = MOVES[spec.kind](spec, shape)

    def back(a: Vector, R: Vector) -> list[Number]:
        R_of = {i: R_j for i, R_j in zip(places, R, strict=True) if i is not None}
        return [R_of[i] for i in range(len(a))]

    return Step(out, lambda a: [0 if i is None else a[i] for i in places], back)


def linear_step(spec: LayerSpec, shape: Shape, reading: Reading) -> Step:
    """Divide relevance by the equation of the layer's rule."""
    if reading.mistake == "kernel flipped" and spec.kind in CONVOLUTIONS:
        flipped = spec.arrays["weight"][:, :, ::-1, ::-1]
        spec = replace(spec, arrays={**spec.arrays, "weight": flipped})
    M = as_matrix(spec, shape, reading.arithmetic)
    if reading.mistake == "gradient times input":
        return Step(M.shape, M, lambda a, G: M.transpose(G, len(a)))
    divided = replace(M, bias=[0] * len(M.bias)) if reading.mistake == "bias forgotten" else M
    rule = RULES.get(spec.rule.name, equations.zero)
    return Step(M.shape, M, lambda a, R: rule(divided, a, R, reading))


def max_pool_step(spec: LayerSpec, shape: Shape, reading: Reading) -> Step:
    """Give relevance to the winner, or what a dialect does."""
    windows, out = pool_windows(spec.kind, spec.settings, shape)
    stabilize = reading.stabilize_epsilon if spec.rule.name == "epsilon" else reading.stabilize
    if reading.mistake == "gradient times input":
        reading = replace(reading, dialect=replace(reading.dialect, max_pool="winner"))

    def forward(a: Vector) -> list[Number]:
        return [equations.largest([a[i] for i in window]) for window in windows]

    if reading.dialect.max_pool == "average":
        settings = {**spec.settings, "count_include_pad": True}
        mean = replace(spec, kind=spec.kind.replace("max", "avg"), settings=settings)
        return Step(out, forward, linear_step(mean, shape, reading).relevance)
    return Step(out, forward, lambda a, R: equations.max_pool(windows, a, R, reading, stabilize))


def norm_step(spec: LayerSpec, shape: Shape, reading: Reading) -> Step:
    """z = n w + b with n = (a - mean) / √(variance + ε), for each group of values normalised together.

    Relevance goes by the zero rule through the affine map at n, if there is one, then by the zero rule
    through the centring at a: the deviation is taken as a constant.
    """
    A, size = reading.arithmetic, group_size(spec, shape)
    w, b = (along_sample(spec, key, usual, shape, A) for key, usual in (("weight", 1), ("bias", 0)))
    epsilon, C = A.number(spec.settings.get("epsilon", 1e-5)), centring(size, A)
    starts = range(0, math.prod(shape), size)
    affine = [diagonal(w[k : k + size], b[k : k + size], (size,)) for k in starts]

    def normalized(a: Vector) -> tuple[list[Number], Number]:
        centred = C(a)
        deviation = A.sqrt(total(c * c for c in centred) / size + epsilon)
        return [c / deviation for c in centred], deviation

    def group_relevance(M: Matrix, a: Vector, R: Vector) -> list[Number]:
        n, deviation = normalized(a)
        if reading.mistake == "gradient times input":
            return C.transpose([G_i / deviation for G_i in M.transpose(R, size)], size)
        divided = replace(M, bias=[0] * size) if reading.mistake == "bias forgotten" else M
        R_n = equations.zero(divided, n, R, reading) if spec.arrays else R
        return equations.zero(C, a, R_n, reading)

    def forward(a: Vector) -> list[Number]:
        return [z for k, M in zip(starts, affine, strict=True) for z in M(normalized(a[k : k + size])[0])]

    def relevance(a: Vector, R: Vector) -> list[Number]:
        parts = zip(starts, affine, strict=True)
        return [r for k, M in parts for r in group_relevance(M, a[k : k + size], R[k : k + size])]

    return Step(shape, forward, relevance)


def group_size(spec: LayerSpec, shape: Shape) -> int:
    """Say how many values, next to each other, are normalised together."""
    if spec.kind == "layer_norm":
        axes = spec.arrays["weight"].shape
        if shape[len(shape) - len(axes) :] != axes:
            raise ShapeError(f"layer_norm: one sample has shape {shape}, expected it to end with {axes}")
        return math.prod(axes)
    groups = spec.settings["groups"] if spec.kind == "group_norm" else shape[0]
    if shape[0] % groups:
        raise ShapeError(f"{spec.kind}: one sample has shape {shape}, expected channels in {groups} groups")
    return math.prod(shape) // groups


def along_sample(spec: LayerSpec, key: str, usual: int, shape: Shape, A: Arithmetic) -> list[Number]:
    """Give a parameter for each value of a sample: those of layer_norm by place, others by channel."""
    size = math.prod(shape)
    if key not in spec.arrays:
        return [usual] * size
    values = numbers_of(spec.arrays[key], A)
    if spec.kind == "layer_norm":
        return values * (size // len(values))
    if len(values) != shape[0]:
        raise ShapeError(f"{spec.kind}: one sample has shape {shape}, {key} {len(values)} values")
    return [value for value in values for _ in range(size // shape[0])]


# Several inputs ---------------------------------------------------------------------------------------------


def add_step(spec: LayerSpec, shapes: Sequence[Shape], reading: Reading) -> Step:
    """Give each branch of a sum its part."""
    if any(shape != shapes[0] for shape in shapes):
        raise ShapeError(f"add {spec.name!r}: inputs of shapes {list(shapes)}, expected one shape")
    stabilize = reading.stabilize_epsilon if spec.rule.name == "epsilon" else reading.stabilize

    def divide(branches: Sequence[Vector], R: Vector) -> list[list[Number]]:
        if reading.mistake == "gradient times input":
            return [list(R) for _ in branches]
        return equations.add(branches, R, stabilize)

    def forward(*branches: Vector) -> list[Number]:
        return [total(values) for values in zip(*branches, strict=True)]

    return Step(shapes[0], forward, divide, merges=True)


def concat_step(spec: LayerSpec, shapes: Sequence[Shape], reading: Reading) -> Step:
    """Give each branch of a concatenation the relevance of its own values."""
    axis, sizes = spec.settings["axis"] - 1, [math.prod(shape) for shape in shapes]
    cuts = np.cumsum(sizes)[:-1]
    places = np.split(np.arange(sum(sizes)), cuts)  # of each input's values among those of all inputs
    try:
        merged = np.concatenate([k.reshape(s) for k, s in zip(places, shapes, strict=True)], axis)
    except ValueError as error:
        raise ShapeError(f"concat {spec.name!r}: inputs of shapes {list(shapes)}: {error}") from None
    order = merged.ravel().tolist()

    def forward(*branches: Vector) -> list[Number]:
        values = [value for branch in branches for value in branch]
        return [values[k] for k in order]

    def divide(branches: Sequence[Vector], R: Vector) -> list[list[Number]]:
        R_of = dict(zip(order, R, strict=True))
        return equations.concat(sizes, [R_of[k] for k in range(len(R))])

    return Step(merged.shape, forward, divide, merges=True)


MERGES: Mapping[str, Callable[[LayerSpec, Sequence[Shape], Reading], Step]] = {
    "add": add_step,
    "concat": concat_step,
}
