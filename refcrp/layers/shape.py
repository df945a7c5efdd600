"""Layers that move values and change none of them; relevance moves back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from refcrp.arrays import Array
from refcrp.checks import Shape, check_number
from refcrp.layers.base import DropoutLayer, ReshapingLayer, reshaping_pull
from refcrp.layers.own import OwnRelevanceLayer
from refcrp.pull import Pull
from refcrp.rule import Rule

__all__ = ["Dropout", "Flatten"]


@dataclass(frozen=True, eq=False, repr=False)
class Moving(OwnRelevanceLayer):
    """Base of layers that keep every value."""

    keeps_size: ClassVar[bool] = True
    chooses: ClassVar[bool] = True

    def linearize(self, a: Array, rule: Rule) -> Pull:
        """Reshape relevance to the input, R_i = R_i."""
        return reshaping_pull(self.apply(a), a)


@dataclass(frozen=True, eq=False, repr=False)
class Flatten(Moving, ReshapingLayer):
    """(batch, c, h, w) to (batch, c · h · w), channel by channel, row by row."""

    kind: ClassVar[str] = "flatten"

    def apply(self, x: Array) -> Array:
        """Compute the output of an input that has been checked."""
        return x.reshape(len(x), math.prod(x.shape[1:]))

    def output_shape(self, shape: Shape) -> Shape:
        """Give (features,)."""
        return (None if None in shape else math.prod(n for n in shape if n is not None),)


@dataclass(frozen=True, eq=False, repr=False)
class Dropout(Moving, DropoutLayer):
    """Dropout at inference: nothing happens.

    Parameters
    ----------
    rate : float
        Share of values dropped in training, 0 to 1; of no effect here.
    """

    kind: ClassVar[str] = "dropout"

    rate: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("Dropout: rate", self.rate, 0, 1)

    def apply(self, x: Array) -> Array:
        """Give x."""
        return x

    def output_shape(self, shape: Shape) -> Shape:
        """Give the same shape."""
        return shape

    def summary(self) -> str:
        """Show the rate."""
        return f"{self.rate}"
