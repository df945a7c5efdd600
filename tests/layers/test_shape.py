from fractions import Fraction

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L


@pytest.mark.parametrize("rule", [rc.ZeroRule(), rc.EpsilonRule(0.5), rc.PassRule()])
def test_permuted_relevance_goes_home(rule, rng):
    """Under PassRule too, which reshapes elsewhere."""
    layer = L.Permute((0, 3, 1, 2))
    x, R = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(7, 2, 5, 3, 4))
    y = layer.forward(x)
    R_in = layer.relevance(R, x, rule=rule)
    for n, h, w, c in np.ndindex(*x.shape):
        assert y[n, c, h, w] == x[n, h, w, c]
        assert (R_in[:, n, h, w, c] == R[:, n, c, h, w]).all()
    assert (layer.relevance(R[0], x, rule=rule) == R_in[0]).all()
    assert layer.output_shape((3, None, 5)) == (5, 3, None)


def test_permute_under_a_composite_that_passes(rng):
    """Channels last, turned round, through a convolution and back: as with channels first throughout."""
    conv = L.Conv2d(rng.normal(size=(4, 2, 2, 2)), activation="relu")
    dense = L.Dense(rng.normal(size=(3, 4 * 9)))
    first = rc.Sequential([conv, L.Flatten(), dense])
    last = rc.Sequential([L.Permute((0, 3, 1, 2)), conv, L.Reshape((-1,)), dense])
    x = rng.normal(size=(2, 2, 4, 4))
    expected = rc.LRP(first, rc.EpsilonPlus())(x).relevance
    actual = rc.LRP(last, rc.EpsilonPlus())(x.transpose(0, 2, 3, 1)).relevance
    np.testing.assert_array_equal(actual.transpose(0, 3, 1, 2), expected)


def test_reshape():
    x = np.arange(24.0).reshape(2, 12)
    layer = L.Reshape((3, -1))
    assert layer.forward(x)[1, 2].tolist() == [20, 21, 22, 23]
    assert layer.relevance(np.stack([x, -x]).reshape(2, 2, 3, 4), x)[1, 1].tolist() == (-x[1]).tolist()
    assert layer.output_shape((None, 4)) == (3, None)
    assert L.Reshape([4, 3]).output_shape((None,)) == (4, 3)
    assert L.Reshape((1, 1)).forward(np.ones(3)).shape == (3, 1, 1)  # samples that are single numbers


def test_identity(rng):
    x = rng.normal(size=(2, 3))
    np.testing.assert_array_equal(L.Identity().forward(x), x)
    np.testing.assert_array_equal(L.Identity().relevance(x, x, rule=rc.PassRule()), x)


@pytest.mark.parametrize("dtype", [np.float64, object])
def test_zero_pad(dtype):
    x = np.array([[[[Fraction(1), 2], [3, 4]]]], dtype=dtype)
    layer = L.ZeroPad((1, 0, 2, 1))
    y = layer.forward(x)
    assert y[0, 0].tolist() == [[0, 0, 0, 0, 0], [0, 0, 1, 2, 0], [0, 0, 3, 4, 0]]
    R = np.arange(15).reshape(1, 1, 3, 5).astype(dtype)
    assert layer.relevance(R, x)[0, 0].tolist() == [[7, 8], [12, 13]]
    losses = rc.ZeroRule().bind(layer).linearize(x).losses(np.stack([R, 2 * R]))
    assert losses.dropped.tolist() == [[65], [130]]
    assert (losses.bias == 0).all()
    assert (losses.stabilizer == 0).all()


@pytest.mark.parametrize("rule", [rc.ZeroRule(), rc.ZPlusRule(), rc.GammaRule()])
def test_zero_pad_before_a_convolution_is_its_padding(rule, rng):
    weight, bias = rng.normal(size=(3, 2, 3, 3)), rng.normal(size=3)
    x, R = rng.normal(size=(2, 2, 4, 4)), rng.normal(size=(2, 3, 4, 4))
    pad, bare, padded = L.ZeroPad(1), L.Conv2d(weight, bias), L.Conv2d(weight, bias, padding=1)
    np.testing.assert_allclose(bare.forward(pad.forward(x)), padded.forward(x), rtol=1e-12)
    R_pad = bare.relevance(R, pad.forward(x), rule=rule)
    np.testing.assert_allclose(pad.relevance(R_pad, x), padded.relevance(R, x, rule=rule), rtol=1e-9)
    losses = rc.ZeroRule().bind(pad).linearize(x).losses(R_pad)
    np.testing.assert_allclose(losses.dropped, 0, atol=1e-9)


def test_zero_pad_takes_no_rule_that_reshapes():
    with pytest.raises(rc.errors.RuleCompatibilityError, match="differ in size"):
        L.ZeroPad(1).relevance(np.ones((1, 1, 3, 3)), np.ones((1, 1, 1, 1)), rule=rc.PassRule())
    assert L.ZeroPad(0).keeps_size


def test_a_slope_for_each_channel():
    x = np.array([[[-1.0, 2], [-3, -4]]])
    layer = L.PReLU([0.5, 2])
    assert layer.forward(x).tolist() == [[[-0.5, 2], [-6, -8]]]
    np.testing.assert_array_equal(layer.relevance(x, x), x)
    exact = L.PReLU([0.5, 2]).astype(object).forward(rc.exact(x))
    assert exact[0, 0, 0] == Fraction(-1, 2)
    fused = L.Dense(np.eye(2, dtype="f4"), activation=layer).forward(np.array([[-1, -1]], "f4"))
    assert fused.tolist() == [[-0.5, -2]]
    assert fused.dtype == np.float32
