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
from refcrp.errors import ParameterError, ShapeError

__all__ = ["LINEAR", "Matrix", "Row", "Shape", "as_matrix", "centring", "diagonal", "pool_windows"]

Shape = tuple[int, ...]
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
    places = windows(shape[1:], kernel, **pairs(settings, stride=1, padding=0, dilation=1))
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
    rows, out = pool_windows(settings, shape)
    kernel = settings["kernel_size"]
    size = math.prod(as_pair(kernel)) if settings.get("count_include_pad", True) else 0
    return Matrix([averaged(row, size or len(row), A) for row in rows], [0] * len(rows), out)


def global_avg_pool(_: Mapping[str, Any], __: Mapping[str, Any], shape: Shape, A: Arithmetic) -> Matrix:
    """z = Σ a / n over each channel."""
    rows, out = pool_windows(None, shape)
    return Matrix([averaged(row, len(row), A) for row in rows], [0] * len(rows), out)


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
}


# Windows ----------------------------------------------------------------------------------------------------

Pair = tuple[int, int]


def as_pair(value: Any) -> Pair:
    """Give (v, v) for v."""
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


def pairs(settings: Mapping[str, Any], **usual: int) -> dict[str, Pair]:
    """Give settings as pairs, vertical and horizontal."""
    return {name: as_pair(settings.get(name, value)) for name, value in usual.items()}


def windows(
    image: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)
) -> list[list[list[tuple[Pair, Pair]]]]:
    """List (position in the kernel, pixel) for each place of a window, row by row; a pixel may be padding."""
    heights, widths = (
        range(-padding[k], image[k] + padding[k] - dilation[k] * (kernel[k] - 1), stride[k]) for k in (0, 1)
    )
    if not heights or not widths:
        raise ShapeError(f"a kernel of {kernel} pixels does not fit into an image of {image}")
    taps = list(itertools.product(range(kernel[0]), range(kernel[1])))
    return [
        [[((i, j), (y + i * dilation[0], x + j * dilation[1])) for i, j in taps] for x in widths]
        for y in heights
    ]


def pool_windows(settings: Mapping[str, Any] | None, shape: Shape) -> tuple[list[list[int]], Shape]:
    """Give for each output of a pooling layer the inputs that it sees, row by row, and the output's shape.

    Without settings the window is the whole image.
    """
    if len(shape) != 3:
        raise ShapeError(f"pooling: one sample has shape {shape}, expected (channels, height, width)")
    channels, height, width = shape
    if settings is None:
        settings = {"kernel_size": (height, width)}
    kernel = as_pair(settings["kernel_size"])
    stride = as_pair(settings.get("stride") or kernel)
    padding = as_pair(settings.get("padding", 0))
    if 2 * padding[0] > kernel[0] or 2 * padding[1] > kernel[1]:
        raise ParameterError(f"pooling: padding {padding} is more than half of the kernel {kernel}")
    places = windows(shape[1:], kernel, stride, padding)
    rows = [
        [(c * height + y) * width + x for _, (y, x) in window if 0 <= y < height and 0 <= x < width]
        for c in range(channels)
        for window in itertools.chain.from_iterable(places)
    ]
    return rows, (channels, len(places), len(places[0]))
