"""Rewriting a model into an equal one that is better to explain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refcrp.arrays import Array
from refcrp.layers import Conv2d, ConvTranspose2d, Dense, Softmax, WeightedLayer
from refcrp.layers.norm import ChannelwiseAffine
from refcrp.model import INPUT, Model

__all__ = ["canonize", "strip_softmax"]

Linear = Conv2d | ConvTranspose2d | Dense


def strip_softmax(model: Model) -> Model:
    """Take off the softmax at the end of a model, alone or fused into the last layer.

    Relevance is defined on the scores before it. A model without one is given back as it is.

    Raises
    ------
    ModelError
        If nothing is left.
    """
    end = len(model) - 1
    last = model[end]
    if isinstance(last, Softmax):
        return model.rewritten({end: None})
    if isinstance(last, WeightedLayer) and isinstance(last.nonlinearity, Softmax):
        return model.rewritten({end: last.without_activation()})
    return model


def canonize(model: Model) -> Model:
    """Fold every batch normalisation and scale into the convolution or dense layer beside it.

    Rules then see one linear layer where the network computes one. It goes into the layer before it; where
    that is none of these, has an activation function or other readers, into the one after it, unless that
    pads (padding is zero after the scale, not before it). Otherwise it stays as it is.

    Returns
    -------
    Model
        Computes the same, up to rounding; folded layers keep the name of the one they went into.
    """
    folded: Model | None = model
    while folded is not None:
        model, folded = (
            folded,
            next((m for k in range(len(folded)) if (m := without_affine(folded, k))), None),
        )
    return model


def without_affine(model: Model, k: int) -> Model | None:
    """Fold layer `k`, if it is affine, into the one before or after it; None if that cannot be."""
    layer = model[k]
    if not isinstance(layer, ChannelwiseAffine):
        return None
    (source,) = model.nodes[k].sources
    before = model[source] if source != INPUT and model.readers(source) == [k] else None
    if isinstance(before, (Conv2d, ConvTranspose2d, Dense)) and before.nonlinearity is None:
        return model.rewritten({source: fold(layer, before), k: None})
    readers = model.readers(k)
    after = model[readers[0]] if len(readers) == 1 else None
    if isinstance(after, Dense) or (isinstance(after, Conv2d) and after.window.padding == (0, 0)):
        return model.rewritten({k: None, readers[0]: fold_into_next(layer, after)})
    return None


def fold(affine: ChannelwiseAffine, linear: Linear) -> Linear:
    """Scale · (W x + b) + shift = (scale W) x + (scale b + shift)."""
    scale, shift = affine.weight, affine.bias
    assert scale is not None
    weight = linear.weight
    if isinstance(linear, ConvTranspose2d):  # (in, out / groups, kh, kw)
        by_group = weight.reshape(linear.groups, -1, *weight.shape[1:])
        weight = (by_group * scale.reshape(linear.groups, 1, -1, 1, 1)).reshape(weight.shape)
    else:
        weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    bias: Array | None = None if linear.bias is None else scale * linear.bias
    if shift is not None:
        bias = shift if bias is None else bias + shift
    return replace(linear, weight=weight, bias=bias)


def fold_into_next(affine: ChannelwiseAffine, linear: Conv2d | Dense) -> Conv2d | Dense:
    """W (scale · x + shift) + b = (W scale) x + (W shift + b)."""
    scale, shift = affine.weight, affine.bias
    assert scale is not None
    if isinstance(linear, Dense):
        by_input, shift_by_input = scale, shift
    else:  # each output sees the channels of its group
        by_group = (linear.groups, 1, -1)
        outputs = len(linear.weight) // linear.groups
        spread = (linear.groups, outputs, linear.weight.shape[1])
        by_input = np.broadcast_to(scale.reshape(by_group), spread).reshape(len(linear.weight), -1, 1, 1)
        shift_by_input = shift
        if shift is not None:
            shift_by_input = np.broadcast_to(shift.reshape(by_group), spread).reshape(by_input.shape)
    bias = linear.bias
    if shift_by_input is not None:
        moved = (linear.weight * shift_by_input).reshape(len(linear.weight), -1).sum(axis=1)
        bias = moved if bias is None else bias + moved
    return replace(linear, weight=linear.weight * by_input, bias=bias)
