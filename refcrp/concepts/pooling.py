"""Relevance pooled over channels: the first step of every measure of an explanation.

Relevance (n, channels, ...) becomes one number a pixel; relevance of vectors (n, features) is taken as it is.
Sums are in float64; longdouble and exact fractions stay what they are.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from refcrp.arrays import Array, as_array
from refcrp.errors import ParameterError, ShapeError
from refcrp.explanation import Explanation

__all__ = ["Pooling", "flat", "pool", "refuse", "refuse_zeros"]

Pooling = Literal["sum", "positive", "absolute", "squared"]


def pool(relevance: Array | Explanation, pooling: Pooling, what: str) -> Array:
    """Pool relevance over channels, (n, channels, ...) to (n, ...); vectors have none."""
    given = relevance.relevance if isinstance(relevance, Explanation) else relevance
    R = as_array(given, f"{what}: relevance")
    if R.ndim < 2 or not math.prod(R.shape[1:]):
        raise ShapeError(
            f"{what}: relevance of shape {R.shape}, expected (n, channels, ...) or (n, features)"
        )
    if R.dtype.kind == "f":
        R = R.astype(np.result_type(R, np.float64))
    has_channels = R.ndim > 2
    if pooling == "squared":
        return np.asarray((R * R).sum(axis=1) if has_channels else R * R)
    total = np.asarray(R.sum(axis=1) if has_channels else R)
    if pooling == "sum":
        return total
    if pooling == "positive":
        return np.asarray(np.maximum(total, 0))
    if pooling == "absolute":
        return np.asarray(abs(total))
    raise ParameterError(f"{what}: pooling={pooling!r}, expected 'sum', 'positive', 'absolute' or 'squared'")


def refuse_zeros(R: Array, what: str) -> None:
    """Raise `ParameterError` if the pooled relevance of a sample is 0 everywhere."""
    refuse(np.all(flat(R) == 0, axis=1), what, "pooled relevance is 0 everywhere")


def refuse(bad: Array, what: str, why: str) -> None:
    """Raise `ParameterError` if any sample is bad; name the first."""
    if bad.any():
        first = int(np.argmax(bad))
        raise ParameterError(
            f"{what}: sample {first} ({int(bad.sum())} of {len(bad)} samples): {why}, and it is not defined"
        )


def flat(values: Array) -> Array:
    """Give one row a sample."""
    return values.reshape(len(values), math.prod(values.shape[1:]))
