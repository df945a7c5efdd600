"""Images made larger, as matrices: each output pixel a mean of input pixels with rational weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from refcrp.conformance.arithmetic import Arithmetic, Number
from refcrp.conformance.windows import Shape, as_pair
from refcrp.errors import ShapeError

__all__ = ["upsample_bilinear", "upsample_nearest"]

Weights = Mapping[int, Fraction]  # of the pixels of an axis that an output pixel is made of
Rows = list[list[tuple[int, Number]]]


def upsample_nearest(settings: Mapping[str, Any], shape: Shape, A: Arithmetic) -> tuple[Rows, Shape]:
    """Output pixel k is input pixel ⌊k · inputs / outputs⌋, along each axis."""

    def below(k: int, inputs: int, outputs: int) -> Weights:
        return {k * inputs // outputs: Fraction(1)}

    return resampled(below, settings, shape, A)


def upsample_bilinear(settings: Mapping[str, Any], shape: Shape, A: Arithmetic) -> tuple[Rows, Shape]:
    """Output pixel k lies at place p of the input, between pixels ⌊p⌋ and ⌊p⌋ + 1, along each axis.

    p = (k + ½) · inputs / outputs - ½, but no less than 0; or with corners aligned
    p = k · (inputs - 1) / (outputs - 1), and 0 if there is one output.
    """

    def between(k: int, inputs: int, outputs: int) -> Weights:
        if settings["align_corners"]:
            place = Fraction(k * (inputs - 1), outputs - 1) if outputs > 1 else Fraction(0)
        else:
            place = max(Fraction((2 * k + 1) * inputs, 2 * outputs) - Fraction(1, 2), Fraction(0))
        first = int(place)
        after = place - first
        if first >= inputs - 1:  # behind the middle of the last pixel
            return {inputs - 1: Fraction(1)}
        return {first: 1 - after, first + 1: after} if after else {first: Fraction(1)}

    return resampled(between, settings, shape, A)


def resampled(
    weights: Callable[[int, int, int], Weights], settings: Mapping[str, Any], shape: Shape, A: Arithmetic
) -> tuple[Rows, Shape]:
    """Give for each output pixel its inputs and their weights, the product of those along both axes."""
    if len(shape) != 3:
        raise ShapeError(f"upsampling: one sample has shape {shape}, expected (channels, height, width)")
    (channels, height, width), (rows, columns) = shape, as_pair(settings["size"])
    of_row = [weights(k, height, rows) for k in range(rows)]
    of_column = [weights(k, width, columns) for k in range(columns)]
    pixels = [
        [
            ((c * height + y) * width + x, A.number(w_y * w_x))
            for y, w_y in vertical.items()
            for x, w_x in horizontal.items()
        ]
        for c in range(channels)
        for vertical in of_row
        for horizontal in of_column
    ]
    return pixels, (channels, rows, columns)
