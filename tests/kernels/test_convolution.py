"""Convolutions with laid out weights: against their specification, and the same bits however they are cut."""

import copy

import numpy as np
import pytest
from geometries import (
    DEEP,
    DEEPER,
    FIXED,
    LOST,
    MANY,
    MANY_OUTPUTS,
    assert_near,
    assert_same_bits,
    case,
    cases,
    conditions_last,
    expected_relevance,
    fixed_too,
    kernels_allocate,
    needs_compiled,
    set_constant,
    soiled,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from refcrp import kernels
from refcrp.kernels import Convolution, reference, using_threads

every_case = pytest.mark.parametrize("c", FIXED.values(), ids=FIXED)


# Against the specification ----------------------------------------------------------------------------------


@needs_compiled
@given(c=cases())
@fixed_too
def test_agrees_with_the_specification(c):
    layer, weight, image = c.layer(), np.abs(c.weight), c.x.shape[1:]
    settings = c.window, c.groups
    magnitudes = reference.conv2d(np.abs(c.x), weight, np.abs(c.bias), *settings)
    assert_near(layer.linear(c.x), reference.conv2d(c.x, c.weight, c.bias, *settings), magnitudes)

    magnitudes = reference.conv2d_transpose(np.abs(c.R[0]), weight, image, *settings)
    expected = reference.conv2d_transpose(c.R[0], c.weight, image, *settings)
    assert_near(layer.transpose(c.R[0], image), expected, magnitudes)

    expected, magnitudes = expected_relevance(c, c.R)
    assert_near(layer.redistribute(c.R, c.z, c.x), expected, magnitudes)
    assert_near(layer.redistribute(c.R[:2], c.z, c.x), expected[:2], magnitudes[:2])
    assert_near(layer.redistribute(c.R[0], c.z, c.x), expected[0], magnitudes[0])


@needs_compiled
def test_without_bias():
    with_bias, without = DEEP.layer(), Convolution(DEEP.weight, None, DEEP.window, 1)
    z = without.linear(DEEP.x) + DEEP.bias[:, None, None]  # one addition, at the end, either way
    np.testing.assert_array_equal(with_bias.linear(DEEP.x), z)


@given(c=cases(), keep=st.sampled_from([0, 0.02, 0.2, 0.5]), of=st.sampled_from(["channels", "pixels"]))
def test_zero_relevance_changes_nothing(c, keep, of):
    """Channels of zeros are left out: of one image, of all conditions of one, in all ways to lie in memory."""
    rng = np.random.default_rng(0)
    size = (*c.R.shape[:3], 1, 1) if of == "channels" else (1, *c.R.shape[1:])
    R = c.R * (rng.uniform(size=size) < keep) * rng.choice([-1, 1], c.R.shape).astype(c.R.dtype)  # -0.0 too
    expected, magnitudes = expected_relevance(c, R)
    layer = c.layer()
    for some in R, R[:2]:
        R_in = layer.redistribute(some, c.z, c.x)
        assert_near(R_in, expected[: len(some)], magnitudes[: len(some)])
        np.testing.assert_array_equal(layer.redistribute(conditions_last(some), c.z, c.x), R_in)
    if kernels.USE_COMPILED:  # nothing is left out here
        np.testing.assert_array_equal(
            layer.redistribute(R[0], c.z, c.x), c.x * layer.transpose(R[0] / c.z, c.x.shape[1:])
        )


def test_pixels_that_no_tap_sees_get_exactly_zero():
    c = case((1, 2), (3, 4), (0, 1), (1, 1), 1, 2, 3, 2, (8, 9), np.float32)
    seen = reference.conv2d_transpose(np.ones_like(c.z), np.ones_like(c.weight), c.x.shape[1:], c.window, 1)
    assert 0 < (seen == 0).mean() < 1
    with kernels_allocate(empty=soiled):
        for R in c.R[0], c.R[:2], c.R:
            R_in = c.layer().redistribute(R, c.z, c.x)
            assert (R_in[np.broadcast_to(seen == 0, R_in.shape)] == 0).all()
        assert (c.layer().transpose(c.z, c.x.shape[1:])[seen == 0] == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@every_case
def test_what_is_not_finite_comes_out_and_stays_in_its_sample(c, value):
    """Nothing hangs, crashes or hides it: those who call check results."""
    layer, n = c.layer(), len(c.x)
    x, R, z, a = c.x.copy(), c.R.copy(), c.z.copy(), c.x.copy()
    x[-1], R[-1, -1, 0, 0, 0], a[-1, 0], z[-1] = value, value, value, np.nan
    with np.errstate(all="ignore"):
        expected = c.results()
        assert not np.isfinite(layer.linear(x)[-1]).all() or c is LOST  # which sees no pixel of this image
        np.testing.assert_array_equal(layer.linear(x)[:-1], expected[0][: n - 1])
        R_in = layer.redistribute(R, c.z, c.x)
        assert not np.isfinite(R_in[-1, -1]).all() or c is LOST
        np.testing.assert_array_equal(R_in[:-1], expected[-1][:-1])
        np.testing.assert_array_equal(R_in[:, : n - 1], expected[-1][:, : n - 1])
        for R_in in layer.redistribute(c.R, c.z, a), layer.redistribute(c.R, z, c.x):
            assert not np.isfinite(R_in[:, -1]).all() or c is LOST
            np.testing.assert_array_equal(R_in[:, : n - 1], expected[-1][:, : n - 1])
        alone = np.zeros_like(c.R)
        alone[-1, -1, 0, 0, 0] = np.nan  # the only channel with any relevance
        assert not np.isfinite(layer.redistribute(alone, c.z, c.x)[-1, -1]).all() or c is LOST


# The same bits ----------------------------------------------------------------------------------------------


@needs_compiled
@given(c=cases())
@example(DEEP)
@example(DEEPER)
@example(MANY_OUTPUTS)
def test_the_order_of_memory_does_not_matter(c):
    layer, (*_, few, many) = c.layer(), c.results()
    with pytest.MonkeyPatch.context() as monkeypatch:
        for enough in 1, 10**6:
            set_constant(monkeypatch, "ENOUGH_LANES", enough)
            assert_same_bits(
                [layer.redistribute(c.R[:2], c.z, c.x), layer.redistribute(c.R, c.z, c.x)], [few, many]
            )
            for R, expected in (c.R, many), (c.R[:2], few):
                np.testing.assert_array_equal(layer.redistribute(conditions_last(R), c.z, c.x), expected)


@needs_compiled
@given(c=cases())
@example(DEEP)
def test_a_condition_alone_and_a_sample_alone(c):
    layer, (z, back, one, few, many) = c.layer(), c.results()
    np.testing.assert_array_equal(few, many[:2])
    np.testing.assert_array_equal(one, many[0])
    for k in range(len(c.x)):
        only = slice(k, k + 1)
        np.testing.assert_array_equal(layer.linear(c.x[only]), z[only])
        np.testing.assert_array_equal(layer.transpose(c.R[0, only], c.x.shape[1:]), back[only])
        for R, expected in (c.R, many), (c.R[:2], few):
            R_in = layer.redistribute(R[:, only], c.z[only], c.x[only])
            np.testing.assert_array_equal(R_in, expected[:, only])


@needs_compiled
@given(c=cases())
@fixed_too
def test_packed_or_read_where_it_is(c):
    expected = c.results()
    with pytest.MonkeyPatch.context() as monkeypatch:
        for few in 0, 10**6:  # all are packed, none is
            set_constant(monkeypatch, "FEW_OUTPUTS", few)
            assert_same_bits(c.results(), expected)


@needs_compiled
@given(
    c=cases(),
    count=st.sampled_from([1, 2, 3, 7]),
    panels=st.sampled_from([1, 2, 3, 8]),
    few=st.sampled_from([0, 100]),
)
@example(DEEP, 7, 3, 16)
@example(DEEPER, 7, 1, 16)
@example(MANY_OUTPUTS, 7, 8, 16)
@example(MANY_OUTPUTS, 7, 8, 10**6)
@example(MANY_OUTPUTS, 7, 1, 16)
@settings(max_examples=40)
def test_any_number_of_threads_and_panels(c, count, panels, few):
    with using_threads(1):
        expected = c.results()
    with pytest.MonkeyPatch.context() as monkeypatch, using_threads(count):
        set_constant(monkeypatch, "WORTH_A_THREAD", 1)
        set_constant(monkeypatch, "PANELS", panels)
        set_constant(monkeypatch, "FEW_OUTPUTS", few)
        assert_same_bits(c.results(), expected)


@given(c=cases())
@example(MANY_OUTPUTS)
def test_one_denominator_and_one_input_serve_all_samples(c):
    layer, n = c.layer(), len(c.x)
    z, a = c.z[:1], c.x[:1]
    for R in c.R[0], c.R[:2], c.R, conditions_last(c.R):
        expected = layer.redistribute(R, np.repeat(z, n, axis=0), np.repeat(a, n, axis=0))
        np.testing.assert_array_equal(layer.redistribute(R, z, a), expected)
        np.testing.assert_array_equal(
            layer.redistribute(R, z, c.x), layer.redistribute(R, np.repeat(z, n, axis=0), c.x)
        )
        np.testing.assert_array_equal(
            layer.redistribute(R, c.z, a), layer.redistribute(R, c.z, np.repeat(a, n, axis=0))
        )


@needs_compiled
@given(c=cases())
@example(DEEP)
@settings(max_examples=30)
def test_arrays_of_any_layout(c):
    """Every other one of twice as many, mirrored, channels last, and read-only."""
    expected, image = c.results(), c.x.shape[1:]

    def strided(array):
        wide = np.repeat(np.repeat(array, 2, axis=-1), 2, axis=0)[::2, ..., ::2]
        wide.flags.writeable = False
        return wide

    def mirrored(array):
        return array[..., ::-1].copy()[..., ::-1]

    def channels_last(array):
        return np.moveaxis(np.moveaxis(array, -3, -1).copy(), -1, -3)

    for view in strided, mirrored, channels_last:
        layer = Convolution(view(c.weight), c.bias[::-1].copy()[::-1], c.window, c.groups)
        np.testing.assert_array_equal(layer.linear(view(c.x)), expected[0])
        np.testing.assert_array_equal(layer.transpose(view(c.R[0]), image), expected[1])
        for R, R_in in zip((c.R[0], c.R[:2], c.R), expected[2:], strict=True):
            np.testing.assert_array_equal(layer.redistribute(view(R), view(c.z), view(c.x)), R_in)


@needs_compiled
@pytest.mark.parametrize("narrow", ["x", "weight", "R", "z"])
def test_mixed_types_compute_in_the_wider_one(narrow):
    """... with the bits of arrays that had been converted before."""
    c, d = copy.copy(DEEPER), copy.copy(DEEPER)
    setattr(c, narrow, getattr(c, narrow).astype(np.float32))
    setattr(d, narrow, getattr(c, narrow).astype(np.float64))
    results = [c.layer().linear(c.x), *(c.layer().redistribute(R, c.z, c.x) for R in (c.R[:2], c.R))]
    expected = [d.layer().linear(d.x), *(d.layer().redistribute(R, d.z, d.x) for R in (d.R[:2], d.R))]
    assert results[1].dtype == results[2].dtype == np.float64
    assert results[0].dtype == (np.float64 if narrow != "both" else np.float32)
    assert_same_bits(results, expected)


def test_the_bias_takes_the_type_of_the_rest():
    layer = Convolution(DEEP.weight, DEEP.bias.astype(np.float64), DEEP.window, 1)
    z = layer.linear(DEEP.x)
    np.testing.assert_allclose(z, DEEP.layer().linear(DEEP.x), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.longdouble, object])
def test_other_types_take_the_specification(dtype):
    c = case((2, 2), (1, 2), (1, 0), (1, 1), 1, 2, 3, 2, (3, 4), np.float64)
    x, weight, R, z = (array.astype(dtype) for array in (c.x, c.weight, c.R[:2], c.z))
    layer = Convolution(weight, None, c.window, 1)
    R_in = layer.redistribute(R, z, x)
    assert layer.linear(x).dtype == R_in.dtype == dtype
    expected = Convolution(c.weight, None, c.window, 1)
    np.testing.assert_allclose(layer.linear(x).astype(float), expected.linear(c.x), atol=1e-14)
    np.testing.assert_allclose(R_in.astype(float), expected.redistribute(c.R[:2], c.z, c.x), atol=1e-13)


@given(c=cases())
@settings(max_examples=20)
def test_arguments_are_left_alone(c):
    arrays = [c.x, c.weight, c.bias, c.R, c.z]
    before = [array.copy() for array in arrays]
    results = c.results()
    assert_same_bits(arrays, before)
    for result in results:
        assert not any(np.shares_memory(result, array) for array in arrays)
        assert result.flags.writeable


def test_no_samples_and_no_conditions():
    c, layer = DEEP, DEEP.layer()
    o, image = c.z.shape[1:], c.x.shape[1:]
    assert layer.linear(c.x[:0]).shape == (0, *o)
    assert layer.transpose(c.R[0, :0], image).shape == (0, *image)
    assert layer.redistribute(c.R[:, :0], c.z[:0], c.x[:0]).shape == (MANY, 0, *image)
    assert layer.redistribute(c.R[:0], c.z, c.x).shape == (0, *c.x.shape)
