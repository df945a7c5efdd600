"""What counts as an array here: four kinds of numbers, checked once at the door.

float32 and float64 arrays compute in their own type and may take the compiled kernels. longdouble arrays and
object arrays (of `fractions.Fraction`, say) take the NumPy path; everything on it works on any number that
knows ``+ - * /`` and ``<``.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from refcrp.checks import check_dtype, check_finite
from refcrp.errors import ArrayTypeError

Array = npt.NDArray[Any]


def exact(values: Any) -> Any:
    """Turn every float or integer in `values` into the Fraction it stands for, exactly."""
    array = np.asarray(values)
    fractions = np.empty(array.shape, dtype=object)
    for index, number in np.ndenumerate(array):
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


def as_array(values: Any, what: str, dtype: np.dtype[Any] | None = None) -> Array:
    """Give `values` as a checked array: supported type, finite.

    Integers and booleans become `dtype` (float64 if None); floats keep their own type.
    """
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        array = like(array, np.empty(0, dtype or np.float64))
    check_dtype(array, what)
    check_finite(array, what)
    return array


def check_same_arithmetic(array: Array, dtype: np.dtype[Any] | None, what: str) -> None:
    """Raise `ArrayTypeError` if exact fractions would meet floats, and be rounded without a word."""
    if dtype is not None and (array.dtype.kind == "O") != (dtype.kind == "O"):
        raise ArrayTypeError(
            f"{what} is {array.dtype}, the weights are {dtype}: exact and rounded numbers do not mix; "
            "use model.astype(object) for exact weights, or a float input"
        )


def freeze(array: Array) -> Array:
    """Give a read-only array of its own memory, copying unless `array` is one already."""
    if array.flags.writeable or array.base is not None:
        array = array.copy()
        array.setflags(write=False)
    return array
