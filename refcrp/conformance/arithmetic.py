"""The three kinds of numbers that the exact oracle computes with.

========  ==========================================  ======================================================
EXACT     `Fraction`, and `Interval` behind a root    the right value
ROUNDED   `float`                                     the same equations in float64
RUNNING   `Bounded`, a fraction and a bound           how far rounding may move the result, to first order
========  ==========================================  ======================================================

The equations are written once and work on all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from refcrp.conformance.intervals import Interval, rounded_down, sqrt
from refcrp.errors import NonFiniteError

__all__ = ["EXACT", "ROUNDED", "RUNNING", "Arithmetic", "Bounded", "Number", "negative", "positive", "total"]

Number = Any  # int, Fraction, Interval, float or Bounded

LONG, SHORT = 1024, 512  # bits from which on the value beside a bound is shortened, and to which


def fraction(value: Any) -> Fraction:
    """Give the fraction that a float, an integer or a fraction is, exactly."""
    try:
        return Fraction(*value.as_integer_ratio())
    except (ValueError, OverflowError):
        raise NonFiniteError(f"{value} is no finite number and has no exact value") from None


@dataclass(frozen=True, eq=False, slots=True)
class Bounded:
    """A number, and how far it moves to first order when what it is made of is off by 1 relative.

    Every operation adds the bounds of what enters, times how strongly the result depends on it, and the size
    of the result itself. Integers and fractions that enter as such are taken as free of error.

    Examples
    --------
    >>> x, y = Bounded.off_by_one(Fraction(3)), Bounded.off_by_one(Fraction(2))
    >>> (x - y).bound, (x * y).bound  # 3 + 2 + |3 - 2|, and three times |3 * 2|
    (6.0, 18.0)
    """

    value: Fraction
    bound: float

    @classmethod
    def off_by_one(cls, value: Any) -> Bounded:
        """Give a number that enters: it may be off by itself."""
        exact = fraction(value)
        return cls(exact, magnitude(exact))

    @property
    def size(self) -> float:
        """How large it is."""
        return magnitude(self.value)

    def __add__(self, other: Any) -> Bounded:
        o = as_bounded(other)
        return result(self.value + o.value, self.bound + o.bound)

    __radd__ = __add__

    def __neg__(self) -> Bounded:
        return Bounded(-self.value, self.bound)

    def __sub__(self, other: Any) -> Bounded:
        return self + -as_bounded(other)

    def __rsub__(self, other: Any) -> Bounded:
        return -self + as_bounded(other)

    def __mul__(self, other: Any) -> Bounded:
        o = as_bounded(other)
        return result(self.value * o.value, times(self.size, o.bound) + times(o.size, self.bound))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Bounded:
        o = as_bounded(other)
        quotient = self.value / o.value
        moved = self.bound + times(magnitude(quotient), o.bound)
        return result(quotient, moved / o.size if o.size else math.inf)

    def __rtruediv__(self, other: Any) -> Bounded:
        return as_bounded(other) / self

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < as_bounded(other).value)

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= as_bounded(other).value)

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > as_bounded(other).value)

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= as_bounded(other).value)

    def __eq__(self, other: object) -> bool:
        return bool(self.value == as_bounded(other).value)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        """Whether it is anything but a zero that nothing moves."""
        return bool(self.value) or self.bound > 0


def as_bounded(number: Any) -> Bounded:
    """Take an integer or a fraction as free of error."""
    return number if isinstance(number, Bounded) else Bounded(Fraction(number), 0.0)


def result(value: Fraction, from_operands: float) -> Bounded:
    """Give the result of one operation, which may be off by itself too; long values are shortened."""
    if value.denominator.bit_length() > LONG:
        value = rounded_down(value, SHORT)
    return Bounded(value, from_operands + magnitude(value))


def magnitude(value: Fraction) -> float:
    """Give the size of a value, inf if it is beyond float64."""
    try:
        return abs(float(value))
    except OverflowError:
        return math.inf


def times(factor: float, bound: float) -> float:
    """Multiply, where zero times infinity is zero: what nothing depends on does not move it."""
    return factor * bound if factor and bound else 0.0


def bounded_sqrt(x: Bounded) -> Bounded:
    """√x, moved by bound / 2√x."""
    root = sqrt(x.value).low
    return result(root, x.bound / (2 * magnitude(root)) if root else 0.0)


def total(terms: Iterable[Number]) -> Number:
    """Σ terms, in pairs and pairs of pairs, which keeps the denominators of fractions short.

    A sum of many counts as one operation. Its result may be off by the sum of absolute values, which no
    partial sum exceeds, in whatever order.
    """
    rest = [term for term in terms if term]
    if any(isinstance(term, Bounded) for term in rest):
        summands = [as_bounded(term) for term in rest]
        value = total(term.value for term in summands)
        off = sum(term.bound for term in summands)
        return Bounded(Fraction(value), off + (sum(term.size for term in summands) if len(rest) > 1 else 0.0))
    while len(rest) > 1:
        pairs = [x + y for x, y in zip(rest[::2], rest[1::2], strict=False)]
        rest = pairs + rest[len(pairs) * 2 :]
    return rest[0] if rest else 0


def positive(x: Number) -> Number:
    """x⁺ = max(0, x); a zero that rounding may move stays what it is."""
    return x if x >= 0 else 0


def negative(x: Number) -> Number:
    """x⁻ = min(0, x); a zero that rounding may move stays what it is."""
    return x if x <= 0 else 0


@dataclass(frozen=True)
class Arithmetic:
    """How a kind of numbers is made.

    Parameters
    ----------
    number : callable
        Makes one of a float, an integer or a fraction.
    sqrt : callable
        The square root of one.
    """

    number: Callable[[Any], Number]
    sqrt: Callable[[Any], Number]


def exact_sqrt(x: Fraction | Interval) -> Interval:
    """Enclose the square root."""
    return sqrt(x)


EXACT = Arithmetic(fraction, exact_sqrt)
ROUNDED = Arithmetic(float, math.sqrt)
RUNNING = Arithmetic(Bounded.off_by_one, bounded_sqrt)
