"""What operators of PyTorch with parameters are in refcrp: linear layers and normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from refcrp import layers as L
from refcrp.io.assembly import Part
from refcrp.io.torch_call import Call, as_image, pair, single

__all__ = [
    "batch_norm",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "dense",
    "group_norm",
    "instance_norm",
    "layer_norm",
]


def dense(call: Call) -> Part:
    """y = W x + b."""
    return L.Dense(call.needed("weight"), call.array("bias"))


def conv2d(call: Call) -> Part:
    """Cross-correlation."""
    call.demand("padding_mode", "zeros")
    weight = call.needed("weight")
    dilation = pair(call.get("dilation", 1))
    before, after = sides(call.get("padding", 0), weight.shape[2:], dilation)
    conv = L.Conv2d(
        weight,
        call.array("bias"),
        stride=call.get("stride", 1),
        padding=pair(before),
        dilation=dilation,
        groups=call.get("groups", 1),
    )
    bottom, right = (a - b for a, b in zip(after, before, strict=True))
    return (L.ZeroPad((0, bottom, 0, right)), conv) if bottom or right else conv


def conv_transpose2d(call: Call) -> Part:
    """The adjoint of a convolution."""
    call.demand("padding_mode", "zeros")
    settings = {key: call.get(key, 0) for key in ("padding", "output_padding")}
    settings |= {key: call.get(key, 1) for key in ("stride", "dilation", "groups")}
    return L.ConvTranspose2d(call.needed("weight"), call.array("bias"), **settings)


def conv1d(call: Call) -> Part:
    """Cross-correlation of sequences, as one of images of height 1."""
    call.demand("padding_mode", "zeros")
    weight = call.needed("weight")
    (dilation,) = single(call.get("dilation", 1))
    (before,), (after,) = sides(call.get("padding", 0), weight.shape[2:], (dilation,))
    conv = L.conv1d(
        weight,
        call.array("bias"),
        stride=single(call.get("stride", 1))[0],
        padding=before,
        dilation=dilation,
        groups=call.get("groups", 1),
    )
    if before == after:
        return as_image(call, conv)
    return as_image(call, L.ZeroPad((0, 0, 0, after - before)), conv)


def sides(
    padding: Any, kernel: Sequence[int], dilation: Sequence[int]
) -> tuple[Sequence[int], Sequence[int]]:
    """Give the padding before and after, as PyTorch understands "same" and "valid"."""
    if not isinstance(padding, str):
        given = tuple(padding) if isinstance(padding, Sequence) else (padding,) * len(kernel)
        return given, given
    if padding == "valid":
        return (0,) * len(kernel), (0,) * len(kernel)
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    before = tuple(n // 2 for n in total)
    return before, tuple(n - b for n, b in zip(total, before, strict=True))


def batch_norm(call: Call) -> Part:
    """Batch normalisation with the running statistics."""
    mean, variance = call.array("running_mean"), call.array("running_var")
    if mean is None or variance is None:
        raise call.fail("it has no running statistics, so its output depends on the batch")
    epsilon = call.get("eps", 1e-5)
    return L.BatchNorm(mean, variance, call.array("weight"), call.array("bias"), epsilon=epsilon)


def layer_norm(call: Call) -> Part:
    """Layer normalisation."""
    shape = tuple(call.get("normalized_shape"))
    weight = call.array("weight")
    weight = np.ones(shape, call.dtype) if weight is None else weight
    return L.LayerNorm(weight, call.array("bias"), epsilon=call.get("eps", 1e-5))


def group_norm(call: Call) -> Part:
    """Group normalisation."""
    return L.GroupNorm(
        call.get("num_groups"), call.array("weight"), call.array("bias"), epsilon=call.get("eps", 1e-5)
    )


def instance_norm(call: Call) -> Part:
    """Instance normalisation, or batch normalisation if it has running statistics."""
    if call.get("running_mean") is not None:
        return batch_norm(call)
    return L.InstanceNorm(call.array("weight"), call.array("bias"), epsilon=call.get("eps", 1e-5))
