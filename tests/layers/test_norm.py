from math import sqrt

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ShapeError


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


@pytest.mark.parametrize(
    ("axis", "lengths", "written"),
    [
        (1, "c", "nchw,c->nchw"),
        (-3, "c", "nchw,c->nchw"),
        (2, "h", "nchw,h->nchw"),
        (-1, "w", "nchw,w->nchw"),
        (-2, "hw", "nchw,hw->nchw"),
        (2, "hw", "nchw,hw->nchw"),
        (1, "ch", "nchw,ch->nchw"),
        (-3, "chw", "nchw,chw->nchw"),
    ],
)
def test_scale_goes_along_the_axes_it_names(axis, lengths, written, rng):
    x, shape = rng.normal(size=(2, 3, 4, 5)), [{"c": 3, "h": 4, "w": 5}[a] for a in lengths]
    w, b = rng.uniform(0.5, 1.5, size=shape), rng.normal(size=shape)
    layer = L.Scale(w, b, axis=axis)
    shift = np.einsum(written, np.ones_like(x), b)
    np.testing.assert_allclose(layer.forward(x), np.einsum(written, x, w) + shift, rtol=1e-13)
    s = rng.normal(size=(7, *x.shape))
    np.testing.assert_allclose(
        layer.transpose(s, w, x.shape), np.einsum(written.replace("n", "kn"), s, w), rtol=1e-13
    )
    for rule in rc.FlatRule(), rc.WSquareRule():
        np.testing.assert_allclose(layer.relevance(s, x, rule=rule), s, rtol=1e-6, atol=1e-6)
    with pytest.raises(ShapeError, match="of the input"):
        layer.forward(np.ones((2, 6, 6, 6)))
    with pytest.raises(ShapeError, match="of the input"):
        layer.forward(np.ones(2))


def test_scales_by_the_end_want_as_many_axes():
    layer = L.Scale(np.ones((3, 4, 5)), axis=-3)
    with pytest.raises(ShapeError, match="scaled axes"):
        layer.forward(np.ones((2, 4, 5)))
    with pytest.raises(ShapeError, match="scaled axes"):  # and does not begin again at the end
        L.Scale(np.ones((4, 5)), axis=-7).forward(np.ones((2, 3, 4, 5, 6)))
    assert repr(layer) == "Scale(3x4x5, axis -3)"
    assert repr(L.Scale(np.ones(3))) == "Scale(3)"
