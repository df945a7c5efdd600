"""Upsampling: linear maps without weights of their own."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar

from refcrp.arrays import Array
from refcrp.checks import MAX_INTEGER, Shape, as_flag, check_number, check_shape
from refcrp.errors import ParameterError, ShapeError
from refcrp.kernels.window import Pair, as_pair
from refcrp.layers.conv import show_pair
from refcrp.layers.separable import Recipe, SeparableLayer, no_weights

__all__ = ["UpsampleBilinear", "UpsampleNearest"]


@dataclass(frozen=True, eq=False, repr=False)
class Upsampling(SeparableLayer):
    """What upsampling layers have in common: by how much the image grows, or to which size.

    Parameters
    ----------
    scale : float or (int, int), optional
        How many times as high and wide the output is, rounded down to pixels.
    size : int or (int, int), optional
        Height and width of the output, in pixels; one of `scale` and `size` must be given.
    name : str, optional
    """

    scale: float | Pair | None = None
    size: int | Pair | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        what = type(self).__name__
        if (self.scale is None) == (self.size is None):
            raise ParameterError(
                f"{what}: expected a scale or a size, got scale={self.scale!r}, size={self.size!r}"
            )
        if self.size is not None:
            object.__setattr__(self, "size", as_pair(self.size, f"{what}: size", 1))
        elif isinstance(self.scale, (tuple, list)):
            object.__setattr__(self, "scale", as_pair(self.scale, f"{what}: scale", 1))
        else:
            check_number(f"{what}: scale", self.scale, 0, MAX_INTEGER, includes_low=False)

    def scales(self) -> tuple[Fraction, Fraction]:
        """Give the vertical and the horizontal scale, exactly."""
        assert self.scale is not None
        vertical, horizontal = self.scale if isinstance(self.scale, tuple) else (self.scale, self.scale)
        return Fraction(vertical), Fraction(horizontal)

    def output_length(self, axis: int, length: int | None) -> int | None:
        """Count the output's rows (axis 0) or columns (axis 1)."""
        if self.size is not None:
            return as_pair(self.size, "size", 1)[axis]
        return None if length is None else math.floor(length * self.scales()[axis])

    def recipe(self, axis: int, length: int) -> Recipe:
        """Say how to make the matrix of an axis."""
        outputs = self.output_length(axis, length)
        assert outputs is not None
        step = 1 / self.scales()[axis] if self.size is None else Fraction(length, outputs)
        return self.recipe_with(outputs, length, step)

    @abstractmethod
    def recipe_with(self, outputs: int, inputs: int, step: Fraction) -> Recipe:
        """Say how to make a matrix (outputs, inputs), `step` input pixels to one of the output."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give (c, oh, ow) for (c, h, w)."""
        check_shape(shape, (None, None, None), self, "input, one sample")
        size = tuple(self.output_length(axis, length) for axis, length in enumerate(shape[1:]))
        if 0 in size:
            image = " x ".join(str(n) for n in shape[1:])
            raise ShapeError(f"{self}: nothing is left of an image of {image} pixels")
        return (shape[0], *size)

    def summary(self) -> str:
        """Show the scale or the size."""
        if self.size is not None:
            return f"to {show_pair(as_pair(self.size, 'size', 1))}"
        return f"{self.scale}"


@dataclass(frozen=True, eq=False, repr=False)
class UpsampleNearest(Upsampling):
    """Every output pixel is the input pixel below it: number ⌊k / scale⌋, as in PyTorch.

    A linear map whose weights are 0 and 1: under ZeroRule and EpsilonRule relevance goes back to the pixel
    that was copied.

    Parameters
    ----------
    scale : float or (int, int), optional
        How many times as high and wide the output is, rounded down to pixels.
    size : int or (int, int), optional
        Height and width of the output, in pixels; one of `scale` and `size` must be given.
    name : str, optional

    Examples
    --------
    >>> from refcrp import layers as L
    >>> up = L.UpsampleNearest((1, 2))
    >>> up.forward([[[[1.0, 3.0]]]])
    array([[[[1., 1., 3., 3.]]]])
    >>> up.relevance([[[[1.0, 2.0, 3.0, 4.0]]]], [[[[1.0, 3.0]]]])
    array([[[[3., 7.]]]])
    """

    kind: ClassVar[str] = "upsample_nearest"

    def recipe_with(self, outputs: int, inputs: int, step: Fraction) -> Recipe:
        """Say how to make the matrix of an axis."""
        return nearest, (outputs, inputs, step)


@dataclass(frozen=True, eq=False, repr=False)
class UpsampleBilinear(Upsampling):
    """Every output pixel is interpolated between the two rows and the two columns next to it.

    A linear map: under ZeroRule and EpsilonRule relevance is divided in proportion to a_i times the weight of
    the interpolation. Without corners aligned, the middle of output pixel k lies at (k + ½) / scale, and what
    lies before the middle of the first pixel, or behind that of the last, takes its value; as in PyTorch.

    Parameters
    ----------
    scale : float or (int, int), optional
        How many times as high and wide the output is, rounded down to pixels.
    size : int or (int, int), optional
        Height and width of the output, in pixels; one of `scale` and `size` must be given.
    align_corners : bool
        Whether the middles of the corner pixels of input and output lie on each other.
    name : str, optional

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.UpsampleBilinear((1, 2)).forward([[[[1.0, 3.0]]]])
    array([[[[1. , 1.5, 2.5, 3. ]]]])
    >>> L.UpsampleBilinear(size=(1, 3), align_corners=True).forward([[[[1.0, 3.0]]]])
    array([[[[1., 2., 3.]]]])
    """

    kind: ClassVar[str] = "upsample_bilinear"

    align_corners: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        flag = as_flag("UpsampleBilinear: align_corners", self.align_corners)
        object.__setattr__(self, "align_corners", flag)

    def recipe_with(self, outputs: int, inputs: int, step: Fraction) -> Recipe:
        """Say how to make the matrix of an axis."""
        if self.align_corners:
            step = Fraction(inputs - 1, outputs - 1) if outputs > 1 else Fraction(0)
            return between, (outputs, inputs, step, Fraction(0))
        return between, (outputs, inputs, step, (step - 1) / 2)

    def summary(self) -> str:
        """Show the scale or the size, and how corners lie."""
        return super().summary() + (", align_corners=True" if self.align_corners else "")


def nearest(outputs: int, inputs: int, step: Fraction) -> Array:
    """Make the matrix (outputs, inputs) in which output k is input ⌊k · step⌋."""
    matrix = no_weights(outputs, inputs)
    for k in range(outputs):
        matrix[k, min(math.floor(k * step), inputs - 1)] = Fraction(1)
    return matrix


def between(outputs: int, inputs: int, step: Fraction, start: Fraction) -> Array:
    """Make the matrix (outputs, inputs) in which output k is interpolated at start + k · step."""
    matrix = no_weights(outputs, inputs)
    for k in range(outputs):
        place = min(max(start + k * step, Fraction(0)), Fraction(inputs - 1))
        before = math.floor(place)
        matrix[k, before] += 1 - (place - before)
        if place > before:
            matrix[k, before + 1] += place - before
    return matrix
