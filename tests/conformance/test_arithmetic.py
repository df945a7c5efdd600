"""Numbers of the exact oracle: fractions, floats, and numbers with a running bound."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest

from refcrp.conformance.arithmetic import EXACT, ROUNDED, RUNNING, Bounded, negative, positive, total
from refcrp.conformance.intervals import Interval
from refcrp.errors import NonFiniteError

F = Fraction


def test_exact_numbers_are_what_the_float_is():
    assert EXACT.number(0.1) == F(3602879701896397, 2**55)
    assert EXACT.number(np.float32(0.1)) == F(13421773, 2**27)
    assert EXACT.number(np.longdouble(1) / 4) == F(1, 4)
    assert EXACT.number(3) == EXACT.number(F(3)) == 3
    for value in (float("nan"), float("inf")):
        with pytest.raises(NonFiniteError, match="has no exact value"):
            EXACT.number(value)


def test_square_roots_of_all_three_kinds_agree():
    assert EXACT.sqrt(F(2)).to_float() == ROUNDED.sqrt(2.0) == float(RUNNING.sqrt(RUNNING.number(2.0)).value)
    assert RUNNING.sqrt(RUNNING.number(4.0)).bound == 4 / (2 * 2) + 2


@pytest.mark.parametrize("numbers", [[], [F(1, 3)], [F(1, k) for k in range(1, 20)], [0.5, 0.25, -1.0]])
def test_total_is_the_sum(numbers):
    assert total(numbers) == sum(numbers)
    assert total(iter(numbers)) == sum(numbers)


def test_total_takes_intervals_among_fractions():
    z = total([F(1), Interval(F(1), F(2)), F(0), 1])
    assert (z.low, z.high) == (3, 4)


def test_bounds_by_hand():
    x, y = RUNNING.number(3.0), RUNNING.number(-2.0)
    assert (x.value, x.bound, y.value, y.bound) == (3, 3, -2, 2)
    assert ((x + y).value, (x + y).bound) == (1, 3 + 2 + 1)
    assert ((x - y).value, (x - y).bound) == (5, 3 + 2 + 5)
    assert ((1 - x).value, (1 - x).bound) == (-2, 3 + 2)  # an integer is free of error
    assert ((x * y).value, (x * y).bound) == (-6, 3 * 6)
    assert ((x / y).value, (x / y).bound) == (F(-3, 2), 3 * 1.5)
    assert ((1 / y).value, (1 / y).bound) == (F(-1, 2), 2 * 0.5)
    assert (-x).bound == 3
    z = total([x, y, Bounded(F(4), 1.0)])
    assert (z.value, z.bound) == (5, 3 + 2 + 1 + (3 + 2 + 4))


def test_a_zero_is_nothing_only_if_nothing_moves_it():
    x = RUNNING.number(3.0)
    cancelled = x - x
    assert cancelled == 0
    assert cancelled
    assert total([cancelled, 1]).bound == 6 + 1
    assert not RUNNING.number(0.0)
    assert not x * 0
    assert positive(cancelled).bound == negative(cancelled).bound == 6


def test_positive_and_negative_parts():
    for x in (F(3), 3.0, RUNNING.number(3.0), Interval(F(3), F(4))):
        assert positive(x) is x
        assert negative(x) == 0
        assert negative(-x) == -x if not isinstance(x, Interval) else True
        assert positive(-x) == 0


@pytest.mark.parametrize("seed", range(10))
def test_bounds_hold_for_small_changes_of_everything_that_enters(seed):
    choose = random.Random(seed)
    values = [choose.uniform(-2, 2) for _ in range(6)]

    def compute(a, b, c, d, e, f):
        z = total([a * b, c * d, e]) + 3 * f
        return (a - c) * d / z + e / (z * z + 1)

    def enter(value, shift):
        return EXACT.number(value) * (1 + shift)

    exact = compute(*(enter(v, 0) for v in values))
    bounded = compute(*(RUNNING.number(v) for v in values))
    assert bounded.value == exact
    worst = sum(
        abs(compute(*(enter(v, F(1, 10**12) if j == k else 0) for j, v in enumerate(values))) - exact)
        for k in range(len(values))
    )
    assert 0 < worst * 10**12 < bounded.bound * (1 + 1e-9)


def test_long_values_are_shortened_and_keep_more_digits_than_any_float():
    x = RUNNING.number(1.0)
    exact = F(1)
    for k in range(3, 400, 2):
        x, exact = x / k + 1, exact / k + 1
    assert x.value.denominator.bit_length() < 1100
    assert abs(x.value / exact - 1) < F(1, 2**500)


def test_bounds_beyond_float64_are_infinite_but_zero_stays_zero():
    x, tiny = RUNNING.number(1e200), RUNNING.number(1e-200)
    assert (x * x).bound == math.inf
    assert (x * x * 0).bound == 0
    assert (1 / (tiny * tiny)).bound == math.inf
