"""How far off relevance is, in units that mean something, and when that is too far.

The yardstick is u · scale, where u is the unit roundoff and `Case.scale` says, for each value, how far it
moves when everything that enters it, and every intermediate result, is off by 1 relative. No computation with
rounding can promise less; a wrong equation is off by 1/u times as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from refcrp.arrays import Array
from refcrp.conformance.cases import Case
from refcrp.dialects import DIALECTS
from refcrp.errors import ParameterError, nearest_names

__all__ = ["TOLERANCE", "UNIT", "Errors", "agrees", "as_dtype", "measure", "scale_of", "spread"]

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}

# Allowed errors, in units of u · scale. An error of 1 is, to first order, what one rounding of each number
# and result can add up to. A sum of n terms has n - 1 roundings, in whatever order an engine takes them, and
# its error is at most n - 1 times as large, about √n times in practice: 64 covers every order of up to 64
# terms, and sums of thousands as they come. (refcrp itself stays below 1.) A wrong equation is off by about
# 1/u, 10⁷ in float32 and 10¹⁶ in float64; what is smaller than 64 u relative goes unnoticed.
TOLERANCE = 64.0


@dataclass(frozen=True)
class Errors:
    """The largest errors of one answer.

    Parameters
    ----------
    ulp : float
        In units of the last place of the expected value, where that is not zero.
    relative : float
        Relative to the largest expected magnitude of the vector.
    scaled : float
        In units of u · scale; infinite where the scale is zero and the value is not exactly right.
    index : tuple of int
        Where the scaled error is largest.
    """

    ulp: float
    relative: float
    scaled: float
    index: tuple[int, ...]


def as_dtype(dtype: object) -> str:
    """Give ``"float32"`` or ``"float64"`` for what NumPy takes for one of them, or raise `ParameterError`."""
    try:
        name = np.dtype(dtype).name  # type: ignore[call-overload]
    except TypeError:
        name = str(dtype)
    if name not in UNIT:
        raise ParameterError(f"dtype must be float32 or float64, got {name!r}; {nearest_names(name, UNIT)}")
    return str(name)


@np.errstate(all="ignore")
def measure(got: Array, expected: Array, scale: Array, dtype: str) -> Errors:
    """Measure finite relevance of the expected shape."""
    if not got.size:
        return Errors(0.0, 0.0, 0.0, ())
    error = np.abs(got - expected)
    largest = float(np.abs(expected).max())
    ulp = error / np.spacing(np.abs(expected).astype(dtype)).astype(np.float64)
    scaled = spread(got, expected, scale, dtype)
    worst = np.unravel_index(int(np.argmax(scaled)), scaled.shape)
    return Errors(
        ulp=float(np.where(expected != 0, ulp, 0).max()),
        relative=float(error.max() / largest) if largest else (float("inf") if error.any() else 0.0),
        scaled=float(scaled[worst]),
        index=tuple(int(i) for i in worst),
    )


@np.errstate(all="ignore")
def spread(a: Array, b: Array, scale: Array, dtype: str) -> Array:
    """Give the distance of a and b in units of u · scale, infinite where they differ and the scale is 0.

    One unit of the smallest magnitude of the type is free: that is what underflow costs, whatever the scale.
    """
    error = np.abs(a - b)
    free = np.where(scale > 0, float(np.finfo(dtype).smallest_subnormal), 0)
    return np.where(error <= free, 0, error / scale / UNIT[dtype])


def agrees(got: Array, case: Case, dialect: str, dtype: str, tolerance: float = TOLERANCE) -> bool:
    """Tell whether an answer is what a dialect, one of ``case.expected``, has."""
    expected = case.expected[dialect]
    if got.shape != expected.shape or not np.isfinite(got).all():
        return False
    return not (spread(got, expected, scale_of(case, dialect), dtype) > tolerance).any()


@lru_cache(maxsize=8192)
def scale_of(case: Case, dialect: str) -> Array:
    """Give the scale of a case in a dialect.

    The stored one is that of refcrp's dialect. Where another one expects other numbers, its denominators are
    others and may cancel where those do not.
    """
    expected, ours = case.expected[dialect], case.expected.get("refcrp")
    if case.scale is not None and (ours is None or np.array_equal(expected, ours)):
        return case.scale
    from refcrp.conformance import exact  # noqa: PLC0415 - seldom needed

    return exact.sensitivity(case, DIALECTS[dialect])
