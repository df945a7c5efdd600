"""Normalisation that is an affine map over channels at inference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from refcrp.arrays import Array, freeze, like
from refcrp.checks import Shape, check_number, check_shape
from refcrp.errors import ArrayTypeError, ParameterError, ShapeError
from refcrp.layers.base import NormalizationLayer, array_field
from refcrp.layers.linear import LinearLayer

__all__ = ["BatchNorm", "ChannelwiseAffine", "Scale", "along_channels"]


@dataclass(frozen=True, eq=False, repr=False)
class ChannelwiseAffine(LinearLayer):
    """z = W_c x + b_c: one weight and one bias a channel (axis 1), or a feature."""

    keeps_size: ClassVar[bool] = True

    @property
    def channels(self) -> int:
        """How many channels the layer takes."""
        assert self.weight is not None
        return len(self.weight)

    def linear(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        """z = W x + b."""
        assert weight is not None
        z = x * along_channels(weight, x.ndim)
        return np.asarray(z if bias is None else z + along_channels(bias, x.ndim))

    def transpose(self, s: Array, weight: Array | None, input_shape: tuple[int, ...]) -> Array:
        """W s."""
        assert weight is not None
        return np.asarray(s * along_channels(weight, len(input_shape)))

    def output_shape(self, shape: Shape) -> Shape:
        """Give the same shape."""
        if not shape:
            raise ShapeError(f"{self!r}: one sample is a single number, expected {self.channels} channels")
        check_shape(shape[:1], (self.channels,), self, "channels of the input")
        return shape

    def summary(self) -> str:
        """Show the channels."""
        return f"{self.channels}"


@dataclass(frozen=True, eq=False, repr=False)
class Scale(ChannelwiseAffine):
    """z = W_c x + b_c for each channel c, or feature.

    Parameters
    ----------
    weight : (channels,) array
    bias : (channels,) array, optional
    name : str, optional
    """

    kind: ClassVar[str] = "scale"

    weight: Array = array_field()
    bias: Array | None = array_field(default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shape(self.weight.shape, (None,), "Scale: weight (channels,)")
        if self.bias is not None:
            check_shape(self.bias.shape, self.weight.shape, "Scale: bias (channels,)")


@dataclass(frozen=True, eq=False, repr=False)
class BatchNorm(ChannelwiseAffine, NormalizationLayer):
    """Batch normalisation at inference: (x - mean) / sqrt(variance + epsilon) · gamma + beta.

    For relevance it is the affine map it amounts to: z = W_c x + b_c, W = gamma / sqrt(variance + epsilon)
    and b = beta - W mean. `canonize` folds it into the layer before it.

    Parameters
    ----------
    mean, variance : (channels,) array
        Running statistics of the training.
    gamma, beta : (channels,) array, optional
        Learned scale and shift; 1 and 0 if None.
    epsilon : float
        Added to the variance.
    name : str, optional
    """

    kind: ClassVar[str] = "batchnorm"

    mean: Array = array_field()
    variance: Array = array_field()
    gamma: Array | None = array_field(default=None)
    beta: Array | None = array_field(default=None)
    epsilon: float = field(default=1e-5, kw_only=True)

    weight: Array = field(init=False)
    bias: Array = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("BatchNorm: epsilon", self.epsilon, 0)
        for name, array in self.arrays().items():
            check_shape(array.shape, (self.mean.size,), f"BatchNorm: {name} (channels,)")
        if self.mean.dtype == object:
            raise ArrayTypeError(
                "BatchNorm has a square root and so no exact value; canonize the model first"
            )
        if np.any(self.variance + self.epsilon <= 0):
            raise ParameterError("BatchNorm: variance + epsilon must be positive")
        weight = 1 / np.sqrt(self.variance + like(self.epsilon, self.variance))
        weight = weight if self.gamma is None else self.gamma * weight
        bias = -weight * self.mean
        object.__setattr__(self, "weight", freeze(weight))
        object.__setattr__(self, "bias", freeze(bias if self.beta is None else self.beta + bias))


def along_channels(parameter: Array, ndim: int) -> Array:
    """Give a parameter of one value a channel the shape in which it broadcasts along axis 1 of `ndim`."""
    return parameter.reshape(-1, *[1] * (ndim - 2))
