"""Which part of the image a neuron sees, from the geometry of the layers.

Rows and columns are followed apart: every layer that keeps the image an image reads a set of rows and a set
of columns, whatever the channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch

import numpy as np
import numpy.typing as npt

from refcrp import layers as L
from refcrp.checks import Shape, as_integer, show_shape
from refcrp.errors import FeatureError, ShapeError
from refcrp.kernels.window import Window
from refcrp.layers import Layer
from refcrp.layers.adaptive import bins
from refcrp.layers.pool import GlobalPool, WindowPool
from refcrp.layers.separable import SeparableLayer, in_type
from refcrp.model import INPUT, Model

__all__ = ["receptive_field"]

Seen = npt.NDArray[np.bool_]  # (length,): which rows, or which columns, are seen


def receptive_field(
    model: Model, layer: int | str, position: int, input_shape: Shape | None = None
) -> tuple[slice, slice]:
    """Give the part of the image that a neuron of `layer` is computed from.

    It is the smallest rectangle that holds all pixels with a path to the neuron, on any branch; padding does
    not count. Behind a layer that puts all positions together, it is the whole image.

    Parameters
    ----------
    model : Model
    layer : int or str
        Index or name.
    position : int
        Flat index of the neuron's position, row · width + column; 0 in a layer of vectors.
    input_shape : (channels, height, width), optional
        If the model does not say.

    Returns
    -------
    rows, columns : slice
        ``image[:, rows, columns]`` is what the neuron sees; empty if that is padding alone.

    Raises
    ------
    ShapeError
        If the model's input is not an image of known size.
    FeatureError
        If the layer has no such position.

    Examples
    --------
    >>> import refcrp as rc
    >>> receptive_field(rc.load_model("lenet5"), "conv2", position=9)  # row 1, column 1 of 8
    (slice(2, 16, None), slice(2, 16, None))
    """
    shape = model.input_shape if input_shape is None else tuple(input_shape)
    if shape is None or len(shape) != 3 or None in shape:
        raise ShapeError(
            f"receptive_field: expected an input (channels, height, width), got {show_shape(shape or ())}"
        )
    shapes = {INPUT: shape} | dict(enumerate(model.shapes_for(shape)))
    k = model.index(layer)
    sides = [seen_from(model, k, shapes, axis, position) for axis in (0, 1)]
    return extent(sides[0]), extent(sides[1])


def seen_from(model: Model, k: int, shapes: Mapping[int, Shape], axis: int, position: int) -> Seen:
    """Tell which rows (axis 0) or columns (axis 1) of the image a position of layer `k` sees."""
    seen = {k: place(shapes[k], axis, position, model.names[k])}
    for n in range(k, INPUT, -1):
        if n not in seen:
            continue
        node, of_node = model.nodes[n], seen.pop(n)
        for source in node.sources:
            step = Step(axis, length(shapes[source], axis), length(shapes[n], axis))
            is_image = len(shapes[source]) == len(shapes[n]) == 3
            through = back(node.layer, of_node, step) if is_image else everything(of_node, step)
            seen[source] = seen[source] | through if source in seen else through
    return seen[INPUT]


def place(shape: Shape, axis: int, position: int, name: str) -> Seen:
    """Tell where the neuron itself is."""
    size = (length(shape, 0), length(shape, 1))
    if not 0 <= as_integer(position, "position") < size[0] * size[1]:
        raise FeatureError(f"no position {position}: layer {name!r} has {size[0]} x {size[1]} of them")
    return np.asarray(np.arange(size[axis]) == divmod(position, size[1])[axis])


def length(shape: Shape, axis: int) -> int:
    """Count the rows or columns of an image; a vector has one of each."""
    n = shape[1 + axis] if len(shape) == 3 else 1
    assert n is not None
    return n


def extent(seen: Seen) -> slice:
    """Give the smallest slice that holds all that is seen."""
    places = np.flatnonzero(seen)
    return slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0)


# From a layer's output to its input -------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """An axis of a layer: how many rows, or columns, its input and its output have."""

    axis: int
    inputs: int
    outputs: int


@singledispatch
def back(layer: Layer, seen: Seen, step: Step) -> Seen:
    """Tell which rows or columns of a layer's input are seen by those of its output."""
    return everything(seen, step)


def everything(seen: Seen, step: Step) -> Seen:
    """See all of the input, if anything of the output is."""
    return np.full(step.inputs, seen.any())


def same(layer: Layer, seen: Seen, step: Step) -> Seen:
    """See of the input what is seen of the output."""
    return seen


POINTWISE: tuple[type[Layer], ...] = (
    *(L.Activation, L.PReLU, L.Scale, L.BatchNorm, L.Dropout, L.Identity),
    *(L.Add, L.Multiply),
)
for kind in POINTWISE:
    back.register(kind)(same)


@back.register
def _(layer: L.Concat, seen: Seen, step: Step) -> Seen:
    """Channels lie behind each other; what lies side by side sees all."""
    return seen if layer.axis == 1 else everything(seen, step)


@back.register
def _(layer: L.ZeroPad, seen: Seen, step: Step) -> Seen:
    before = layer.sides[2 * step.axis]
    return seen[before : before + step.inputs]


@back.register
def _(layer: L.Conv2d, seen: Seen, step: Step) -> Seen:
    before = layer.padding[0 if step.axis == 0 else len(layer.padding) // 2]  # type: ignore[index, arg-type]
    return through_window(layer.window, before, seen, step)


@back.register
def _(layer: WindowPool, seen: Seen, step: Step) -> Seen:
    return through_window(layer.geometry, layer.geometry.padding[step.axis], seen, step)


@back.register
def _(layer: GlobalPool, seen: Seen, step: Step) -> Seen:
    return everything(seen, step)


@back.register
def _(layer: L.ConvTranspose2d, seen: Seen, step: Step) -> Seen:
    window = layer.window
    return taps(window, window.padding[step.axis], step.axis, step.inputs, step.outputs) @ seen


@back.register
def _(layer: SeparableLayer, seen: Seen, step: Step) -> Seen:
    matrix = in_type(*layer.recipe(step.axis, step.inputs), np.dtype(np.float64))
    return np.asarray((matrix != 0).T @ seen)


@back.register
def _(layer: L.AdaptiveMaxPool, seen: Seen, step: Step) -> Seen:
    inside = np.zeros(step.inputs, dtype=bool)
    for (start, end), is_seen in zip(bins(layer.bins[step.axis], step.inputs), seen, strict=True):
        inside[start:end] |= is_seen
    return inside


def through_window(window: Window, before: int, seen: Seen, step: Step) -> Seen:
    """See what the window covers from the places that are seen."""
    return np.asarray(seen @ taps(window, before, step.axis, step.outputs, step.inputs))


def taps(window: Window, before: int, axis: int, places: int, length: int) -> Seen:
    """Tell which of `length` rows or columns each of a window's places covers: (places, length)."""
    covered = np.zeros((places, length), dtype=bool)
    for t in range(window.kernel[axis]):
        read = np.arange(places) * window.stride[axis] - before + window.dilation[axis] * t
        inside = (read >= 0) & (read < length)
        covered[inside, read[inside]] = True
    return covered
