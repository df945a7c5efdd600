"""Pooling to an output of given size, whatever the size of the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import EllipsisType
from typing import ClassVar, NamedTuple

import numpy as np

from refcrp import kernels
from refcrp.arrays import Array
from refcrp.checks import Shape, check_shape
from refcrp.kernels.window import Pair, Window, as_pair
from refcrp.layers.base import PoolingLayer
from refcrp.layers.conv import show_pair
from refcrp.layers.own import OwnRelevanceLayer
from refcrp.layers.separable import Recipe, SeparableLayer, no_weights
from refcrp.layers.winners import WAYS
from refcrp.pull import Losses, Pull
from refcrp.rule import Rule

__all__ = ["AdaptiveAvgPool", "AdaptiveMaxPool"]


@dataclass(frozen=True, eq=False, repr=False)
class AdaptivePool(PoolingLayer):
    """What adaptive pooling layers have in common: an image is cut into bins, which may overlap by a pixel.

    Along an axis of `length` pixels, bin k of n reaches from ⌊k · length / n⌋ up to ⌈(k + 1) · length / n⌉,
    without the latter, as in PyTorch.
    """

    output_size: int | Pair

    def __post_init__(self) -> None:
        super().__post_init__()
        size = as_pair(self.output_size, f"{type(self).__name__}: output_size", 1)
        object.__setattr__(self, "output_size", size)

    @property
    def bins(self) -> Pair:
        """How many bins there are, vertically and horizontally."""
        assert isinstance(self.output_size, tuple)
        return self.output_size

    def output_shape(self, shape: Shape) -> Shape:
        """Give (c, oh, ow) for (c, h, w)."""
        check_shape(shape, (None, None, None), self, "input, one sample")
        return (shape[0], *self.bins)

    def summary(self) -> str:
        """Show the size of the output."""
        return show_pair(self.bins)


@dataclass(frozen=True, eq=False, repr=False)
class AdaptiveAvgPool(AdaptivePool, SeparableLayer):
    """The mean of each bin of the image, to an output of given size; relevance as in `AvgPool`.

    Bin k of n, of an axis of `length` pixels, is ⌊k · length / n⌋ up to ⌈(k + 1) · length / n⌉, without the
    latter, as in PyTorch.

    Parameters
    ----------
    output_size : int or (int, int)
        Height and width of the output, in pixels.
    name : str, optional

    Examples
    --------
    >>> import numpy as np
    >>> from refcrp import layers as L
    >>> image = np.arange(12.0).reshape(1, 1, 3, 4)
    >>> L.AdaptiveAvgPool((1, 2)).forward(image)
    array([[[[4.5, 6.5]]]])
    """

    kind: ClassVar[str] = "adaptive_avgpool"

    def recipe(self, axis: int, length: int) -> Recipe:
        """Say how to make the matrix of an axis."""
        return mean_of_bins, (self.bins[axis], length)


@dataclass(frozen=True, eq=False, repr=False)
class AdaptiveMaxPool(AdaptivePool, OwnRelevanceLayer):
    """The largest value of each bin of the image, to an output of given size; relevance as in `MaxPool`.

    Parameters
    ----------
    output_size : int or (int, int)
        Height and width of the output, in pixels; bins are those of `AdaptiveAvgPool`.
    name : str, optional

    Examples
    --------
    >>> import numpy as np
    >>> from refcrp import layers as L
    >>> image = np.arange(12.0).reshape(1, 1, 3, 4)
    >>> L.AdaptiveMaxPool((1, 2)).forward(image)
    array([[[[ 9., 11.]]]])
    """

    kind: ClassVar[str] = "adaptive_maxpool"
    chooses: ClassVar[bool] = True

    def tiles(self, size: tuple[int, ...]) -> Iterator[Tile]:
        """Give the parts of an image that one window covers: all of it if all bins are alike, else a bin."""
        if all(length % n == 0 for length, n in zip(size, self.bins, strict=True)):
            window = (size[0] // self.bins[0], size[1] // self.bins[1])
            yield Tile((...,), (...,), Window(window, window))
            return
        for y, (top, bottom) in enumerate(bins(self.bins[0], size[0])):
            for q, (left, right) in enumerate(bins(self.bins[1], size[1])):
                inputs = (..., slice(top, bottom), slice(left, right))
                outputs = (..., slice(y, y + 1), slice(q, q + 1))
                yield Tile(inputs, outputs, Window((bottom - top, right - left)))

    def apply(self, x: Array) -> Array:
        """Compute the output of an input that has been checked."""
        z = np.empty((*x.shape[:2], *self.bins), x.dtype)
        for tile in self.tiles(x.shape[2:]):
            z[tile.outputs] = kernels.maxpool2d(x[tile.inputs], tile.window)[0]
        return z

    def linearize(self, a: Array, rule: Rule) -> Pull:
        """R_winner += z / stabilize(z) · R_j in each bin, or what else the rule says of max pooling."""
        output = np.empty((*a.shape[:2], *self.bins), a.dtype)
        pulls = []
        for tile in self.tiles(a.shape[2:]):
            of_tile = WAYS[rule.max_pool](a[tile.inputs], tile.window, rule)
            output[tile.outputs] = of_tile.output
            pulls.append((tile, of_tile))

        def pull(R_out: Array) -> Array:
            R_in = np.zeros((*R_out.shape[:-3], *a.shape[1:]), R_out.dtype)
            for tile, of_tile in pulls:
                R_in[tile.inputs] += of_tile(R_out[tile.outputs])
            return R_in

        def losses(R_out: Array) -> Losses:
            of_tiles = [of_tile.losses(R_out[tile.outputs]) for tile, of_tile in pulls]
            return Losses(*(np.asarray(sum(part[1:], part[0])) for part in zip(*of_tiles, strict=True)))

        return Pull(output, pull, losses)


class Tile(NamedTuple):
    """A part of the image, the outputs that see it, and the window through which they do."""

    inputs: tuple[EllipsisType | slice, ...]
    outputs: tuple[EllipsisType | slice, ...]
    window: Window


def bins(count: int, length: int) -> list[Pair]:
    """Give where each bin of an axis starts, and where it has ended."""
    return [(k * length // count, -(-(k + 1) * length // count)) for k in range(count)]


def mean_of_bins(count: int, length: int) -> Array:
    """Make the matrix (count, length) that takes the mean of each bin."""
    matrix = no_weights(count, length)
    for k, (start, end) in enumerate(bins(count, length)):
        matrix[k, start:end] = Fraction(1, end - start)
    return matrix
