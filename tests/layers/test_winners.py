"""The ways in which max pooling divides relevance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refcrp as rc
from refcrp import layers as L


def pooled(x, way, near_tie=0.0, pool=None, R=None, epsilon=1e-9):
    dialect = rc.Dialect("own", max_pool=way, near_tie=near_tie, epsilon=epsilon)
    lrp = rc.LRP(rc.Sequential([pool or L.MaxPool(2)]), dialect=dialect)
    trace = lrp.trace(np.asarray(x, float))
    R = np.ones_like(trace.output) if R is None else R
    with np.errstate(all="ignore"):
        return trace.pull(R)[0]


@pytest.mark.parametrize(
    ("way", "image", "expected"),
    [
        ("stabilized", [[1, 3], [3, 0]], [[0, 0.75], [0, 0]]),
        ("winner", [[1, 3], [3, 0]], [[0, 1], [0, 0]]),
        ("shared", [[1, 3], [3, 0]], [[0, 0.5], [0.5, 0]]),
        ("average", [[1, 3], [3, 0]], [[0.25 / 2.75, 0.75 / 2.75], [0.75 / 2.75, 0]]),
        ("stabilized", [[0, 0], [0, 0]], [[0, 0], [0, 0]]),
        ("winner", [[0, 0], [0, 0]], [[1, 0], [0, 0]]),
        ("shared", [[0, 0], [0, 0]], [[0.25, 0.25], [0.25, 0.25]]),
        ("average", [[0, 0], [0, 0]], [[0, 0], [0, 0]]),
        ("stabilized", [[-2, -1], [-1, -3]], [[0, 0.5], [0, 0]]),
    ],
)
def test_one_window(way, image, expected):
    np.testing.assert_allclose(pooled([[image]], way, epsilon=1.0), [[expected]], rtol=1e-15)


def test_near_ties_go_to_the_first():
    x = [[[[1 - 2**-12, 1], [1 - 2**-5, 0]]]]
    np.testing.assert_allclose(pooled(x, "winner", near_tie=3.4e-4), [[[[1, 0], [0, 0]]]])
    np.testing.assert_allclose(pooled(x, "stabilized", near_tie=3.4e-4), [[[[1 - 2**-12, 0], [0, 0]]]])
    np.testing.assert_allclose(pooled(x, "winner", near_tie=1e-4), [[[[0, 1], [0, 0]]]])


def test_padding_never_wins():
    pool = L.MaxPool(2, 2, 1)
    x = -np.ones((1, 1, 2, 2))
    for way in "stabilized", "winner", "shared":
        np.testing.assert_allclose(pooled(x, way, pool=pool), np.ones((1, 1, 2, 2)), rtol=1e-8)


@pytest.mark.parametrize("way", ["stabilized", "winner", "shared", "average"])
@given(
    geometry=st.sampled_from([(2, 2, 0), (3, 1, 1), (2, 3, 0), (3, 2, 1)]),
    seed=st.integers(0, 2**16),
    size=st.integers(3, 6),
)
def test_linear_conditions_and_batch(way, geometry, seed, size):
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, size=(2, 2, size, size)).astype(float)
    pool = L.MaxPool(*geometry)
    R = rng.normal(size=(3, *pool.forward(x).shape))
    together = pooled(x, way, pool=pool, R=R)
    for k in range(3):
        np.testing.assert_allclose(together[k], pooled(x, way, pool=pool, R=R[k]), rtol=1e-12, atol=1e-12)
        single = pooled(x[:1], way, pool=pool, R=R[k, :1])
        np.testing.assert_allclose(together[k, :1], single, rtol=1e-12, atol=1e-12)
    if way in {"winner", "shared"}:
        np.testing.assert_allclose(together.sum(axis=(3, 4)), R.sum(axis=(3, 4)), atol=1e-12)


def test_global_pooling_shares(rng):
    R = pooled(np.ones((1, 2, 3, 4)), "shared", pool=L.GlobalMaxPool())
    np.testing.assert_allclose(R, np.full((1, 2, 3, 4), 1 / 12))
