"""The hot loops, compiled where that is possible.

Each function here takes images with any axes in front of (channels, height, width), brings them into the one
form that the kernels know, and calls the compiled kernel for float32 and float64 or its specification in
`refcrp.kernels.reference` for everything else. Shapes that do not fit raise `ShapeError`: a compiled loop
reads and writes where it is told.

Two environment variables are read once, at import: ``REFCRP_FORCE_NUMPY=1`` leaves the compiled kernels
aside, ``REFCRP_REQUIRE_COMPILED=1`` makes their absence a `BackendError`.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from refcrp.arrays import Array, like
from refcrp.checks import check_shape
from refcrp.errors import BackendError
from refcrp.kernels import reference
from refcrp.kernels.window import Pair, Window

try:
    from refcrp.kernels import _conv, _pool

    HAS_COMPILED = True
except ImportError:
    HAS_COMPILED = False

FORCE_NUMPY = os.environ.get("REFCRP_FORCE_NUMPY", "0") not in ("", "0")
REQUIRE_COMPILED = os.environ.get("REFCRP_REQUIRE_COMPILED", "0") not in ("", "0")
USE_COMPILED = HAS_COMPILED and not FORCE_NUMPY

if REQUIRE_COMPILED and not USE_COMPILED:
    why = "REFCRP_FORCE_NUMPY is set as well" if HAS_COMPILED else f"no compiled kernels beside {__file__}"
    raise BackendError(
        f"REFCRP_REQUIRE_COMPILED is set, but {why}; "
        "install with a C compiler (in a checkout: pip install -e .)"
    )

__all__ = [
    "Window",
    "avgpool2d",
    "avgpool2d_transpose",
    "backend",
    "conv2d",
    "conv2d_relevance",
    "conv2d_transpose",
    "maxpool2d",
    "maxpool2d_transpose",
]


def backend() -> str:
    """Tell which kernels run for float32 and float64: ``"cython"`` or ``"numpy"``."""
    return "cython" if USE_COMPILED else "numpy"


def conv2d(x: Array, weight: Array, bias: Array | None, window: Window, groups: int) -> Array:
    """Convolve ``x`` (..., c, h, w) with `weight` (o, c / groups, kh, kw); see `reference.conv2d`."""
    check_shape(weight.shape[2:], window.kernel, "conv2d: kernel")
    check_shape(x.shape[-3:], (weight.shape[1] * groups, None, None), "conv2d: images")
    images = batched(x)
    dtype = np.result_type(x, weight)
    if not runs_compiled(dtype):
        z = reference.conv2d(images, weight, bias, window, groups)
    else:
        z = np.empty((len(images), len(weight), *window.output_size(*images.shape[2:])), dtype)
        offset = np.zeros(len(weight), dtype) if bias is None else contiguous(bias, dtype)
        _conv.conv2d(
            contiguous(images, dtype), contiguous(weight, dtype), offset, z, *geometry(window), groups
        )
    return z.reshape(*x.shape[:-3], *z.shape[1:])


def conv2d_transpose(
    s: Array, weight: Array, image_shape: tuple[int, ...], window: Window, groups: int
) -> Array:
    """Apply the adjoint of `conv2d` to `s` (..., o, oh, ow); gives (..., c, h, w)."""
    images, (c, h, w) = batched(s), image_shape
    check_shape(weight.shape[2:], window.kernel, "conv2d_transpose: kernel")
    check_shape(s.shape[-3:], (len(weight), *window.output_size(h, w)), "conv2d_transpose: outputs")
    check_shape((c,), (weight.shape[1] * groups,), "conv2d_transpose: channels")
    dtype = np.result_type(s, weight)
    if not runs_compiled(dtype):
        x = reference.conv2d_transpose(images, weight, (c, h, w), window, groups)
    else:
        x = np.empty((len(images), c, h, w), dtype)
        _conv.conv2d_transpose(
            contiguous(images, dtype), contiguous(weight, dtype), x, *geometry(window), groups
        )
    return x.reshape(*s.shape[:-3], *image_shape)


def conv2d_relevance(
    R: Array, denominator: Array, a: Array, weight: Array, window: Window, groups: int
) -> Array:
    """Redistribute relevance, a ⊙ conv2d_transpose(R / denominator), in one go.

    `R` may have axes in front of those of `denominator` (n, o, oh, ow) and `a` (n, c, h, w).
    """
    check_shape(weight.shape[2:], window.kernel, "conv2d_relevance: kernel")
    check_shape(a.shape[1:], (weight.shape[1] * groups, None, None), "conv2d_relevance: inputs")
    outputs = (len(a), len(weight), *window.output_size(*a.shape[2:]))
    check_shape(denominator.shape, outputs, "conv2d_relevance: denominator")
    check_shape(R.shape[-4:], outputs, "conv2d_relevance: relevance")
    dtype = np.result_type(R, denominator, a, weight)
    if not runs_compiled(dtype):
        return reference.conv2d_relevance(R, denominator, a, weight, window, groups)
    R_out = contiguous(batched(R), dtype)
    R_in = np.empty((len(R_out), *a.shape[1:]), dtype)
    s = np.empty((1, *R_out.shape[1:]), dtype)
    z, a_in, w = (contiguous(part, dtype) for part in (denominator, a, weight))
    _conv.conv2d_relevance(R_out, z, a_in, w, s, R_in, *geometry(window), groups)
    return R_in.reshape(*R.shape[:-3], *a.shape[1:])


def maxpool2d(x: Array, window: Window) -> tuple[Array, Array]:
    """Pool ``x`` (n, c, h, w) to its largest values and their flat indices; see `reference.maxpool2d`."""
    if not runs_compiled(x.dtype):
        return reference.maxpool2d(x, window)
    z = np.empty((*x.shape[:2], *window.output_size(*x.shape[2:])), x.dtype)
    winner = np.empty(z.shape, np.intp)
    _pool.maxpool2d(contiguous(x, x.dtype), z, winner, *geometry(window))
    return z, winner


def maxpool2d_transpose(s: Array, winner: Array, image_shape: tuple[int, ...]) -> Array:
    """Send `s` (..., n, c, oh, ow) back to the winners (n, c, oh, ow) of `maxpool2d`."""
    check_shape(s.shape[-4:], winner.shape, "maxpool2d_transpose: outputs")
    images, (c, h, w) = batched(s), image_shape
    if not runs_compiled(s.dtype):
        x = reference.maxpool2d_transpose(images, np.broadcast_to(winner, s.shape), (c, h, w))
    else:
        x = np.empty((len(images), c, h * w), s.dtype)
        places = (c, s.shape[-2] * s.shape[-1])
        _pool.maxpool2d_transpose(
            contiguous(images, s.dtype).reshape(len(images), *places), winner.reshape(len(winner), *places), x
        )
    return x.reshape(*s.shape[:-3], *image_shape)


def avgpool2d(x: Array, window: Window, count_include_pad: bool) -> Array:
    """Pool ``x`` (n, c, h, w) to averages; see `reference.avgpool2d`."""
    if not runs_compiled(x.dtype):
        return reference.avgpool2d(x, window, count_include_pad)
    counts = like(reference.counts(x.shape[2:], window, count_include_pad), x)
    z = np.empty((*x.shape[:2], *counts.shape), x.dtype)
    _pool.avgpool2d(contiguous(x, x.dtype), counts, z, *geometry(window))
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
        _pool.avgpool2d_transpose(contiguous(images, s.dtype), counts, x, *geometry(window))
    return x.reshape(*s.shape[:-3], *image_shape)


def runs_compiled(dtype: np.dtype[Any]) -> bool:
    """Tell whether arrays of this type go to the compiled kernels."""
    return USE_COMPILED and dtype in (np.float32, np.float64)


def batched(images: Array) -> Array:
    """Join all axes in front of (channels, height, width) into one."""
    return images.reshape(math.prod(images.shape[:-3]), *images.shape[-3:])


def contiguous(array: Array, dtype: np.dtype[Any]) -> Array:
    """Give `array` in the layout and type of the kernels, copying only where it must."""
    return np.ascontiguousarray(array, dtype)


def geometry(window: Window) -> tuple[Pair, Pair, Pair, Pair]:
    """Give the window's settings in the order in which the kernels take them."""
    return window.kernel, window.stride, window.padding, window.dilation
