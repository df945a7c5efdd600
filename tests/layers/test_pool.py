from fractions import Fraction

import numpy as np
import pytest

from refcrp import layers as L
from refcrp.errors import ShapeError


@pytest.mark.parametrize(
    "layer", [L.GlobalMaxPool(), L.GlobalAvgPool(), L.MaxPool(2, padding=1), L.Flatten(), L.ReLU()]
)
def test_empty_samples(layer):
    """A window over nothing has no winner; it must not be looked for."""
    for shape in (1, 3, 0, 5), (1, 0, 2, 2):
        with pytest.raises(ShapeError, match="none empty"):
            layer.forward(np.zeros(shape))


def test_pairs_as_arrays():
    assert L.MaxPool(np.array([2, 3])).kernel_size == (2, 3)


def test_flags_of_other_languages():
    assert L.AvgPool(2, count_include_pad=np.uint8(0)).count_include_pad is False


def test_max_pooling_ties_go_to_the_first():
    R = L.MaxPool(2).relevance(np.ones((1, 1, 1, 1)), np.ones((1, 1, 2, 2)))
    np.testing.assert_allclose(R, [[[[1, 0], [0, 0]]]], rtol=1e-8)


def test_max_pooling_drops_the_relevance_of_empty_windows():
    assert L.MaxPool(2).relevance(np.ones((1, 1, 1, 1)), np.zeros((1, 1, 2, 2))).sum() == 0


def test_overlapping_windows_add_up():
    x = np.zeros((1, 1, 1, 3))
    x[..., 1] = 5
    R = L.MaxPool((1, 2), stride=1).relevance(np.array([[[[1.0, 2.0]]]]), x)
    np.testing.assert_allclose(R, [[[[0, 3, 0]]]], rtol=1e-8)


def test_max_pooling_on_fractions():
    x = np.array([Fraction(k, 7) for k in (3, -1, 4, 4)], dtype=object).reshape(1, 1, 2, 2)
    assert L.MaxPool(2).forward(x)[0, 0, 0, 0] == Fraction(4, 7)
    R = L.MaxPool(2).relevance(np.full((1, 1, 1, 1), Fraction(1)), x)
    assert R[0, 0, 1, 0] == Fraction(4, 7) / (Fraction(4, 7) + Fraction(1e-9))


def test_average_pooling_is_weighted_by_the_input():
    x = np.array([[[[1.0, 3.0], [0.0, 4.0]]]])
    np.testing.assert_allclose(L.AvgPool(2).relevance(np.full((1, 1, 1, 1), 8.0), x), x, rtol=1e-8)
