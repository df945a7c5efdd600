from fractions import Fraction
from math import erf, exp, sqrt, tanh

import numpy as np
import pytest

from refcrp import layers as L
from refcrp.errors import ArrayTypeError, ShapeError


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (L.ReLU(), lambda v: max(0.0, v)),
        (L.ReLU6(), lambda v: min(6.0, max(0.0, v))),
        (L.HardTanh(-1, 0.25), lambda v: min(0.25, max(-1.0, v))),
        (L.PReLU([0.1]), lambda v: v if v >= 0 else 0.1 * v),
        (L.LeakyReLU(0.1), lambda v: v if v >= 0 else 0.1 * v),
        (L.ELU(2.0), lambda v: v if v >= 0 else 2 * (exp(v) - 1)),
        (L.GELU(), lambda v: v * (1 + erf(v / sqrt(2))) / 2),
        (
            L.GELU(approximate=True),
            lambda v: v / 2 * (1 + tanh(sqrt(2 / 3.141592653589793) * (v + 0.044715 * v**3))),
        ),
        (L.SiLU(), lambda v: v / (1 + exp(-v))),
        (L.Tanh(), tanh),
        (L.Sigmoid(), lambda v: 1 / (1 + exp(-v))),
    ],
)
def test_activation_functions(layer, function):
    x = np.array([[-30.0, -2.0, -0.5, 0.0, 0.5, 2.0, 30.0]])
    np.testing.assert_allclose(layer.forward(x)[0], [function(v) for v in x[0]], rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(layer.relevance(x, x), x)
    fused = L.Dense(np.eye(7), activation=layer)
    np.testing.assert_array_equal(fused.forward(x), layer.forward(x))
    np.testing.assert_array_equal(fused.linear(x, fused.weight, None), x)


def test_small_values_of_the_sigmoid_are_kept():
    x = np.array([[-40.0, -700.0]])
    np.testing.assert_allclose(L.Sigmoid().forward(x), np.exp(x), rtol=1e-15)
    np.testing.assert_allclose(L.Sigmoid().forward(x[:, :1].astype("f4")), np.exp(x[:, :1]), rtol=1e-6)


def test_softmax_is_computed():
    y = L.Softmax().forward(np.array([[1000.0, 1000.0, -1000.0]]))
    np.testing.assert_allclose(y, [[0.5, 0.5, 0]])


def test_softmax_of_numbers():
    with pytest.raises(ShapeError, match="single number"):
        L.Softmax().forward(np.ones(3))


def test_rational_activations_only_on_fractions():
    x = np.array([[Fraction(-1), Fraction(2)]])
    assert L.ReLU().forward(x).tolist() == [[0, 2]]
    assert L.LeakyReLU(0.5).forward(x).tolist() == [[Fraction(-1, 2), 2]]
    with pytest.raises(ArrayTypeError, match="no exact value"):
        L.Tanh().forward(x)
