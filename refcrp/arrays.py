"""What counts as an array here: four kinds of numbers, checked once at the door.

float32 and float64 arrays compute in their own type and may take the compiled kernels. longdouble arrays and
object arrays (of `fractions.Fraction`, say) take the NumPy path; everything on it works on any number that
knows ``+ - * /`` and ``<``.
"""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction
from functools import partial
from numbers import Number
from typing import Any

import numpy as np
import numpy.typing as npt

from refcrp.checks import check_dtype, check_finite, check_shape
from refcrp.errors import ArrayTypeError, NonFiniteError, ShapeError

Array = npt.NDArray[Any]


def exact(values: Any) -> Any:
    """Turn every float or integer in `values` into the Fraction it stands for, exactly.

    An input of fractions, on a model with exact weights (``model.astype(object)``), is explained without any
    rounding.

    Examples
    --------
    >>> import refcrp as rc
    >>> rc.exact([[0.5, 3]])
    array([[Fraction(1, 2), Fraction(3, 1)]], dtype=object)
    """
    array = np.asarray(values)
    fractions = np.empty(array.shape, dtype=object)
    for index, number in np.ndenumerate(array):
        if isinstance(number, (np.integer, np.bool_)):  # these would overflow, and be rounded when divided
            fractions[index] = Fraction(int(number))
        else:
            is_rounded = hasattr(number, "as_integer_ratio")
            fractions[index] = Fraction(*number.as_integer_ratio()) if is_rounded else number
    return fractions if array.ndim else fractions[()]


def like(values: Any, array: Array) -> Any:
    """Give `values` (a number or an array) in the arithmetic of `array`.

    A float type is taken over; for an object array the numbers become exact fractions, so that a rule's
    ``gamma=0.25`` does not turn an exact computation into a rounded one.
    """
    if array.dtype == object:
        return exact(values)
    return np.asarray(values, dtype=array.dtype)


@np.errstate(all="ignore")
def as_array(values: Any, what: str, dtype: np.dtype[Any] | None = None) -> Array:
    """Give `values` as a checked array: supported type, finite.

    Integers and booleans become `dtype` (float64 if None), floats keep their own type, and the numbers of an
    object array become exact fractions.
    """
    array = unchecked_array(values, what)
    if array.dtype.kind in "iub":
        array = like(array, np.empty(0, dtype or np.float64))
    check_dtype(array, what)
    if array.dtype != object:
        check_finite(array, what)
        return array
    for number in array.flat:
        if not isinstance(number, Number):
            raise ArrayTypeError(f"{what}: holds {number!r}; expected numbers")
    try:
        return np.asarray(exact(array), dtype=object)
    except (ValueError, OverflowError):  # a NaN or an infinity has no integer ratio
        raise NonFiniteError(f"{what}: holds a NaN or an infinity; expected finite numbers only") from None


def as_dtype(dtype: Any, what: str) -> np.dtype[Any]:
    """Give an element type that refcrp computes with, from its name or itself.

    Raises
    ------
    ArrayTypeError
        If there is no such type, or it is none of them.
    """
    try:
        checked: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise ArrayTypeError(f"{what}: there is no element type {dtype!r}") from None
    check_dtype(np.empty(0, checked), what)
    return checked


def unchecked_array(values: Any, what: str) -> Array:
    """Give `values` as an array of whatever type, or raise `ShapeError` for lists of different lengths."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ShapeError(f"{what}: not an array: {error}") from None


def as_batch(values: Any, what: str, dtype: np.dtype[Any] | None) -> Array:
    """Give `values` as a checked batch of samples for weights of type `dtype` (None if there are none)."""
    array = as_array(values, what, dtype)
    check_same_arithmetic(array, dtype, what)
    if array.ndim == 0 or 0 in array.shape[1:]:
        raise ShapeError(f"{what}: got shape {array.shape}, expected a batch of samples, none empty")
    return array


def as_relevance(values: Any, output: Array, what: str) -> Array:
    """Give `values` as checked relevance of `output`: of its shape, or with one more axis in front."""
    R = as_array(values, what, output.dtype)
    check_same_arithmetic(R, output.dtype, what)
    if R.shape != output.shape:
        check_shape(R.shape, (None, *output.shape), what)
    return R


def check_same_arithmetic(array: Array, dtype: np.dtype[Any] | None, what: str) -> None:
    """Raise `ArrayTypeError` if exact fractions would meet floats, and be rounded without a word."""
    if dtype is not None and (array.dtype.kind == "O") != (dtype.kind == "O"):
        raise ArrayTypeError(
            f"{what} is {array.dtype}, the computation is in {dtype}: exact and rounded numbers do not mix; "
            "model.astype(object) gives exact weights, refcrp.exact(x) an exact input"
        )


def freeze(array: Array) -> Array:
    """Give a read-only array of its own memory, copying unless `array` is one already."""
    if array.flags.writeable or array.base is not None:
        array = array.copy()
        array.setflags(write=False)
    return array


def made_again(value: Any) -> tuple[Any, tuple[()]]:
    """Give what pickles a frozen dataclass as what it was made from, so that arrays are read-only again."""
    make: Any = type(value)
    return partial(make, **{f.name: getattr(value, f.name) for f in fields(value) if f.init}), ()
