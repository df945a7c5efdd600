"""How the compiled kernels see relevance: images with lanes.

Relevance of k conditions is an array (k, n, c, h, w). Its memory may be ordered so as it is written, or with
the conditions last, (n, c, h, w, k): then the k values of one pixel lie side by side, are zero in the same
places (where the activation is zero, so is all relevance), and a vector register holds those of several
conditions. Which of the two it is nobody but the kernels needs to know. They take images (m, c, h, w, lanes):
m = k n images of one lane each, or m = n images of k lanes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refcrp.arrays import Array

ENOUGH_LANES = 8  # a row of fewer conditions leaves most of a vector empty


def as_lanes(R: Array, dtype: np.dtype[Any]) -> Array:
    """Give `R` (n, c, h, w) or (k, n, c, h, w) as images (m, c, h, w, lanes), copying only where it must."""
    if R.ndim == 5 and has_conditions_last(R):
        return np.ascontiguousarray(np.moveaxis(R, 0, -1), dtype)
    images = np.ascontiguousarray(R, dtype)
    if R.ndim == 4:
        return images[..., np.newaxis]
    return images.reshape(math.prod(R.shape[:-3]), *R.shape[-3:], 1)


def conditions_last(images: Array, n: int) -> Array:
    """Give images of one lane (k n, c, h, w, 1) as images of k lanes (n, c, h, w, k)."""
    by_condition = images.reshape(-1, n, *images.shape[1:-1])
    return np.ascontiguousarray(np.moveaxis(by_condition, 0, -1))


def as_relevance(images: Array, leading: tuple[int, ...]) -> Array:
    """Give images (m, c, h, w, lanes) as relevance (*leading, c, h, w): undo `as_lanes`."""
    if images.shape[-1] > 1:
        return np.moveaxis(images, -1, 0)
    return images.reshape(*leading, *images.shape[1:-1])


def in_places(images: Array) -> Array:
    """Give images (m, c, h, w, ...) as (m, c, h w, ...)."""
    m, c, h, w = images.shape[:4]
    return images.reshape(m, c, h * w, *images.shape[4:])


def joined(images: Array) -> Array:
    """Give images (m, c, ...) as planes (m c, ...)."""
    m, c = images.shape[:2]
    return images.reshape(m * c, *images.shape[2:])


def has_conditions_last(R: Array) -> bool:
    """Tell whether the memory of `R` (k, n, c, h, w) is ordered with the conditions last."""
    return len(R) > 1 and R.strides[0] == R.itemsize and not R.flags.c_contiguous
