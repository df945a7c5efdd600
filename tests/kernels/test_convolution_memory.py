"""Convolutions with laid out weights: shapes that do not fit, copies, and memory that is not theirs."""

import copy
import pickle
import sys

import numpy as np
import pytest
from geometries import (
    DEEP,
    DEEPER,
    LOST,
    MANY_OUTPUTS,
    SAME_KERNELS,
    assert_same_bits,
    case,
    cases,
    kernels_allocate,
    needs_compiled,
    run,
    soiled,
)
from hypothesis import example, given

from refcrp.errors import ShapeError
from refcrp.kernels import Convolution, convolution
from refcrp.kernels.window import Window

FITTING = case((2, 2), (1, 1), (0, 0), (1, 1), 2, 2, 3, 3, (4, 4), np.float64)
z, x, R = FITTING.z, FITTING.x, FITTING.R


@pytest.mark.parametrize(
    "arguments",
    [
        (R, z[:2], x),
        (R, np.concatenate([z, z]), x),
        (R, z[:0], x),
        (R, z[:, 1:], x),
        (R, z[..., 1:], x),
        (R, z[0], x),
        (R, z[None], x),
        (R, z, x[:2]),
        (R, z, np.concatenate([x, x])),
        (R, z, x[:0]),
        (R, z, x[:, 1:]),
        (R, z, x[..., 1:]),
        (R, z, x[0]),
        (R[:, :2], z, x),
        (R[:, :, 1:], z, x),
        (R[..., 1:, :], z, x),
        (R[0, 0], z, x),
        (R[:, :1], z, x),
    ],
    ids=lambda arguments: " ".join(str(array.shape) for array in arguments),
)
def test_relevance_that_does_not_fit(arguments):
    with pytest.raises(ShapeError):
        FITTING.layer().redistribute(*arguments)


def test_images_that_do_not_fit():
    layer = FITTING.layer()
    for images in x[0], x[:, 1:], x[None], np.concatenate([x, x], axis=1):
        with pytest.raises(ShapeError):
            layer.linear(images)
    for s, image in (z[:, 1:], (4, 4, 4)), (z, (4, 4)), (z, (3, 4, 4)), (z, (4, 4, 5)), (z[0], (4, 4, 4)):
        with pytest.raises(ShapeError):
            layer.transpose(s, image)


@pytest.mark.parametrize(
    ("weight", "bias", "kernel", "groups"),
    [
        ((4, 2, 2, 2), None, (2, 3), 1),
        ((4, 2, 2), None, (2, 2), 1),
        ((4, 2, 2, 2, 2), None, (2, 2), 1),
        ((4, 2, 2, 2), (3,), (2, 2), 1),  # read beyond its end, if it is not refused
        ((4, 2, 2, 2), (5,), (2, 2), 1),
        ((4, 2, 2, 2), (4, 1), (2, 2), 1),
        ((3, 2, 2, 2), None, (2, 2), 2),  # outputs that do not divide into groups
        ((2, 2, 2, 2), None, (2, 2), 4),
    ],
    ids=str,
)
def test_weights_that_do_not_fit(weight, bias, kernel, groups):
    """Nobody may tell a compiled loop to read outside of an array."""
    with pytest.raises(ShapeError):
        Convolution(np.ones(weight), None if bias is None else np.ones(bias), Window(kernel), groups).linear(
            np.ones((1, 2 * groups, 4, 4))
        )


def test_an_image_that_is_too_small():
    layer = Convolution(np.ones((1, 1, 3, 3)), None, Window((3, 3)), 1)
    with pytest.raises(ValueError, match="does not fit"):  # a layer says more, and before
        layer.linear(np.ones((1, 1, 1, 4)))


