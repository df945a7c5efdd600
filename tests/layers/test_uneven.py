"""Padding that differs from side to side: a convolution over an image that holds it, without those columns."""

import numpy as np
import oracle
import pytest
from test_oracle_grid import RULES, assert_close, expected_relevance

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ParameterError, ShapeError

CASES = {
    # name: (weight shape, image, padding, stride, dilation, groups)
    "same, stride 2": ((3, 2, 3, 3), (2, 6, 8), (0, 1, 0, 1), (2, 2), (1, 1), 1),
    "same, even kernel": ((3, 2, 2, 4), (2, 4, 5), (0, 1, 1, 2), (1, 1), (1, 1), 1),
    "more before": ((2, 2, 3, 3), (2, 5, 5), (2, 0, 3, 1), (3, 2), (1, 1), 1),
    "one side": ((2, 1, 2, 3), (2, 4, 5), (0, 0, 0, 4), (1, 3), (1, 2), 2),
    "wider than the kernel": ((1, 1, 1, 2), (1, 2, 3), (0, 5, 4, 0), (3, 3), (1, 1), 1),
}


def make(name, rng):
    shape, image, padding, stride, dilation, groups = CASES[name]
    top, bottom, left, right = padding
    weight, bias = rng.normal(size=shape), rng.normal(size=shape[0])
    padded = (image[0], image[1] + top + bottom, image[2] + left + right)
    W, C, out = oracle.conv_matrix(weight, padded, stride, (0, 0), dilation, groups)
    inside = np.zeros(padded, bool)
    inside[:, top : top + image[1], left : left + image[2]] = True
    matrices = W[:, inside.ravel()], C[:, inside.ravel()], out
    layer = L.Conv2d(weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return layer, image, matrices, np.repeat(bias, np.prod(out[1:]))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float64, np.longdouble])
def test_forward_and_adjoint(name, dtype, rng):
    layer, image, (W, _, shape), b = make(name, rng)
    layer = layer.astype(dtype)
    x, s = rng.normal(size=(2, *image)).astype(dtype), rng.normal(size=(2, *shape)).astype(dtype)
    assert layer.output_shape(image) == shape
    assert layer.output_shape((image[0], None, None)) == (shape[0], None, None)
    assert_close(
        layer.forward(x).astype(float), (x.reshape(2, -1) @ W.T + b).reshape(2, *shape).astype(float)
    )
    sent = layer.transpose(s, layer.weight, x.shape)
    assert_close(sent.astype(float), (s.reshape(2, -1) @ W).reshape(x.shape).astype(float))
    assert_close(layer.linear(x, layer.weight, layer.bias).astype(float), layer.forward(x).astype(float))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", CASES)
def test_relevance(name, rule, rng):
    layer, image, matrices, b = make(name, rng)
    x, R = rng.normal(size=(3, *image)), rng.normal(size=(3, *matrices[2]))
    expected = expected_relevance(rule, matrices, b, x, R)
    assert_close(layer.relevance(R, x, rule=RULES[rule][0]), expected)
    both = layer.relevance(np.stack([R, -R]), x, rule=RULES[rule][0])
    assert_close(both, np.stack([expected, -expected]))


def test_flat_knows_what_is_padding(rng):
    """Beside `ZeroPad`, which hands FlatRule's share of the padding to nobody."""
    weight, x, R = rng.normal(size=(1, 1, 3, 3)), rng.normal(size=(1, 1, 4, 4)), np.ones((1, 1, 2, 2))
    inside = L.Conv2d(weight, stride=2, padding=(0, 1, 0, 1)).relevance(R, x, rule=rc.FlatRule())
    assert inside.sum() == pytest.approx(4)
    pad = L.ZeroPad((0, 1, 0, 1))
    around = L.Conv2d(weight, stride=2).relevance(R, pad.forward(x), rule=rc.FlatRule())
    assert pad.relevance(around, x).sum() < 3.5


def test_settings():
    weight = np.ones((2, 2, 3, 3))
    even = L.Conv2d(weight, padding=(1, 1, 2, 2))
    assert (even.padding, even.uneven) == ((1, 2), None)
    layer = L.Conv2d(weight, padding=[0, 2, 1, 1], name="c")
    assert repr(layer) == "Conv2d(2 => 2, 3x3, padding (0, 2, 1, 1), name='c')"
    assert layer.keeps_size
    assert not L.Conv2d(weight, padding=[0, 1, 1, 1]).keeps_size
    assert layer.astype(np.float32).padding == (0, 2, 1, 1)
    with pytest.raises(ParameterError, match="or two, or four"):
        L.Conv2d(weight, padding=(1, 2, 3))
    with pytest.raises(ParameterError):
        L.ConvTranspose2d(weight, padding=(1, 2, 3, 4))
    with pytest.raises(ShapeError, match="does not fit"):
        L.Conv2d(weight, padding=(1, 0, 0, 0)).forward(np.ones((1, 2, 1, 3)))
    assert L.Conv2d(weight, padding=(2, 0, 1, 1)).forward(np.ones((1, 2, 1, 3))).shape == (1, 2, 1, 3)
