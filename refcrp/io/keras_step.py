"""One layer of a Keras file while it is read: its settings and arrays, checked, and what it reads.

Keras computes on (height, width, channels), refcrp on (channels, height, width). Where an image has been
flattened, the features are in another order: `Tensor.blocks` says which come from which image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from refcrp import layers as L
from refcrp.arrays import Array
from refcrp.checks import Shape, show_shape
from refcrp.errors import ModelFormatError
from refcrp.io.keras_config import Call
from refcrp.layers import Layer

__all__ = ["ACTIVATIONS", "Converter", "Pair", "Step", "Tensor", "as_setting", "blocks_of", "size_of"]

MAX_FEATURES = 2**22  # of a layer whose parameters are not in the file but made here

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
class Tensor:
    """What a layer reads: its shape in refcrp's order, and how the features of a vector are ordered in Keras.

    Parameters
    ----------
    shape : tuple of int or None
        (channels, height, width), (features,) or, without channels, (rows, columns).
    blocks : tuple of shapes
        Of a vector: the shapes of what was flattened into it, one after the other. Empty where both agree.
    """

    shape: Shape
    blocks: tuple[Shape, ...] = ()

    @property
    def is_image(self) -> bool:
        """Whether there are channels, height and width."""
        return len(self.shape) == 3

    def order(self) -> Array | slice:
        """Give the place in refcrp's vector of each feature of Keras's."""
        if not self.blocks:
            return slice(None)
        places, start = [], 0
        for block in self.blocks:
            size = size_of(block)
            assert size is not None
            place = np.arange(start, start + size).reshape([n for n in block if n is not None])
            places.append((np.moveaxis(place, 0, -1) if len(block) == 3 else place).ravel())
            start += size
        return np.concatenate(places)


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
    """

    call: Call
    inputs: tuple[Tensor, ...]
    take: Callable[..., Array | None]
    fail: Callable[[str], ModelFormatError]

    @property
    def x(self) -> Tensor:
        """The only input."""
        if len(self.inputs) != 1:
            raise self.fail(f"it reads {len(self.inputs)} outputs, expected one")
        return self.inputs[0]

    def image(self) -> Shape:
        """Give the shape of the input, which must be an image in Keras's usual order."""
        self.choice("data_format", "channels_last", "channels_last")
        if not self.x.is_image:
            raise self.fail(f"the input is {show_shape(self.x.shape)}, expected an image")
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
        """Give a setting that is one positive integer, or two."""
        value = self.setting(key, default)
        pair = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
        if len(pair) != 2 or any(type(n) is not int or not 1 <= n < 2**31 for n in pair):
            raise self.fail(f"{key} is {value!r:.100}, expected one or two positive integers")
        return pair

    def check_last_axis(self, key: str = "axis") -> None:
        """Check that a setting names the last axis: the channels of an image, the features of a vector."""
        value = self.setting(key, -1)
        axes = value if isinstance(value, list) else [value]
        if len(axes) != 1 or axes[0] not in (-1, len(self.x.shape)) or len(self.x.shape) == 2:
            raise self.fail(
                f"{key} is {value!r:.100}, expected the last, {len(self.x.shape)}, of an image or vector"
            )

    def activation(self) -> L.Activation | None:
        """Give the activation function."""
        name = self.setting("activation", "linear")
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise self.fail(f"activation {name!r:.100} is not supported; supported: {', '.join(ACTIVATIONS)}")
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
        if self.choice("padding", "valid", "same") == "valid":
            self.image()
            return (0, 0), (0, 0)
        return self.same_padding(kernel, stride, dilation)


Converter = Callable[[Step], list[Layer]]


def as_setting(sides: tuple[Pair, Pair]) -> Pair | tuple[int, int, int, int]:
    """Give ((top, bottom), (left, right)) as layers take it: two numbers where both sides are the same."""
    (top, bottom), (left, right) = sides
    return (top, left) if top == bottom and left == right else (top, bottom, left, right)


def size_of(shape: Shape) -> int | None:
    """Count the values in a shape."""
    return None if None in shape else math.prod(n for n in shape if n is not None)


def blocks_of(step: Step, shape: Shape) -> tuple[Shape, ...]:
    """Say how the features of a layer's output, of `shape`, are ordered in Keras."""
    kind = step.call.class_name
    if len(shape) != 1 or kind == "Dense" or not step.inputs:
        return ()
    if kind == "Concatenate":
        blocks = tuple(b for x in step.inputs for b in (x.blocks or (x.shape,)))
    elif len(step.inputs) > 1:
        (blocks,) = {x.blocks for x in step.inputs}
    elif step.x.is_image:
        blocks = (step.x.shape,) if size_of(step.x.shape) == shape[0] else ()  # not of global pooling
    else:
        blocks = step.x.blocks
    mixes = any(len(b) == 3 and b[0] != 1 and b[1:] != (1, 1) for b in blocks)
    return blocks if mixes else ()
