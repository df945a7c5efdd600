"""What pooling and resizing of PyTorch is in refcrp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from refcrp import layers as L
from refcrp.checks import show_shape
from refcrp.io.assembly import Part
from refcrp.io.torch_call import Call, as_image, pair
from refcrp.kernels.window import Pair
from refcrp.layers import Layer
from refcrp.layers.uneven import Sides

__all__ = [
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "amax",
    "avg_pool",
    "avg_pool1d",
    "max_pool",
    "max_pool1d",
    "mean",
    "upsample",
]


def max_pool(call: Call, axes: int = 2) -> Part:
    """Max pooling under a window, over height and width."""
    call.demand("dilation", 1, (1,) * axes)
    call.demand("return_indices", False)
    return over(call, L.MaxPool(*window(call, axes)))


def avg_pool(call: Call, axes: int = 2) -> Part:
    """Average pooling under a window, over height and width."""
    call.demand("divisor_override", None)
    kernel, stride, (top, bottom, left, right) = window(call, axes)
    counts = call.get("count_include_pad", True)
    if (top, left) != (bottom, right) and counts:
        # PyTorch counts the padding it was asked for, but not what rounding up adds.
        if top or left:
            raise call.fail("ceil_mode=True with padding that counts as values, expected one or the other")
        counts = False
    return over(call, L.AvgPool(kernel, stride, (top, bottom, left, right), count_include_pad=counts))


def max_pool1d(call: Call) -> Part:
    """Max pooling along a sequence."""
    return max_pool(call, axes=1)


def avg_pool1d(call: Call) -> Part:
    """Average pooling along a sequence."""
    return avg_pool(call, axes=1)


def over(call: Call, pool: Layer) -> Part:
    """Give a pool over images, or over sequences as images of height 1."""
    return pool if len(call.output) == 3 else as_image(call, pool)


def window(call: Call, axes: int) -> tuple[Pair, Pair, Sides]:
    """Give kernel, stride and padding; ceil_mode pads as much as the last window reaches outside."""
    before, after = call.inputs[0][1:], call.output[1:]
    if len(before) != axes:
        raise call.fail(f"{show_shape(call.inputs[0])}, expected channels and {axes} more axes")
    kernel, padding = (along_axes(call.get(name, 0), axes) for name in ("kernel_size", "padding"))
    stride = along_axes(call.get("stride") or kernel, axes)
    sides = []
    for n, m, k, s, p in zip(before, after, kernel, stride, padding, strict=True):
        outside = max(0, (m - 1) * s + k - n - 2 * p)
        if 2 * (p + outside) > k:
            raise call.fail(f"ceil_mode=True puts {p + outside} of {k} pixels of a window outside the image")
        sides += [p, p + outside]
    one = (1,) * (2 - axes)  # of a sequence, the height
    (height, width), (down, right) = (*one, *kernel), (*one, *stride)
    top, bottom, left, last = (*(0, 0) * (2 - axes), *sides)
    return (height, width), (down, right), (top, bottom, left, last)


def along_axes(value: Any, axes: int) -> tuple[int, ...]:
    """Give a setting for each axis, of which PyTorch takes one number for all."""
    return tuple(value) if isinstance(value, Sequence) else (value,) * axes


def adaptive_avg_pool(call: Call) -> Part:
    """Average pooling to a given size."""
    return L.GlobalAvgPool() if call.output[1:] == (1, 1) else L.AdaptiveAvgPool(pair(call.output[1:]))


def adaptive_max_pool(call: Call) -> Part:
    """Max pooling to a given size."""
    call.demand("return_indices", False)
    return L.GlobalMaxPool() if call.output[1:] == (1, 1) else L.AdaptiveMaxPool(pair(call.output[1:]))


def mean(call: Call) -> Part:
    """The mean over height and width."""
    return global_pool(call, L.GlobalAvgPool())


def amax(call: Call) -> Part:
    """The maximum over height and width."""
    return global_pool(call, L.GlobalMaxPool())


def global_pool(call: Call, pool: Layer) -> Part:
    """Give a pool over height and width, and the channels alone if the axes are not kept."""
    axes = call.get("dim")
    rank = len(call.inputs[0]) + 1
    axes = {axis % rank for axis in ((axes,) if isinstance(axes, int) else axes or ())}
    if rank != 4 or axes != {2, 3}:
        raise call.fail(f"dim={call.get('dim')!r}, expected (2, 3) of (batch, channels, height, width)")
    return pool if call.get("keepdim", False) else (pool, L.Flatten())


def upsample(call: Call) -> Part:
    """Upsampling to a size, or by a scale."""
    size, scale = call.get("size"), call.get("scale_factor")
    if isinstance(scale, Sequence):
        scale = tuple(int(n) for n in scale) if all(n == int(n) for n in scale) else None
    if call.get("recompute_scale_factor") or (size is None and scale is None):
        size, scale = call.output[1:], None
    mode, where = call.get("mode", "nearest"), {"size": size} if scale is None else {"scale": scale}
    if mode == "nearest":
        return L.UpsampleNearest(**where)
    if mode == "bilinear":
        return L.UpsampleBilinear(**where, align_corners=call.get("align_corners", False))
    raise call.fail(f"mode={mode!r}, expected 'nearest' or 'bilinear'")
