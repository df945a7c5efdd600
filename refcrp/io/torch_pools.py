"""What pooling and resizing of PyTorch is in refcrp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from refcrp import layers as L
from refcrp.checks import show_shape
from refcrp.io.assembly import Part
from refcrp.io.torch_call import Call, as_image, pair, single
from refcrp.layers import Layer

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


def max_pool(call: Call) -> Part:
    """Max pooling under a window."""
    call.demand("dilation", 1, (1, 1))
    call.demand("return_indices", False)
    return equal_shape(call, L.MaxPool(*window(call)))


def avg_pool(call: Call) -> Part:
    """Average pooling under a window."""
    call.demand("divisor_override", None)
    return equal_shape(call, L.AvgPool(*window(call), count_include_pad=call.get("count_include_pad", True)))


def window(call: Call) -> tuple[Any, Any, Any]:
    """Give kernel, stride and padding."""
    return call.get("kernel_size"), call.get("stride") or None, call.get("padding", 0)


def equal_shape(call: Call, layer: Layer) -> Layer:
    """Give a pooling layer, whose windows end inside the image, if they do so in PyTorch, too."""
    shape = layer.output_shape(*call.inputs)
    if shape != call.output:
        raise call.fail(
            f"ceil_mode=True gives {show_shape(call.output)} where whole windows give {show_shape(shape)}"
        )
    return layer


def max_pool1d(call: Call) -> Part:
    """Max pooling along a sequence."""
    call.demand("dilation", 1, (1,))
    call.demand("return_indices", False)
    return pool1d(call, L.MaxPool)


def avg_pool1d(call: Call) -> Part:
    """Average pooling along a sequence."""
    counts = call.get("count_include_pad", True)
    return pool1d(call, partial(L.AvgPool, count_include_pad=counts))


def pool1d(call: Call, pool: Callable[..., Layer]) -> Part:
    """Give a pooling layer of height 1."""
    kernel, stride, padding = (None if v is None else single(v)[0] for v in window(call))
    return as_image(call, pool((1, kernel), (1, stride or kernel), (0, padding)))


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
