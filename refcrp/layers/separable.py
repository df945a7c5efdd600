"""Linear maps of images that treat rows and columns alone, each by a small matrix."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from refcrp.arrays import Array
from refcrp.layers.linear import LinearLayer

__all__ = ["SeparableLayer", "no_weights"]

Recipe = tuple[
    Callable[..., Array], tuple[int | Fraction, ...]
]  # a function that makes a matrix, its arguments


@dataclass(frozen=True, eq=False, repr=False)
class SeparableLayer(LinearLayer):
    """z = A x Bᵀ for every channel x (height, width), with A of the rows and B of the columns.

    The matrices are known exactly, as fractions, so that the layer is exact on fractions.
    """

    weight: ClassVar[None] = None
    bias: ClassVar[None] = None

    @abstractmethod
    def recipe(self, axis: int, length: int) -> Recipe:
        """Say how to make the matrix (out, length) of an axis, 0 for the rows or 1 for the columns."""

    def factors(self, size: tuple[int, ...], dtype: np.dtype[Any]) -> list[Array]:
        """Give A and B for an image (height, width)."""
        return [in_type(*self.recipe(axis, length), dtype) for axis, length in enumerate(size)]

    def linear(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        """z = A x Bᵀ."""
        rows, columns = self.factors(x.shape[-2:], x.dtype)
        return np.asarray(rows @ (x @ columns.T))

    def transpose(self, s: Array, weight: Array | None, input_shape: tuple[int, ...]) -> Array:
        """Aᵀ s B."""
        rows, columns = self.factors(input_shape[-2:], s.dtype)
        return np.asarray(rows.T @ (s @ columns))


def no_weights(outputs: int, inputs: int) -> Array:
    """Give a matrix of zeros, of fractions."""
    return np.full((outputs, inputs), Fraction(0), dtype=object)


@lru_cache(maxsize=128)
def in_type(make: Callable[..., Array], arguments: tuple[Any, ...], dtype: np.dtype[Any]) -> Array:
    """Make a matrix of fractions, and round it once to `dtype`; object keeps it as it is."""
    matrix = make(*arguments)
    if dtype.kind != "O":  # two integers, as Fraction itself knows of float64 only
        numerator, denominator = (
            np.array([getattr(v, part) for v in matrix.flat], dtype=dtype).reshape(matrix.shape)
            for part in ("numerator", "denominator")
        )
        matrix = numerator / denominator
    matrix.setflags(write=False)
    return matrix
