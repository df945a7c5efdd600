from fractions import Fraction

import numpy as np
import pytest

from refcrp import modifiers as m
from refcrp.arrays import as_array, exact, like
from refcrp.errors import ArrayTypeError, NonFiniteError, ShapeError

X = [-2.0, -0.5, 0.0, 3.0]
CASES = [
    (m.keep, X),
    (m.positive, [0, 0, 0, 3]),
    (m.negative, [-2, -0.5, 0, 0]),
    (m.square, [4, 0.25, 0, 9]),
    (m.ones, [1, 1, 1, 1]),
    (m.zero, [0, 0, 0, 0]),
    (m.Constant(7), [7, 7, 7, 7]),
    (m.Constant([1, 2, 3, 4]), [1, 2, 3, 4]),
    (m.AddPositive(0.5), [-2, -0.5, 0, 4.5]),
    (m.AddNegative(0.5), [-3, -0.75, 0, 3]),
    (lambda x: m.stabilize(x, 0.25), [-2.25, -0.75, 0.25, 3.25]),
]


@pytest.mark.parametrize(("modifier", "expected"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble, object])
def test_modifiers(modifier, expected, dtype):
    x = exact(X) if dtype is object else np.array(X, dtype)
    before = x.copy()
    y = modifier(x)
    assert y.dtype == x.dtype
    assert y.shape == x.shape
    assert y.tolist() == [Fraction(e) if dtype is object else e for e in expected]
    assert (x == before).all()


def test_minus_zero_counts_as_positive():
    assert m.stabilize(np.array([-0.0, 0.0]), 1.0).tolist() == [1.0, 1.0]


def test_constant_that_does_not_broadcast():
    with pytest.raises(ShapeError, match=r"\(3,\) does not broadcast"):
        m.Constant([1, 2, 3])(np.zeros((2, 4)))


def test_numbers_follow_the_arithmetic_of_the_array():
    assert like(0.1, np.zeros(2, np.float32)).dtype == np.float32
    assert like(0.1, np.zeros(2, object)) == Fraction(0.1)
    assert exact(np.float32(0.1)) == Fraction(float(np.float32(0.1)))
    assert exact(np.longdouble(1) / 3) == Fraction(*(np.longdouble(1) / 3).as_integer_ratio())
    assert exact(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    "values", [np.zeros(2, np.float16), np.zeros(2, complex), ["a"], np.zeros(2, "M8[s]")]
)
def test_types_that_are_refused(values):
    with pytest.raises(ArrayTypeError, match="is not supported; expected float32"):
        as_array(values, "x")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(value):
    with pytest.raises(NonFiniteError, match=r"input: .* at index \(1, 0\)"):
        as_array([[0.0], [value]], "input")
