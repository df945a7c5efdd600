"""Error estimates and computing in another type."""

from fractions import Fraction

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ArrayTypeError, ParameterError

HAS_LONGDOUBLE = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps
needs_longdouble = pytest.mark.skipif(not HAS_LONGDOUBLE, reason="longdouble is float64 on this machine")


def lrp_and_digits(dtype):
    x, _ = rc.load_digits()
    return rc.LRP(rc.load_model("lenet5").astype(dtype), rc.EpsilonPlus()), x[:2].astype(dtype)


def test_float32_against_float64():
    lrp, x = lrp_and_digits(np.float32)
    e = lrp(x, output=[3, 8])
    estimate = rc.error_estimate(e)
    wide = lrp.astype(np.float64)(x, output=[3, 8]).relevance
    assert wide.dtype == np.float64
    np.testing.assert_array_equal(estimate.relevance, wide)
    np.testing.assert_array_equal(estimate.absolute, np.abs(e.relevance - wide))
    assert 0 < estimate.relative < 1e-5
    assert "float32 against float64" in str(estimate)


@needs_longdouble
def test_float64_against_longdouble():
    lrp, x = lrp_and_digits(np.float64)
    estimate = rc.error_estimate(lrp(x))
    assert estimate.relevance.dtype == np.longdouble
    assert 0 < estimate.relative < 1e-13


def test_the_same_channels_are_asked_for():
    lrp, x = lrp_and_digits(np.float32)
    e = rc.CRP(lrp, "conv2", rc.TopNFeatures(3))(x)
    assert rc.error_estimate(e).relevance.shape == e.relevance.shape
    conditions = [{"conv2": [3], "y": [1]}, {"conv1": [0, 1]}]
    assert rc.error_estimate(lrp(x, conditions=conditions)).relative < 1e-4


def test_cancellation_shows():
    """0.3 · 0.1 · 0.37 is rounded, and then nearly all of it is subtracted."""
    first = L.Dense(np.array([[0.1, 0], [0, 0.1]], np.float32))
    second = L.Dense(np.array([[0.37, -0.29999]], np.float32))
    model = rc.Sequential([first, second])
    x = np.array([[0.3, 0.37]], np.float32)
    e = rc.LRP(model)(x)
    exact = rc.LRP(model, dtype=object)(x).relevance
    estimate = rc.error_estimate(e)
    true_error = np.abs(e.relevance.astype(float) - exact.astype(float))
    np.testing.assert_allclose(estimate.absolute, true_error, rtol=1e-3)
    assert estimate.digits.max() < 4.5
    assert estimate.relative > 1e-5


def test_nothing_wider():
    x = np.ones((1, 2))
    lrp = rc.LRP(rc.Sequential([L.Dense(np.eye(2))]))
    for dtype in np.longdouble, object:
        with pytest.raises(ParameterError, match="no type wider"):
            rc.error_estimate(lrp.astype(dtype)(x))
    with pytest.raises(ParameterError, match="expected what an analyzer gave"):
        rc.error_estimate(x)


@needs_longdouble
def test_longdouble_by_name():
    lrp, x = lrp_and_digits(np.float32)
    wide = rc.LRP(lrp.model, rc.EpsilonPlus(), dtype="longdouble")(x)
    assert wide.relevance.dtype == np.longdouble
    assert wide.output.dtype == np.longdouble
    np.testing.assert_allclose(wide.relevance, lrp.astype(np.float64)(x).relevance, atol=1e-15)


def test_exact_by_dtype():
    model = rc.Sequential([L.Dense(np.array([[1.0, 3.0]]))])
    R = rc.LRP(model, rc.EpsilonRule(0.5), dtype=object)(np.array([[1.0, 0.5]])).relevance
    assert list(R[0]) == [Fraction(1, 3), Fraction(1, 2)]


def test_input_takes_the_type_that_is_asked_for():
    model = rc.Sequential([L.Dense(np.eye(2, dtype=np.float32))])
    x = np.ones((1, 2))
    assert rc.LRP(model)(x).relevance.dtype == np.float64
    assert rc.LRP(model, dtype="float32")(x).relevance.dtype == np.float32
    assert rc.LRP(model, dtype="float32")(np.ones((1, 2), int)).relevance.dtype == np.float32


@pytest.mark.parametrize("dtype", ["float16", "int64", "nonsense", 3.5])
def test_types_that_are_not_computed_with(dtype):
    with pytest.raises(ArrayTypeError):
        rc.LRP(rc.Sequential([L.Dense(np.eye(2))]), dtype=dtype)
