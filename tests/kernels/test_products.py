"""Dense layers of few samples: exact on whole numbers, the same bits for any number of threads or samples."""

import importlib

import numpy as np
import pytest
from geometries import needs_compiled, threads
from hypothesis import given
from hypothesis import strategies as st

from refcrp.errors import ShapeError
from refcrp.kernels import dense, dense_transpose, using_threads

products = importlib.import_module("refcrp.kernels.products")


@pytest.fixture(autouse=True)
def ours(monkeypatch):
    """However few weights there are, and however little there is to do."""
    monkeypatch.setattr(products, "ENOUGH", 0)
    monkeypatch.setattr(threads, "WORTH_A_THREAD", 1)


def whole_numbers(rng, shape, dtype, keep=1.0):
    return (rng.integers(-8, 9, shape) * (rng.uniform(size=shape) < keep)).astype(dtype)


@given(
    outputs=st.integers(1, 70),
    inputs=st.sampled_from([1, 3, 16, 63, 64, 65, 130, 300]),
    n=st.integers(1, 6),
    keep=st.sampled_from([0, 0.3, 1]),
    dtype=st.sampled_from([np.float32, np.float64]),
    count=st.integers(1, 3),
)
def test_exact_on_whole_numbers(outputs, inputs, n, keep, dtype, count):
    """Sums of small whole numbers have no roundings, in any order; the oracle is Python's integers."""
    rng = np.random.default_rng(0)
    W, x = whole_numbers(rng, (outputs, inputs), dtype), whole_numbers(rng, (n, inputs), dtype)
    s = whole_numbers(rng, (2, n, outputs), dtype, keep)
    with using_threads(count):
        z, back = dense(x, W), dense_transpose(s, W)
    assert z.dtype == back.dtype == dtype
    exact = W.astype(int).astype(object)
    np.testing.assert_array_equal(z, x.astype(int).astype(object) @ exact.T)
    np.testing.assert_array_equal(back, s.astype(int).astype(object) @ exact)


@needs_compiled
@given(n=st.integers(1, 4), dtype=st.sampled_from([np.float32, np.float64]), count=st.integers(2, 5))
def test_threads_and_samples_do_not_change_bits(n, dtype, count):
    rng = np.random.default_rng(n)
    W, x = rng.normal(size=(100, 333)).astype(dtype), rng.normal(size=(n, 333)).astype(dtype)
    s = rng.normal(size=(n, 100)).astype(dtype)
    with using_threads(1):
        z, back = dense(x, W), dense_transpose(s, W)
        for k in range(n):
            np.testing.assert_array_equal(dense(x[k : k + 1], W), z[k : k + 1])
            np.testing.assert_array_equal(dense_transpose(s[k : k + 1], W), back[k : k + 1])
    with using_threads(count):
        np.testing.assert_array_equal(dense(x, W), z)
        np.testing.assert_array_equal(dense_transpose(s, W), back)


def test_adjoint():
    rng = np.random.default_rng(0)
    W, x, s = rng.normal(size=(40, 200)), rng.normal(size=(2, 200)), rng.normal(size=(2, 40))
    one, other = np.vdot(dense(x, W), s), np.vdot(x, dense_transpose(s, W))
    assert abs(one - other) <= 1e-12 * (np.abs(dense(x, W)) * np.abs(s)).sum()


@pytest.mark.parametrize("n", [0, 1, 2, 30])
def test_any_layout_and_number_of_samples(n):
    rng = np.random.default_rng(0)
    W, x, s = (
        rng.normal(size=(200, 40)).T,
        rng.normal(size=(n, 400))[:, ::2],
        rng.normal(size=(n, 80))[:, ::2],
    )
    for weight in W, np.ascontiguousarray(W):
        np.testing.assert_allclose(dense(x, weight), x @ weight.T, rtol=0, atol=1e-12)
        np.testing.assert_allclose(dense_transpose(s, weight), s @ weight, rtol=0, atol=1e-12)


def test_shapes_that_do_not_fit():
    W = np.ones((3, 4))
    for x in np.ones((2, 3)), np.ones(4), np.ones((1, 2, 4)):
        with pytest.raises(ShapeError):
            dense(x, W)
    with pytest.raises(ShapeError):
        dense_transpose(np.ones((2, 4)), W)
