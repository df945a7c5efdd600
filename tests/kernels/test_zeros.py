"""Convolutions of images that are zero in places: what is left out changes no bit."""

import dataclasses

import numpy as np
import pytest
from geometries import (
    DEEP,
    DEEPER,
    MANY_CHANNELS,
    MANY_OUTPUTS,
    STRIDED,
    WIDE,
    always_lists,
    assert_near,
    assert_same_bits,
    case,
    cases,
    needs_compiled,
    never_lists,
    set_constant,
)
from hypothesis import example, given
from hypothesis import strategies as st

from refcrp.kernels import gather, reference, using_threads


def sparse(c, keep, of):
    """The case with zeros, of both signs, in place of channels, rows or pixels of x and of relevance."""
    rng = np.random.default_rng(0)

    def thinned(values):
        size = {
            "channels": (*values.shape[:-2], 1, 1),
            "rows": (*values.shape[:-1], 1),
            "pixels": values.shape,
        }
        kept = rng.uniform(size=size[of]) < keep
        return np.where(kept, values, rng.choice([0.0, -0.0], values.shape)).astype(values.dtype)

    return dataclasses.replace(c, x=thinned(c.x), R=thinned(c.R))


@needs_compiled
@given(
    c=cases(), keep=st.sampled_from([0, 0.1, 0.5, 0.9]), of=st.sampled_from(["channels", "rows", "pixels"])
)
@example(WIDE, 0.5, "channels")
@example(WIDE, 0.3, "rows")
@example(WIDE, 0.05, "pixels")
@example(WIDE, 0.97, "channels")
@example(DEEP, 0.5, "channels")
@example(DEEPER, 0.5, "rows")
@example(STRIDED, 0.3, "channels")
@example(STRIDED, 0.3, "rows")
def test_rows_of_zeros_left_out_or_not(c, keep, of):
    """Packed, without rows of zeros, against read where it is, which leaves none out."""
    some = sparse(c, keep, of)
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_constant(monkeypatch, "FEW_OUTPUTS", 10**6)
        expected = some.results()
        set_constant(monkeypatch, "FEW_OUTPUTS", 0)
        assert_same_bits(some.results(), expected)
    magnitudes = reference.conv2d(np.abs(some.x), np.abs(c.weight), np.abs(c.bias), c.window, c.groups)
    assert_near(expected[0], reference.conv2d(some.x, c.weight, c.bias, c.window, c.groups), magnitudes)


@needs_compiled
@given(
    c=cases(),
    keep=st.sampled_from([0, 0.1, 0.5, 1]),
    of=st.sampled_from(["channels", "rows", "pixels"]),
    count=st.sampled_from([1, 3]),
)
@example(WIDE, 0.1, "pixels", 1)
@example(DEEP, 0.5, "channels", 1)
@example(MANY_CHANNELS, 0.5, "pixels", 2)
@example(MANY_OUTPUTS, 0.5, "pixels", 2)
def test_lists_or_panels(c, keep, of, count):
    """What is not zero, listed pixel by pixel, gives the bits that panels give."""
    some = sparse(c, keep, of)
    with pytest.MonkeyPatch.context() as monkeypatch, using_threads(count):
        set_constant(monkeypatch, "WORTH_A_THREAD", 1)
        never_lists(monkeypatch)
        expected = some.results()
        always_lists(monkeypatch)
        assert_same_bits(some.results(), expected)


@needs_compiled
@pytest.mark.parametrize(("keep", "is_listed"), [(0, True), (0.3, True), (0.8, False), (1, False)])
def test_images_that_are_zero_enough_are_listed(monkeypatch, keep, is_listed):
    calls = []
    monkeypatch.setattr(gather, "listed", lambda *a, f=gather.listed: calls.append(a) or f(*a))
    c = sparse(case((3, 3), (1, 1), (1, 1), (1, 1), 1, 64, 64, 1, (32, 32), np.float32), keep, "pixels")
    c.layer().linear(c.x)
    assert bool(calls) == is_listed


@needs_compiled
def test_a_look_goes_through_the_whole_image(monkeypatch):
    calls = []
    monkeypatch.setattr(gather, "listed", lambda *a, f=gather.listed: calls.append(a) or f(*a))
    c = case((3, 3), (1, 1), (1, 1), (1, 1), 1, 64, 64, 1, (32, 32), np.float32)
    c.x[:, :8] = 0
    c.layer().linear(c.x)
    assert calls == []
    c.x[:, 8:] = 0
    c.x[:, :8] = 1
    c.layer().linear(c.x)
    assert len(calls) == 1
