"""Every rule on every linear layer under many settings, against the dense-matrix oracle."""

from fractions import Fraction

import numpy as np
import oracle
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.arrays import exact

F = Fraction

# (rule, the same rule of the oracle, needs weights). Parameters that are exact in binary, for the exact tests.
RULES = {
    "zero": (rc.ZeroRule(), oracle.zero, {}, False),
    "epsilon": (rc.EpsilonRule(0.25), oracle.epsilon, {"eps": 0.25}, False),
    "epsilon-default": (rc.EpsilonRule(), oracle.epsilon, {"eps": 1e-6}, False),
    "gamma": (rc.GammaRule(0.5), oracle.gamma, {"g": 0.5}, True),
    "gamma-default": (rc.GammaRule(), oracle.gamma, {"g": 0.25}, True),
    "generalized-gamma": (rc.GeneralizedGammaRule(0.5), oracle.generalized_gamma, {"g": 0.5}, True),
    "zplus": (rc.ZPlusRule(), oracle.zplus, {}, True),
    "alphabeta": (rc.AlphaBetaRule(), oracle.alphabeta, {"alpha": 2, "beta": 1}, True),
    "alphabeta-1.5": (rc.AlphaBetaRule(1.5, 0.5), oracle.alphabeta, {"alpha": 1.5, "beta": 0.5}, True),
    "wsquare": (rc.WSquareRule(), oracle.wsquare, {}, True),
    "flat": (rc.FlatRule(), oracle.flat, {}, True),
    "zbox": (rc.ZBoxRule(-3, 2), oracle.zbox, {"low": -3, "high": 2}, True),
}

CONVOLUTIONS = {
    # name: (weight shape, image, stride, padding, dilation, groups, has bias)
    "plain": ((3, 2, 3, 3), (2, 5, 6), (1, 1), (0, 0), (1, 1), 1, True),
    "padded": ((3, 2, 3, 3), (2, 4, 5), (1, 1), (1, 2), (1, 1), 1, True),
    "strided": ((3, 2, 2, 3), (2, 6, 7), (2, 3), (0, 0), (1, 1), 1, True),
    "stride leaves pixels out": ((2, 1, 1, 1), (1, 5, 5), (2, 2), (0, 0), (1, 1), 1, True),
    "dilated": ((2, 2, 2, 2), (2, 5, 5), (1, 1), (0, 0), (2, 3), 1, True),
    "grouped": ((4, 2, 2, 2), (4, 4, 4), (1, 1), (1, 1), (1, 1), 2, True),
    "depthwise": ((6, 1, 3, 3), (3, 4, 4), (1, 1), (1, 1), (1, 1), 3, False),
    "all at once": ((4, 1, 2, 3), (2, 7, 8), (2, 1), (1, 2), (2, 2), 2, True),
    "padding wider than the kernel": ((2, 1, 2, 2), (1, 3, 3), (1, 1), (3, 3), (1, 1), 1, True),
    "no bias": ((3, 2, 3, 3), (2, 4, 4), (1, 1), (1, 1), (1, 1), 1, False),
    "one pixel": ((3, 2, 1, 1), (2, 1, 1), (1, 1), (0, 0), (1, 1), 1, True),
}


def assert_close(actual, expected, scale=1.0, tolerance=1e-12):
    """Agreement relative to the largest value: sums of other order may cancel in single places."""
    np.testing.assert_allclose(
        actual, expected, rtol=tolerance, atol=tolerance * scale * np.abs(expected).max()
    )


def expected_relevance(rule, matrices, b, x, R):
    _, of_oracle, parameters, _ = RULES[rule]
    W, C, _ = matrices
    rows = [of_oracle(W, C, b, a.ravel(), r.ravel(), **parameters) for a, r in zip(x, R, strict=True)]
    return np.stack(rows).reshape(x.shape)


