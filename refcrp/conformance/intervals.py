"""Intervals with rational ends, for numbers that are not rational: square roots and what is made of them.

The true value is proven to lie between the ends. Intervals start out about 2**-320 of their value wide and
stay far narrower than a float64 can tell, so that both ends round to the same float: `Interval.to_float`. A
comparison that the ends do not decide raises, so no branch is ever taken by mistake.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from refcrp.errors import NonFiniteError, ParameterError, RefcrpError

__all__ = ["Interval", "nearest_float", "rounded_down", "rounded_up", "sqrt"]

SQRT_BITS = 320  # significant bits of a square root
END_BITS = 400  # significant bits that the ends of an interval keep


def rounded_down(x: Fraction, bits: int) -> Fraction:
    """Give the largest number of `bits` bits (or one more) not above `x`; short fractions stay."""
    n, d = x.numerator, x.denominator
    if n.bit_length() <= bits and d.bit_length() <= bits:
        return x
    shift = bits - (n.bit_length() - d.bit_length())
    if shift >= 0:
        return Fraction((n << shift) // d, 1 << shift)
    return Fraction((n // (d << -shift)) << -shift)


def rounded_up(x: Fraction, bits: int) -> Fraction:
    """Give the smallest number of `bits` bits (or one more) not below `x`; short fractions stay."""
    return -rounded_down(-x, bits)


def nearest_float(x: Fraction) -> float:
    """Round once, to nearest, ties to even; raise `NonFiniteError` if float64 does not reach so far."""
    try:
        return float(x)
    except OverflowError:
        raise NonFiniteError("an exact value lies beyond the largest float64") from None


@dataclass(frozen=True, eq=False, slots=True)
class Interval:
    """The numbers from `low` to `high`, one of which is meant.

    Parameters
    ----------
    low, high : Fraction
        Raises `ParameterError` unless low <= high.

    Examples
    --------
    >>> root = sqrt(Fraction(2))
    >>> (root * root - 2 < Fraction(1, 10**90), root > 1, root.to_float())
    (True, True, 1.4142135623730951)
    """

    low: Fraction
    high: Fraction

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ParameterError(f"Interval: low must not be above high, got {self.low} and {self.high}")

    # Arithmetic: the ends of the result are rounded outward ------------------------------------------------

    def __add__(self, other: Any) -> Interval:
        o = as_interval(other)
        return NotImplemented if o is None else outward(self.low + o.low, self.high + o.high)

    __radd__ = __add__

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def __sub__(self, other: Any) -> Interval:
        o = as_interval(other)
        return NotImplemented if o is None else outward(self.low - o.high, self.high - o.low)

    def __rsub__(self, other: Any) -> Interval:
        o = as_interval(other)
        return NotImplemented if o is None else o - self

    def __mul__(self, other: Any) -> Interval:
        o = as_interval(other)
        if o is None:
            return NotImplemented
        products = (self.low * o.low, self.low * o.high, self.high * o.low, self.high * o.high)
        return outward(min(products), max(products))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Interval:
        o = as_interval(other)
        if o is None:
            return NotImplemented
        if o.low <= 0 <= o.high:
            raise RefcrpError(f"division by {o!r}, which may be zero")
        return self * outward(1 / o.high, 1 / o.low)

    def __rtruediv__(self, other: Any) -> Interval:
        o = as_interval(other)
        return NotImplemented if o is None else o.__truediv__(self)

    # Comparisons, with numbers and intervals: the same whichever number is meant, or an error --------------

    def __lt__(self, other: Any) -> bool:
        o = as_interval(other)
        return NotImplemented if o is None else self.decided(o, self.high < o.low, self.low >= o.high)

    def __ge__(self, other: Any) -> bool:
        return not self < other

    def __gt__(self, other: Any) -> bool:
        o = as_interval(other)
        return NotImplemented if o is None else self.decided(o, self.low > o.high, self.high <= o.low)

    def __le__(self, other: Any) -> bool:
        return not self > other

    def __eq__(self, other: object) -> bool:
        o = as_interval(other)
        if o is None:
            return NotImplemented
        is_same = self.low == self.high == o.low == o.high
        return self.decided(o, is_same, self.high < o.low or self.low > o.high)

    __hash__ = None  # type: ignore[assignment]

    def decided(self, other: Interval, is_true: bool, is_false: bool) -> bool:
        """Give the answer of a comparison, or raise `RefcrpError` if the ends leave it open."""
        if is_true == is_false:
            raise RefcrpError(f"{self!r} and {other!r} overlap: which one is larger is not known")
        return is_true

    def __bool__(self) -> bool:
        """Whether it may be anything but zero."""
        return bool(self.low or self.high)

    def __repr__(self) -> str:
        low, high = nearest_float(self.low), nearest_float(self.high)
        return f"Interval({low!r})" if low == high else f"Interval({low!r}, {high!r})"

    def to_float(self) -> float:
        """Give the float64 to which both ends round; raise `RefcrpError` if they round to different ones."""
        low, high = nearest_float(self.low), nearest_float(self.high)
        if low != high:
            raise RefcrpError(f"{self!r} is too wide: its ends round to different floats")
        return low


def as_interval(value: Any) -> Interval | None:
    """Give an integer or fraction as the interval that holds just it; None for what is no such number."""
    if isinstance(value, Interval):
        return value
    return Interval(Fraction(value), Fraction(value)) if isinstance(value, (int, Fraction)) else None


def outward(low: Fraction, high: Fraction) -> Interval:
    """Give the interval, with long ends rounded away from each other."""
    return Interval(rounded_down(low, END_BITS), rounded_up(high, END_BITS))


def sqrt(x: Fraction | Interval) -> Interval:
    """Enclose a square root: √(n/d) = √(n d 4ᵏ) / (d 2ᵏ), the root of an integer between two neighbours.

    Of a fraction, it is at most 2**-319 of its value wide, and of no width if the root is rational.

    Parameters
    ----------
    x : Fraction or Interval
        Not negative; raises `ParameterError` otherwise.
    """
    if isinstance(x, Interval):
        return Interval(sqrt(x.low).low, sqrt(x.high).high)
    if x < 0:
        raise ParameterError(f"sqrt: expected a number that is not negative, got {x}")
    n, d = x.numerator, x.denominator
    k = max(0, SQRT_BITS - (n * d).bit_length() // 2)
    square = (n * d) << (2 * k)
    root = math.isqrt(square)
    is_rational = root * root == square
    return Interval(Fraction(root, d << k), Fraction(root + (not is_rational), d << k))
