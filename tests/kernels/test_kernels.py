"""The compiled kernels against their specification, and how one or the other is chosen."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refcrp as rc
from refcrp import kernels
from refcrp.errors import ShapeError
from refcrp.kernels import reference
from refcrp.kernels.window import Window

needs_compiled = pytest.mark.skipif(
    not kernels.USE_COMPILED, reason="compares the compiled kernels, which this run leaves aside"
)
DTYPES = {np.float32: 1e-5, np.float64: 1e-13}


@st.composite
def cases(draw):
    one_to_three, pair = st.integers(1, 3), lambda s: (draw(s), draw(s))
    window = Window(pair(one_to_three), pair(one_to_three), pair(st.integers(0, 2)), pair(st.integers(1, 2)))
    groups = draw(st.integers(1, 2))
    reach = [d * (k - 1) + 1 for d, k in zip(window.dilation, window.kernel, strict=True)]
    image = [max(1, r - 2 * p) + draw(st.integers(0, 5)) for r, p in zip(reach, window.padding, strict=True)]
    n, o, c = draw(st.integers(1, 3)), groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    dtype = draw(st.sampled_from(list(DTYPES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    x = rng.normal(size=(n, c, *image)).astype(dtype)
    weight = rng.normal(size=(o, c // groups, *window.kernel)).astype(dtype)
    return x, weight, window, groups, rng


def assert_same(actual, expected, of_magnitudes):
    """Agree relative to the sum of the magnitudes that were added up: the order of the sum is free."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    tolerance = DTYPES[actual.dtype.type]
    assert (np.abs(actual - expected) <= tolerance * of_magnitudes + np.finfo(actual.dtype).tiny).all()


@needs_compiled
@given(case=cases())
def test_convolution_and_adjoint(case):
    x, weight, window, groups, rng = case
    bias = rng.normal(size=len(weight)).astype(x.dtype)
    z = kernels.conv2d(x, weight, bias, window, groups)
    magnitudes = reference.conv2d(np.abs(x), np.abs(weight), np.abs(bias), window, groups)
    assert_same(z, reference.conv2d(x, weight, bias, window, groups), magnitudes)
    assert_same(
        kernels.conv2d(x, weight, None, window, groups),
        reference.conv2d(x, weight, None, window, groups),
        magnitudes,
    )

    s, image = rng.normal(size=z.shape).astype(x.dtype), x.shape[1:]
    magnitudes = reference.conv2d_transpose(np.abs(s), np.abs(weight), image, window, groups)
    back = kernels.conv2d_transpose(s, weight, image, window, groups)
    assert_same(back, reference.conv2d_transpose(s, weight, image, window, groups), magnitudes)


@needs_compiled
@given(case=cases(), conditions=st.integers(1, 3))
def test_fused_relevance(case, conditions):
    x, weight, window, groups, rng = case
    shape = reference.conv2d(x, weight, None, window, groups).shape
    R = rng.normal(size=(conditions, *shape)).astype(x.dtype)
    z = rng.uniform(0.5, 2, size=shape).astype(x.dtype)
    R_in = kernels.conv2d_relevance(R, z, x, weight, window, groups)
    for one, single in zip(R_in, R, strict=True):
        expected = reference.conv2d_relevance(single, z, x, weight, window, groups)
        magnitudes = reference.conv2d_relevance(np.abs(single), z, np.abs(x), np.abs(weight), window, groups)
        assert_same(one, expected, magnitudes)


