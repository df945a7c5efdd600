"""Rewriting a model into an equal one that is better to explain."""

from __future__ import annotations

from dataclasses import replace

from refcrp.arrays import Array
from refcrp.layers import Conv2d, Dense, Layer, Softmax, WeightedLayer
from refcrp.layers.norm import ChannelwiseAffine
from refcrp.model import Model

__all__ = ["canonize", "strip_softmax"]


def strip_softmax(model: Model) -> Model:
    """Take off the softmax at the end of a model, alone or fused into the last layer.

    Relevance is defined on the scores before it. A model without one is given back as it is.

    Raises
    ------
    ModelError
        If nothing is left.
    """
    *layers, last = model
    if isinstance(last, Softmax):
        return model.with_layers(layers)
    if isinstance(last, WeightedLayer) and isinstance(last.nonlinearity, Softmax):
        return model.with_layers([*layers, last.without_activation()])
    return model


def canonize(model: Model) -> Model:
    """Fold every batch normalisation and scale into the convolution or dense layer right before it.

    Rules then see one linear layer where the network computes one. A layer that follows anything else, or a
    layer with an activation function of its own, stays as it is.

    Returns
    -------
    Model
        Computes the same, up to rounding; folded layers keep the name of the one they went into.
    """
    layers: list[Layer] = []
    for layer in model:
        before = layers[-1] if layers else None
        can_fold = isinstance(before, (Conv2d, Dense)) and before.nonlinearity is None
        if isinstance(layer, ChannelwiseAffine) and can_fold:
            assert isinstance(before, (Conv2d, Dense))
            layers[-1] = fold(layer, before)
        else:
            layers.append(layer)
    return model.with_layers(layers)


def fold(affine: ChannelwiseAffine, linear: Conv2d | Dense) -> Conv2d | Dense:
    """Scale · (W x + b) + shift = (scale W) x + (scale b + shift)."""
    scale, shift = affine.weight, affine.bias
    assert scale is not None
    weight = linear.weight * scale.reshape(-1, *[1] * (linear.weight.ndim - 1))
    bias: Array | None = None if linear.bias is None else scale * linear.bias
    if shift is not None:
        bias = shift if bias is None else bias + shift
    return replace(linear, weight=weight, bias=bias)
