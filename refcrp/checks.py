"""Checks that several rooms share; each raises one of our errors, or says nothing."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from refcrp.errors import ArrayTypeError, NonFiniteError, ParameterError, ShapeError

Shape = tuple[int | None, ...]  # of one sample, without the batch axis; None where not known yet

MAX_INTEGER = 2**31 - 1  # beyond any shape, stride or index

SUPPORTED = "float32, float64, longdouble, or object (of fractions.Fraction)"


def check_dtype(array: npt.NDArray[Any], what: str) -> None:
    """Raise `ArrayTypeError` unless refcrp computes with the element type of `array`."""
    supported = array.dtype == object or (array.dtype.kind == "f" and array.dtype.itemsize >= 4)
    if not supported:
        raise ArrayTypeError(f"{what}: element type {array.dtype} is not supported; expected {SUPPORTED}")


def check_finite(array: npt.NDArray[Any], what: object, part: str = "") -> None:
    """Raise `NonFiniteError` if `array`, the `part` of `what`, holds a NaN or an infinity.

    To be called under ``np.errstate(all="ignore")``.
    """
    # The sum is not finite if one of its terms is not, and costs no array of booleans.
    if array.dtype == object or math.isfinite(np.add.reduce(array, axis=None)) or np.isfinite(array).all():
        return
    first = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    where = f"{what}: {part}" if part else f"{what}"
    raise NonFiniteError(f"{where}: {array[first]} at index {first}; expected finite numbers only")


def check_shape(shape: Shape, expected: Shape, what: object, part: str = "") -> None:
    """Raise `ShapeError` unless `shape` is `expected`; None, on either side, fits any length.

    The message names the `part` of `what`, which is written only then.
    """
    if shape != expected and not fits(shape, expected):
        where = f"{what}: {part}" if part else f"{what}"
        raise ShapeError(f"{where}: got shape {show_shape(shape)}, expected {show_shape(expected)}")


def fits(shape: Shape, expected: Shape) -> bool:
    """Tell whether two shapes are the same, as far as they are known."""
    if len(shape) != len(expected):
        return False
    for n, e in zip(shape, expected, strict=True):  # noqa: SIM110 - called often, and faster than all()
        if n != e and n is not None and e is not None:
            return False
    return True


def show_shape(shape: Shape) -> str:
    """Write a shape with ``?`` for what is not known: ``(16, ?, ?)``."""
    inner = ", ".join("?" if n is None else str(n) for n in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def check_number(
    what: str, value: Any, low: float, high: float = math.inf, *, includes_low: bool = True
) -> None:
    """Raise `ParameterError` unless `value` is one finite number from `low` to `high`."""
    bound = f"{'>=' if includes_low else '>'} {low}" + (f" and <= {high}" if math.isfinite(high) else "")
    try:
        good = math.isfinite(value) and low <= value <= high and (includes_low or value != low)
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise ParameterError(f"{what} must be a number {bound}, got {value!r}")


def as_flag(what: str, value: Any) -> bool:
    """Give True or False, also for 1 and 0 as other languages store them, or raise `ParameterError`."""
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, (int, np.integer)) and value in (0, 1)):
        return bool(value)
    raise ParameterError(f"{what} must be True or False, got {value!r}")


def as_integer(value: Any, what: str, minimum: int = 0) -> int:
    """Give an integer not below `minimum`, or raise `ParameterError`."""
    try:
        number = -1 if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        number = -1
    if not minimum <= number <= MAX_INTEGER:
        raise ParameterError(f"{what}: expected an integer >= {minimum}, got {value!r}")
    return number


def as_sample_shape(shape: Any) -> tuple[int, ...]:
    """Give the shape of a sample as 1 to 8 positive integers, or raise `ParameterError`."""
    if isinstance(shape, str) or not isinstance(shape, Iterable):
        raise ParameterError(f"input_shape: expected integers such as (1, 28, 28), got {shape!r}")
    checked = tuple(as_integer(n, "input_shape", 1) for n in shape)
    if not 1 <= len(checked) <= 8:
        raise ParameterError(f"input_shape: expected 1 to 8 integers, got {checked}")
    return checked


def check_ordered(what: str, low: Any, high: Any) -> None:
    """Raise `ParameterError` if `low` exceeds `high` anywhere, `ShapeError` if they do not broadcast."""
    try:
        is_ordered = bool(np.all(np.less_equal(low, high)))
    except ValueError:
        shapes = f"{np.shape(low)} and {np.shape(high)}"
        raise ShapeError(f"{what}: low and high do not broadcast: shapes {shapes}") from None
    if not is_ordered:
        raise ParameterError(f"{what}: low must not exceed high, got low={low}, high={high}")
