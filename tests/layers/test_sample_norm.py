"""Layer, group and instance normalisation: groups picked out by hand, and centring as an explicit matrix."""

from math import sqrt

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L

SHAPE = (4, 2, 3)
CASES = {
    # name: (makes the layer, which group each value of a sample is in, the shape of its parameters)
    "layer": (L.LayerNorm, np.zeros(SHAPE, int), SHAPE),
    "last axis": (
        L.LayerNorm,
        np.broadcast_to(np.arange(8).reshape(4, 2, 1), SHAPE),
        (3,),
    ),
    "group": (
        lambda w, b: L.GroupNorm(2, w, b),
        np.broadcast_to([[[0]], [[0]], [[1]], [[1]]], SHAPE),
        (4, 1, 1),
    ),
    "instance": (
        L.InstanceNorm,
        np.broadcast_to(np.arange(4).reshape(4, 1, 1), SHAPE),
        (4, 1, 1),
    ),
}


def stabilized(z):
    return z + np.where(z < 0, -1e-9, 1e-9)


@pytest.mark.parametrize("name", CASES)
def test_forward_and_relevance(name, rng):
    make, group, parameters = CASES[name]
    w, b = rng.normal(size=parameters), rng.normal(size=parameters)
    layer = make(w.squeeze(), b.squeeze())
    a, R = rng.normal(size=(2, *SHAPE)), rng.normal(size=(2, *SHAPE))
    same = group.ravel()[:, None] == group.ravel()
    centring = np.eye(24) - same / same.sum(axis=1, keepdims=True)
    expected = []
    for x, r in zip(a, R, strict=True):
        normalized = np.empty(SHAPE)
        for g in np.unique(group):
            values = x[group == g]
            normalized[group == g] = (values - values.mean()) / sqrt(values.var() + 1e-5)
        y = normalized * w + b
        R_affine = normalized * w / stabilized(y) * r
        z = centring @ x.ravel()
        R_in = x.ravel() * (centring.T @ (R_affine.ravel() / stabilized(z)))
        expected.append((y, R_in.reshape(SHAPE)))
    forward, relevance = (np.stack(part) for part in zip(*expected, strict=True))
    np.testing.assert_allclose(layer.forward(a), forward, rtol=1e-11)
    actual = layer.relevance(R, a, rule=rc.LayerNormRule())
    np.testing.assert_allclose(actual, relevance, rtol=1e-9, atol=1e-9)
    both = layer.relevance(np.stack([R, -R]), a, rule=rc.LayerNormRule())
    np.testing.assert_allclose(both, np.stack([relevance, -relevance]), rtol=1e-9, atol=1e-9)
    pull = rc.LayerNormRule().bind(layer).linearize(a)
    total = actual.sum(axis=(1, 2, 3)) + sum(pull.losses(R))
    np.testing.assert_allclose(total, R.sum(axis=(1, 2, 3)), rtol=1e-7)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (L.LayerNorm(shape=SHAPE), "layer"),
        (L.LayerNorm(shape=(3,)), "last axis"),
        (L.GroupNorm(2), "group"),
        (L.InstanceNorm(), "instance"),
    ],
)
def test_without_an_affine_part(layer, name, rng):
    """Only the centring divides relevance, and only its stabilizer takes some."""
    group = CASES[name][1]
    same = group.ravel()[:, None] == group.ravel()
    centring = np.eye(24) - same / same.sum(axis=1, keepdims=True)
    a, R = rng.normal(size=(2, *SHAPE)), rng.normal(size=(2, *SHAPE))
    z = a.reshape(2, 24) @ centring
    expected = (a.reshape(2, 24) * ((R.reshape(2, 24) / stabilized(z)) @ centring)).reshape(R.shape)
    np.testing.assert_allclose(layer.relevance(R, a, rule=rc.LayerNormRule()), expected, rtol=1e-11)
    np.testing.assert_allclose(layer.forward(3 * a + 5), layer.forward(a), rtol=1e-3)
    lost = rc.LayerNormRule().bind(layer).linearize(a).losses(R)
    np.testing.assert_array_equal([lost.bias, lost.dropped], np.zeros((2, 2)))
    taken = ((stabilized(z) - z) / stabilized(z) * R.reshape(2, 24)).sum(axis=1)
    np.testing.assert_allclose(lost.stabilizer, taken, rtol=1e-6)


def test_parameters_and_shape_say_the_same():
    with pytest.raises(rc.errors.ShapeError, match=r"LayerNorm: bias: got shape \(3,\), expected \(2,\)"):
        L.LayerNorm(np.ones(2), np.ones(3))
    for layer in L.LayerNorm(np.ones((2, 3))), L.LayerNorm(None, np.ones((2, 3))), L.LayerNorm(shape=[2, 3]):
        assert layer.normalized_shape == (2, 3)
        assert repr(layer) == "LayerNorm(2x3)"
        with pytest.raises(rc.errors.ShapeError, match="normalised axes"):
            layer.forward(np.ones((1, 3)))


def test_a_bias_alone_shifts(rng):
    b, x = rng.normal(size=3), rng.normal(size=(2, *SHAPE))
    plain = L.LayerNorm(shape=(3,)).forward(x)
    np.testing.assert_allclose(L.LayerNorm(None, b).forward(x), plain + b, rtol=1e-14)
    np.testing.assert_allclose(
        L.InstanceNorm(None, np.arange(4.0)).forward(x),
        L.InstanceNorm().forward(x) + np.arange(4).reshape(4, 1, 1),
        rtol=1e-14,
    )


def test_group_norm_goes_from_layer_to_instance(rng):
    x = rng.normal(size=(2, *SHAPE))
    one, all_channels = L.GroupNorm(1).forward(x), L.GroupNorm(4).forward(x)
    np.testing.assert_allclose(one, L.LayerNorm(np.ones(SHAPE)).forward(x), rtol=1e-12)
    np.testing.assert_array_equal(all_channels, L.InstanceNorm().forward(x))


def test_other_rules_are_refused():
    for layer in L.GroupNorm(2), L.InstanceNorm():
        with pytest.raises(rc.errors.RuleCompatibilityError, match="takes LayerNormRule"):
            layer.relevance(np.ones((1, 2, 2, 2)), np.ones((1, 2, 2, 2)))
        with pytest.raises(rc.errors.ArrayTypeError, match="square root"):
            layer.forward(rc.exact(np.ones((1, 2, 2, 2))))
