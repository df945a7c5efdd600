"""Relevance as images with lanes, and back."""

import numpy as np
import pytest
from geometries import conditions_last as in_memory_last
from hypothesis import given
from hypothesis import strategies as st

from refcrp.kernels.layout import as_lanes, as_relevance, conditions_last, has_conditions_last, in_places

F8 = np.dtype(np.float64)
shapes = st.tuples(*[st.integers(1, 3)] * 4)


def numbers(*shape):
    return np.arange(np.prod(shape), dtype=float).reshape(shape)


@given(shape=shapes, conditions=st.integers(1, 10))
def test_round_trips(shape, conditions):
    """Whatever lengths are 1: which axis is which must not be guessed wrong."""
    R = numbers(conditions, *shape)
    for relevance in R, in_memory_last(R), R[::-1], R[:, :, :, ::-1]:
        images = as_lanes(relevance, F8)
        assert images.flags.c_contiguous
        assert images.size == R.size
        np.testing.assert_array_equal(as_relevance(images, relevance.shape[:-3]), relevance)
    images = as_lanes(R[0], F8)
    assert images.shape == (*shape, 1)
    np.testing.assert_array_equal(as_relevance(images, R[0].shape[:-3]), R[0])


@given(shape=shapes, conditions=st.integers(2, 10))
def test_conditions_last(shape, conditions):
    R = numbers(conditions, *shape)
    lanes = conditions_last(as_lanes(R, F8), shape[0])
    assert lanes.shape == (*shape, conditions)
    assert lanes.flags.c_contiguous
    np.testing.assert_array_equal(lanes, np.moveaxis(R, 0, -1))
    np.testing.assert_array_equal(as_relevance(lanes, R.shape[:-3]), R)


def test_nothing_is_copied_that_lies_right():
    R = numbers(5, 2, 3, 4, 4)
    for relevance in R, R[0], in_memory_last(R):
        images = as_lanes(relevance, F8)
        assert np.shares_memory(images, relevance)
        back = as_relevance(images, relevance.shape[:-3])
        assert np.shares_memory(back, relevance)
        assert back.strides == relevance.strides
        assert np.shares_memory(in_places(images), relevance)
    # What comes out of one layer goes into the next one as it is.
    lanes = conditions_last(as_lanes(R, F8), 2)
    assert np.shares_memory(as_lanes(as_relevance(lanes, (5, 2)), F8), lanes)


def test_what_lies_otherwise_is_copied():
    R = numbers(5, 2, 3, 4, 4)
    for relevance in R[:, :, :, ::-1], R.astype(np.float32), np.moveaxis(numbers(2, 5, 3, 4, 4), 1, 0):
        images = as_lanes(relevance, F8)
        assert images.dtype == F8
        assert not np.shares_memory(images, relevance)
        np.testing.assert_array_equal(images, relevance.reshape(10, 3, 4, 4, 1))


def test_which_order_memory_has():
    R = numbers(5, 2, 3, 4, 4)
    assert not has_conditions_last(R)
    assert has_conditions_last(in_memory_last(R))
    assert has_conditions_last(in_memory_last(R)[1:4])
    assert not has_conditions_last(in_memory_last(R)[:1])  # one condition has no order
    assert not has_conditions_last(in_memory_last(R)[::2])


@pytest.mark.parametrize("shape", [(0, 2, 3, 4, 4), (5, 0, 3, 4, 4), (0, 3, 4, 4)])
def test_nothing_at_all(shape):
    R = np.empty(shape)
    images = as_lanes(R, F8)
    assert images.shape == (0, 3, 4, 4, 1)
    assert as_relevance(images, shape[:-3]).shape == shape


def test_in_places():
    images = numbers(2, 3, 4, 5, 6)
    np.testing.assert_array_equal(in_places(images), images.reshape(2, 3, 20, 6))
    np.testing.assert_array_equal(in_places(images[..., 0]), images[..., 0].reshape(2, 3, 20))
