"""Keras layers as refcrp's: a table from class names to functions that read one layer's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from refcrp import layers as L
from refcrp.arrays import Array
from refcrp.checks import show_shape
from refcrp.io import keras_values as values
from refcrp.io.keras_step import Converter, Step, as_setting
from refcrp.layers import Layer

__all__ = ["REFUSED", "SUPPORTED"]


# Layers with weights ----------------------------------------------------------------------------------------


def conv2d(step: Step) -> list[Layer]:
    """(kh, kw, in / groups, out) to (out, in / groups, kh, kw)."""
    groups, kernel = step.integer("groups", 1), step.pair("kernel_size")
    stride, dilation = step.pair("strides"), step.pair("dilation_rate")
    padding = as_setting(step.padding(kernel, stride, dilation))
    weight = step.kernel("kernel", shape=(*kernel, None, None)).transpose(3, 2, 0, 1)
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return [L.Conv2d(weight, step.bias(len(weight)), activation=step.activation(), **options)]


def depthwise(step: Step, **options: Any) -> list[Layer]:
    """(kh, kw, in, multiplier) to (in · multiplier, 1, kh, kw), each input channel a group."""
    kernel, stride, dilation = step.pair("kernel_size"), step.pair("strides"), step.pair("dilation_rate")
    padding = as_setting(step.padding(kernel, stride, dilation))
    shape = (*kernel, step.x.shape[0], step.integer("depth_multiplier", 1))
    weight = step.kernel("depthwise_kernel", "kernel", shape=shape)
    groups = weight.shape[2]
    weight = weight.transpose(2, 3, 0, 1).reshape(-1, 1, *kernel)
    bias = options.pop("bias", lambda _: None)(len(weight))
    options |= {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return [L.Conv2d(weight, bias, **options)]


def depthwise_conv2d(step: Step) -> list[Layer]:
    """A depthwise convolution."""
    return depthwise(step, bias=step.bias, activation=step.activation())


def separable_conv2d(step: Step) -> list[Layer]:
    """A depthwise convolution without bias, and a pointwise one."""
    layers = depthwise(step)
    weight = step.kernel("pointwise_kernel", shape=(1, 1, None, None)).transpose(3, 2, 0, 1)
    return [*layers, L.Conv2d(weight, step.bias(len(weight)), activation=step.activation())]


def conv2d_transpose(step: Step) -> list[Layer]:
    """(kh, kw, out, in) to (in, out, kh, kw); the output of "same" is stride times as large as the input.

    It cuts ``kernel - stride`` pixels off, of which the larger half at the bottom and right. Where the halves
    differ, a row or column of zeros before the kernel makes them equal.
    """
    kernel, stride = step.pair("kernel_size"), step.pair("strides")
    step.image()
    step.choice("output_padding", None)
    if step.pair("dilation_rate") != (1, 1) or step.integer("groups", 1) != 1:
        raise step.fail("a transposed convolution with dilation or groups is not supported")
    over = [k - s for k, s in zip(kernel, stride, strict=True)]
    same = step.choice("padding", "valid", "same") == "same"
    cut = [max(n, 0) if same else 0 for n in over]
    weight = step.kernel("kernel", shape=(*kernel, None, step.x.shape[0])).transpose(3, 2, 0, 1)
    weight = np.pad(weight, [(0, 0), (0, 0), (cut[0] % 2, 0), (cut[1] % 2, 0)])
    return [
        L.ConvTranspose2d(
            weight,
            step.bias(weight.shape[1]),
            stride=stride,
            padding=(-(-cut[0] // 2), -(-cut[1] // 2)),
            output_padding=(max(-over[0], 0), max(-over[1], 0)),
            activation=step.activation(),
        )
    ]


def dense(step: Step) -> list[Layer]:
    """(in, out) to (out, in), the inputs in refcrp's order."""
    weight = step.by_feature(step.weight("kernel", shape=(step.vector(), None))).T
    return [L.Dense(weight, step.bias(len(weight)), activation=step.activation())]


# Normalisation ----------------------------------------------------------------------------------------------


def batch_norm(step: Step) -> list[Layer]:
    """Batch normalisation of channels or features."""
    step.check_channel_axis()
    gamma = step.per_channel("gamma") if step.flag("scale", True) else None
    beta = step.per_channel("beta") if step.flag("center", True) else None
    mean, variance = step.per_channel("moving_mean"), step.per_channel("moving_variance")
    return [L.BatchNorm(mean, variance, gamma, beta, epsilon=step.number("epsilon", 1e-3))]


def layer_norm(step: Step) -> list[Layer]:
    """Layer normalisation of vectors."""
    step.vector()
    step.check_channel_axis()
    step.choice("rms_scaling", False)
    scale, center = step.flag("scale", True), step.flag("center", True)
    weight = step.per_channel("gamma") if scale else np.ones(step.channels(), np.float32)
    bias = step.per_channel("beta") if center else None
    return [L.LayerNorm(weight, bias, epsilon=step.number("epsilon", 1e-3))]


