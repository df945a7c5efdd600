"""Convolution and pooling in NumPy: the readable specification of the compiled kernels.

Every function goes through the positions (i, j) of the window and treats all places of the window at once.
An operation and its adjoint stand one below the other: where the one reads ``seen_through(padded, i, j)``,
the other adds to it. Any element type will do, exact fractions included.

Shapes: images (n, c, h, w), weights (o, c / groups, kh, kw), outputs (n, o, oh, ow).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refcrp.arrays import Array, like
from refcrp.kernels.window import Window


def conv2d(x: Array, weight: Array, bias: Array | None, window: Window, groups: int) -> Array:
    """z[n,o,y,q] = b[o] + Σ_cij W[o,c,i,j] · x[n, c, y·stride + i·dilation - padding, ...]."""
    size = window.output_size(*x.shape[2:])
    padded = pad(x, window)
    z = np.zeros((len(x), groups, len(weight) // groups, size[0] * size[1]), dtype=x.dtype)
    for i, j in window.positions():
        seen = window.seen_through(padded, i, j, size)
        z = z + weight_at(weight, i, j, groups) @ in_groups(seen, groups)
    z = z.reshape(len(x), len(weight), *size)
    return z if bias is None else z + bias[:, None, None]


def conv2d_transpose(
    s: Array, weight: Array, input_shape: tuple[int, int, int], window: Window, groups: int
) -> Array:
    """Apply the adjoint of `conv2d`: Σ_x (what each output sees of x) · s."""
    size = (s.shape[2], s.shape[3])
    padded = padded_zeros((len(s), *input_shape), window, s.dtype)
    for i, j in window.positions():
        seen = window.seen_through(padded, i, j, size)
        sent = np.swapaxes(weight_at(weight, i, j, groups), 1, 2) @ in_groups(s, groups)
        seen += sent.reshape(seen.shape)
    return crop(padded, window)


def conv2d_relevance(
    R: Array, denominator: Array, a: Array, weight: Array, window: Window, groups: int
) -> Array:
    """a ⊙ conv2d_transpose(R / denominator); `R` may have axes in front of those of `denominator`."""
    s = R / denominator
    image_shape = (a.shape[1], a.shape[2], a.shape[3])
    batch = math.prod(s.shape[:-3])
    images = conv2d_transpose(s.reshape(batch, *s.shape[-3:]), weight, image_shape, window, groups)
    return np.asarray(a * images.reshape(*R.shape[:-3], *image_shape))


def maxpool2d(x: Array, window: Window) -> tuple[Array, Array]:
    """Find the largest value under the window, and its flat index in the image; the first one on ties.

    Padding never wins.
    """
    height, width = x.shape[2:]
    size = window.output_size(height, width)
    padded = pad(x, window)
    inside = pad(np.ones((height, width), dtype=bool), window)
    index = pad(np.arange(height * width).reshape(height, width), window)

    z = np.zeros((*x.shape[:2], *size), dtype=x.dtype)
    winner = np.full(z.shape, -1)
    for i, j in window.positions():
        value = window.seen_through(padded, i, j, size)
        is_larger = window.seen_through(inside, i, j, size) & ((winner < 0) | (value > z))
        z = np.where(is_larger, value, z)
        winner = np.where(is_larger, window.seen_through(index, i, j, size), winner)
    return z, winner


def maxpool2d_transpose(s: Array, winner: Array, input_shape: tuple[int, int, int]) -> Array:
    """Add each value of `s` to the place that won its window; `winner` as given by `maxpool2d`."""
    images = len(s) * s.shape[1]
    places = s.shape[2] * s.shape[3]
    flat = np.zeros((images, input_shape[1] * input_shape[2]), dtype=s.dtype)
    image = np.arange(images)[:, None]
    np.add.at(flat, (image, winner.reshape(images, places)), s.reshape(images, places))
    return flat.reshape(len(s), *input_shape)


def avgpool2d(x: Array, window: Window, count_include_pad: bool) -> Array:
    """Average what the window sees; padding counts as zeros, or not at all."""
    size = window.output_size(*x.shape[2:])
    padded = pad(x, window)
    z = np.zeros((*x.shape[:2], *size), dtype=x.dtype)
    for i, j in window.positions():
        z = z + window.seen_through(padded, i, j, size)
    return np.asarray(z / like(counts(x.shape[2:], window, count_include_pad), x))


def avgpool2d_transpose(
    s: Array, input_shape: tuple[int, int, int], window: Window, count_include_pad: bool
) -> Array:
    """Apply the adjoint of `avgpool2d`."""
    size = (s.shape[2], s.shape[3])
    padded = padded_zeros((len(s), *input_shape), window, s.dtype)
    s = s / like(counts(input_shape[1:], window, count_include_pad), s)
    for i, j in window.positions():
        seen = window.seen_through(padded, i, j, size)
        seen += s
    return crop(padded, window)


def counts(size: tuple[int, ...], window: Window, count_include_pad: bool) -> Array:
    """Count the pixels by which each place of the window divides."""
    rows, columns = (counts_along(axis, size[axis], window, count_include_pad) for axis in (0, 1))
    return np.asarray(np.multiply.outer(rows, columns))


def counts_along(axis: int, length: int, window: Window, count_include_pad: bool) -> Array:
    """Count the positions of the window, for each of its places along an axis, that see a pixel."""
    places = np.arange(window.places(axis, length))[:, None] * window.stride[axis] - window.padding[axis]
    pixels = places + np.arange(window.kernel[axis]) * window.dilation[axis]
    return np.asarray(((pixels >= 0) & (pixels < length) | count_include_pad).sum(axis=1))


def pad(x: Array, window: Window) -> Array:
    """Put zeros around the image."""
    (top, left), (below, right), leading = window.padding, window.extra, [(0, 0)] * (x.ndim - 2)
    return np.pad(x, [*leading, (top, top + below), (left, left + right)])


def padded_zeros(shape: tuple[int, ...], window: Window, dtype: np.dtype[Any]) -> Array:
    """Make an empty image with room for the padding."""
    (top, left), (below, right), (*leading, height, width) = window.padding, window.extra, shape
    return np.zeros((*leading, height + 2 * top + below, width + 2 * left + right), dtype=dtype)


def crop(padded: Array, window: Window) -> Array:
    """Cut the padding off."""
    (top, left), (below, right) = window.padding, window.extra
    return padded[..., top : padded.shape[-2] - top - below, left : padded.shape[-1] - left - right]


def weight_at(weight: Array, i: int, j: int, groups: int) -> Array:
    """Give the weights of position (i, j) as one matrix a group: (groups, o / groups, c / groups)."""
    return weight[:, :, i, j].reshape(groups, len(weight) // groups, weight.shape[1])


def in_groups(images: Array, groups: int) -> Array:
    """Give images as (n, groups, channels / groups, pixels)."""
    n, channels, height, width = images.shape
    return images.reshape(n, groups, channels // groups, height * width)
