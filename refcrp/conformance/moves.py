"""Layers that divide no relevance: those that move values, and functions of each value alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from refcrp.conformance.arithmetic import Arithmetic, Number, positive
from refcrp.conformance.cases import LayerSpec
from refcrp.conformance.windows import Shape, as_sides
from refcrp.errors import ShapeError

__all__ = ["ACTIVATIONS", "MOVES", "Function", "Places"]

# The output's shape, and for each output the input that it is; None where it is padding.
Places = tuple[Shape, list[int | None]]


# Values that move -------------------------------------------------------------------------------------------


def flatten(spec: LayerSpec, shape: Shape) -> Places:
    """Give all values in one row."""
    return (math.prod(shape),), list(range(math.prod(shape)))


def unmoved(spec: LayerSpec, shape: Shape) -> Places:
    """Leave all values where they are."""
    return shape, list(range(math.prod(shape)))


def reshape(spec: LayerSpec, shape: Shape) -> Places:
    """Give the same values another shape."""
    out = tuple(int(n) for n in spec.settings["shape"])
    if math.prod(out) != math.prod(shape):
        raise ShapeError(f"reshape {spec.name!r}: one sample has shape {shape}, which cannot become {out}")
    return out, list(range(math.prod(shape)))


def permute(spec: LayerSpec, shape: Shape) -> Places:
    """Output axis k is input axis axes[k], the batch counted as axis 0."""
    axes = [int(axis) - 1 for axis in spec.settings["axes"][1:]]
    if sorted(axes) != list(range(len(shape))):
        raise ShapeError(f"permute {spec.name!r}: one sample has shape {shape}, axes {spec.settings['axes']}")
    out = tuple(shape[axis] for axis in axes)
    places: list[int | None] = []
    for index in itertools.product(*map(range, out)):
        source = [0] * len(shape)
        for axis, position in zip(axes, index, strict=True):
            source[axis] = position
        places.append(flat_index(source, shape))
    return out, places


def zero_pad(spec: LayerSpec, shape: Shape) -> Places:
    """Put zeros around an image."""
    if len(shape) != 3:
        raise ShapeError(f"zero_pad {spec.name!r}: one sample has shape {shape}, expected an image")
    channels, height, width = shape
    top, bottom, left, right = as_sides(spec.settings["padding"])
    out = (channels, top + height + bottom, left + width + right)
    return out, [
        flat_index((c, y - top, x - left), shape) if 0 <= y - top < height and 0 <= x - left < width else None
        for c, y, x in itertools.product(*map(range, out))
    ]


def flat_index(index: Sequence[int], shape: Shape) -> int:
    """Give the place of a value among all, in C order."""
    place = 0
    for position, length in zip(index, shape, strict=True):
        place = place * length + position
    return place


MOVES: Mapping[str, Callable[[LayerSpec, Shape], Places]] = {
    "flatten": flatten,
    "identity": unmoved,
    "dropout": unmoved,
    "reshape": reshape,
    "permute": permute,
    "zero_pad": zero_pad,
}


# Functions of each value alone ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Function:
    """A function, and its slope."""

    value: Callable[[Number], Number]
    slope: Callable[[Number], Number]


def clamp(low: Number, high: Number) -> Function:
    """min(max(low, v), high)."""
    return Function(
        lambda v: low if v < low else high if v > high else v, lambda v: 1 if low < v < high else 0
    )


def leaky(slope: Number) -> Function:
    """Give v where v >= 0, slope · v elsewhere."""
    return Function(lambda v: v if v >= 0 else slope * v, lambda v: 1 if v > 0 else slope)


def relu(spec: LayerSpec, shape: Shape, A: Arithmetic) -> list[Function]:
    """max(0, v)."""
    return [Function(positive, lambda v: 1 if v > 0 else 0)] * math.prod(shape)


def relu6(spec: LayerSpec, shape: Shape, A: Arithmetic) -> list[Function]:
    """min(max(0, v), 6)."""
    return [clamp(0, 6)] * math.prod(shape)


def hard_tanh(spec: LayerSpec, shape: Shape, A: Arithmetic) -> list[Function]:
    """min(max(low, v), high)."""
    return [clamp(A.number(spec.settings["low"]), A.number(spec.settings["high"]))] * math.prod(shape)


def leaky_relu(spec: LayerSpec, shape: Shape, A: Arithmetic) -> list[Function]:
    """Give the same slope to all values below zero."""
    return [leaky(A.number(spec.settings["negative_slope"]))] * math.prod(shape)


def prelu(spec: LayerSpec, shape: Shape, A: Arithmetic) -> list[Function]:
    """Give a slope to each channel, or one to all."""
    slopes = [A.number(slope) for slope in spec.arrays["weight"].tolist()]
    if len(slopes) == 1:
        slopes *= shape[0]
    if len(slopes) != shape[0]:
        raise ShapeError(f"prelu {spec.name!r}: one sample has shape {shape}, the layer {len(slopes)} slopes")
    return [leaky(slope) for slope in slopes for _ in range(math.prod(shape[1:]))]


ACTIVATIONS: Mapping[str, Callable[[LayerSpec, Shape, Arithmetic], list[Function]]] = {
    "relu": relu,
    "relu6": relu6,
    "hard_tanh": hard_tanh,
    "leaky_relu": leaky_relu,
    "prelu": prelu,
}
