"""Affine maps, value by value: scaling, and normalisation that is no more at inference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from refcrp.arrays import Array, freeze, like
from refcrp.checks import Shape, as_integer, check_number, check_shape
from refcrp.errors import ArrayTypeError, ParameterError, ShapeError
from refcrp.layers.base import NormalizationLayer, array_field
from refcrp.layers.linear import LinearLayer

__all__ = ["Affine", "BatchNorm", "Scale", "along_channels"]


@dataclass(frozen=True, eq=False, repr=False)
class Affine(LinearLayer):
    """z = w x + b, value by value: w and b go along some axes of x, and are the same along the others."""

    keeps_size: ClassVar[bool] = True

    @property
    def axis(self) -> int:
        """The first axis of the input that the parameters go along; negative from the end."""
        return 1

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths of the axes that the parameters go along."""
        assert self.weight is not None
        return self.weight.shape

    def is_by_channel(self, sample_axes: int) -> bool:
        """Say whether samples of so many axes get one weight for each channel, or feature."""
        return len(self.lengths) == 1 and self.axis in (1, -sample_axes)

    def along(self, parameter: Array, ndim: int) -> Array:
        """Give a parameter the shape in which it broadcasts along its axes of an input of `ndim`."""
        return parameter.reshape(*parameter.shape, *[1] * (ndim - self.axis % ndim - parameter.ndim))

    def linear(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        """z = w x + b."""
        assert weight is not None
        z = x * self.along(weight, x.ndim)
        return np.asarray(z if bias is None else z + self.along(bias, x.ndim))

    def transpose(self, s: Array, weight: Array | None, input_shape: tuple[int, ...]) -> Array:
        """W s."""
        assert weight is not None
        return np.asarray(s * self.along(weight, len(input_shape)))

    def output_shape(self, shape: Shape) -> Shape:
        """Give the same shape."""
        first = self.axis - 1 if self.axis > 0 else len(shape) + self.axis
        part = "channels" if self.is_by_channel(len(shape)) else "scaled axes"
        found = shape[max(0, first) : max(0, first + len(self.lengths))]
        check_shape(found, self.lengths, self, f"{part} of the input")
        return shape

    def summary(self) -> str:
        """Show the lengths, and the axis if it is not the usual one."""
        lengths = "x".join(str(n) for n in self.lengths)
        return lengths if self.axis == 1 else f"{lengths}, axis {self.axis}"


@dataclass(frozen=True, eq=False, repr=False)
class Scale(Affine):
    """z = w x + b, with a weight and a bias for each channel, or feature; or along other axes.

    Parameters
    ----------
    weight : array
        One axis of it for each that it goes along: (channels,) usually.
    bias : array, optional
        Of the same shape.
    axis : int
        Of the input, the first that the weight goes along. 0 would be the batch; -1 is the last, so that a
        weight (height, width) with ``axis=-2`` scales pixels, alike in all channels.
    name : str, optional

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.Scale([2.0, 4.0], [1.0, 0.0]).forward([[3.0, 0.5]])
    array([[7., 2.]])
    """

    kind: ClassVar[str] = "scale"

    weight: Array = array_field()
    bias: Array | None = array_field(default=None)
    axis: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        from_end = isinstance(self.axis, (int, np.integer)) and self.axis < 0
        axis = as_integer(-self.axis if from_end else self.axis, "Scale: axis", 1)
        object.__setattr__(self, "axis", -axis if from_end else axis)
        if self.weight.ndim == 0 or self.weight.size == 0:
            raise ShapeError(f"Scale: weight has shape {self.weight.shape}; expected (channels,)")
        if not (self.axis > 0 or self.axis <= -self.weight.ndim):
            raise ParameterError(
                f"Scale: a weight of {self.weight.ndim} axes cannot begin at axis {self.axis} of the input"
            )
        if self.bias is not None:
            check_shape(self.bias.shape, self.weight.shape, "Scale: bias")


@dataclass(frozen=True, eq=False, repr=False)
class BatchNorm(Affine, NormalizationLayer):
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

    Examples
    --------
    >>> from refcrp import layers as L
    >>> norm = L.BatchNorm([1.0, 2.0], [4.0, 1.0], epsilon=0.0)
    >>> norm.weight, norm.bias
    (array([0.5, 1. ]), array([-0.5, -2. ]))
    >>> norm.forward([[3.0, 3.0]])
    array([[1., 1.]])
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
