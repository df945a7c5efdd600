"""ConvTranspose2d as a dense matrix built pixel by pixel, under every rule; and what makes other convolutions."""

import itertools
from fractions import Fraction

import numpy as np
import oracle
import pytest
from test_oracle_grid import RULES, assert_close, expected_relevance

import refcrp as rc
from refcrp import layers as L
from refcrp.arrays import exact

CASES = {
    # name: (weight shape, image, settings)
    "plain": ((2, 3, 3, 3), (2, 3, 4), {}),
    "one pixel each": ((2, 3, 1, 1), (2, 3, 4), {}),
    "strided": ((2, 3, 3, 2), (2, 3, 4), {"stride": (2, 3)}),
    "outputs that nothing reaches": ((2, 2, 1, 1), (2, 3, 3), {"stride": 2, "output_padding": 1}),
    "padded": ((2, 3, 3, 3), (2, 3, 4), {"stride": 2, "padding": 1, "output_padding": 1}),
    "dilated": ((2, 2, 2, 2), (2, 4, 3), {"dilation": (2, 3)}),
    "grouped": ((4, 3, 2, 2), (4, 3, 3), {"groups": 2, "stride": 2}),
    "all at once": (
        (4, 1, 3, 2),
        (4, 3, 4),
        {"stride": (2, 3), "padding": (1, 1), "dilation": (2, 1), "output_padding": (0, 2), "groups": 2},
    ),
}


