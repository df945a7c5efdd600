"""Fully connected layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from refcrp import kernels
from refcrp.arrays import Array
from refcrp.checks import Shape, check_shape
from refcrp.layers.weighted import WeightedLayer

__all__ = ["Dense"]


@dataclass(frozen=True, eq=False, repr=False)
class Dense(WeightedLayer):
    """z_j = Σ_i W_ji x_i + b_j.

    Parameters
    ----------
    weight : (out, in) array
    bias : (out,) array, optional
    activation : str or Activation, optional
    name : str, optional

    Examples
    --------
    >>> import refcrp as rc
    >>> dense = rc.layers.Dense([[2.0, -1.0]], [1.0])
    >>> dense.forward([[2.0, 1.0]])
    array([[4.]])
    >>> dense.relevance([[4.0]], [[2.0, 1.0]])
    array([[ 4., -1.]])
    >>> dense.relevance([[5.0]], [[2.0, 1.0]], rule=rc.ZPlusRule())
    array([[4., 0.]])
    """

    kind: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shape(self.weight.shape, (None, None), "Dense: weight (out, in)")

    def linear(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        """z = x Wᵀ + b."""
        assert weight is not None
        z = kernels.dense(x, weight)
        return np.asarray(z if bias is None else z + bias)

    def transpose(self, s: Array, weight: Array | None, input_shape: tuple[int, ...]) -> Array:
        """s W."""
        assert weight is not None
        return kernels.dense_transpose(s, weight)

    def output_shape(self, shape: Shape) -> Shape:
        """Give (out,) for (in,)."""
        check_shape(shape, (self.weight.shape[1],), self, "input, one sample")
        return (len(self.weight),)

    def input_hint(self) -> Shape:
        """Give (in,)."""
        return (self.weight.shape[1],)

    @property
    def keeps_size(self) -> bool:  # type: ignore[override]
        """Whether in = out."""
        outputs, inputs = self.weight.shape
        return bool(outputs == inputs)

    def summary(self) -> str:
        """Show the channels."""
        outputs, inputs = self.weight.shape
        return f"{inputs} => {outputs}{self.activation_summary()}"