@needs_compiled
@given(case=cases(), ties=st.booleans(), count_include_pad=st.booleans())
def test_pooling(case, ties, count_include_pad):
    x, _, window, _, rng = case
    window = Window(window.kernel, window.stride, tuple(k // 2 for k in window.kernel))
    if min(window.output_size(*x.shape[2:])) < 1:
        return
    x = np.round(x) if ties else x
    z, winner = kernels.maxpool2d(x, window)
    expected_z, expected_winner = reference.maxpool2d(x, window)
    np.testing.assert_array_equal(z, expected_z)
    np.testing.assert_array_equal(winner, expected_winner)

    s = rng.normal(size=(2, *z.shape)).astype(x.dtype)
    back = kernels.maxpool2d_transpose(s, winner, x.shape[1:])
    magnitude = np.abs(s).sum()
    for one, single in zip(back, s, strict=True):
        assert_same(one, reference.maxpool2d_transpose(single, winner, x.shape[1:]), magnitude)

    mean = kernels.avgpool2d(x, window, count_include_pad)
    assert_same(mean, reference.avgpool2d(x, window, count_include_pad), np.abs(x).sum())
    back = kernels.avgpool2d_transpose(s[0], x.shape[1:], window, count_include_pad)
    assert_same(back, reference.avgpool2d_transpose(s[0], x.shape[1:], window, count_include_pad), magnitude)


def test_arrays_of_any_layout(rng):
    window = Window((3, 3))
    x, weight = rng.normal(size=(5, 7, 7, 4)), rng.normal(size=(2, 4, 3, 3))
    channels_last = np.moveaxis(x, 3, 1)
    expected = reference.conv2d(channels_last.copy(), weight, None, window, 1)
    np.testing.assert_allclose(kernels.conv2d(channels_last, weight, None, window, 1), expected, rtol=1e-12)
    np.testing.assert_allclose(
        kernels.conv2d(channels_last[::2], weight[::-1], None, window, 1), expected[::2, ::-1]
    )


def test_mixed_types_compute_in_the_wider_one(rng):
    x, weight = rng.normal(size=(1, 1, 4, 4)), rng.normal(size=(1, 1, 2, 2)).astype(np.float32)
    z = kernels.conv2d(x, weight, None, Window((2, 2)), 1)
    assert z.dtype == np.float64
    np.testing.assert_allclose(
        z, reference.conv2d(x, weight.astype(float), None, Window((2, 2)), 1), rtol=1e-14
    )


def test_shapes_that_do_not_fit_are_errors(rng):
    """Compiled loops read and write where they are told; nobody may tell them to go outside."""
    window, pool = Window((2, 2)), Window((2, 2), (2, 2))
    x, weight, s = np.ones((1, 2, 4, 4)), np.ones((3, 2, 2, 2)), np.ones((1, 3, 3, 3))
    _, winner = kernels.maxpool2d(x, pool)
    wrong = [
        lambda: kernels.conv2d(x[:, :1], weight, None, window, 1),
        lambda: kernels.conv2d(x, weight[..., :1], None, window, 1),
        lambda: kernels.conv2d_transpose(s, weight[..., :1], (2, 4, 4), window, 1),
        lambda: kernels.conv2d_relevance(s, s, x, weight[..., :1], window, 1),
        lambda: kernels.conv2d_transpose(s[..., 1:], weight, (2, 4, 4), window, 1),
        lambda: kernels.conv2d_transpose(s[:, 1:], weight, (2, 4, 4), window, 1),
        lambda: kernels.conv2d_transpose(s, weight, (1, 4, 4), window, 1),
        lambda: kernels.conv2d_relevance(s, s[..., 1:], x, weight, window, 1),
        lambda: kernels.conv2d_relevance(s[..., 1:], s, x, weight, window, 1),
        lambda: kernels.conv2d_relevance(s, s, x[:, :1], weight, window, 1),
        lambda: kernels.maxpool2d_transpose(np.ones((1, 2, 3, 3)), winner, (2, 4, 4)),
        lambda: kernels.avgpool2d_transpose(np.ones((1, 2, 3, 3)), (2, 4, 4), pool, True),
    ]
    for call in wrong:
        with pytest.raises(ShapeError):
            call()


# Which backend ----------------------------------------------------------------------------------------------


def run(code, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("REFCRP_")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=clean | environment, check=False)


def test_force_numpy():
    assert run("import refcrp; print(refcrp.backend())", REFCRP_FORCE_NUMPY="1").stdout == "numpy\n"


def test_required_kernels_that_are_missing_are_an_error():
    hide = "import sys; sys.modules['refcrp.kernels._simd_baseline'] = None; "
    assert run(hide + "import refcrp; print(refcrp.backend())").stdout == "numpy\n"
    answer = run(hide + "import refcrp; refcrp.backend()", REFCRP_REQUIRE_COMPILED="1")
    assert answer.returncode != 0
    assert "BackendError: REFCRP_REQUIRE_COMPILED is set, but no compiled kernels beside" in answer.stderr
    answer = run("import refcrp; refcrp.backend()", REFCRP_REQUIRE_COMPILED="1", REFCRP_FORCE_NUMPY="1")
    assert "BackendError" in answer.stderr


def test_the_backend_under_test_is_the_one_that_was_asked_for():
    if os.environ.get("REFCRP_REQUIRE_COMPILED") == "1":
        assert rc.backend() == "cython"
    if os.environ.get("REFCRP_FORCE_NUMPY") == "1":
        assert rc.backend() == "numpy"


@given(case=cases(), extra=st.tuples(st.integers(0, 2), st.integers(0, 2)), include=st.booleans())
def test_what_an_average_divides_by(case, extra, include):
    """Counted pixel by pixel."""
    x, _, window, _, _ = case
    window, (height, width) = dataclasses.replace(window, extra=extra), x.shape[2:]
    for (y, q), count in np.ndenumerate(reference.counts((height, width), window, include)):
        seen = 0
        for i, j in window.positions():
            row = y * window.stride[0] + i * window.dilation[0] - window.padding[0]
            column = q * window.stride[1] + j * window.dilation[1] - window.padding[1]
            seen += include or (0 <= row < height and 0 <= column < width)
        assert count == seen
