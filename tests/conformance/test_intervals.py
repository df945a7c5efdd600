"""Intervals: they hold the true value, stay narrow, and never guess."""

import math
import random
from fractions import Fraction

import pytest

from refcrp.conformance.intervals import Interval, nearest_float, rounded_down, rounded_up, sqrt
from refcrp.errors import NonFiniteError, ParameterError, RefcrpError

F = Fraction
THIRD = F(1, 3)


def test_arithmetic_by_hand():
    x, y = Interval(F(1), F(2)), Interval(F(-3), F(5))
    results = [
        (x + y, (-2, 7)),
        (x - y, (-4, 5)),
        (y - 1, (-4, 4)),
        (1 - y, (-4, 4)),
        (-y, (-5, 3)),
        (x * y, (-6, 10)),
        (x * -2, (-4, -2)),
        (F(1, 2) * x, (F(1, 2), 1)),
        (y / x, (-3, 5)),
        (1 / x, (F(1, 2), 1)),
        (x / -4, (F(-1, 2), F(-1, 4))),
        (F(3) + x, (4, 5)),
    ]
    for interval, ends in results:
        assert (interval.low, interval.high) == ends


@pytest.mark.parametrize("seed", range(20))
def test_results_hold_the_true_value_and_stay_narrow_through_long_computations(seed):
    choose = random.Random(seed)
    value, interval = F(1), Interval(F(1), F(1))
    for _ in range(60):
        number = F(choose.uniform(0.5, 2)) * THIRD
        exact_step = choose.choice(
            [lambda v, n=number: v * n + n, lambda v, n=number: n / (v + 1), lambda v, n=number: v - n * v]
        )
        value, interval = exact_step(value), exact_step(interval)
        assert interval.low <= value <= interval.high
        assert max(interval.low.denominator.bit_length(), interval.high.denominator.bit_length()) < 1000
    assert interval.high - interval.low < abs(value) * F(1, 2**330)
    assert interval.to_float() == float(value)


@pytest.mark.parametrize("x", [F(2), THIRD, F(10**41), F(1, 10**41), F(1.5e-323), F(1.7e308), F(2**1000 + 1)])
def test_sqrt_encloses_the_root_closely(x):
    root = sqrt(x)
    assert root.low**2 < x < root.high**2
    assert root.high - root.low <= root.low / 2**319
    assert root.to_float() == pytest.approx(math.sqrt(x), rel=1e-15)


def test_sqrt_of_a_square_is_exact_and_of_an_interval_holds_both_roots():
    assert (sqrt(F(9, 4)).low, sqrt(F(9, 4)).high) == (F(3, 2), F(3, 2))
    assert (sqrt(F(0)).low, sqrt(F(0)).high) == (0, 0)
    root = sqrt(Interval(F(2), F(9)))
    assert root.low**2 < 2
    assert root.high == 3
    with pytest.raises(ParameterError, match="not negative"):
        sqrt(F(-1))


def test_comparisons_are_decided_or_raise():
    x = Interval(F(1), F(2))
    assert x > 0
    assert x >= 1
    assert x < 3
    assert x <= 2
    assert not x < 1
    assert not x > 2
    assert x != 0
    assert 3 > x > 0
    assert x < Interval(F(3), F(4))
    assert Interval(F(1), F(1)) == 1
    for undecided in (
        lambda: x < F(3, 2),
        lambda: x > 1,
        lambda: x <= 1,
        lambda: x >= 2,
        lambda: x == 1,
        lambda: x == Interval(x.low, x.high),
    ):
        with pytest.raises(RefcrpError, match="which one is larger is not known"):
            undecided()
    with pytest.raises(TypeError):
        x < "2"  # noqa: B015
    with pytest.raises(TypeError):
        x + 0.5  # a float would bring an error that nothing bounds


def test_truth_is_whether_it_may_be_nonzero():
    assert not Interval(F(0), F(0))
    assert Interval(F(-1), F(1))


def test_division_by_what_may_be_zero_raises():
    with pytest.raises(RefcrpError, match="may be zero"):
        1 / Interval(F(-1), F(1))
    with pytest.raises(RefcrpError, match="may be zero"):
        Interval(F(1), F(1)) / 0


def test_to_float_raises_unless_both_ends_round_alike():
    assert Interval(F(1), F(1) + F(1, 2**60)).to_float() == 1
    with pytest.raises(RefcrpError, match="round to different floats"):
        Interval(F(1), F(1) + F(1, 2**52)).to_float()
    with pytest.raises(NonFiniteError, match="beyond the largest float64"):
        nearest_float(F(10) ** 400)


def test_low_above_high_is_refused():
    with pytest.raises(ParameterError, match="must not be above"):
        Interval(F(2), F(1))


@pytest.mark.parametrize(
    "x", [THIRD**99, -(THIRD**99), F(10**30, 7), F(-1, 7 * 10**30), F(2**100 + 1), F(-(2**100) - 1)]
)
@pytest.mark.parametrize("bits", [10, 64])
def test_rounding_goes_in_its_direction_by_less_than_one_unit(x, bits):
    down, up = rounded_down(x, bits), rounded_up(x, bits)
    assert down < x < up
    for end in (down, up):
        assert abs(end - x) <= abs(x) / 2 ** (bits - 1)
        assert end.denominator & (end.denominator - 1) == 0


@pytest.mark.parametrize("x", [F(0), THIRD, F(-5, 8), F(5e-324)])
def test_short_numbers_are_kept(x):
    assert rounded_down(x, 10) == x == rounded_up(x, 10)
