from fractions import Fraction
from math import floor

import numpy as np
import pytest
from test_oracle_grid import assert_close, expected_relevance

import refcrp as rc
from refcrp import layers as L
from refcrp.arrays import exact


def nearest_line(length, out, step):
    return [{min(floor(k * step), length - 1): 1.0} for k in range(out)]


def bilinear_line(length, out, step, align):
    """The two pixels next to each output, and their weights, as PyTorch's source says it."""
    rows = []
    for k in range(out):
        place = k * (length - 1) / (out - 1 if out > 1 else 1) if align else max((k + 0.5) * step - 0.5, 0.0)
        first = min(int(place), length - 1)
        second = first + (1 if first < length - 1 else 0)
        share = min(place - first, 1.0)
        row = {first: 1 - share}
        row[second] = row.get(second, 0) + share
        rows.append(row)
    return rows


def matrix(rows, columns, image):
    W = np.zeros((2, len(rows), len(columns), 2, *image))
    for c, y, q in np.ndindex(*W.shape[:3]):
        for r, v in rows[y].items():
            for s, u in columns[q].items():
                W[c, y, q, c, r, s] += v * u
    return W.reshape(2 * len(rows) * len(columns), -1)


LAYERS = [
    (L.UpsampleNearest(2), (8, 6), (0.5, 0.5)),
    (L.UpsampleNearest((1, 3)), (4, 9), (1, 1 / 3)),
    (L.UpsampleNearest(1.5), (6, 4), (1 / 1.5, 1 / 1.5)),
    (L.UpsampleNearest(size=(3, 7)), (3, 7), (4 / 3, 3 / 7)),
    (L.UpsampleBilinear(2), (8, 6), (0.5, 0.5)),
    (L.UpsampleBilinear(1.5), (6, 4), (1 / 1.5, 1 / 1.5)),
    (L.UpsampleBilinear(size=(3, 7)), (3, 7), (4 / 3, 3 / 7)),
    (L.UpsampleBilinear(2, align_corners=True), (8, 6), None),
    (L.UpsampleBilinear(size=(1, 5), align_corners=True), (1, 5), None),
]


@pytest.mark.parametrize(
    ("layer", "size", "steps"), LAYERS, ids=lambda v: repr(v) if isinstance(v, L.Layer) else ""
)
@pytest.mark.parametrize("rule", ["zero", "epsilon"])
def test_against_the_dense_matrix(layer, size, steps, rule, rng):
    image = (4, 3)
    lines = [
        nearest_line(image[k], size[k], steps[k])
        if isinstance(layer, L.UpsampleNearest)
        else bilinear_line(image[k], size[k], steps and steps[k], layer.align_corners)
        for k in (0, 1)
    ]
    W = matrix(*lines, image)
    x, R = rng.normal(size=(2, 2, *image)), rng.normal(size=(2, 2, *size))
    assert layer.output_shape((2, *image)) == (2, *size)
    assert_close(layer.forward(x), (x.reshape(2, -1) @ W.T).reshape(R.shape))
    given = rc.EpsilonRule(0.25) if rule == "epsilon" else rc.ZeroRule()
    expected = expected_relevance(rule, (W, W != 0, R.shape[1:]), 0, x, R)
    assert_close(layer.relevance(R, x, rule=given), expected)


def test_nearest_by_hand():
    z = L.UpsampleNearest(2).forward(np.array([[[[1.0, 2], [3, 4]]]]))
    np.testing.assert_array_equal(z[0, 0], [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]])
    x = np.array([[[[1.0, 0.1, 3]]]], np.float32)
    np.testing.assert_array_equal(L.UpsampleNearest((1, 2)).forward(x)[0, 0, 0], np.repeat(x, 2))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (L.UpsampleBilinear((1, 2)), [0, Fraction(3, 4), Fraction(9, 4), 3]),
        (L.UpsampleBilinear((1, 2), align_corners=True), [0, 1, 2, 3]),
        (L.UpsampleBilinear(size=(1, 3), align_corners=True), [0, Fraction(3, 2), 3]),
        (L.UpsampleNearest(size=(1, 3)), [0, 0, 3]),
    ],
)
def test_exact_on_fractions(layer, expected):
    x = exact(np.array([[[[0, 3]]]]))
    assert layer.forward(x)[0, 0, 0].tolist() == expected
    R = layer.relevance(exact(np.ones((1, 1, 1, len(expected)))), x, rule=rc.ZeroRule())
    eps = Fraction(1e-9)
    assert R[0, 0, 0].tolist() == [0, sum(Fraction(v) / (v + eps) for v in expected)]


def test_scales_of_one_pixel_and_unknown_lengths():
    assert L.UpsampleNearest(2).output_shape((3, None, 4)) == (3, None, 8)
    assert L.UpsampleNearest(size=2).output_shape((3, None, 4)) == (3, 2, 2)
    one = L.UpsampleBilinear(3, align_corners=True).forward(np.full((1, 1, 1, 1), 5.0))
    np.testing.assert_array_equal(one, np.full((1, 1, 3, 3), 5.0))