def make_convolution(name, rng):
    shape, image, stride, padding, dilation, groups, has_bias = CONVOLUTIONS[name]
    weight, bias = rng.normal(size=shape), rng.normal(size=shape[0]) if has_bias else None
    layer = L.Conv2d(weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    matrices = oracle.conv_matrix(weight, image, stride, padding, dilation, groups)
    b = np.repeat(np.zeros(shape[0]) if bias is None else bias, np.prod(matrices[2][1:]))
    return layer, image, matrices, b


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(name, rule, rng):
    layer, image, matrices, b = make_convolution(name, rng)
    x, R = rng.normal(size=(3, *image)), rng.normal(size=(3, *matrices[2]))
    assert_close(layer.relevance(R, x, rule=RULES[rule][0]), expected_relevance(rule, matrices, b, x, R))


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_forward(name, rng):
    layer, image, (W, _, shape), b = make_convolution(name, rng)
    x = rng.normal(size=(2, *image))
    z = layer.forward(x)
    assert z.shape == (2, *shape)
    assert layer.output_shape(image) == shape
    assert_close(z, (x.reshape(2, -1) @ W.T + b).reshape(z.shape))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("batch", [1, 4])
def test_dense(rule, has_bias, batch, rng):
    W, b = rng.normal(size=(4, 5)), rng.normal(size=4) if has_bias else None
    x, R = rng.normal(size=(batch, 5)), rng.normal(size=(batch, 4))
    matrices = W, np.ones_like(W), (4,)
    expected = expected_relevance(rule, matrices, np.zeros(4) if b is None else b, x, R)
    assert_close(L.Dense(W, b).relevance(R, x, rule=RULES[rule][0]), expected)


@pytest.mark.parametrize("rule", RULES)
def test_channelwise_scale(rule, rng):
    w, b = rng.normal(size=3), rng.normal(size=3)
    x, R = rng.normal(size=(2, 3, 2, 2)), rng.normal(size=(2, 3, 2, 2))
    W = np.diag(np.repeat(w, 4))
    expected = expected_relevance(rule, (W, np.eye(12), (3, 2, 2)), np.repeat(b, 4), x, R)
    assert_close(L.Scale(w, b).relevance(R, x, rule=RULES[rule][0]), expected)


POOLS = [
    ((2, 2), (2, 2), (0, 0)),
    ((3, 2), (1, 2), (0, 1)),
    ((3, 3), (2, 2), (1, 1)),
    ((2, 2), (3, 3), (0, 0)),
]


@pytest.mark.parametrize("rule", [name for name, row in RULES.items() if not row[3]])
@pytest.mark.parametrize(("kernel", "stride", "padding"), POOLS)
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_average_pooling(rule, kernel, stride, padding, count_include_pad, rng):
    image = (2, 6, 7)
    matrices = oracle.avgpool_matrix(image, kernel, stride, padding, count_include_pad)
    x, R = rng.normal(size=(2, *image)), rng.normal(size=(2, *matrices[2]))
    layer = L.AvgPool(kernel, stride, padding, count_include_pad=count_include_pad)
    assert_close(layer.forward(x), (x.reshape(2, -1) @ matrices[0].T).reshape(R.shape))
    expected = expected_relevance(rule, matrices, np.zeros(len(matrices[0])), x, R)
    assert_close(layer.relevance(R, x, rule=RULES[rule][0]), expected)


@pytest.mark.parametrize(("kernel", "stride", "padding"), POOLS)
def test_max_pooling(kernel, stride, padding, rng):
    x = rng.integers(-2, 3, size=(3, 2, 6, 7)).astype(float)  # few values: many ties, and zero maxima
    layer = L.MaxPool(kernel, stride, padding)
    z = layer.forward(x)
    np.testing.assert_array_equal(
        z, np.stack([oracle.maxpool(image, kernel, stride, padding)[0] for image in x])
    )
    R = rng.normal(size=z.shape)
    for rule, eps in (rc.ZeroRule(), 1e-9), (rc.EpsilonRule(0.5), 0.5):
        pairs = zip(x, R, strict=True)
        expected = np.stack([oracle.maxpool_relevance(a, r, kernel, stride, padding, eps) for a, r in pairs])
        assert_close(layer.relevance(R, x, rule=rule), expected)


def test_global_pooling(rng):
    x, R = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 3, 1, 1))
    largest, mean = L.GlobalMaxPool(), L.GlobalAvgPool()
    np.testing.assert_array_equal(largest.forward(x), x.max(axis=(2, 3), keepdims=True))
    assert_close(mean.forward(x), x.mean(axis=(2, 3), keepdims=True))
    pairs = zip(x, R, strict=True)
    expected = np.stack([oracle.maxpool_relevance(a, r, (4, 5), (1, 1), (0, 0)) for a, r in pairs])
    assert_close(largest.relevance(R, x), expected)
    matrices = oracle.avgpool_matrix((3, 4, 5), (4, 5), (1, 1), (0, 0))
    assert_close(mean.relevance(R, x), expected_relevance("zero", matrices, np.zeros(3), x, R))


