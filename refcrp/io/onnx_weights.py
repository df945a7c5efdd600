"""What linear layers, pooling and normalisation of ONNX are in refcrp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from refcrp import layers as L
from refcrp.arrays import Array
from refcrp.checks import show_shape
from refcrp.io.assembly import Part
from refcrp.io.onnx_operator import Operator
from refcrp.io.torch_arithmetic import PRODUCT
from refcrp.kernels.window import Pair
from refcrp.layers import Layer
from refcrp.layers.uneven import Sides

__all__ = [
    "batch_norm",
    "conv",
    "conv_transpose",
    "gemm",
    "global_pool",
    "group_norm",
    "image",
    "instance_norm",
    "layer_norm",
    "matmul",
    "over",
    "pool",
    "reduce",
]


def geometry(op: Operator, kernel: Sequence[int]) -> tuple[Pair, Pair, Sides]:
    """Give stride, dilation, and the padding of images; sequences are images of height 1."""
    axes = len(op.shape) - 1
    stride, dilation = (op.get(name, [1] * axes) for name in ("strides", "dilations"))
    pads = op.get("pads", [0] * 2 * axes)
    if not len(kernel) == len(stride) == len(dilation) == axes or axes not in (1, 2) or len(pads) != 2 * axes:
        expected = "channels, and one or two more axes, and as many of the kernel"
        raise op.fail(f"kernel {list(kernel)} on {show_shape(op.shape)}; expected {expected}")
    way = op.get("auto_pad", "NOTSET")
    if way in ("SAME_UPPER", "SAME_LOWER"):
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        sizes = zip(op.shape[1:], stride, reach, strict=True)
        total = [max(0, (-(-n // max(s, 1)) - 1) * s + r - n) for n, s, r in sizes]
        small, large = [n // 2 for n in total], [n - n // 2 for n in total]
        pads = [*small, *large] if way == "SAME_UPPER" else [*large, *small]
    elif way not in ("NOTSET", "VALID", ""):
        raise op.fail(f"auto_pad={way!r} is not supported")
    before, after = ([0] * axes,) * 2 if way == "VALID" else (pads[:axes], pads[axes:])
    (top, left), (bottom, right) = image(before, 0), image(after, 0)
    return image(stride, 1), image(dilation, 1), (top, bottom, left, right)


def image(values: Sequence[int], of_height: int) -> Pair:
    """Give what there is for each axis for images, of which sequences are those of height 1."""
    vertical, horizontal = values if len(values) == 2 else (of_height, *values)
    return vertical, horizontal


def over(op: Operator, *layers: Layer) -> Part:
    """Give layers over images, or over sequences as images of height 1."""
    if len(op.shape) != 2:
        return layers
    channels, length = op.shape
    shape: tuple[int | None, ...] = (channels, 1, length)
    for layer in layers:
        shape = layer.output_shape(shape)
    return L.Reshape((channels, 1, length)), *layers, L.Reshape((shape[0] or 0, shape[2] or 0))


def filters(op: Operator) -> Array:
    """Give the weight, (., ., height, width)."""
    weight = op.needed(1)
    return weight[:, :, None] if weight.ndim == 3 else weight


def conv(op: Operator) -> Part:
    """Cross-correlation; what padding differs between the sides goes before it."""
    stride, dilation, (top, bottom, left, right) = geometry(op, op.needed(1).shape[2:])
    both = min(top, bottom), min(left, right)
    more = top - both[0], bottom - both[0], left - both[1], right - both[1]
    settings = {"stride": stride, "padding": both, "dilation": dilation, "groups": op.get("group", 1)}
    layer = L.Conv2d(filters(op), op.constant(2), **settings)
    return over(op, L.ZeroPad(more), layer) if any(more) else over(op, layer)


def conv_transpose(op: Operator) -> Part:
    """The adjoint of a convolution."""
    op.demand("auto_pad", "NOTSET", "")
    op.demand("output_shape", None)
    stride, dilation, (top, bottom, left, right) = geometry(op, op.needed(1).shape[2:])
    if (top, left) != (bottom, right):
        raise op.fail(f"pads={op.get('pads')} differ between the sides")
    added = image(op.get("output_padding", [0, 0]), 0)
    settings: dict[str, Any] = {"stride": stride, "dilation": dilation, "groups": op.get("group", 1)}
    settings |= {"padding": (top, left), "output_padding": added}
    return over(op, L.ConvTranspose2d(filters(op), op.constant(2), **settings))


def pool(op: Operator) -> Part:
    """Max pooling and average pooling under a window."""
    op.demand("dilations", [1, 1], [1])
    op.demand("storage_order", 0)
    stride, _, given = geometry(op, op.get("kernel_shape", ()))
    kernel = image(op.get("kernel_shape"), 1)
    sides = rounded_up(op, kernel, stride, given) if op.get("ceil_mode", 0) else given
    if op.kind == "MaxPool":
        return over(op, L.MaxPool(kernel, stride, sides))
    counts = bool(op.get("count_include_pad", 0))
    if sides != given and counts and any(given):
        raise op.fail("ceil_mode=1 with padding that counts as values, expected one or the other")
    return over(op, L.AvgPool(kernel, stride, sides, count_include_pad=counts and sides == given))


def rounded_up(op: Operator, kernel: Pair, stride: Pair, sides: Sides) -> Sides:
    """Give the padding with as much more as the last window reaches outside."""
    lengths, found = image(op.shape[1:], 1), []
    for n, k, s, before, after in zip(lengths, kernel, stride, sides[::2], sides[1::2], strict=True):
        places = -(-(n + before + after - k) // max(s, 1)) + 1
        places -= (places - 1) * s >= n + before  # a window that starts behind the image is left out
        outside = max(0, (places - 1) * s + k - n - before - after)
        if outside and 2 * (after + outside) > k:
            raise op.fail(f"ceil_mode=1 puts {after + outside} of {k} pixels of a window outside the image")
        found += [before, after + outside]
    top, bottom, left, right = found
    return top, bottom, left, right


def reduce(op: Operator) -> Part:
    """The mean, or the maximum, over all pixels."""
    axes = op.numbers("axes", 1)
    rank = len(op.shape) + 1
    pixels = set(range(2, rank))
    if rank not in (3, 4) or axes is None or {int(axis) % rank for axis in axes} != pixels:
        raise op.fail(f"axes={axes}, expected all but the batch and the channels of {show_shape(op.shape)}")
    layers = global_pool(op)
    return layers if op.get("keepdims", 1) else (*layers, L.Flatten())


def global_pool(op: Operator) -> Sequence[Layer]:
    """One pixel of all."""
    is_mean = op.kind in ("ReduceMean", "GlobalAveragePool")
    part = over(op, L.GlobalAvgPool() if is_mean else L.GlobalMaxPool())
    return [part] if isinstance(part, Layer) else part


# Dense layers and normalisation -----------------------------------------------------------------------------


def gemm(op: Operator) -> Part:
    """alpha · x W + beta · C."""
    op.demand("transA", 0)
    weight = op.needed(1)
    weight = (weight if op.get("transB", 0) else weight.T) * weight.dtype.type(op.get("alpha", 1.0))
    bias = op.constant(2)
    if bias is not None:
        if bias.size not in (1, len(weight)):
            raise op.fail(f"a bias of shape {bias.shape}; expected {len(weight)} values")
        scaled = bias.reshape(-1) * bias.dtype.type(op.get("beta", 1.0))
        bias = np.broadcast_to(scaled, (len(weight),))
    return L.Dense(weight, bias)


def matmul(op: Operator) -> Part:
    """x W."""
    if len(op.sources) == 2:
        raise op.fail(PRODUCT)
    if not isinstance(op.inputs[0], str) or op.needed(1).ndim != 2:
        raise op.fail("expected features times a constant matrix")
    return L.Dense(op.needed(1).T)


def batch_norm(op: Operator) -> Part:
    """Batch normalisation with the running statistics."""
    op.demand("training_mode", 0)
    gamma, beta, mean, variance = (op.needed(k) for k in range(1, 5))
    return L.BatchNorm(mean, variance, gamma, beta, epsilon=op.get("epsilon", 1e-5))


def instance_norm(op: Operator) -> Part:
    """Instance normalisation."""
    return L.InstanceNorm(op.needed(1), op.needed(2), epsilon=op.get("epsilon", 1e-5))


def layer_norm(op: Operator) -> Part:
    """Layer normalisation over an axis and all behind it."""
    rank = len(op.shape) + 1
    axis = op.get("axis", -1) % rank
    if axis == 0:
        raise op.fail("axis=0 normalises over the batch, expected axes behind it")
    normalized = op.shape[axis - 1 :]
    for array in (op.needed(1), op.constant(2)):
        if array is not None and array.shape != normalized:
            raise op.fail(f"a parameter of shape {array.shape}, expected {normalized}")
    return L.LayerNorm(op.needed(1), op.constant(2), epsilon=op.get("epsilon", 1e-5))


def group_norm(op: Operator) -> Part:
    """Group normalisation; before opset 21 a parameter is one for each group."""
    groups, (weight, bias) = op.get("num_groups", 0), (op.needed(1), op.needed(2))
    if op.opset < 21:
        if not 0 < groups <= op.shape[0] or op.shape[0] % groups or {weight.shape, bias.shape} != {(groups,)}:
            raise op.fail(f"{op.shape[0]} channels, and {weight.size} parameters, for {groups} groups")
        weight, bias = (np.repeat(value, op.shape[0] // groups) for value in (weight, bias))
    return L.GroupNorm(groups, weight, bias, epsilon=op.get("epsilon", 1e-5))
