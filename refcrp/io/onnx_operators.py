"""The table: what each operator of ONNX is in refcrp."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from refcrp import layers as L
from refcrp.arrays import Array
from refcrp.checks import show_shape
from refcrp.io.assembly import Part, reshaped
from refcrp.io.onnx_operator import Operator
from refcrp.io.onnx_resize import resize
from refcrp.io.onnx_weights import (
    batch_norm,
    conv,
    conv_transpose,
    gemm,
    global_pool,
    group_norm,
    instance_norm,
    layer_norm,
    matmul,
    pool,
    reduce,
)
from refcrp.io.torch_arithmetic import PRODUCT, affine
from refcrp.io.torch_call import Call

__all__ = ["CONSTANTS", "OPERATORS"]

BATCH = 0  # the length of the batch axis in computed shapes; in Reshape, 0 leaves a length as it is
MAX_CHANNELS = 10**7
MAX_LENGTHS = 1000  # of constants that are computed from others: they are shapes


# Merging, and arithmetic with constants ---------------------------------------------------------------------


def add(op: Operator) -> Part:
    """A sum of inputs, or the bias of the dense layer before."""
    if len(op.sources) == len(op.inputs):
        return L.Add() if len(op.inputs) > 1 else ()
    if len(op.inputs) != 2:
        raise op.fail("a sum of several inputs must not hold constants")
    number = 1 if isinstance(op.inputs[0], str) else 0
    place, layer, reads = op.source_layer(op.sources[0])
    bias = op.needed(number)
    fits = op.alone[1 - number] and bias.ndim > 0 and bias.size == bias.shape[-1] == op.shape[0]
    if fits and isinstance(layer, L.Dense) and layer.bias is None:
        with_bias = replace(layer, bias=bias.reshape(-1))
        op.assembly.nodes[place] = (op.sources[0], with_bias, reads)
        return ()
    return with_constant(op, 1.0, bias)


def subtract(op: Operator) -> Part:
    """A constant taken from the input, or the input from a constant."""
    first = isinstance(op.inputs[0], str)
    return with_constant(op, 1.0, -op.needed(1)) if first else with_constant(op, -1.0, op.needed(0))


def multiply(op: Operator) -> Part:
    """The input times a constant; or times its sigmoid, which is SiLU."""
    if len(op.sources) == 2:
        for one, other in (op.sources, op.sources[::-1]):
            _, layer, reads = op.source_layer(one)
            if isinstance(layer, L.Sigmoid) and reads == (other,):
                op.read_instead.append(other)
                return L.SiLU()
        raise op.fail(PRODUCT)
    return with_constant(op, op.needed(1 if isinstance(op.inputs[0], str) else 0), 0.0)


def divide(op: Operator) -> Part:
    """The input divided by a constant."""
    if isinstance(op.inputs[1], str):
        raise op.fail("something is divided by what depends on the model's input, expected a constant")
    return with_constant(op, 1 / op.needed(1), 0.0)


def with_constant(op: Operator, weight: Any, bias: Any) -> Part:
    """Give the layer for weight · x + bias, with numbers, or one for each channel."""
    if op.shape[0] > MAX_CHANNELS:
        raise op.fail(f"{op.shape[0]} channels are more than any network has")
    after = np.broadcast_shapes((1, *op.shape), np.shape(weight), np.shape(bias))[1:]
    dtype = next((v.dtype for v in (weight, bias) if isinstance(v, np.ndarray)), np.dtype(np.float32))
    return affine(Call(op.kind, op.where, None, (op.shape,), after, dtype), weight, bias)


def concatenate(op: Operator) -> Part:
    """Side by side along an axis."""
    if len(op.sources) != len(op.inputs):
        raise op.fail("an input does not depend on the model's input")
    return L.Concat(op.get("axis", 1) % (len(op.shape) + 1))


# Shape and order --------------------------------------------------------------------------------------------


def flatten(op: Operator) -> Part:
    """All of a sample in one row."""
    if op.get("axis", 1) % (len(op.shape) + 1) != 1:
        raise op.fail(f"axis={op.get('axis')}, expected 1")
    return L.Flatten()


def reshape(op: Operator) -> Part:
    """Another shape, the same order; the batch stays."""
    op.demand("allowzero", 0)
    first, *rest = op.needed(1).reshape(-1).tolist()
    if rest.count(-1) > 1 or any(n < -1 for n in rest):
        raise op.fail(f"shape {[first, *rest]} has more than one open length")
    before = [*op.shape, *[0] * len(rest)]
    rest = [before[k] if n == 0 else n for k, n in enumerate(rest)]
    size, known = math.prod(op.shape), math.prod(n for n in rest if n != -1)
    is_batch = first in (BATCH, op.batch) or (first == -1 and known == size)
    if not rest or not is_batch or known == 0 or size % known:
        raise op.fail(f"shape {[first, *rest]} does not keep the batch and the {size} values of a sample")
    return reshaped(op.shape, tuple(size // known if n == -1 else n for n in rest), op.where)


def squeeze(op: Operator) -> Part:
    """Axes of length 1 taken out, or put in."""
    axes = op.numbers("axes", 1)
    rank = len(op.shape) + 1
    if op.kind == "Squeeze":
        out = {int(a) % rank for a in axes} if axes else {k for k in range(1, rank) if op.shape[k - 1] == 1}
        if 0 in out or any(op.shape[k - 1] != 1 for k in out):
            raise op.fail(f"axes={axes} of {show_shape(op.shape)} are not all of length 1")
        return reshaped(op.shape, tuple(n for k, n in enumerate(op.shape, 1) if k not in out), op.where)
    rank += len(axes or ())
    new = {int(a) % rank for a in axes or ()}
    if 0 in new or rank > 9:
        raise op.fail(f"axes={axes}, expected axes behind the batch")
    old = iter(op.shape)
    return reshaped(op.shape, tuple(1 if k in new else next(old) for k in range(1, rank)), op.where)


def transpose(op: Operator) -> Part:
    """Axes in another order."""
    return L.Permute(tuple(op.get("perm", range(len(op.shape), -1, -1))))


def pad(op: Operator) -> Part:
    """Zeros around images."""
    op.demand("mode", "constant")
    value, pads = op.numbers("value", 2), op.numbers("pads", 1)
    if op.constant(3) is not None or (value and value[0]):
        raise op.fail("expected zeros, on all axes")
    if not pads or len(pads) != 8 or any(pads[k] for k in (0, 1, 4, 5)):
        raise op.fail(f"pads={pads}, expected those of height and width only")
    return L.ZeroPad((pads[2], pads[6], pads[3], pads[7])) if any(pads) else ()


def nothing(op: Operator) -> Part:
    """What changes no value."""
    return ()


# Activation functions ---------------------------------------------------------------------------------------


def clip(op: Operator) -> Part:
    """Values cut off below and above."""
    (low,), (high,) = (
        op.numbers(n, k) or [default] for n, k, default in (("min", 1, -math.inf), ("max", 2, math.inf))
    )
    if low == 0 and high in (6, math.inf):
        return L.ReLU6() if high == 6 else L.ReLU()
    return L.HardTanh(low, high)


def softmax(op: Operator) -> Part:
    """Softmax over the channels."""
    rank = len(op.shape) + 1
    if op.get("axis", -1 if op.opset >= 13 else 1) % rank != 1 or (op.opset < 13 and rank != 2):
        raise op.fail(f"axis={op.get('axis')} of {rank} axes, expected the channels, 1")
    return L.Softmax()


def prelu(op: Operator) -> Part:
    """A learned slope for each channel, or one for all."""
    slope = op.needed(1)
    if slope.size != 1 and slope.shape != (op.shape[0], *[1] * (len(op.shape) - 1)):
        raise op.fail(f"a slope of shape {slope.shape}; expected one for each channel, or one for all")
    return L.PReLU(slope.reshape(-1))


OPERATORS: Mapping[str, Callable[[Operator], Part]] = {
    "Add": add,
    "AveragePool": pool,
    "BatchNormalization": batch_norm,
    "Clip": clip,
    "Concat": concatenate,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Div": divide,
    "Dropout": nothing,
    "Elu": lambda op: L.ELU(op.get("alpha", 1.0)),
    "Flatten": flatten,
    "Gelu": lambda op: L.GELU(op.get("approximate", "none") == "tanh"),
    "Gemm": gemm,
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": global_pool,
    "GroupNormalization": group_norm,
    "Identity": nothing,
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "LeakyRelu": lambda op: L.LeakyReLU(op.get("alpha", 0.01)),
    "MatMul": matmul,
    "MaxPool": pool,
    "Mul": multiply,
    "PRelu": prelu,
    "Pad": pad,
    "ReduceMax": reduce,
    "ReduceMean": reduce,
    "Relu": lambda op: L.ReLU(),
    "Reshape": reshape,
    "Resize": resize,
    "Sigmoid": lambda op: L.Sigmoid(),
    "Softmax": softmax,
    "Squeeze": squeeze,
    "Sub": subtract,
    "Sum": add,
    "Tanh": lambda op: L.Tanh(),
    "Transpose": transpose,
    "Unsqueeze": squeeze,
    "Upsample": resize,
}


# Constants, which exporters compute from the shapes of values ---------------------------------------------


def stored(op: Operator) -> Array:
    """A constant that the node holds."""
    found = (op.get(key) for key in ("value", "value_float", "value_floats", "value_int", "value_ints"))
    return np.asarray(next(value for value in found if value is not None))


def joined(op: Operator) -> Array:
    """Constants one after the other."""
    return np.concatenate([small(op, k) for k in range(len(op.inputs))], axis=op.get("axis", 0))


def gathered(op: Operator) -> Array:
    """Some values of a constant."""
    return np.take(small(op, 0), small(op, 1).astype(np.int64), axis=op.get("axis", 0))


def sliced(op: Operator) -> Array:
    """Some values of a constant, from one to another."""
    value = small(op, 0)
    starts, ends = (small(op, k).reshape(-1).tolist() for k in (1, 2))
    axes, steps = (op.constant(k) for k in (3, 4))
    axes = np.arange(len(starts)) if axes is None else axes.reshape(-1)
    steps = np.ones(len(starts), np.int64) if steps is None else steps.reshape(-1)
    index = [slice(None)] * value.ndim
    for axis, *bounds in zip(axes.tolist(), starts, ends, steps.tolist(), strict=True):
        index[axis] = slice(*bounds)
    return np.asarray(value[tuple(index)])


def cast(op: Operator) -> Array:
    """A constant of another type."""
    types = {1: "f4", 6: "i4", 7: "i8", 11: "f8"}
    if op.get("to") not in types:
        raise op.fail(f"to={op.get('to')!r}, expected float32, float64 or integers")
    return small(op, 0).astype(types[op.get("to")])


def small(op: Operator, k: int) -> Array:
    """Give constant input `k`, if it is not larger than shapes are."""
    if op.needed(k).size > MAX_LENGTHS:
        raise op.fail(f"a constant of {op.needed(k).size} values cannot be computed with")
    return op.needed(k)


CONSTANTS: Mapping[str, Callable[[Operator], Array]] = {
    "Cast": cast,
    "Concat": lambda op: np.concatenate(
        [op.needed(k) for k in range(len(op.inputs))], axis=op.get("axis", 0)
    ),
    "Constant": stored,
    "Gather": gathered,
    "Identity": lambda op: op.needed(0),
    "Shape": lambda op: np.array([BATCH, *op.shape] if op.sources else op.needed(0).shape, np.int64),
    "Slice": sliced,
    "Squeeze": lambda op: np.squeeze(op.needed(0)),
    "Transpose": lambda op: np.transpose(op.needed(0), op.get("perm")),
    "Unsqueeze": lambda op: np.expand_dims(op.needed(0), tuple(map(int, op.numbers("axes", 1) or ()))),
}
