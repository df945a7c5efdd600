"""What linear layers, pooling and normalisation of ONNX are in refcrp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from refcrp import layers as L
from refcrp.checks import show_shape
from refcrp.io.assembly import Part
from refcrp.io.onnx_operator import Operator
from refcrp.kernels.window import Pair
from refcrp.layers import Layer

__all__ = ["batch_norm", "conv", "conv_transpose", "gemm", "global_pool", "instance_norm", "matmul", "pool"]


def geometry(op: Operator, kernel: Sequence[int]) -> tuple[Pair, Pair, Sequence[int]]:
    """Give stride, dilation, and the padding at the top, the left, the bottom and the right."""
    stride, dilation = (op.get(name, [1, 1]) for name in ("strides", "dilations"))
    pads = op.get("pads", [0, 0, 0, 0])
    if not len(kernel) == len(stride) == len(dilation) == len(op.shape) - 1 == 2 or len(pads) != 4:
        raise op.fail(f"kernel {list(kernel)} on {show_shape(op.shape)}; expected images, and two axes")
    way = op.get("auto_pad", "NOTSET")
    if way in ("SAME_UPPER", "SAME_LOWER"):
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        sizes = zip(op.shape[1:], stride, reach, strict=True)
        total = [max(0, (-(-n // max(s, 1)) - 1) * s + r - n) for n, s, r in sizes]
        small, large = [n // 2 for n in total], [n - n // 2 for n in total]
        pads = [*small, *large] if way == "SAME_UPPER" else [*large, *small]
    elif way not in ("NOTSET", "VALID", ""):
        raise op.fail(f"auto_pad={way!r} is not supported")
    return tuple(stride), tuple(dilation), [0] * 4 if way == "VALID" else pads


def conv(op: Operator) -> Part:
    """Cross-correlation; what padding differs between the sides goes before it."""
    weight = op.needed(1)
    stride, dilation, (top, left, bottom, right) = geometry(op, weight.shape[2:])
    both = min(top, bottom), min(left, right)
    more = top - both[0], bottom - both[0], left - both[1], right - both[1]
    settings = {"stride": stride, "padding": both, "dilation": dilation, "groups": op.get("group", 1)}
    layer = L.Conv2d(weight, op.constant(2), **settings)
    return (L.ZeroPad(more), layer) if any(more) else layer


def conv_transpose(op: Operator) -> Part:
    """The adjoint of a convolution."""
    op.demand("auto_pad", "NOTSET", "")
    op.demand("output_shape", None)
    weight = op.needed(1)
    stride, dilation, pads = geometry(op, weight.shape[2:])
    settings: dict[str, Any] = {"stride": stride, "dilation": dilation, "groups": op.get("group", 1)}
    added = tuple(op.get("output_padding", [0, 0]))
    return L.ConvTranspose2d(
        weight, op.constant(2), padding=equal_sides(op, pads), output_padding=added, **settings
    )


def equal_sides(op: Operator, pads: Sequence[int]) -> Pair:
    """Give the padding, if it is the same on both sides."""
    if tuple(pads[:2]) != tuple(pads[2:]):
        raise op.fail(f"pads={list(pads)} differ between the sides")
    return pads[0], pads[1]


def pool(op: Operator) -> Part:
    """Max pooling and average pooling under a window."""
    op.demand("dilations", [1, 1])
    op.demand("storage_order", 0)
    kernel = op.get("kernel_shape", ())
    stride, _, pads = geometry(op, kernel)
    padding = equal_sides(op, pads)
    if op.get("ceil_mode", 0):
        sizes = zip(op.shape[1:], kernel, padding, stride, strict=True)
        if any((n + 2 * p - k) % s for n, k, p, s in sizes):
            raise op.fail("ceil_mode=1 makes windows that end outside the image")
    if op.kind == "MaxPool":
        return L.MaxPool(tuple(kernel), stride, padding)
    return L.AvgPool(tuple(kernel), stride, padding, count_include_pad=bool(op.get("count_include_pad", 0)))


def global_pool(op: Operator) -> Part:
    """The mean, or the maximum, over height and width."""
    axes = op.numbers("axes", 1)
    rank = len(op.shape) + 1
    if rank != 4 or axes is None or {int(axis) % rank for axis in axes} != {2, 3}:
        raise op.fail(f"axes={axes}, expected [2, 3] of (batch, channels, height, width)")
    layer: Layer = L.GlobalAvgPool() if op.kind == "ReduceMean" else L.GlobalMaxPool()
    return layer if op.get("keepdims", 1) else (layer, L.Flatten())


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
