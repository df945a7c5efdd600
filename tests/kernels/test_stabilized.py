"""Denominators that are moved away from zero, compiled, against the equation."""

import numpy as np
import pytest
from geometries import needs_compiled, set_constant
from hypothesis import given
from hypothesis import strategies as st

from refcrp import kernels
from refcrp.kernels import using_threads
from refcrp.modifiers import stabilize

SPECIAL = [0.0, -0.0, 1e-45, -1e-45, 1e-9, -1e-9, 1.0, -1.0, 3e38, -3e38, np.inf, -np.inf, np.nan]


def by_equation(z, epsilon):
    return z + np.where(z < 0, -epsilon, epsilon).astype(z.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("epsilon", [1e-9, 0.25, 1])
def test_every_kind_of_number(dtype, epsilon):
    """sign(0) = 1, also for -0.0; what is not finite stays so."""
    z = np.array(SPECIAL, dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(stabilize(z, epsilon), by_equation(z, epsilon))
    assert stabilize(z[:2], epsilon).tolist() == [dtype(epsilon), dtype(epsilon)]
    assert stabilize(z, epsilon).dtype == dtype


@needs_compiled
@given(
    size=st.integers(0, 70), count=st.sampled_from([1, 2, 7]), dtype=st.sampled_from([np.float32, np.float64])
)
def test_any_length_on_any_threads(size, count, dtype):
    z = np.random.default_rng(size).normal(size=(size, 2, 3)).astype(dtype)
    with pytest.MonkeyPatch.context() as monkeypatch, using_threads(count):
        set_constant(monkeypatch, "WORTH_A_THREAD", 1)
        np.testing.assert_array_equal(kernels.stabilized(z, 1e-3), by_equation(z, 1e-3))


@needs_compiled
def test_any_layout(rng):
    z = rng.normal(size=(4, 5, 6))
    before = z.copy()
    for view in z.T, z[::2, ::-1], np.broadcast_to(z[:1], z.shape), z[:0], z[0, 0, 0].reshape(()):
        away = kernels.stabilized(view, 0.5)
        np.testing.assert_array_equal(away, by_equation(view, 0.5))
        assert away.shape == view.shape
        assert not np.shares_memory(away, z)
    np.testing.assert_array_equal(z, before)
