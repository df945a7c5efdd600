"""Keras layers without weights, or with no more than slopes: they choose, move, or merge values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from refcrp import layers as L
from refcrp.checks import Shape, show_shape
from refcrp.io.keras_step import Converter, Step, as_setting
from refcrp.io.keras_tensor import Tensor, size_of
from refcrp.layers import Layer

# Pooling ----------------------------------------------------------------------------------------------------


def max_pool(step: Step) -> list[Layer]:
    """Max pooling; padding never wins."""
    kernel = step.pair("pool_size", 2)
    stride = step.pair("strides", kernel)
    padding = as_setting(step.padding(kernel, stride))
    return [L.MaxPool(kernel, stride, padding)]


def average_pool(step: Step) -> list[Layer]:
    """Average pooling; padding does not count."""
    kernel = step.pair("pool_size", 2)
    stride = step.pair("strides", kernel)
    padding = as_setting(step.padding(kernel, stride))
    return [L.AvgPool(kernel, stride, padding, count_include_pad=False)]


def global_pool(layer: Callable[[], Layer]) -> Converter:
    """Global pooling, to a vector unless the axes are kept."""

    def convert(step: Step) -> list[Layer]:
        step.image()
        return [layer()] if step.flag("keepdims", False) else [layer(), L.Flatten()]

    return convert


# Activation functions ---------------------------------------------------------------------------------------


def activation(step: Step) -> list[Layer]:
    """A named function."""
    return [step.activation() or L.Identity()]


def relu(step: Step) -> list[Layer]:
    """ReLU, ReLU6 and LeakyReLU."""
    slope, threshold = step.number("negative_slope", 0), step.number("threshold", 0)
    highest = step.setting("max_value")
    if threshold or highest not in (None, 6) or (highest and slope):
        raise step.fail(f"ReLU with threshold={threshold}, max_value={highest!r:.50}, negative_slope={slope}")
    return [L.ReLU6() if highest else L.LeakyReLU(slope) if slope else L.ReLU()]


def leaky_relu(step: Step) -> list[Layer]:
    """The slope is called alpha in Keras 2."""
    return [L.LeakyReLU(step.number("negative_slope", step.number("alpha", 0.3)))]


def prelu(step: Step) -> list[Layer]:
    """One slope for each channel or feature."""
    shared = step.setting("shared_axes", [])
    if len(step.x.shape) == 1:
        return [L.PReLU(step.per_channel("alpha"))]
    others = [k for k, axis in enumerate(step.x.axes, 1) if axis != 1]
    if not step.x.is_image or shared != others:
        raise step.fail(f"shared_axes is {shared!r:.50}, expected {others} on {show_shape(step.x.shape)}")
    shape = tuple(step.x.shape[0] if axis == 1 else 1 for axis in step.x.axes)
    return [L.PReLU(step.weight("alpha", shape=shape).reshape(-1))]


def softmax(step: Step) -> list[Layer]:
    """Softmax along channels or features."""
    step.check_channel_axis()
    return [L.Softmax()]


# Moving values ----------------------------------------------------------------------------------------------


def nothing(step: Step) -> list[Layer]:
    """What does nothing at inference."""
    assert step.x
    return [L.Identity()]


def dropout(step: Step) -> list[Layer]:
    """Dropout, of any kind."""
    rate = step.number("rate", 0.5)
    assert step.x
    return [L.Dropout(rate)]


def flatten(step: Step) -> list[Layer]:
    """An image, or rows and columns, to a vector."""
    order = step.choice("data_format", "channels_last", "channels_first")
    if order == "channels_first" and step.x.is_image and step.x.channels_last:
        raise step.fail("data_format is 'channels_first', but the input is an image with channels last")
    if size_of(step.x.shape) is None:
        raise step.fail(f"the input is {show_shape(step.x.shape)}; its size must be known")
    return [L.Flatten()]


def reshape(step: Step) -> list[Layer]:
    """To another shape, the values in the order of Keras."""
    target, size = step.setting("target_shape"), size_of(step.x.shape)
    good = isinstance(target, list) and 1 <= len(target) <= 3
    if not good or size is None or any(type(n) is not int or not -1 <= n < 2**31 or n == 0 for n in target):
        raise step.fail(f"target_shape {target!r:.100} of {show_shape(step.x.shape)} is not supported")
    known = math.prod(n for n in target if n != -1)
    lengths = tuple(size // known if n == -1 else n for n in target)
    if math.prod(lengths) != size or target.count(-1) > 1:
        raise step.fail(f"{show_shape(step.x.shape)} does not reshape to {target!r:.100}")
    if len(lengths) == 1:
        return [L.Flatten()]
    after = step.layout.tensor(lengths)
    if step.x.shape == after.shape or step.x.blocks == (after.shape,):
        return [L.Reshape(size_known(after.shape))]
    if step.x.blocks:
        raise step.fail(f"reshaping flattened images to {target!r:.100} is not supported")
    layers: list[Layer] = []
    if mixes(step.x):
        layers.append(L.Permute((0, 2, 3, 1)))
    if not mixes(after):
        return [*layers, L.Reshape(size_known(after.shape))]
    channels, height, width = size_known(after.shape)
    return [*layers, L.Reshape((height, width, channels)), L.Permute((0, 3, 1, 2))]


def mixes(x: Tensor) -> bool:
    """Tell whether values of an image are in another order in Keras."""
    return x.is_image and x.channels_last and x.shape[0] != 1 and x.shape[1:] != (1, 1)


def size_known(shape: Shape) -> tuple[int, ...]:
    """Give a shape whose lengths are all known."""
    return tuple(n for n in shape if n is not None)


def permute(step: Step) -> list[Layer]:
    """The axes in another order; Keras counts them from 1."""
    dims, axes = step.setting("dims"), step.x.axes
    if not isinstance(dims, list) or sorted(map(repr, dims)) != [str(k + 1) for k in range(len(axes))]:
        raise step.fail(f"dims is {dims!r:.100}, expected 1 to {len(axes)} in some order")
    if len(step.x.shape) == 1:
        return [L.Identity()]
    order = list(range(len(step.x.shape) + 1))
    for axis, source in zip(axes, dims, strict=True):
        order[axis] = axes[source - 1]
    return [L.Permute(tuple(order))]


def zero_padding(step: Step) -> list[Layer]:
    """One integer, two, or two pairs; for a sequence one or two."""
    step.image()
    value = step.setting("padding", 1)
    if step.x.is_sequence:
        rows: list[Any] = [0, value]
    else:
        rows = value if isinstance(value, list) and len(value) == 2 else [value, value]
    sides = [n for row in rows for n in (row if isinstance(row, list) and len(row) == 2 else [row, row])]
    if any(type(n) is not int or not 0 <= n < 2**20 for n in sides):
        raise step.fail(
            f"padding is {value!r:.100}, expected [[top, bottom], [left, right]] or [left, right]"
        )
    return [L.ZeroPad((sides[0], sides[1], sides[2], sides[3]))]


def upsampling(step: Step) -> list[Layer]:
    """Nearest or bilinear."""
    step.image()
    size = step.pair("size", 2)
    kind = step.choice("interpolation", "nearest", "bilinear")
    return [L.UpsampleNearest(size) if kind == "nearest" else L.UpsampleBilinear(size)]


# Merging ----------------------------------------------------------------------------------------------------


def add(step: Step) -> list[Layer]:
    """The sum of inputs of one shape."""
    check_equal(step)
    return [L.Add()]


def subtract(step: Step) -> list[Layer]:
    """The sum of the first input and the second, which is made negative before it comes here."""
    check_equal(step)
    if len(step.inputs) != 2:
        raise step.fail(f"it reads {len(step.inputs)} outputs, expected two")
    return [L.Add()]


def average(step: Step) -> list[Layer]:
    """The sum of inputs of one shape, divided by their number."""
    check_equal(step)
    return [L.Add(), L.Multiply(1 / len(step.inputs))]


def check_equal(step: Step) -> None:
    """Raise unless the inputs are equal in shape, and in the order of their values."""
    if len(set(step.inputs)) > 1:
        shapes = ", ".join(show_shape(x.shape) for x in step.inputs)
        raise step.fail(f"the inputs {shapes} differ in shape or order; expected the same")


def concatenate(step: Step) -> list[Layer]:
    """Side by side along an axis."""
    axes, axis = step.inputs[0].axes, step.setting("axis", -1)
    if type(axis) is not int or not (axis == -1 or 1 <= axis <= len(axes)):
        raise step.fail(f"axis is {axis!r:.50}, expected -1 or 1 to {len(axes)}")
    if any(x.axes != axes for x in step.inputs):
        shapes = ", ".join(show_shape(x.shape) for x in step.inputs)
        raise step.fail(f"the inputs {shapes} differ in rank; expected the same")
    return [L.Concat(axes[axis - (axis > 0)])]
