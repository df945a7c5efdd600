"""Padding that differs from side to side, for kernels that know only one that does not.

The window goes over an image with enough padding on both sides, and places that are too many are left out. So
what is padding stays known as such, which `refcrp.layers.ZeroPad` before a convolution cannot say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refcrp.arrays import Array, like
from refcrp.checks import as_integer
from refcrp.errors import ParameterError
from refcrp.kernels.window import Pair, Window, as_pair
from refcrp.propagation import LinearMap

__all__ = ["CroppedMap", "Sides", "Uneven", "as_padding"]

Sides = tuple[int, int, int, int]  # at the top, at the bottom, at the left, at the right


def as_padding(value: Any, what: str) -> Pair | Sides:
    """Give padding as (vertical, horizontal), or as four sides where they differ."""
    if not isinstance(value, (tuple, list, np.ndarray)) or len(value) == 2:
        return as_pair(value, what, 0)
    if len(value) != 4:
        raise ParameterError(f"{what}: expected an integer >= 0, or two, or four, got {value!r}")
    top, bottom, left, right = (as_integer(n, what) for n in value)
    return (top, left) if (top, left) == (bottom, right) else (top, bottom, left, right)


@dataclass(frozen=True)
class Uneven:
    """Which places of a window over an evenly padded image are those of an unevenly padded one.

    Parameters
    ----------
    before, after : (int, int)
        Padding at the top and at the left, at the bottom and at the right.
    kernel, stride, dilation : (int, int)
        As for `Window`.
    """

    before: Pair
    after: Pair
    kernel: Pair
    stride: Pair
    dilation: Pair

    @property
    def window(self) -> Window:
        """The window over an image padded evenly, by as little as leaves our places among its own."""
        padding = [
            before + stride * -(-max(0, after - before) // stride)
            for before, after, stride in zip(self.before, self.after, self.stride, strict=True)
        ]
        return Window(self.kernel, self.stride, (padding[0], padding[1]), self.dilation)

    @property
    def unpadded(self) -> Window:
        """The window over an image that holds the padding."""
        return Window(self.kernel, self.stride, (0, 0), self.dilation)

    def padded(self, size: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Give the size of an image with its padding."""
        sides = zip(size, self.before, self.after, strict=True)
        return tuple(None if n is None else n + before + after for n, before, after in sides)

    def places(self, size: tuple[int, ...]) -> tuple[Any, ...]:
        """Say which of the places over an image of `size` are ours, as an index of the last two axes."""
        window, unpadded, index = self.window, self.unpadded, []
        for axis, length in enumerate(size):
            first = (window.padding[axis] - self.before[axis]) // self.stride[axis]
            count = unpadded.places(axis, length + self.before[axis] + self.after[axis])
            index.append(slice(first, first + count))
        return (..., *index)

    def embed(self, s: Array, size: tuple[int, ...], fill: int = 0) -> Array:
        """Put `s`, of our places, among all of them; the others hold `fill`."""
        shape = (*s.shape[:-2], *self.window.output_size(size[0], size[1]))
        everywhere = np.full(shape, like(fill, s), dtype=s.dtype)
        everywhere[self.places(size)] = s
        return everywhere


@dataclass(frozen=True, eq=False)
class CroppedMap:
    """A linear map over an evenly padded image, at the places of an unevenly padded one."""

    whole: LinearMap
    uneven: Uneven

    def linear(self, x: Array) -> Array:
        """z = W x + b."""
        return np.asarray(self.whole.linear(x)[self.uneven.places(x.shape[-2:])])

    def redistribute(self, R_out: Array, denominator: Array, a: Array) -> Array:
        """R_i = a_i · Σ_j W_ij · R_j / z_j."""
        size = a.shape[-2:]
        R_whole = self.uneven.embed(R_out, size)
        return self.whole.redistribute(R_whole, self.uneven.embed(denominator, size, fill=1), a)
