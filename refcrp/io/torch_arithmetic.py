"""What operators of PyTorch without parameters are in refcrp: reshaping, merging, arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from refcrp import layers as L
from refcrp.arrays import Array
from refcrp.checks import show_shape
from refcrp.io.assembly import Part, reshaped
from refcrp.io.torch_call import Call, Value, as_numpy

__all__ = [
    "PRODUCT",
    "add",
    "concatenate",
    "divide",
    "dropout",
    "multiply",
    "nothing",
    "permute",
    "reshape",
    "softmax",
    "subtract",
    "transpose",
    "zero_pad",
]

PRODUCT = "relevance of a product of branches is not defined here; one of its arguments must be constant"


def reshape(call: Call) -> Part:
    """Another shape, the same order."""
    return reshaped(call.inputs[0], call.output, f"operator {call.operator!r} at {call.where}")


def permute(call: Call) -> Part:
    """Axes in another order."""
    axes = call.get("dims")
    axes = axes[0] if isinstance(axes[0], Sequence) else axes
    return L.Permute(tuple(axis % len(axes) for axis in axes))


def transpose(call: Call) -> Part:
    """Two axes exchanged."""
    axes = list(range(len(call.output) + 1))
    first, second = call.get("dim0"), call.get("dim1")
    axes[first], axes[second] = axes[second], axes[first]
    return L.Permute(tuple(axes))


def zero_pad(call: Call) -> Part:
    """Zeros around images; PyTorch counts sides from the last axis on."""
    call.demand("mode", "constant")
    call.demand("value", 0)
    padding = call.get("padding", call.get("pad"))
    if len(padding) not in (2, 4):
        raise call.fail(f"padding {padding}, expected (left, right, top, bottom)")
    left, right, top, bottom = (*padding, 0, 0)[:4]
    return L.ZeroPad((top, bottom, left, right))


def nothing(call: Call) -> Part:
    """What changes no value."""
    return ()


def dropout(call: Call) -> Part:
    """Dropout, which does nothing at inference."""
    if call.get("training", default=True):
        raise call.fail("it drops values at inference, too; pass training=self.training")
    return L.Dropout(float(call.get("p", 0.5)))


# Merging, and arithmetic with constants ---------------------------------------------------------------------


def concatenate(call: Call) -> Part:
    """Side by side along an axis."""
    return L.Concat(call.get("dim", call.get("axis", 0)) % (len(call.output) + 1))


def add(call: Call) -> Part:
    """A sum of two inputs, or of one and a constant."""
    call.demand("alpha", 1)
    if len(call.inputs) == 2:
        return L.Add()
    return affine(call, 1.0, constant(call))


def subtract(call: Call) -> Part:
    """A constant taken from the input, or the input from a constant."""
    call.demand("alpha", 1)
    other = constant(call)
    if isinstance(call.get("input"), Value):
        return affine(call, 1.0, -other)
    return affine(call, -1.0, other)


def multiply(call: Call) -> Part:
    """The input times a constant."""
    if len(call.inputs) == 2:
        raise call.fail(PRODUCT)
    return affine(call, constant(call), 0.0)


def divide(call: Call) -> Part:
    """The input divided by a constant."""
    call.demand("rounding_mode", None)
    if isinstance(call.get("other"), Value):
        raise call.fail("something is divided by what depends on the input, expected a constant")
    return affine(call, 1 / constant(call), 0.0)


def constant(call: Call) -> Array:
    """Give the one argument of two that does not depend on the input."""
    if len(call.inputs) != 1:
        raise call.fail("one of its arguments must not depend on the input")
    is_first = isinstance(call.get("input"), Value)
    return as_numpy(call.get("other" if is_first else "input"), call.where)


def affine(call: Call, weight: Any, bias: Any) -> Part:
    """Give the layer for weight · x + bias, with numbers, or one for each channel."""
    shape, channels = call.inputs[0], call.inputs[0][0]
    if shape != call.output:
        raise call.fail(
            f"it broadcasts {show_shape(shape)} to {show_shape(call.output)}, which is not supported"
        )
    w, b = (along_channels(call, value, len(shape)) for value in (weight, bias))
    if not b.any() and w.size == 1:
        return () if w.item() == 1 else L.Multiply(w.item())
    assert channels is not None
    return L.Scale(*(np.broadcast_to(v, (channels,)).astype(call.dtype) for v in (w, b)))


def along_channels(call: Call, value: Any, rank: int) -> Array:
    """Give a constant as one value, or one for each channel."""
    array = np.asarray(value)
    aligned = array.reshape((1,) * (rank + 1 - array.ndim) + array.shape)
    if math.prod(aligned.shape) != aligned.shape[1]:
        raise call.fail(f"a constant of shape {array.shape}; expected a number, or one for each channel")
    return aligned.reshape(-1)


def softmax(call: Call) -> Part:
    """Softmax over the channels."""
    rank = len(call.output) + 1
    if call.get("dim", 1) % rank != 1:
        raise call.fail(f"dim={call.get('dim')}, expected the channels, 1")
    return L.Softmax()
