from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import numpy as np
import oracle
import pytest
from test_oracle_grid import assert_close, expected_relevance

import refcrp as rc
from refcrp import layers as L
from refcrp.arrays import exact
from refcrp.dialects import CHOICES
from refcrp.layers.winners import WAYS

SIZES = [((6, 6), (3, 2)), ((7, 5), (3, 4)), ((5, 3), (5, 7)), ((2, 3), (1, 1)), ((4, 6), (2, 4))]


def cells(length, count):
    return [range(floor(k * length / count), ceil((k + 1) * length / count)) for k in range(count)]


@pytest.mark.parametrize(("image", "size"), SIZES)
@pytest.mark.parametrize("rule", ["zero", "epsilon"])
def test_average(image, size, rule, rng):
    W = np.zeros((2, *size, 2, *image))
    for c, y, q in np.ndindex(2, *size):
        rows, columns = cells(image[0], size[0])[y], cells(image[1], size[1])[q]
        for r in rows:
            for s in columns:
                W[c, y, q, c, r, s] = 1 / (len(rows) * len(columns))
    W = W.reshape(2 * size[0] * size[1], -1)
    x, R = rng.normal(size=(3, 2, *image)), rng.normal(size=(3, 2, *size))
    layer = L.AdaptiveAvgPool(size)
    assert_close(layer.forward(x), (x.reshape(3, -1) @ W.T).reshape(R.shape))
    expected = expected_relevance(rule, (W, W != 0, R.shape[1:]), 0, x, R)
    of_layer = layer.relevance(R, x, rule=rc.EpsilonRule(0.25) if rule == "epsilon" else rc.ZeroRule())
    assert_close(of_layer, expected)


def test_average_on_fractions():
    x = exact(np.arange(5).reshape(1, 1, 1, 5))
    z = L.AdaptiveAvgPool((1, 3)).forward(x)
    assert z.tolist() == [[[[Fraction(1, 2), 2, Fraction(7, 2)]]]]
    assert all(isinstance(v, Fraction) for v in z.flat)


def test_average_in_longdouble_is_not_rounded_to_double():
    x = np.ones((1, 1, 3, 3), np.longdouble) / 3
    z = L.AdaptiveAvgPool(1).forward(x)
    assert abs(z[0, 0, 0, 0] - np.longdouble(1) / 3) <= 4 * np.finfo(np.longdouble).eps


def test_the_whole_image_is_global_pooling(rng):
    x = rng.normal(size=(2, 3, 5, 4))
    np.testing.assert_allclose(L.AdaptiveAvgPool(1).forward(x), L.GlobalAvgPool().forward(x), rtol=1e-12)
    np.testing.assert_array_equal(L.AdaptiveMaxPool(1).forward(x), L.GlobalMaxPool().forward(x))


@pytest.mark.parametrize(("image", "size"), SIZES)
def test_maximum(image, size, rng):
    x = rng.integers(-2, 3, size=(2, 2, *image)).astype(float)  # many ties, and zero maxima
    z, R = np.zeros((2, 2, *size)), rng.normal(size=(2, 2, *size))
    expected = np.zeros_like(x)
    for n, c, y, q in np.ndindex(*z.shape):
        pixels = [(r, s) for r in cells(image[0], size[0])[y] for s in cells(image[1], size[1])[q]]
        best = max(pixels, key=lambda p: (x[n, c, p[0], p[1]], -p[0] * image[1] - p[1]))
        v = z[n, c, y, q] = x[n, c, best[0], best[1]]
        expected[n, c, best[0], best[1]] += v / (v + (-oracle.EPS if v < 0 else oracle.EPS)) * R[n, c, y, q]
    layer = L.AdaptiveMaxPool(size)
    np.testing.assert_array_equal(layer.forward(x), z)
    assert_close(layer.relevance(R, x), expected)
    both = layer.relevance(np.stack([R, 2 * R]), x)
    assert_close(both, np.stack([expected, 2 * expected]))
    pull = rc.ZeroRule().bind(layer).linearize(x)
    lost = sum(pull.losses(R))
    np.testing.assert_allclose(R.sum(axis=(1, 2, 3)), expected.sum(axis=(1, 2, 3)) + lost, atol=1e-12)


@dataclass(frozen=True)
class TakesWay(rc.ZeroRule):
    way: str = "stabilized"

    @property
    def max_pool(self):
        return self.way


@pytest.mark.parametrize("way", WAYS)
def test_every_way_agrees_with_max_pooling_where_bins_are_alike(way, rng):
    """Bins of one size go through one window, uneven ones through one each: the same numbers."""
    assert set(WAYS) <= set(CHOICES["max_pool"])
    rule = TakesWay(way)
    x, R = rng.integers(-2, 3, size=(2, 2, 6, 4)).astype(float), rng.normal(size=(2, 2, 3, 2))
    even = L.AdaptiveMaxPool((3, 2)).relevance(R, x, rule=rule)
    np.testing.assert_array_equal(even, L.MaxPool(2).relevance(R, x, rule=rule))
    # Columns 0-1, 1-2, 2-3, ...: bins that overlap, and windows of stride 1 that do.
    x, R = x[..., :3], rng.normal(size=(2, 2, 3, 2))
    overlapping = L.AdaptiveMaxPool((3, 2)).relevance(R, x, rule=rule)
    assert_close(overlapping, L.MaxPool(2, stride=(2, 1)).relevance(R, x, rule=rule))


def test_maximum_on_fractions():
    x = np.array([[[[Fraction(1, 3), Fraction(1, 2), Fraction(-1)]]]], dtype=object)
    layer = L.AdaptiveMaxPool((1, 2))
    assert layer.forward(x).tolist() == [[[[Fraction(1, 2), Fraction(1, 2)]]]]
    R = layer.relevance(np.full((1, 1, 1, 2), Fraction(1)), x)
    assert R[0, 0, 0].tolist() == [0, 1 / (Fraction(1, 2) + Fraction(1e-9)), 0]
