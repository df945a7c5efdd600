"""Products with the weights of a dense layer: of many vectors by BLAS, of few by our own threads.

A matrix times one vector takes as long as reading the matrix. BLAS does it on threads of its own, which then
wait for more to do, for a while at full speed, and keep a processor from what comes next.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import check_shape
from refcrp.kernels import simd
from refcrp.kernels.threads import together, workers

__all__ = ["dense", "dense_transpose"]

FEW = 4  # vectors
ENOUGH = 2**17  # weights: with fewer, NumPy is as fast
A_WEIGHT = 4  # multiplications of a convolution take as long as reading one weight from memory
CACHE = 2**15  # bytes of a first-level cache


def dense(x: Array, weight: Array) -> Array:
    """x Wᵀ, for x (n, i) and W (o, i)."""
    check_shape(x.shape, (None, weight.shape[1]), "dense: input")
    if not is_ours(x, weight):
        return np.asarray(x @ weight.T)
    vectors, z = np.ascontiguousarray(x), np.empty((len(x), len(weight)), x.dtype)
    multiply = simd.loops(x.dtype).multiply_vectors
    on_threads(lambda units: multiply(weight, vectors, z, units), len(weight), simd.driver.grain(), weight)
    return z


def dense_transpose(s: Array, weight: Array) -> Array:
    """s W, for s (..., o) and W (o, i)."""
    check_shape(s.shape[-1:], (len(weight),), "dense_transpose: outputs")
    vectors = s.reshape(s.size // len(weight), len(weight))
    if not is_ours(vectors, weight):
        return np.asarray(s @ weight)
    vectors, x = np.ascontiguousarray(vectors), np.empty((len(vectors), weight.shape[1]), s.dtype)
    columns = CACHE // (len(x) * x.itemsize)
    multiply = simd.loops(s.dtype).multiply_transposed
    on_threads(lambda units: multiply(weight, vectors, x, columns, units), weight.shape[1], columns, weight)
    return x.reshape(*s.shape[:-1], weight.shape[1])


def on_threads(kernel: Callable[[object], None], length: int, grain: int, weight: Array) -> None:
    """Let `kernel` do all pieces of `grain` of what is `length` long, each thread taking the next one."""
    count = workers(weight.size * A_WEIGHT)
    units = simd.driver.Units(-(-length // grain), count)

    def work() -> None:
        kernel(units)
        units.wait()

    together(work, count)


def is_ours(vectors: Array, weight: Array) -> bool:
    """Tell whether there are so few vectors, and so many weights, that our kernels are faster than NumPy."""
    return (
        weight.size >= ENOUGH
        and 0 < len(vectors) <= FEW
        and simd.runs_compiled(weight.dtype)
        and vectors.dtype == weight.dtype
        and weight.flags.c_contiguous
    )