def dense(weight, image, stride=1, padding=0, dilation=1, groups=1, output_padding=0):
    """Give (W, C, output shape): every input pixel paints the kernel into the output."""
    stride, padding, dilation, added = (
        v if isinstance(v, tuple) else (v, v) for v in (stride, padding, dilation, output_padding)
    )
    channels, per_group, *kernel = weight.shape
    _, *size = image
    out = [
        (size[k] - 1) * stride[k] - 2 * padding[k] + dilation[k] * (kernel[k] - 1) + added[k] + 1
        for k in (0, 1)
    ]
    shape = (per_group * groups, *out)
    W = np.zeros((*shape, *image), dtype=weight.dtype)
    C = np.zeros(W.shape, dtype=int)
    for c, y, x in itertools.product(range(channels), range(size[0]), range(size[1])):
        for o, i, j in itertools.product(range(per_group), range(kernel[0]), range(kernel[1])):
            Y, X = y * stride[0] + i * dilation[0] - padding[0], x * stride[1] + j * dilation[1] - padding[1]
            if 0 <= Y < out[0] and 0 <= X < out[1]:
                place = (c // (channels // groups) * per_group + o, Y, X, c, y, x)
                W[place] += weight[c, o, i, j]
                C[place] = 1
    flat = int(np.prod(shape)), int(np.prod(image))
    return W.reshape(flat), C.reshape(flat), shape


def make(name, rng):
    shape, image, settings = CASES[name]
    weight, matrices = rng.normal(size=shape), None
    matrices = dense(weight, image, **settings)
    bias = rng.normal(size=matrices[2][0])
    return (
        L.ConvTranspose2d(weight, bias, **settings),
        image,
        matrices,
        np.repeat(bias, np.prod(matrices[2][1:])),
    )


@pytest.mark.parametrize("name", CASES)
def test_forward(name, rng):
    layer, image, (W, _, shape), b = make(name, rng)
    x = rng.normal(size=(2, *image))
    assert layer.output_shape(image) == shape
    assert layer.input_hint() == (image[0], None, None)
    assert_close(layer.forward(x), (x.reshape(2, -1) @ W.T + b).reshape(2, *shape))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", CASES)
def test_relevance(name, rule, rng):
    layer, image, matrices, b = make(name, rng)
    x, R = rng.normal(size=(3, *image)), rng.normal(size=(3, *matrices[2]))
    expected = expected_relevance(rule, matrices, b, x, R)
    assert_close(layer.relevance(R, x, rule=RULES[rule][0]), expected)


@pytest.mark.parametrize("rule", RULES)
def test_on_fractions_equal(rule, rng):
    weight, b, x = (exact(rng.integers(-8, 9, size=size) / 8) for size in ((2, 2, 2, 3), 2, (1, 2, 2, 2)))
    settings = {"stride": (1, 2), "padding": (0, 1), "output_padding": (0, 1)}
    W, C, shape = dense(weight, (2, 2, 2), **settings)
    R = exact(rng.integers(-8, 9, size=(1, *shape)) / 8)
    of_refcrp, of_oracle, parameters, _ = RULES[rule]
    parameters = {name: Fraction(value) for name, value in ({"eps": 1e-9} | parameters).items()}
    actual = L.ConvTranspose2d(weight, b, **settings).relevance(R, x, rule=of_refcrp)
    expected = of_oracle(W, C, np.repeat(b, np.prod(shape[1:])), x.ravel(), R.ravel(), **parameters)
    assert (actual.ravel() == expected).all()


def test_relevance_of_the_bias_is_accounted_for(rng):
    layer, image, (_, _, shape), _ = make("outputs that nothing reaches", rng)
    x, R = rng.normal(size=(2, *image)), rng.normal(size=(2, *shape))
    pull = rc.ZeroRule().bind(layer).linearize(x)
    lost = sum(pull.losses(R))
    np.testing.assert_allclose(R.sum(axis=(1, 2, 3)), pull(R).sum(axis=(1, 2, 3)) + lost, rtol=1e-9)
    unreached = R[:, :, 1::2].sum(axis=(1, 2, 3)) + R[:, :, ::2, 1::2].sum(axis=(1, 2, 3))
    assert (np.abs(pull.losses(R).bias) > 0).all()
    only_unreached = np.array(R)
    only_unreached[:, :, ::2, ::2] = 0
    np.testing.assert_allclose(pull.losses(only_unreached).bias, unreached, rtol=1e-6)
    assert not pull(only_unreached).any()


def test_summary_shows_what_is_unusual():
    layer = L.ConvTranspose2d(np.ones((4, 1, 3, 2)), stride=2, output_padding=(1, 0), groups=2)
    assert repr(layer) == "ConvTranspose2d(4 => 2, 3x2, stride 2, groups 2, output_padding (1, 0))"
    assert not layer.keeps_size
    assert L.ConvTranspose2d(np.ones((2, 2, 3, 3)), padding=1).keeps_size


def test_conv1d_by_hand():
    layer = L.conv1d([[[1.0, -2]], [[0, 3]]], [0, 1], stride=2, padding=1, activation="relu", name="c")
    z = layer.forward(np.array([[[[1.0, 2, 3]]]]))
    np.testing.assert_array_equal(z, [[[[0, 0]], [[4, 10]]]])
    assert (type(layer), layer.name) == (L.Conv2d, "c")


def test_depthwise_sees_one_channel_each(rng):
    weight, x = rng.normal(size=(3, 2, 2, 3)), rng.normal(size=(1, 3, 4, 4))
    z = L.depthwise_conv2d(weight, np.arange(6.0), stride=2).forward(x)
    for c, m in np.ndindex(3, 2):
        patch = x[0, c, 2:4, 0:3]
        assert z[0, 2 * c + m, 1, 0] == pytest.approx((weight[c, m] * patch).sum() + 2 * c + m)


def test_separable_is_one_convolution_of_the_product(rng):
    depthwise, pointwise, b = rng.normal(size=(3, 2, 2, 2)), rng.normal(size=(4, 6)), rng.normal(size=4)
    first, second = L.separable_conv2d(depthwise, pointwise, b, padding=1, activation="relu", name="sep")
    assert (first.name, second.name, first.nonlinearity) == ("sep.depthwise", "sep", None)
    full = np.einsum("ocm,cmij->ocij", pointwise.reshape(4, 3, 2), depthwise)
    x = rng.normal(size=(2, 3, 5, 5))
    expected = L.Conv2d(full, b, padding=1, activation="relu").forward(x)
    np.testing.assert_allclose(second.forward(first.forward(x)), expected, atol=1e-12)
    W, _, shape = oracle.conv_matrix(full, (3, 5, 5), (1, 1), (1, 1), (1, 1), 1)
    by_matrix = (x.reshape(2, -1) @ W.T).reshape(2, *shape) + b[:, None, None]
    np.testing.assert_allclose(expected, np.maximum(by_matrix, 0), atol=1e-12)
