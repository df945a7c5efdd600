from math import sqrt

import numpy as np

import refcrp as rc
from refcrp import layers as L


def test_derived_parameters_are_frozen():
    layer = L.BatchNorm(np.zeros(2), np.ones(2))
    for array in layer.weight, layer.bias:
        assert not array.flags.writeable


def test_batch_norm(rng):
    mean, variance, gamma, beta = (
        rng.normal(size=3),
        rng.uniform(1, 2, 3),
        rng.normal(size=3),
        rng.normal(size=3),
    )
    x = rng.normal(size=(2, 3, 4, 4))
    expected = [(x[:, c] - mean[c]) / sqrt(variance[c] + 1e-3) * gamma[c] + beta[c] for c in range(3)]
    y = L.BatchNorm(mean, variance, gamma, beta, epsilon=1e-3).forward(x)
    np.testing.assert_allclose(y, np.stack(expected, axis=1), rtol=1e-12)
    plain = L.BatchNorm(mean, variance).forward(x[:, :, 0, 0])
    np.testing.assert_allclose(plain, (x[:, :, 0, 0] - mean) / np.sqrt(variance + 1e-5), rtol=1e-12)


def test_layer_norm_rule(rng):
    """Written out with explicit matrices: first the affine part under ZeroRule, then centring."""
    w, b, a, R = rng.normal(size=5), rng.normal(size=5), rng.normal(size=5), rng.normal(size=5)
    layer = L.LayerNorm(w, b)
    normalized = (a - a.mean()) / sqrt(a.var() + 1e-5)
    np.testing.assert_allclose(layer.forward(a[None])[0], normalized * w + b, rtol=1e-12)
    y = normalized * w + b
    R_affine = normalized * w / (y + np.where(y < 0, -1e-9, 1e-9)) * R
    centring = np.eye(5) - 1 / 5
    z = centring @ a
    expected = a * (centring.T @ (R_affine / (z + np.where(z < 0, -1e-9, 1e-9))))
    np.testing.assert_allclose(
        layer.relevance(R[None], a[None], rule=rc.LayerNormRule())[0], expected, rtol=1e-12
    )
