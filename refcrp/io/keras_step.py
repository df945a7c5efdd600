"""One layer of a Keras file while it is read: its settings and arrays, checked, and what it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from refcrp import layers as L
from refcrp.arrays import Array
from refcrp.checks import Shape, show_shape
from refcrp.errors import ModelFormatError
from refcrp.io.keras_config import Call
from refcrp.io.keras_tensor import Layout, Tensor, size_of
from refcrp.layers import Layer

__all__ = ["ACTIVATIONS", "Converter", "Pair", "Step", "as_setting"]

MAX_FEATURES = 2**22  # of a layer whose parameters are not in the file but made here
CONVERTED = ("Conv1D", "Conv2D", "Convolution1D", "Convolution2D", "Conv1DTranspose", "Conv2DTranspose")

Pair = tuple[int, int]

# Activation functions by Keras's names.
ACTIVATIONS: Mapping[str, L.Activation | None] = {
    "linear": None,
    "relu": L.ReLU(),
    "relu6": L.ReLU6(),
    "leaky_relu": L.LeakyReLU(0.2),
    "elu": L.ELU(),
    "gelu": L.GELU(),
    "silu": L.SiLU(),
    "swish": L.SiLU(),
    "tanh": L.Tanh(),
    "sigmoid": L.Sigmoid(),
    "softmax": L.Softmax(),
}


@dataclass(frozen=True)
class Step:
    """One layer of the file while it is read.

    Parameters
    ----------
    call : Call
    inputs : tuple of Tensor
    take : callable
        Gives the layer's array by one of the names that it may have, or None.
    fail : callable
        Makes the error for this layer.
    layout : Layout
        Of the whole model.
    true_convolution : bool
        Whether kernels are those of a convolution proper, which turns them around, as Theano's are; others
        are of a cross-correlation. Keras converts them, where it does, in the same classes of layers.
    """

    call: Call
    inputs: tuple[Tensor, ...]
    take: Callable[..., Array | None]
    fail: Callable[[str], ModelFormatError]
    layout: Layout
    true_convolution: bool = False

    @property
    def x(self) -> Tensor:
        """The only input."""
        if len(self.inputs) != 1:
            raise self.fail(f"it reads {len(self.inputs)} outputs, expected one")
        return self.inputs[0]

    def image(self) -> Shape:
        """Give the shape of the input, which must be an image, or a sequence if the layer is for these."""
        expected = "a sequence" if "1D" in self.call.class_name else "an image"
        if not self.x.is_image or self.x.is_sequence != (expected == "a sequence"):
            raise self.fail(f"the input is {show_shape(self.x.shape)}, expected {expected}")
        self.choice("data_format", "channels_last" if self.x.channels_last else "channels_first")
        return self.x.shape

    def vector(self) -> int | None:
        """Give the length of the input, which must be a vector."""
        if len(self.x.shape) != 1:
            raise self.fail(f"the input is {show_shape(self.x.shape)}, expected a vector (Flatten before it)")
        return self.x.shape[0]

    # Settings --------------------------------------------------------------------------------------------

    def setting(self, key: str, default: Any = None) -> Any:
        """Give a setting; a missing one, or null, is the default."""
        value = self.call.config.get(key)
        return default if value is None else value

    def choice(self, key: str, *allowed: Any) -> Any:
        """Give a setting that must be one of a few values; the first is the default."""
        value = self.setting(key, allowed[0])
        if not any(type(value) is type(a) and value == a for a in allowed):
            raise self.fail(f"{key} is {value!r:.100}, expected {' or '.join(map(repr, allowed))}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Give a setting that is true or false."""
        return bool(self.choice(key, default, not default))

    def number(self, key: str, default: float) -> float:
        """Give a setting that is a number."""
        value = self.setting(key, default)
        if type(value) not in (int, float) or not abs(value) < 1e30:
            raise self.fail(f"{key} is {value!r:.100}, expected a number")
        return float(value)

    def integer(self, key: str, default: int) -> int:
        """Give a setting that is a positive integer."""
        value = self.setting(key, default)
        if type(value) is not int or not 1 <= value < 2**31:
            raise self.fail(f"{key} is {value!r:.100}, expected a positive integer")
        return value

    def pair(self, key: str, default: Any = (1, 1)) -> Pair:
        """Give a setting that is one positive integer, or two; for a sequence, one along it."""
        self.image()
        value = self.setting(key, default)
        pair = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
        if self.x.is_sequence and not isinstance(value, tuple):  # a tuple is a default
            pair = (1, *pair) if len(pair) == 1 else (1, value)
        if len(pair) != 2 or any(type(n) is not int or not 1 <= n < 2**31 for n in pair):
            raise self.fail(f"{key} is {value!r:.100}, expected one or two positive integers")
        return pair

    def check_channel_axis(self) -> None:
        """Check that ``axis`` names the channels of an image, or the features of a vector."""
        value, axes = self.setting("axis", -1), self.x.axes
        given = value[0] if isinstance(value, list) and len(value) == 1 else value
        is_axis = type(given) is int and given != 0 and -len(axes) <= given <= len(axes)
        if len(self.x.shape) == 2 or not is_axis or axes[given - (given > 0)] != 1:
            expected = axes.index(1) + 1
            raise self.fail(
                f"axis is {value!r:.100}, expected {expected}, the channels of an image or vector"
            )

    def activation(self) -> L.Activation | None:
        """Give the activation function."""
        name = self.setting("activation", "linear")
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise self.fail(f"activation {name!r:.100} is not supported; supported: {', '.join(ACTIVATIONS)}")
        if name == "softmax" and not all(x.channels_last for x in self.inputs):
            raise self.fail("softmax along the last axis, which is not that of channels, is not supported")
        return ACTIVATIONS[name]

    # Parameters ------------------------------------------------------------------------------------------

    def weight(self, *names: str, shape: Shape) -> Array:
        """Give an array that must be there, of a shape; None fits any length."""
        array = self.take(*names)
        if array is None:
            raise self.fail(f"array {names[0]!r} is missing")
        fits = len(array.shape) == len(shape) and all(
            e is None or n == e for n, e in zip(array.shape, shape, strict=True)
        )
        if not fits or 0 in array.shape:
            raise self.fail(f"array {names[0]!r} has shape {array.shape}, expected {show_shape(shape)}")
        return array

    def kernel(self, *names: str, shape: Shape) -> Array:
        """Give a kernel (kh, kw, ...) of a cross-correlation; that of a sequence is (k, ...) in Keras."""
        array = self.weight(*names, shape=shape[1:] if self.x.is_sequence else shape)
        array = array[None] if self.x.is_sequence else array
        turned = self.true_convolution and self.call.class_name in CONVERTED
        return np.ascontiguousarray(array[::-1, ::-1]) if turned else array

    def bias(self, size: int) -> Array | None:
        """Give the bias, if the layer has one."""
        return self.weight("bias", shape=(size,)) if self.flag("use_bias", True) else None

    def by_feature(self, array: Array) -> Array:
        """Put numbers, one along axis 0 for each feature of the input, into refcrp's order."""
        ordered = np.empty_like(array)
        ordered[self.x.order()] = array
        return ordered

    def channels(self) -> int:
        """Count the channels or features of the input, which must be known."""
        channels = self.x.shape[0]
        if channels is None or channels > MAX_FEATURES:
            raise self.fail(
                f"the input is {show_shape(self.x.shape)}; expected at most {MAX_FEATURES} channels"
            )
        return channels

    def per_channel(self, name: str) -> Array:
        """Give an array with one number for each channel or feature, in refcrp's order."""
        return self.by_feature(self.weight(name, shape=self.x.shape[:1]))

    # Geometry --------------------------------------------------------------------------------------------

    def same_padding(self, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> tuple[Pair, Pair]:
        """Give (before, after) for height and width; more goes to the bottom and right if it is uneven."""
        sides = []
        for length, k, s, d in zip(self.image()[1:], kernel, stride, dilation, strict=True):
            reach = (k - 1) * d + 1
            if length is None and s > 1:
                raise self.fail("padding 'same' with a stride needs an input of known height and width")
            # With stride 1 the padding is the same for every length.
            total = reach - 1 if length is None else max((-(-length // s) - 1) * s + reach - length, 0)
            sides.append((total // 2, total - total // 2))
        return sides[0], sides[1]

    def padding(self, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> tuple[Pair, Pair]:
        """Give (before, after) for height and width, as the setting says."""
        self.image()
        causal = ["causal"] if "Conv1D" in self.call.class_name else []
        match self.choice("padding", "valid", "same", *causal):
            case "valid":
                return (0, 0), (0, 0)
            case "causal":  # no output sees what comes after it
                return (0, 0), ((kernel[1] - 1) * dilation[1], 0)
        return self.same_padding(kernel, stride, dilation)

    # The output ------------------------------------------------------------------------------------------

    def result(self, shape: Shape) -> Tensor:
        """Say how the layer's output, of `shape`, lies in Keras."""
        if len(shape) == 1:
            return Tensor(shape, (1,), self.blocks(shape[0]))
        target = self.setting("target_shape") if self.call.class_name == "Reshape" else self.inputs[0].axes
        return Tensor(shape, self.layout.axes(len(target)))

    def blocks(self, features: int | None) -> tuple[Shape, ...]:
        """Say how the features of the layer's output, a vector, are ordered in Keras."""
        kind, x = self.call.class_name, self.inputs[0]
        if kind == "Dense":
            return ()
        if kind == "Concatenate":
            blocks = tuple(b for x in self.inputs for b in (x.blocks or (x.shape,)))
        elif x.is_image:
            # Flatten puts channels last first, when it is told that they are not.
            last = x.channels_last or (kind == "Flatten" and self.setting("data_format") == "channels_first")
            blocks = (x.shape,) if last and size_of(x.shape) == features else ()  # not of global pooling
        else:
            blocks = x.blocks
        mixes = any(len(b) == 3 and b[0] != 1 and b[1:] != (1, 1) for b in blocks)
        return blocks if mixes else ()


Converter = Callable[[Step], list[Layer]]


def as_setting(sides: tuple[Pair, Pair]) -> Pair | tuple[int, int, int, int]:
    """Give ((top, bottom), (left, right)) as layers take it: two numbers where both sides are the same."""
    (top, bottom), (left, right) = sides
    return (top, left) if top == bottom and left == right else (top, bottom, left, right)
