"""Sums over a box against the convolution with the same weight everywhere."""

import numpy as np
import pytest
from geometries import (
    MANY,
    SAME_KERNELS,
    assert_near,
    assert_same_bits,
    cases,
    conditions_last,
    expected_relevance,
    kernels_allocate,
    needs_compiled,
    run,
    set_constant,
    soiled,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from refcrp.kernels import Convolution, reference, using_threads
from refcrp.kernels.box import BoxConvolution, is_uniform
from refcrp.kernels.window import Window


@st.composite
def boxes(draw):
    """A case with one weight everywhere."""
    c = draw(cases())
    c.weight[...] = draw(st.sampled_from([1, -0.75, 1 / 3]))
    return c


def box_of(c):
    return BoxConvolution(c.weight, c.bias, c.window, c.groups)


def relevances(layer, c):
    return [layer.redistribute(R, c.z, c.x) for R in (c.R[0], c.R[:2], c.R, conditions_last(c.R))]


@given(c=boxes())
def test_is_the_convolution_with_that_weight(c):
    box, layer = box_of(c), c.layer()
    magnitudes = reference.conv2d(np.abs(c.x), np.abs(c.weight), np.abs(c.bias), c.window, c.groups)
    assert_near(box.linear(c.x), layer.linear(c.x), magnitudes)
    _, magnitudes = expected_relevance(c, c.R)
    one, few, many, last = relevances(box, c)
    assert_near(many, layer.redistribute(c.R, c.z, c.x), magnitudes)
    assert_near(last, layer.redistribute(c.R, c.z, c.x), magnitudes)
    assert_near(few, layer.redistribute(c.R[:2], c.z, c.x), magnitudes[:2])
    assert_near(one, layer.redistribute(c.R[0], c.z, c.x), magnitudes[0])


def test_without_bias(rng):
    weight, window, x = np.full((4, 3, 2, 2), 0.5), Window((2, 2), (2, 1)), rng.normal(size=(2, 6, 5, 4))
    z = BoxConvolution(weight, None, window, 2).linear(x)
    np.testing.assert_allclose(z, Convolution(weight, None, window, 2).linear(x), rtol=0, atol=1e-14)


def test_a_weight_of_zero_passes_nothing(rng):
    weight, window = np.zeros((2, 1, 2, 2)), Window((2, 2))
    box, x = BoxConvolution(weight, np.array([1.0, -2]), window, 1), rng.normal(size=(1, 1, 3, 3))
    np.testing.assert_array_equal(box.linear(x), np.broadcast_to([[[[1.0]], [[-2.0]]]], (1, 2, 2, 2)))
    assert not box.redistribute(np.ones((1, 2, 2, 2)), np.ones((1, 2, 2, 2)), x).any()


@given(c=boxes())
def test_one_denominator_and_one_input_serve_all_samples(c):
    """The denominators of the flat rule are those of one sample."""
    box, n = box_of(c), len(c.x)
    z, a = c.z[:1], c.x[:1]
    all_z, all_a = np.repeat(z, n, axis=0), np.repeat(a, n, axis=0)
    for R in c.R[0], c.R[:2], c.R, conditions_last(c.R):
        np.testing.assert_array_equal(box.redistribute(R, z, a), box.redistribute(R, all_z, all_a))
        np.testing.assert_array_equal(box.redistribute(R, z, c.x), box.redistribute(R, all_z, c.x))
        np.testing.assert_array_equal(box.redistribute(R, c.z, a), box.redistribute(R, c.z, all_a))


@needs_compiled
@given(c=boxes(), count=st.sampled_from([2, 3, 7]))
def test_the_same_bits_however_it_is_done(c, count):
    """Any order of memory, number of threads, conditions or samples, and whatever was in memory before."""
    box = box_of(c)
    with using_threads(1):
        one, few, many, last = relevances(box, c)
    np.testing.assert_array_equal(last, many)
    np.testing.assert_array_equal(few, many[:2])
    np.testing.assert_array_equal(one, many[0])
    for k in range(len(c.x)):
        only = slice(k, k + 1)
        R_in = box.redistribute(c.R[:, only], c.z[only], c.x[only])
        np.testing.assert_array_equal(R_in, many[:, only])
    with pytest.MonkeyPatch.context() as monkeypatch, using_threads(count), kernels_allocate(empty=soiled):
        set_constant(monkeypatch, "WORTH_A_THREAD", 1)
        assert_same_bits(relevances(box_of(c), c), [one, few, many, last])


@given(c=boxes())
@settings(max_examples=20)
def test_arguments_are_left_alone(c):
    """... that of the weight's scale included, with which the sums are multiplied in place."""
    arrays = [c.x, c.weight, c.bias, c.R, c.z]
    before = [array.copy() for array in arrays]
    results = [box_of(c).linear(c.x), *relevances(box_of(c), c)]
    assert_same_bits(arrays, before)
    assert not any(np.shares_memory(result, array) for array in arrays for result in results)


@pytest.mark.parametrize("dtype", [np.longdouble, object])
def test_other_types(dtype, rng):
    weight, window = np.full((2, 3, 2, 2), 2.0), Window((2, 2), (1, 2), (1, 0))
    x, z, R = rng.normal(size=(2, 3, 4, 4)), rng.uniform(1, 2, (2, 2, 5, 2)), rng.normal(size=(3, 2, 2, 5, 2))
    box = BoxConvolution(weight.astype(dtype), None, window, 1)
    expected = Convolution(weight, None, window, 1)
    assert box.linear(x.astype(dtype)).dtype == dtype
    np.testing.assert_allclose(box.linear(x.astype(dtype)).astype(float), expected.linear(x), atol=1e-13)
    R_in = box.redistribute(R.astype(dtype), z.astype(dtype), x.astype(dtype))
    assert R_in.dtype == dtype
    np.testing.assert_allclose(R_in.astype(float), expected.redistribute(R, z, x), atol=1e-13)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_comes_out(value, rng):
    box = BoxConvolution(np.ones((2, 1, 2, 2)), None, Window((2, 2)), 1)
    R, z, x = rng.normal(size=(MANY, 2, 2, 3, 3)), np.ones((2, 2, 3, 3)), rng.normal(size=(2, 1, 4, 4))
    expected = box.redistribute(R, z, x)
    R[-1, -1, 0, 1, 1] = value
    with np.errstate(all="ignore"):
        R_in = box.redistribute(R, z, x)
    assert not np.isfinite(R_in[-1, -1]).any(axis=(0, 1, 2)) or not np.isfinite(R_in[-1, -1]).all()
    np.testing.assert_array_equal(R_in[:-1], expected[:-1])
    np.testing.assert_array_equal(R_in[:, :-1], expected[:, :-1])


def test_is_uniform():
    assert is_uniform(np.full((2, 1, 3, 3), -0.5, np.float32))
    assert is_uniform(np.zeros((1, 1, 1, 1)))
    assert not is_uniform(np.arange(4.0).reshape(1, 1, 2, 2))
    assert not is_uniform(np.full((1, 1, 2, 2), np.nan))
    assert not is_uniform(np.ones((1, 1, 2, 2), object))  # fractions have an exact path of their own


WRONG = """
import numpy as np
from refcrp.errors import ShapeError
from refcrp.kernels.box import BoxConvolution
from refcrp.kernels.window import Window

box = BoxConvolution(np.ones((4, 1, 2, 2)), None, Window((2, 2)), 2)
R, z, x = np.ones((9, 3, 4, 3, 3)), np.ones((3, 4, 3, 3)), np.ones((3, 2, 4, 4))
for arguments in [
    (R, z[:2], x), (R, z[:, :2], x), (R, z[:, :, 1:], x), (R, z[..., 1:], x), (R[:, :, :2], z, x),
    (R[..., 1:], z, x), (R, z, x[:2]), (R, z, x[:, :1]), (R, z, x[..., 1:]), (R, z[:0], x),
]:
    try:
        answer = box.redistribute(*arguments).shape
    except ValueError as error:
        answer = type(error).__name__
    print(*(array.shape for array in arguments), "->", answer, flush=True)
"""


def test_relevance_that_does_not_fit():
    """In a process of its own: a loop that reads beyond an array, or divides by no samples, may end it."""
    answer = run(WRONG, **SAME_KERNELS)
    lines = answer.stdout.splitlines()
    assert [line for line in lines if not line.endswith("-> ShapeError")] == []
    assert (len(lines), answer.returncode) == (10, 0), answer.stderr
