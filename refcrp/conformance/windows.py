"""Which pixels a window sees at each of its places, by index loops."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from refcrp.errors import ParameterError, ShapeError

__all__ = ["Pair", "Shape", "Sides", "as_pair", "as_sides", "bins", "pairs", "pool_windows", "windows"]

Shape = tuple[int, ...]
Pair = tuple[int, int]
Sides = tuple[int, int, int, int]  # at the top, at the bottom, at the left, at the right


def as_pair(value: Any) -> Pair:
    """Give (v, v) for v."""
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


def as_sides(value: Any) -> Sides:
    """Give padding on four sides, for one number, two (vertical, horizontal) or four."""
    if not isinstance(value, int) and len(value) == 4:
        top, bottom, left, right = (int(n) for n in value)
        return top, bottom, left, right
    vertical, horizontal = as_pair(value)
    return vertical, vertical, horizontal, horizontal


def pairs(settings: Mapping[str, Any], **usual: int) -> dict[str, Pair]:
    """Give settings as pairs, vertical and horizontal."""
    return {name: as_pair(settings.get(name, value)) for name, value in usual.items()}


def windows(
    image: Shape, kernel: Pair, stride: Pair, padding: Sides, dilation: Pair = (1, 1)
) -> list[list[list[tuple[Pair, Pair]]]]:
    """List (position in the kernel, pixel) for each place of a window, row by row; a pixel may be padding."""
    before, after = (padding[0], padding[2]), (padding[1], padding[3])
    heights, widths = (
        range(-before[k], image[k] + after[k] - dilation[k] * (kernel[k] - 1), stride[k]) for k in (0, 1)
    )
    if not heights or not widths:
        raise ShapeError(f"a kernel of {kernel} pixels does not fit into an image of {image}")
    taps = list(itertools.product(range(kernel[0]), range(kernel[1])))
    return [
        [[((i, j), (y + i * dilation[0], x + j * dilation[1])) for i, j in taps] for x in widths]
        for y in heights
    ]


def pool_windows(kind: str, settings: Mapping[str, Any], shape: Shape) -> tuple[list[list[int]], Shape]:
    """Give for each output of a pooling layer the inputs that it sees, row by row, and the output's shape.

    The window of global pooling is the whole image; adaptive pooling has bins.
    """
    if len(shape) != 3:
        raise ShapeError(f"pooling: one sample has shape {shape}, expected (channels, height, width)")
    if kind.startswith("adaptive"):
        return adaptive_windows(as_pair(settings["output_size"]), shape)
    channels, height, width = shape
    if kind.startswith("global"):
        settings = {"kernel_size": (height, width)}
    kernel = as_pair(settings["kernel_size"])
    stride = as_pair(settings.get("stride") or kernel)
    padding = as_sides(settings.get("padding", 0))
    if 2 * max(padding[:2]) > kernel[0] or 2 * max(padding[2:]) > kernel[1]:
        raise ParameterError(f"pooling: padding {padding} is more than half of the kernel {kernel}")
    places = windows(shape[1:], kernel, stride, padding)
    rows = [
        [(c * height + y) * width + x for _, (y, x) in window if 0 <= y < height and 0 <= x < width]
        for c in range(channels)
        for window in itertools.chain.from_iterable(places)
    ]
    return rows, (channels, len(places), len(places[0]))


def adaptive_windows(size: Pair, shape: Shape) -> tuple[list[list[int]], Shape]:
    """Give the pixels in each bin of an image, and the output's shape."""
    channels, height, width = shape
    rows = [
        [(c * height + y) * width + x for y in ys for x in xs]
        for c in range(channels)
        for ys in bins(size[0], height)
        for xs in bins(size[1], width)
    ]
    return rows, (channels, *size)


def bins(count: int, length: int) -> list[range]:
    """Give the pixels of each bin of an axis: from ⌊k · length / count⌋ up to ⌈(k + 1) · length / count⌉."""
    return [range(k * length // count, -(-(k + 1) * length // count)) for k in range(count)]
