"""Exact numbers stay exact, whatever they were written as."""

from fractions import Fraction

import numpy as np
import pytest

from refcrp import layers as L
from refcrp.arrays import exact


@pytest.mark.parametrize(
    "values", [[[1, 2]], np.array([[1, 2]], np.uint8), [[1.0, 2.0]], [[True, 2]]], ids=repr
)
def test_integers_become_fractions(values):
    """An integer of NumPy's is rounded to a float when it is divided, and overflows."""
    assert [type(value) for value in exact(values).flat] == [Fraction, Fraction]


def test_integers_are_computed_with_exactly():
    assert L.AvgPool(2).forward(exact([[[[1, 2], [3, 5]]]])).tolist() == [[[[Fraction(11, 4)]]]]
    large = exact([[2**40, 1]])
    assert L.Dense(large).forward(large).tolist() == [[2**80 + 1]]
