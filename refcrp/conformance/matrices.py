"""Linear layers as matrices, for one sample at a time: z_j = Σ_i W_ji a_i + b_j.

A sample is a flat list of numbers. Most entries of these matrices say "not connected", and just the others
are stored: of each row the pairs (i, W_ji) of the inputs that output j sees, weights of zero among them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refcrp.conformance.arithmetic import Arithmetic, Number, total
from refcrp.conformance.cases import LayerSpec
from refcrp.conformance.resampling import upsample_bilinear, upsample_nearest
from refcrp.conformance.windows import Shape, as_pair, as_sides, pairs, pool_windows, windows
from refcrp.errors import ShapeError

__all__ = ["LINEAR", "Matrix", "Row", "as_matrix", "centring", "diagonal"]

Row = Sequence[tuple[int, Number]]


@dataclass(frozen=True)
class Matrix:
    """A linear layer.

    Parameters
    ----------
    rows : sequence of sequences of pairs
        For each output j: (i, W_ji) of the inputs it sees.
    bias : sequence of numbers
        b_j.
    shape : tuple of int
        Of one sample's output.
    on_padding : sequence of sequences of numbers
        For each output the weights that meet padding, which is no input. Empty if there is none.
    """

    rows: Sequence[Row]
    bias: Sequence[Number]
    shape: Shape
    on_padding: Sequence[Sequence[Number]] = ()

    def __call__(self, a: Sequence[Number]) -> list[Number]:
        """z_j = Σ_i W_ji a_i + b_j."""
        return [
            total([*(W * a[i] for i, W in row if a[i]), b])
            for row, b in zip(self.rows, self.bias, strict=True)
        ]

    def transpose(self, s: Sequence[Number], inputs: int) -> list[Number]:
        """Σ_j W_ji s_j for each of the inputs."""
        parts: list[list[Number]] = [[] for _ in range(inputs)]
        for row, s_j in zip(self.rows, s, strict=True):
            for i, W in row:
                parts[i].append(W * s_j)
        return [total(part) for part in parts]


def as_matrix(spec: LayerSpec, shape: Shape, arithmetic: Arithmetic) -> Matrix:
    """Give the matrix of a linear layer for samples of `shape`."""
    arrays = {name: numbers(array.tolist(), arithmetic) for name, array in spec.arrays.items()}
    return LINEAR[spec.kind](arrays, spec.settings, shape, arithmetic)


def numbers(values: Any, arithmetic: Arithmetic) -> Any:
    """Turn nested lists of floats into nested lists of numbers."""
    if isinstance(values, list):
        return [numbers(value, arithmetic) for value in values]
    return arithmetic.number(values)


def check(spec_shape: Shape, shape: Shape, kind: str) -> None:
    """Raise `ShapeError` unless a sample begins as the layer wants it."""
    if shape[: len(spec_shape)] != spec_shape:
        raise ShapeError(f"{kind}: one sample has shape {shape}, expected it to begin with {spec_shape}")


# Layers with weights ----------------------------------------------------------------------------------------


def dense(arrays: Mapping[str, Any], settings: Mapping[str, Any], shape: Shape, _: Arithmetic) -> Matrix:
    """z_j = Σ_i W_ji a_i + b_j."""
    W = arrays["weight"]
    if shape != (len(W[0]),):
        raise ShapeError(f"dense: one sample has shape {shape}, expected ({len(W[0])},)")
    return Matrix([list(enumerate(row)) for row in W], arrays.get("bias", [0] * len(W)), (len(W),))


def conv2d(arrays: Mapping[str, Any], settings: Mapping[str, Any], shape: Shape, _: Arithmetic) -> Matrix:
    """z_oyx = b_o + Σ_cij W_ocij a_cYX with Y = y · stride + i · dilation - padding, and X likewise."""
    W, groups = arrays["weight"], settings.get("groups", 1)
    outputs, per_group, kernel = len(W), len(W[0]), (len(W[0][0]), len(W[0][0][0]))
    check((per_group * groups,), shape, "conv2d")
    padding = as_sides(settings.get("padding", 0))
    places = windows(shape[1:], kernel, padding=padding, **pairs(settings, stride=1, dilation=1))
    b = arrays.get("bias", [0] * outputs)
    rows, bias, on_padding = [], [], []
    for o, window in itertools.product(range(outputs), itertools.chain.from_iterable(places)):
        first = o // (outputs // groups) * per_group  # channel of the group
        row, outside = [], []
        for c, ((i, j), (y, x)) in itertools.product(range(per_group), window):
            if 0 <= y < shape[1] and 0 <= x < shape[2]:
                row.append((((first + c) * shape[1] + y) * shape[2] + x, W[o][c][i][j]))
            else:
                outside.append(W[o][c][i][j])
        rows.append(row)
        bias.append(b[o])
        on_padding.append(outside)
    return Matrix(rows, bias, (outputs, len(places), len(places[0])), on_padding)


def conv_transpose2d(
    arrays: Mapping[str, Any], settings: Mapping[str, Any], shape: Shape, _: Arithmetic
) -> Matrix:
    """z_oYX = b_o + Σ_cij W_coij a_cyx over all y with Y = y · stride + i · dilation - padding; X likewise.

    Height (h - 1) · stride - 2 · padding + dilation · (kh - 1) + 1 + output_padding, and the width likewise.
    """
    W, groups = arrays["weight"], settings.get("groups", 1)
    channels, per_group, kernel = len(W), len(W[0]), (len(W[0][0]), len(W[0][0][0]))
    check((channels,), shape, "conv_transpose2d")
    given = pairs(settings, stride=1, padding=0, dilation=1, output_padding=0)
    stride, padding, dilation, added = given.values()
    out = [
        (shape[1 + k] - 1) * stride[k] - 2 * padding[k] + dilation[k] * (kernel[k] - 1) + 1 + added[k]
        for k in (0, 1)
    ]
    if min(out) < 1:
        raise ShapeError(f"conv_transpose2d: padding leaves nothing of an image of {shape[1:]}")
    outputs = per_group * groups
    rows: list[list[tuple[int, Number]]] = [[] for _ in range(outputs * out[0] * out[1])]
    for i, place in enumerate(itertools.product(*map(range, shape))):
        c, y, x = place
        first = c // (channels // groups) * per_group  # output channel of the group
        for o, p, q in itertools.product(range(per_group), range(kernel[0]), range(kernel[1])):
            Y = y * stride[0] + p * dilation[0] - padding[0]
            X = x * stride[1] + q * dilation[1] - padding[1]
            if 0 <= Y < out[0] and 0 <= X < out[1]:
                rows[((first + o) * out[0] + Y) * out[1] + X].append((i, W[c][o][p][q]))
    b = arrays.get("bias", [0] * outputs)
    return Matrix(rows, [b_o for b_o in b for _ in range(out[0] * out[1])], (outputs, *out))


def scale(arrays: Mapping[str, Any], settings: Mapping[str, Any], shape: Shape, _: Arithmetic) -> Matrix:
    """z_cyx = W_c a_cyx + b_c."""
    W = arrays["weight"]
    check((len(W),), shape, "scale")
    repeats = math.prod(shape[1:])
    b = arrays.get("bias", [0] * len(W))
    return diagonal([w for w in W for _ in range(repeats)], [b_c for b_c in b for _ in range(repeats)], shape)


def batch_norm(arrays: Mapping[str, Any], settings: Mapping[str, Any], shape: Shape, A: Arithmetic) -> Matrix:
    """(a - μ) / √(σ² + ε) · γ + β, the affine map with W = γ / √(σ² + ε) and b = β - W μ."""
    mean, variance, epsilon = arrays["mean"], arrays["variance"], A.number(settings.get("epsilon", 1e-5))
    gamma, beta = arrays.get("gamma", [1] * len(mean)), arrays.get("beta", [0] * len(mean))
    W = [g / A.sqrt(v + epsilon) for g, v in zip(gamma, variance, strict=True)]
    b = [shift - w * m for shift, w, m in zip(beta, W, mean, strict=True)]
    return scale({"weight": W, "bias": b}, {}, shape, A)


def diagonal(weight: Sequence[Number], bias: Sequence[Number], shape: Shape) -> Matrix:
    """z_i = W_i a_i + b_i."""
    return Matrix([[(i, w)] for i, w in enumerate(weight)], bias, shape)


# Layers without weights -------------------------------------------------------------------------------------


def avg_pool(arrays: Mapping[str, Any], settings: Mapping[str, Any], shape: Shape, A: Arithmetic) -> Matrix:
    """z = Σ a / n over each window; n counts padding, or not."""
    rows, out = pool_windows("avg_pool", settings, shape)
    kernel = settings["kernel_size"]
    size = math.prod(as_pair(kernel)) if settings.get("count_include_pad", True) else 0
    return Matrix([averaged(row, size or len(row), A) for row in rows], [0] * len(rows), out)


def global_avg_pool(_: Mapping[str, Any], __: Mapping[str, Any], shape: Shape, A: Arithmetic) -> Matrix:
    """z = Σ a / n over each channel."""
    rows, out = pool_windows("global_avg_pool", {}, shape)
    return Matrix([averaged(row, len(row), A) for row in rows], [0] * len(rows), out)


def adaptive_avg_pool(
    _: Mapping[str, Any], settings: Mapping[str, Any], shape: Shape, A: Arithmetic
) -> Matrix:
    """z = Σ a / n over each bin."""
    rows, out = pool_windows("adaptive_avg_pool", settings, shape)
    return Matrix([averaged(row, len(row), A) for row in rows], [0] * len(rows), out)


def nearest(_: Mapping[str, Any], settings: Mapping[str, Any], shape: Shape, A: Arithmetic) -> Matrix:
    """z = a of the pixel below."""
    rows, out = upsample_nearest(settings, shape, A)
    return Matrix(rows, [0] * len(rows), out)


def bilinear(_: Mapping[str, Any], settings: Mapping[str, Any], shape: Shape, A: Arithmetic) -> Matrix:
    """z = a interpolated."""
    rows, out = upsample_bilinear(settings, shape, A)
    return Matrix(rows, [0] * len(rows), out)


def multiply(_: Mapping[str, Any], settings: Mapping[str, Any], shape: Shape, A: Arithmetic) -> Matrix:
    """z = c a."""
    size = math.prod(shape)
    return diagonal([A.number(settings["value"])] * size, [0] * size, shape)


def averaged(row: Sequence[int], size: int, A: Arithmetic) -> Row:
    """Give each of the inputs the weight 1/n."""
    weight = 1 / A.number(size)
    return [(i, weight) for i in row]


def centring(size: int, A: Arithmetic) -> Matrix:
    """z_j = a_j - Σ_i a_i / N, that is W_ji = δ_ij - 1/N."""
    share = 1 / A.number(size)
    rows = [[(i, int(i == j) - share) for i in range(size)] for j in range(size)]
    return Matrix(rows, [0] * size, (size,))


LINEAR: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any], Shape, Arithmetic], Matrix]] = {
    "dense": dense,
    "conv2d": conv2d,
    "scale": scale,
    "batch_norm": batch_norm,
    "avg_pool": avg_pool,
    "global_avg_pool": global_avg_pool,
    "conv_transpose2d": conv_transpose2d,
    "adaptive_avg_pool": adaptive_avg_pool,
    "upsample_nearest": nearest,
    "upsample_bilinear": bilinear,
    "multiply": multiply,
}
