"""Keras layers without weights, or with no more than slopes: they choose, move, or merge values."""

from __future__ import annotations

import math
from collections.abc import Callable

from refcrp import layers as L
from refcrp.checks import show_shape
from refcrp.io.keras_step import Converter, Step, as_setting, size_of
from refcrp.layers import Layer

# Pooling ----------------------------------------------------------------------------------------------------


def max_pool(step: Step) -> list[Layer]:
    """Max pooling; padding never wins."""
    kernel = step.pair("pool_size", (2, 2))
    stride = step.pair("strides", kernel)
    padding = as_setting(step.padding(kernel, stride))
    return [L.MaxPool(kernel, stride, padding)]


def average_pool(step: Step) -> list[Layer]:
    """Average pooling; padding does not count."""
    kernel = step.pair("pool_size", (2, 2))
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
    if shared != [1, 2]:
        raise step.fail(f"shared_axes is {shared!r:.50}, expected [1, 2] on an image")
    return [L.PReLU(step.weight("alpha", shape=(1, 1, step.x.shape[0])).reshape(-1))]


def softmax(step: Step) -> list[Layer]:
    """Softmax along channels or features."""
    step.check_last_axis()
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
    step.choice("data_format", "channels_last", "channels_last")
    if size_of(step.x.shape) is None:
        raise step.fail(f"the input is {show_shape(step.x.shape)}; its size must be known")
    return [L.Flatten()]


def reshape(step: Step) -> list[Layer]:
    """To a vector, or to an image where the order of values stays the same."""
    target, size = step.setting("target_shape"), size_of(step.x.shape)
    good = isinstance(target, list) and 1 <= len(target) <= 3
    if not good or size is None or any(type(n) is not int or not -1 <= n < 2**31 or n == 0 for n in target):
        raise step.fail(f"target_shape {target!r:.100} of {show_shape(step.x.shape)} is not supported")
    known = math.prod(n for n in target if n != -1)
    after = tuple(size // known if n == -1 else n for n in target)
    if math.prod(after) != size or target.count(-1) > 1:
        raise step.fail(f"{show_shape(step.x.shape)} does not reshape to {target!r:.100}")
    if len(after) == 1:
        return [L.Flatten()]
    ours = (after[-1], *after[:-1]) if len(after) == 3 else after
    if step.x.shape == ours or step.x.blocks == (ours,):
        return [L.Reshape(ours)]
    keeps_order = not step.x.blocks and (
        not step.x.is_image or 1 in (step.x.shape[0], size_of(step.x.shape[1:]))
    )
    if not keeps_order:
        raise step.fail(
            f"{show_shape(step.x.shape)} to {target!r:.100} mixes channels and pixels; not supported"
        )
    if len(after) < 3 or after[-1] == 1 or after[:-1] == (1, 1):
        return [L.Reshape(ours)]
    return [L.Reshape(after), L.Permute((0, 3, 1, 2))]


def zero_padding(step: Step) -> list[Layer]:
    """One integer, two, or two pairs."""
    step.image()
    value = step.setting("padding", [1, 1])
    rows = value if isinstance(value, list) and len(value) == 2 else [value, value]
    sides = [n for row in rows for n in (row if isinstance(row, list) and len(row) == 2 else [row, row])]
    if any(type(n) is not int or not 0 <= n < 2**20 for n in sides):
        raise step.fail(f"padding is {value!r:.100}, expected [[top, bottom], [left, right]]")
    return [L.ZeroPad((sides[0], sides[1], sides[2], sides[3]))]


def upsampling(step: Step) -> list[Layer]:
    """Nearest or bilinear."""
    step.image()
    size = step.pair("size", (2, 2))
    kind = step.choice("interpolation", "nearest", "bilinear")
    return [L.UpsampleNearest(size) if kind == "nearest" else L.UpsampleBilinear(size)]


# Merging ----------------------------------------------------------------------------------------------------


def add(step: Step) -> list[Layer]:
    """The sum of inputs of one shape."""
    if len({(x.shape, x.blocks) for x in step.inputs}) > 1:
        shapes = ", ".join(show_shape(x.shape) for x in step.inputs)
        raise step.fail(f"the inputs {shapes} differ in shape or order; expected the same")
    return [L.Add()]


def concatenate(step: Step) -> list[Layer]:
    """Side by side along an axis."""
    rank = len(step.inputs[0].shape)
    axis = step.setting("axis", -1)
    if type(axis) is not int or not (axis == -1 or 1 <= axis <= rank):
        raise step.fail(f"axis is {axis!r:.50}, expected -1 or 1 to {rank}")
    axis = rank if axis == -1 else axis
    ours = (1 if axis == 3 else axis + 1) if rank == 3 else axis
    return [L.Concat(ours)]