@pytest.mark.parametrize("rule", RULES)
def test_zero_denominators(rule, rng):
    """A zero input without bias: every a-weighted denominator is the stabilizer itself, with sign(0) = 1."""
    weight = rng.normal(size=(3, 2, 2, 2))
    layer, image = L.Conv2d(weight), (2, 3, 3)
    matrices = oracle.conv_matrix(weight, image, (1, 1), (0, 0), (1, 1), 1)
    x, R = np.zeros((2, *image)), rng.normal(size=(2, 3, 2, 2))
    x[0, 0, 0, 0] = 1e-9  # comparable to the stabilizer
    actual = layer.relevance(R, x, rule=RULES[rule][0])
    assert_close(actual, expected_relevance(rule, matrices, np.zeros(12), x, R))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_exact_arithmetic(rule, kind, rng):
    """On fractions refcrp and the oracle are equal, not close."""

    def fractions(*shape):
        return exact(rng.integers(-8, 9, size=shape) / 8)

    if kind == "dense":
        W, b, x, R = fractions(3, 4), fractions(3), fractions(2, 4), fractions(2, 3)
        layer, matrices, b_all = L.Dense(W, b), (W, np.ones((3, 4), dtype=int), (3,)), b
    else:
        weight, b = fractions(2, 2, 2, 2), fractions(2)
        layer = L.Conv2d(weight, b, padding=1, stride=(2, 1))
        matrices = oracle.conv_matrix(weight, (2, 3, 3), (2, 1), (1, 1), (1, 1), 1)
        x, R = fractions(2, 2, 3, 3), fractions(2, *matrices[2])
        b_all = np.repeat(b, np.prod(matrices[2][1:]))
    of_refcrp, of_oracle, parameters, _ = RULES[rule]
    parameters = {name: F(value) for name, value in ({"eps": 1e-9} | parameters).items()}
    rows = [
        of_oracle(matrices[0], matrices[1], b_all, a.ravel(), r.ravel(), **parameters)
        for a, r in zip(x, R, strict=True)
    ]
    actual = layer.relevance(R, x, rule=of_refcrp)
    assert actual.dtype == object
    assert all(isinstance(value, (F, int)) for value in actual.ravel())
    assert (actual == np.stack(rows).reshape(x.shape)).all()


@pytest.mark.parametrize("rule", RULES)
def test_float32_is_near_float64(rule, rng):
    layer, image, matrices, _ = make_convolution("all at once", rng)
    x, R = np.abs(rng.normal(size=(2, *image))), np.abs(rng.normal(size=(2, *matrices[2])))
    # Weights of one sign: no denominator cancels, so only rounding is left.
    layer = L.Conv2d(
        np.abs(layer.weight), np.abs(layer.bias), stride=(2, 1), padding=(1, 2), dilation=2, groups=2
    )
    if rule.startswith("zbox"):
        x = x.clip(0, 2)
    double = layer.relevance(R, x, rule=RULES[rule][0])
    single = layer.astype(np.float32).relevance(
        R.astype(np.float32), x.astype(np.float32), rule=RULES[rule][0]
    )
    assert single.dtype == np.float32
    assert_close(single, double, tolerance=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_longdouble_takes_the_numpy_path(rule, rng):
    layer, image, matrices, b = make_convolution("padded", rng)
    x, R = rng.normal(size=(2, *image)), rng.normal(size=(2, *matrices[2]))
    extended = layer.astype(np.longdouble).relevance(
        R.astype("longdouble"), x.astype("longdouble"), rule=RULES[rule][0]
    )
    assert extended.dtype == np.longdouble
    assert_close(extended.astype(float), expected_relevance(rule, matrices, b, x, R))