def group_norm(step: Step) -> list[Layer]:
    """Normalisation of groups of channels."""
    if not step.x.is_image:
        raise step.fail(f"the input is {show_shape(step.x.shape)}, expected an image or a sequence")
    step.check_channel_axis()
    gamma = step.per_channel("gamma") if step.flag("scale", True) else None
    beta = step.per_channel("beta") if step.flag("center", True) else None
    groups = step.channels() if step.setting("groups") == -1 else step.integer("groups", 32)
    if step.channels() % groups:
        raise step.fail(f"{step.channels()} channels do not fall into {groups} groups")
    return [L.GroupNorm(groups, gamma, beta, epsilon=step.number("epsilon", 1e-3))]


def per_channel_numbers(step: Step, value: Any, what: str) -> Array:
    """Give a number, or one for each channel, as an array of one for each channel in refcrp's order."""
    rows = value
    while isinstance(rows, list) and len(rows) == 1 and isinstance(rows[0], list):
        rows = rows[0]  # Keras writes (1, 1, 1, channels), too
    numbers = rows if isinstance(rows, list) else [rows] * step.channels()
    if any(type(n) not in (int, float) or not abs(n) < 1e30 for n in numbers):
        raise step.fail(f"{what} is {value!r:.100}, expected a number or one for each channel")
    array = np.array(numbers * step.channels() if len(numbers) == 1 else numbers, np.float32)
    if array.shape != (step.channels(),):
        raise step.fail(f"{what} has {len(numbers)} numbers, expected {step.channels()}")
    return step.by_feature(array) if isinstance(rows, list) else array


def rescaling(step: Step) -> list[Layer]:
    """Scale · x + offset."""
    if any(isinstance(step.setting(k), list) for k in ("scale", "offset")) and not step.x.channels_last:
        raise step.fail("numbers along the last axis, which is not that of channels, are not supported")
    scale, offset = (
        per_channel_numbers(step, step.setting(key, default), key)
        for key, default in (("scale", 1), ("offset", 0))
    )
    return [L.Scale(scale, offset if offset.any() else None)]


def normalization(step: Step) -> list[Layer]:
    """(x - mean) / standard deviation, of settings or learned."""
    step.check_channel_axis()
    step.choice("invert", False)
    if step.setting("mean") is not None:
        mean, variance = (per_channel_numbers(step, step.setting(k), k) for k in ("mean", "variance"))
    else:
        mean, variance = step.per_channel("mean"), step.per_channel("variance")
    if (variance < 0).any():
        raise step.fail("variance is negative")
    scale = 1 / np.maximum(np.sqrt(variance), np.float32(1e-7))
    return [L.Scale(scale, -mean * scale)]


SUPPORTED: Mapping[str, Converter] = {
    **dict.fromkeys(["Conv1D", "Conv2D", "Convolution1D", "Convolution2D"], conv2d),
    **dict.fromkeys(["DepthwiseConv1D", "DepthwiseConv2D"], depthwise_conv2d),
    **dict.fromkeys(["SeparableConv1D", "SeparableConv2D"], separable_conv2d),
    **dict.fromkeys(["Conv1DTranspose", "Conv2DTranspose"], conv2d_transpose),
    "Dense": dense,
    "BatchNormalization": batch_norm,
    "BatchNormalizationV1": batch_norm,
    "BatchNormalizationV2": batch_norm,
    "GroupNormalization": group_norm,
    "LayerNormalization": layer_norm,
    "Rescaling": rescaling,
    "Normalization": normalization,
    **dict.fromkeys(["MaxPooling1D", "MaxPooling2D"], values.max_pool),
    **dict.fromkeys(["AveragePooling1D", "AveragePooling2D"], values.average_pool),
    **dict.fromkeys(["GlobalMaxPooling1D", "GlobalMaxPooling2D"], values.global_pool(L.GlobalMaxPool)),
    **dict.fromkeys(
        ["GlobalAveragePooling1D", "GlobalAveragePooling2D"], values.global_pool(L.GlobalAvgPool)
    ),
    "Activation": values.activation,
    "ReLU": values.relu,
    "LeakyReLU": values.leaky_relu,
    "ELU": lambda step: [L.ELU(step.number("alpha", 1))],
    "PReLU": values.prelu,
    "Softmax": values.softmax,
    "Dropout": values.dropout,
    **dict.fromkeys(["SpatialDropout1D", "SpatialDropout2D"], values.dropout),
    "AlphaDropout": values.dropout,
    "GaussianDropout": values.dropout,
    "GaussianNoise": values.nothing,
    "ActivityRegularization": values.nothing,
    "Flatten": values.flatten,
    "Reshape": values.reshape,
    "Permute": values.permute,
    **dict.fromkeys(["ZeroPadding1D", "ZeroPadding2D"], values.zero_padding),
    **dict.fromkeys(["UpSampling1D", "UpSampling2D"], values.upsampling),
    "Add": values.add,
    "Subtract": values.subtract,
    "Average": values.average,
    "Concatenate": values.concatenate,
}

# Layers that cannot be had, and why.
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(["Multiply", "Dot"], "the relevance of a product of branches is not defined here"),
    **dict.fromkeys(
        ["Maximum", "Minimum"], "refcrp has no layer that takes the largest or smallest of several branches"
    ),
    **dict.fromkeys(["Cropping1D", "Cropping2D"], "refcrp has no layer that crops images"),
}
