"""Small functions on arrays, from which the rules are put together.

A modifier takes an array and returns one of the same shape: ``positive(W)`` is what the papers write as
``W⁺ = max(0, W)``, ``negative(W)`` is ``W⁻ = min(0, W)``. Any callable of that form will do in a rule of
your own. All of them work on float and on exact (`fractions.Fraction`) arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refcrp import kernels
from refcrp.arrays import Array, like
from refcrp.errors import ShapeError

Modifier = Callable[[Array], Array]
Condition = Callable[[Array], Array]

__all__ = [
    "AddNegative",
    "AddPositive",
    "Condition",
    "Constant",
    "Modifier",
    "add_always",
    "is_negative",
    "is_positive",
    "keep",
    "negative",
    "ones",
    "positive",
    "replace_zeros",
    "square",
    "stabilize",
    "zero",
]


def keep(x: Array) -> Array:
    """Leave `x` as it is."""
    return x


def positive(x: Array) -> Array:
    """x⁺ = max(0, x)."""
    return np.asarray(np.maximum(x, 0))


def negative(x: Array) -> Array:
    """x⁻ = min(0, x)."""
    return np.asarray(np.minimum(x, 0))


def square(x: Array) -> Array:
    """x²."""
    return np.asarray(x * x)


def ones(x: Array) -> Array:
    """Put 1 in every place."""
    return np.full(x.shape, like(1, x), dtype=x.dtype)


def zero(x: Array) -> Array:
    """Put 0 in every place; as the modifier of a bias it leaves the bias out."""
    return np.full(x.shape, like(0, x), dtype=x.dtype)


@dataclass(frozen=True, eq=False)
class Constant:
    """Put `value` in every place: a number, or an array that broadcasts to the shape."""

    value: Any

    def __call__(self, x: Array) -> Array:
        """Modify `x`."""
        value = np.asarray(like(self.value, x), dtype=x.dtype)
        try:
            return np.broadcast_to(value, x.shape)
        except ValueError:
            raise ShapeError(
                f"a constant of shape {value.shape} does not broadcast to the input's shape {x.shape}"
            ) from None


@dataclass(frozen=True)
class AddPositive:
    """x + γ x⁺."""

    gamma: Any

    def __call__(self, x: Array) -> Array:
        """Modify `x`."""
        return np.asarray(x + like(self.gamma, x) * positive(x))


@dataclass(frozen=True)
class AddNegative:
    """x + γ x⁻."""

    gamma: Any

    def __call__(self, x: Array) -> Array:
        """Modify `x`."""
        return np.asarray(x + like(self.gamma, x) * negative(x))


def is_positive(z: Array) -> Array:
    """Tell where z > 0."""
    return np.asarray(z > 0)


def is_negative(z: Array) -> Array:
    """Tell where z < 0."""
    return np.asarray(z < 0)


def stabilize(z: Array, epsilon: Any) -> Array:
    """Move `z` away from zero: z + ε where z ≥ 0, z - ε where z < 0.

    Zero counts as positive (``sign(0) = 1``), so that no denominator is ever zero.
    """
    if kernels.runs_compiled(z.dtype):
        return kernels.stabilized(z, float(epsilon))
    epsilon = like(epsilon, z)
    return np.asarray(z + np.where(z < 0, -epsilon, epsilon))


def add_always(z: Array, epsilon: Any) -> Array:
    """z + ε, whatever the sign of z; may be zero where z < 0."""
    return np.asarray(z + like(epsilon, z))


def replace_zeros(z: Array, epsilon: Any) -> Array:
    """Z, or ε where z = 0."""
    return np.where(z == 0, like(epsilon, z), z)
