"""A scale and a linear layer that follow each other, as one linear layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refcrp.arrays import Array
from refcrp.layers import Conv2d, ConvTranspose2d, Dense, Layer
from refcrp.layers.norm import Affine

__all__ = ["fold_into_next", "fold_into_previous"]

Linear = Conv2d | ConvTranspose2d | Dense

UNKNOWN = "is no convolution or dense layer"
SHARED = "has one weight for all of what is scaled by several"


def fold_into_previous(affine: Affine, layer: Layer) -> Linear | str:
    """Scale (W x + b) + shift = (scale W) x + (scale b + shift); or why that cannot be."""
    if not isinstance(layer, Linear):
        return UNKNOWN
    if layer.nonlinearity is not None:
        return "has an activation function"
    if not affine.is_by_channel(sample_axes(layer)):
        return SHARED
    scale, shift = affine.weight, affine.bias
    assert scale is not None
    bias: Array | None = None if layer.bias is None else scale * layer.bias
    if shift is not None:
        bias = shift if bias is None else bias + shift
    return replace(layer, weight=layer.weight * by_output(scale, layer), bias=bias)


def fold_into_next(affine: Affine, layer: Layer) -> Linear | str:
    """W (scale x + shift) + b = (W scale) x + (W shift + b); or why that cannot be."""
    if not isinstance(layer, Linear):
        return UNKNOWN
    if not affine.is_by_channel(sample_axes(layer)):
        return SHARED
    scale, shift = affine.weight, affine.bias
    assert scale is not None
    weight, bias = layer.weight * by_input(scale, layer), layer.bias
    if shift is None or not np.any(shift):
        return replace(layer, weight=weight)
    # Where outputs see the shift to different degrees, the bias would be a map, one for each place.
    if isinstance(layer, ConvTranspose2d):
        return "is transposed, and its outputs see the shift to different degrees"
    if isinstance(layer, Conv2d) and layer.padding not in (0, (0, 0)):
        return "pads, and padding is zero after the shift"
    moved = (layer.weight * by_input(shift, layer)).reshape(len(weight), -1).sum(axis=1)
    return replace(layer, weight=weight, bias=moved if bias is None else bias + moved)


def sample_axes(layer: Linear) -> int:
    """Count the axes of the samples that go in, and come out."""
    return 1 if isinstance(layer, Dense) else 3


def by_output(parameter: Array, layer: Linear) -> Array:
    """Give one value for each output channel the shape in which it broadcasts along the weights."""
    if isinstance(layer, Dense):  # (out, in)
        return parameter[:, None]
    if isinstance(layer, Conv2d):  # (out, in / groups, kh, kw)
        return parameter[:, None, None, None]
    by_group = parameter.reshape(layer.groups, -1)  # (in, out / groups, kh, kw)
    return np.repeat(by_group, layer.in_channels // layer.groups, axis=0)[:, :, None, None]


def by_input(parameter: Array, layer: Linear) -> Array:
    """Give one value for each input channel the shape in which it broadcasts along the weights."""
    if isinstance(layer, Dense):  # (out, in)
        return parameter
    if isinstance(layer, ConvTranspose2d):  # (in, out / groups, kh, kw)
        return parameter[:, None, None, None]
    by_group = parameter.reshape(layer.groups, -1)  # (out, in / groups, kh, kw)
    return np.repeat(by_group, len(layer.weight) // layer.groups, axis=0)[:, :, None, None]