@pytest.mark.parametrize("replica", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_copies_leave_the_laid_out_weights_behind(replica):
    layer = DEEP.layer()
    expected = DEEP.results(layer)
    size = len(pickle.dumps(layer))
    again = replica(layer)
    assert set(vars(again)) == {"weight", "bias", "window", "groups"}
    assert size < 1.5 * (DEEP.weight.nbytes + DEEP.bias.nbytes)
    assert_same_bits(DEEP.results(again), expected)


@needs_compiled
def test_weights_are_laid_out_once(monkeypatch):
    calls = []
    monkeypatch.setattr(convolution, "forward", lambda *a, f=convolution.forward: calls.append("f") or f(*a))
    monkeypatch.setattr(convolution, "adjoint", lambda *a, f=convolution.adjoint: calls.append("a") or f(*a))
    layer = DEEP.layer()
    assert calls == []
    for _ in range(3):
        layer.linear(DEEP.x)
        layer.redistribute(DEEP.R, DEEP.z, DEEP.x)
    assert calls == ["f", "a"]


@needs_compiled
@given(c=cases())
@example(DEEP)
@example(DEEPER)
@example(LOST)
@example(MANY_OUTPUTS)
def test_memory_that_was_not_written_is_not_used(c):
    expected = c.results()
    R = c.R * (np.random.default_rng(0).uniform(size=(*c.R.shape[:3], 1, 1)) < 0.2)  # not all are spread
    sparse = c.layer().redistribute(R, c.z, c.x)
    with kernels_allocate(empty=soiled):
        assert_same_bits(c.results(), expected)
        np.testing.assert_array_equal(c.layer().redistribute(R, c.z, c.x), sparse)


GUARDED = """
import numpy as np
from functools import partial
import pytest
from geometries import always_lists, case, guarded, guarded_copy, kernels_allocate, never_lists, set_constant

rng, monkeypatch = np.random.default_rng(0), pytest.MonkeyPatch()
set_constant(monkeypatch, "WORTH_A_THREAD", 1)
for k in range(60):
    kernel, stride, padding, dilation = (tuple(rng.integers(a, b, 2)) for a, b in [(1, 5), (1, 4), (0, 3), (1, 3)])
    stride, padding = ((1, 1), (0, 0)) if k % 3 == 0 else (stride, padding)  # read where they are
    dtype = rng.choice([np.float32, np.float64])
    reach = [max(1, d * (n - 1) + 1 - 2 * p) for n, p, d in zip(kernel, padding, dilation)]
    image = tuple(r + int(rng.integers(0, 12)) for r in reach)
    groups, channels, outputs, n = (int(rng.integers(1, m)) for m in (3, 40, 20, 3))
    c = case(*(tuple(map(int, pair)) for pair in (kernel, stride, padding, dilation)), groups, channels,
             outputs, n, image, dtype, k)
    expected = c.results()
    R = np.moveaxis(c.R, 0, -1)
    for at_end in True, False:
        hold = partial(guarded_copy, at_end=at_end)
        c.x, c.weight, c.bias, c.z, c.R = map(hold, (c.x, c.weight, c.bias, c.z, c.R))
        set_constant(monkeypatch, "FEW_OUTPUTS", 0 if k % 4 == 0 else 16)
        always_lists(monkeypatch) if k % 2 else never_lists(monkeypatch)
        with kernels_allocate(empty=partial(guarded, at_end=at_end), ascontiguousarray=hold):
            results = c.results()
            results.append(c.layer().redistribute(np.moveaxis(hold(R), -1, 0), c.z, c.x))
        for one, other in zip(results, [*expected, expected[-1]], strict=True):
            np.testing.assert_array_equal(one, other)
print("stayed inside")
"""


@needs_compiled
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="protects pages with Linux' mprotect")
def test_nothing_outside_the_arrays_is_touched():
    """All arrays end where a page ends, or start where one starts, beside pages that nobody may touch."""
    answer = run(GUARDED, MALLOC_PERTURB_="128", REFCRP_NUM_THREADS="2", **SAME_KERNELS)
    assert answer.stdout == "stayed inside\n", (answer.returncode, answer.stderr)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="protects pages with Linux' mprotect")
def test_the_guard_of_the_test_before_bites():
    for at_end, k in (True, 1), (False, -1):
        code = "import ctypes; from geometries import guarded; a = guarded(7, 'f4', at_end={}); p = a.ctypes.data; "
        code += "print(a[6], flush=True); ctypes.c_float.from_address(p + {} * 4 * {}).value"
        answer = run(code.format(at_end, k, 7 if at_end else 1))
        assert answer.stdout == "nan\n"
        assert answer.returncode == -11
