"""The geometry of a sliding window, shared by convolution and pooling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import as_integer
from refcrp.errors import ParameterError

Pair = tuple[int, int]  # (vertical, horizontal)


@dataclass(frozen=True)
class Window:
    """A window of `kernel` positions, `dilation` apart, that moves by `stride` over a padded image.

    Parameters
    ----------
    kernel, stride, padding, dilation : (int, int)
        Vertical and horizontal, in pixels; padding is added on both sides.
    extra : (int, int)
        More padding below and to the right; pooling takes it, convolution does not.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    extra: Pair = (0, 0)

    def output_length(self, axis: int, length: int | None) -> int | None:
        """Count the window's places along one axis; not positive where the window does not fit."""
        return None if length is None else self.places(axis, length)

    def output_size(self, height: int, width: int) -> Pair:
        """Count the window's places, vertically and horizontally."""
        return self.places(0, height), self.places(1, width)

    def places(self, axis: int, length: int) -> int:
        """Count the window's places along an axis of known length."""
        reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        return (length + 2 * self.padding[axis] + self.extra[axis] - reach) // self.stride[axis] + 1

    def positions(self) -> Iterator[Pair]:
        """Go through the positions (i, j) inside the window, row by row."""
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                yield i, j

    def seen_through(self, padded: Array, i: int, j: int, output_size: Pair) -> Array:
        """View what position (i, j) of the window sees, from each of the window's places.

        Parameters
        ----------
        padded : (..., height + 2 padding + extra, width + 2 padding + extra) array

        Returns
        -------
        (..., *output_size) view of `padded`
        """
        top, left = i * self.dilation[0], j * self.dilation[1]
        rows = slice(top, top + (output_size[0] - 1) * self.stride[0] + 1, self.stride[0])
        columns = slice(left, left + (output_size[1] - 1) * self.stride[1] + 1, self.stride[1])
        return padded[..., rows, columns]

    @property
    def keeps_size(self) -> bool:
        """Whether the output is as large as the input, for every input."""
        return self.stride == (1, 1) and all(
            2 * p + e == d * (k - 1)
            for p, e, d, k in zip(self.padding, self.extra, self.dilation, self.kernel, strict=True)
        )


def as_pair(value: Any, what: str, minimum: int) -> Pair:
    """Give an integer, or two, as (vertical, horizontal), none below `minimum`, or raise `ParameterError`."""
    pair = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else (value, value)
    if len(pair) != 2:
        raise ParameterError(f"{what}: expected an integer >= {minimum}, or two, got {value!r}")
    return as_integer(pair[0], what, minimum), as_integer(pair[1], what, minimum)


def geometry(window: Window) -> tuple[Pair, Pair, Pair, Pair]:
    """Give the window's settings in the order in which the compiled loops take them."""
    return window.kernel, window.stride, window.padding, window.dilation
