"""Sparseness, complexity and conservation."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ParameterError, ShapeError

VALUES = hnp.arrays(np.float64, (3, 7), elements=st.integers(-4, 4)).filter(lambda R: R.any(axis=1).all())


@given(VALUES)
def test_sparseness_is_the_mean_difference(R):
    """The Gini index is half the mean absolute difference of all pairs, relative to the mean."""
    for row, gini in zip(np.abs(R), rc.sparseness(R), strict=True):
        differences = [abs(a - b) for a in row for b in row]
        assert gini == pytest.approx(np.mean(differences) / (2 * row.mean()))


@given(VALUES)
def test_complexity_is_the_entropy(R):
    np.testing.assert_allclose(
        rc.complexity(R), scipy.stats.entropy(np.abs(R), axis=1), rtol=1e-12, atol=1e-12
    )


def test_by_hand():
    R = np.array([[0, 0, -5, 0], [2, -2, 2, 2], [1, 0, -1, 0]], dtype=float)
    assert rc.sparseness(R).tolist() == [0.75, 0, 0.5]
    np.testing.assert_allclose(rc.complexity(R), [0, np.log(4), np.log(2)], rtol=1e-15)
    assert rc.sparseness(rc.exact(R)).tolist() == [Fraction(3, 4), 0, Fraction(1, 2)]
    np.testing.assert_allclose(rc.complexity(rc.exact(R)), rc.complexity(R), rtol=1e-15)


def test_channels_are_summed_before_the_absolute_value():
    R = np.array([[[[3.0, 1]], [[-3, 1]]]])  # (1, 2, 1, 2): sums 0 and 2
    assert rc.sparseness(R).tolist() == [0.5]
    assert rc.complexity(R).tolist() == [0]
    assert rc.sparseness(R, pooling="squared").tolist() == [(18 - 2) / (2 * 20)]


def test_neither_depends_on_scale_nor_order(rng):
    R = rng.normal(size=(5, 3, 4, 4))
    shuffled = -3 * R.reshape(5, 3, 16)[:, :, rng.permutation(16)]
    for measure in (rc.sparseness, rc.complexity):
        np.testing.assert_allclose(measure(shuffled), measure(R), rtol=1e-12)


@pytest.mark.parametrize("measure", [rc.sparseness, rc.complexity])
def test_nothing_to_measure(measure):
    with pytest.raises(ParameterError, match=r"sample 1 .1 of 2 samples.: pooled relevance is 0 everywhere"):
        measure([[1.0, 2], [0, 0]])
    with pytest.raises(ShapeError, match="relevance of shape"):
        measure([1.0, 2])
    with pytest.raises(ParameterError, match="pooling"):
        measure([[1.0, 2]], pooling="mean")


# Conservation -----------------------------------------------------------------------------------------------


def two_layers():
    """h = (1 + 2 + 1, 2) and y = h0 + h1 + 2: a bias takes 1 of 4 from h0, and 2 of 8 from y."""
    return rc.Sequential(
        [
            L.Dense([[1.0, 1], [0, 1]], [1.0, 0], name="h"),
            L.Dense([[1.0, 1]], [2.0], name="y1"),
        ]
    ).astype(object)


X = rc.exact([[1.0, 2]])


def near(values, expected):
    """Compare exact numbers, from which the stabilizer takes some 1e-9."""
    return values.astype(float) == pytest.approx(expected, rel=1e-8, abs=1e-8)


def test_conservation_by_hand():
    c = rc.conservation(rc.LRP(two_layers())(X))
    assert list(c.received) == list(c.lost) == ["y1", "h"]
    assert near(c.received["y1"], [1])
    assert near(c.lost["y1"], [1 / 4])
    assert near(c.received["h"], [3 / 4])
    assert near(c.lost["h"], [1 / 8])
    assert near(c.kept, [5 / 8])


def test_what_conditions_drop_is_no_loss():
    e = rc.LRP(two_layers())(X, conditions=[{"h": [0]}, {"h": [1]}, {"y": [0]}])
    c = rc.conservation(e)
    assert near(c.received["h"], [1 / 2, 1 / 4, 3 / 4])
    assert near(c.lost["h"], [1 / 8, 0, 1 / 8])
    assert near(c.kept, [3 / 6, 2 / 4, 5 / 8])  # of 8: 3, 2, 5 arrive; 3, 2, 3 were lost


def test_nothing_arrives_and_nothing_is_lost():
    model = rc.Sequential([L.Dense([[1.0, 1]], activation="relu", name="h"), L.Dense([[1.0], [2.0]])])
    e = rc.LRP(model, normalize_output_relevance=False)(np.array([[0.0, 0.0], [1.0, 1.0]]), output=0)
    np.testing.assert_allclose(rc.conservation(e).kept, [np.nan, 1], rtol=1e-8)


def test_all_of_it_adds_up(lenet5, digits):
    e = rc.LRP(lenet5, rc.EpsilonPlusFlat())(digits[0][:6])
    c = rc.conservation(e)
    R = e.relevance.reshape(6, -1).sum(axis=1, dtype=float)
    np.testing.assert_allclose(R + sum(c.lost.values()), 1, atol=1e-5)
    np.testing.assert_allclose(c.kept, R, atol=1e-4)
    with pytest.raises(ParameterError, match="expected an explanation"):
        rc.conservation(e.relevance)
