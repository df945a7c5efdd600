"""The hot loops, compiled where that is possible.

`Convolution` holds weights laid out for many inputs; the functions here take images with any axes in front
of (channels, height, width), bring them into the one form that the kernels know, and call the compiled kernel
for float32 and float64 or its specification in `refcrp.kernels.reference` for everything else. Shapes that do
not fit raise `ShapeError`: a compiled loop reads and writes where it is told. `refcrp.kernels.simd` chooses
which kernels run, `refcrp.kernels.threads` on how many threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from refcrp.arrays import Array, like
from refcrp.checks import check_shape
from refcrp.kernels import reference, simd
from refcrp.kernels.convolution import Convolution, StackedConvolution
from refcrp.kernels.layout import as_lanes, as_relevance
from refcrp.kernels.products import dense, dense_transpose
from refcrp.kernels.simd import CHOSEN, available, runs_compiled
from refcrp.kernels.threads import A_PASS, in_units, threads, using_threads
from refcrp.kernels.window import Window, geometry
from refcrp.tables import aligned

USE_COMPILED = simd.driver is not None

__all__ = [
    "Config",
    "Convolution",
    "StackedConvolution",
    "Window",
    "available",
    "avgpool2d",
    "avgpool2d_transpose",
    "backend",
    "conv2d",
    "conv2d_relevance",
    "conv2d_transpose",
    "dense",
    "dense_transpose",
    "maxpool2d",
    "maxpool2d_relevance",
    "maxpool2d_transpose",
    "runs_compiled",
    "show_config",
    "stabilized",
    "using_threads",
]


def backend() -> str:
    """Tell which kernels run for float32 and float64: ``"cython"`` or ``"numpy"``.

    Examples
    --------
    >>> import refcrp as rc
    >>> rc.backend() in ("cython", "numpy")
    True
    """
    return "cython" if USE_COMPILED else "numpy"


@dataclass(frozen=True)
class Config:
    """What runs, and what could; see `show_config`.

    Attributes
    ----------
    backend : str
        ``"cython"`` or ``"numpy"``.
    instruction_set : str
        For which the convolutions that run were compiled; ``"numpy"`` if none.
    available : tuple of str
        The instruction sets that this build and this machine have, best first; ``REFCRP_SIMD`` chooses.
    tile : (int, int)
        Rows and columns of the micro-kernel for float32; (0, 0) if none.
    threads : int
        How many threads kernels may use where none are asked for; ``REFCRP_NUM_THREADS`` chooses.
    """

    backend: str
    instruction_set: str
    available: tuple[str, ...]
    tile: tuple[int, int]
    threads: int

    def __str__(self) -> str:
        rows = [
            ("backend", self.backend),
            ("instruction set", self.instruction_set),
            ("available", ", ".join(self.available) or "none"),
            ("tile", f"{self.tile[0]} x {self.tile[1]}"),
            ("threads", str(self.threads)),
        ]
        return "\n".join(aligned(rows, ("  ",)))


def show_config() -> Config:
    """Tell which kernels run, for which instruction set, and on how many threads.

    Examples
    --------
    >>> import refcrp as rc
    >>> rc.show_config().threads >= 1
    True
    """
    tile = simd.driver.tile_shape(4) if USE_COMPILED else (0, 0)
    return Config(backend(), CHOSEN, available(), tile, threads())


def conv2d(x: Array, weight: Array, bias: Array | None, window: Window, groups: int) -> Array:
    """Convolve ``x`` (..., c, h, w) with `weight` (o, c / groups, kh, kw); see `reference.conv2d`."""
    z = Convolution(weight, bias, window, groups).linear(batched(x))
    return z.reshape(*x.shape[:-3], *z.shape[1:])


def conv2d_transpose(
    s: Array, weight: Array, image_shape: tuple[int, ...], window: Window, groups: int
) -> Array:
    """Apply the adjoint of `conv2d` to `s` (..., o, oh, ow); gives (..., c, h, w)."""
    x = Convolution(weight, None, window, groups).transpose(batched(s), image_shape)
    return x.reshape(*s.shape[:-3], *image_shape)


def conv2d_relevance(
    R: Array, denominator: Array, a: Array, weight: Array, window: Window, groups: int
) -> Array:
    """Redistribute relevance, a ⊙ conv2d_transpose(R / denominator), in one go.

    `R` may have an axis in front of those of `denominator` (n, o, oh, ow) and `a` (n, c, h, w).
    """
    return Convolution(weight, None, window, groups).redistribute(R, denominator, a)


def maxpool2d(x: Array, window: Window) -> tuple[Array, Array]:
    """Pool ``x`` (n, c, h, w) to its largest values and their flat indices; see `reference.maxpool2d`."""
    if not runs_compiled(x.dtype):
        return reference.maxpool2d(x, window)
    z = np.empty((*x.shape[:2], *window.output_size(*x.shape[2:])), x.dtype)
    winner = np.empty(z.shape, np.intp)
    n, c = x.shape[:2]
    planes = [array.reshape(n * c, *array.shape[2:]) for array in (contiguous(x, x.dtype), z, winner)]

    def pool(first: int, end: int) -> None:
        simd.loops(x.dtype).maxpool2d(*planes, *geometry(window), first, end)

    in_units(pool, len(planes[0]), z.size * math.prod(window.kernel) * A_PASS)
    return z, winner


def maxpool2d_relevance(R: Array, share: Array, winner: Array, image_shape: tuple[int, ...]) -> Array:
    """Send ``share * R`` back to the winners (n, c, oh, ow) of `maxpool2d`; `R` (n, ...) or (k, n, ...)."""
    check_shape(R.shape[-4:], winner.shape, "maxpool2d_relevance: outputs")
    check_shape(share.shape, winner.shape, "maxpool2d_relevance: share")
    c, h, w = image_shape
    if not runs_compiled(R.dtype):
        s = share * R
        winners = batched(np.broadcast_to(winner, s.shape))
        images = reference.maxpool2d_transpose(batched(s), winners, (c, h, w))
        return images.reshape(*R.shape[:-3], *image_shape)
    images, planes = as_lanes(R, R.dtype), winner.shape[0] * c
    m, lanes, places = len(images) * c, images.shape[-1], winner.shape[2] * winner.shape[3]
    R_out, winners = images.reshape(m, places, lanes), winner.reshape(planes, places)
    shares, target = contiguous(share, R.dtype).reshape(planes, places), np.empty((m, h * w, lanes), R.dtype)

    def pull(first: int, end: int) -> None:
        simd.loops(R.dtype).maxpool2d_relevance(R_out, shares, winners, target, first, end)

    in_units(pull, m, target.size * A_PASS)
    return as_relevance(target.reshape(len(images), c, h, w, lanes), R.shape[:-3])


def maxpool2d_transpose(s: Array, winner: Array, image_shape: tuple[int, ...]) -> Array:
    """Send `s` (n, c, oh, ow) or (k, n, c, oh, ow) back to the winners (n, c, oh, ow) of `maxpool2d`."""
    return maxpool2d_relevance(s, np.ones(winner.shape, s.dtype), winner, image_shape)


def stabilized(z: Array, epsilon: float) -> Array:
    """Move `z`, of a type that runs compiled, away from zero, as `refcrp.modifiers.stabilize` says."""
    away = np.empty(z.shape, z.dtype)
    flat, out, stabilize = z.ravel(), away.ravel(), simd.loops(z.dtype).stabilize
    in_units(lambda first, end: stabilize(flat, epsilon, out, first, end), z.size, z.size * A_PASS)
    return away


def avgpool2d(x: Array, window: Window, count_include_pad: bool) -> Array:
    """Pool ``x`` (n, c, h, w) to averages; see `reference.avgpool2d`."""
    if not runs_compiled(x.dtype):
        return reference.avgpool2d(x, window, count_include_pad)
    counts = like(reference.counts(x.shape[2:], window, count_include_pad), x)
    z = np.empty((*x.shape[:2], *counts.shape), x.dtype)
    simd.loops(x.dtype).avgpool2d(contiguous(x, x.dtype), counts, z, *geometry(window))
    return z


def avgpool2d_transpose(
    s: Array, image_shape: tuple[int, ...], window: Window, count_include_pad: bool
) -> Array:
    """Apply the adjoint of `avgpool2d` to `s` (..., c, oh, ow)."""
    images, (c, h, w) = batched(s), image_shape
    check_shape(s.shape[-3:], (c, *window.output_size(h, w)), "avgpool2d_transpose: outputs")
    if not runs_compiled(s.dtype):
        x = reference.avgpool2d_transpose(images, (c, h, w), window, count_include_pad)
    else:
        counts = like(reference.counts((h, w), window, count_include_pad), s)
        x = np.empty((len(images), c, h, w), s.dtype)
        simd.loops(s.dtype).avgpool2d_transpose(contiguous(images, s.dtype), counts, x, *geometry(window))
    return x.reshape(*s.shape[:-3], *image_shape)


def batched(images: Array) -> Array:
    """Join all axes in front of (channels, height, width) into one."""
    return images.reshape(math.prod(images.shape[:-3]), *images.shape[-3:])


def contiguous(array: Array, dtype: np.dtype[Any]) -> Array:
    """Give `array` in the layout and type of the kernels, copying only where it must."""
    return np.ascontiguousarray(array, dtype)
