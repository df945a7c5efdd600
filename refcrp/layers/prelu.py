"""The activation function with a learned slope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from refcrp.arrays import Array, like
from refcrp.checks import Shape, check_shape
from refcrp.errors import ShapeError
from refcrp.layers.activation import Activation
from refcrp.layers.base import array_field
from refcrp.layers.norm import along_channels

__all__ = ["PReLU"]


@dataclass(frozen=True, eq=False, repr=False)
class PReLU(Activation):
    """x where x ≥ 0, W_c x elsewhere, with a slope for each channel c (axis 1), or one for all.

    Parameters
    ----------
    weight : (channels,) or (1,) array
        The slopes.
    name : str, optional

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.PReLU([0.5, 0.25]).forward([[-2.0, -4.0], [2.0, 4.0]])
    array([[-1., -1.],
           [ 2.,  4.]])
    """

    kind: ClassVar[str] = "prelu"
    is_rational: ClassVar[bool] = True

    weight: Array = array_field()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shape(self.weight.shape, (None,), "PReLU: weight (channels,)")
        if not self.weight.size:
            raise ShapeError("PReLU: weight is empty, expected a slope for each channel, or one for all")

    def function(self, x: Array) -> Array:
        """Compute x or W x."""
        return np.where(x < 0, like(along_channels(self.weight, x.ndim), x) * x, x)

    def output_shape(self, shape: Shape) -> Shape:
        """Give the same shape."""
        if not shape:
            raise ShapeError(f"{self!r}: one sample is a single number, expected channels")
        if self.weight.size > 1:
            check_shape(shape[:1], self.weight.shape, self, "channels of the input")
        return shape

    def summary(self) -> str:
        """Show how many slopes there are."""
        return f"{self.weight.size}"
