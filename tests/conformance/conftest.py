"""A handful of vectors with expected values in fractions, and a small second implementation to be spoiled."""

from fractions import Fraction

import numpy as np
import oracle
import pytest

from refcrp.conformance import Case, LayerSpec, NotSupported, RuleSpec

E9, E6, E7 = Fraction(1e-9), Fraction(1e-6), Fraction(1e-7)
CONV = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}


def floats(values):
    return np.vectorize(float)(np.array(values, dtype=object))


def dense(name, rule, x, weight, bias, expected, R=1.0, flags=(), **parameters):
    arrays = {"weight": np.array(weight, dtype=float)} | (
        {} if bias is None else {"bias": np.array(bias, float)}
    )
    x = np.array(x, dtype=float)
    R = np.full((len(x), len(arrays["weight"])), R)
    layer = LayerSpec("dense", "dense", RuleSpec(rule, parameters), arrays)
    return Case(
        name,
        f"tests {name}",
        (layer,),
        x,
        R,
        flags=flags,
        expected={k: floats(v) for k, v in expected.items()},
    )


def flat_conv():
    layer = LayerSpec(
        "conv2d", "conv", RuleSpec("flat"), {"weight": np.arange(9.0).reshape(1, 1, 3, 3) + 1}, CONV
    )
    x = np.array([[[[1.0, 2], [3, -4]]]])
    R = np.array([[[[1.0, 2], [3, 4]]]])
    expected = floats([[[[Fraction(10) / (4 + E9)] * 2] * 2]])
    return Case(
        "conv2d-flat-padding",
        "all four outputs see all four pixels",
        (layer,),
        x,
        R,
        expected={"refcrp": expected},
    )


def network():
    weight, x = np.array([[1.0, 1], [2, 0]]), np.array([[1.0, 2], [1, 1]])
    layer = LayerSpec("dense", "y", RuleSpec("zero"), {"weight": weight})
    one = [[Fraction(1) / (3 + E9), Fraction(2) / (3 + E9)], [Fraction(2) / (2 + E9), 0]]
    value = [[3 * R for R in one[0]], [2 * R for R in one[1]]]
    expected = {"refcrp": floats(one), "captum": floats(value)}
    return Case("network", "starts at an output neuron", (layer,), x, None, (0, 1), expected=expected)


@pytest.fixture(scope="session")
def vectors():
    z = 7 + E9
    return (
        dense(
            "dense-zplus-signs", "zplus", [[1, -2]], [[1, -3]], [-0.5],
            {"refcrp": [[1 / z, 6 / z]], "captum": [[1 / (Fraction(1, 2) + E9), 0]]},
        ),
        dense(
            "dense-zplus-bias", "zplus", [[1, 2]], [[1, 3]], [0.5],
            {"refcrp": [[1 / (z + Fraction(1, 2)), 6 / (z + Fraction(1, 2))]], "captum": [[1 / (z + Fraction(1, 2)), 6 / (z + Fraction(1, 2))]]},
        ),
        dense(
            "dense-zero-bias", "zero", [[1, 1]], [[3, -1]], [0.5],
            {"refcrp": [[3 / (Fraction(5, 2) + E9), -1 / (Fraction(5, 2) + E9)]], "captum": [[3 / (Fraction(5, 2) + E9), -1 / (Fraction(5, 2) + E9)]]},
        ),
        dense(
            "dense-zero-denominator", "zero", [[1, 1]], [[1, -1]], None,
            {"refcrp": [[1 / E9, -1 / E9]], "zennit": [[1 / E6, -1 / E6]]},
            flags=("zero-denominator",),
        ),
        dense(
            "dense-epsilon-batch", "epsilon", [[1, 1], [2, 4]], [[1, 1]], None,
            {"refcrp": [[1 / (2 + Fraction(0.25))] * 2, [2 / (6 + Fraction(0.25)), 4 / (6 + Fraction(0.25))]]},
            flags=("float64-only",), epsilon=0.25,
        ),
        flat_conv(),
        network(),
    )  # fmt: skip


class Toy:
    """Dense layers and convolutions under four rules, with mistakes to be made on request."""

    def __init__(self, sign=1, bias=True, at_zero=1, padding=False, softmax=False, epsilon=1e-9):
        self.sign, self.bias, self.at_zero, self.epsilon = sign, bias, at_zero, epsilon
        self.padding, self.softmax = padding, softmax

    def __call__(self, case):
        (spec,) = case.layers
        W, C = self.matrices(spec, case.x.shape[1:])
        b = spec.arrays.get("bias", np.zeros(len(W), case.x.dtype))
        x = case.x.reshape(len(case.x), -1)
        R = self.start(x @ W.T + b, case)
        rows = [self.one(spec.rule, W, C, b, a, r) for a, r in zip(x, R.reshape(len(x), -1), strict=True)]
        return self.sign * np.array(rows).reshape(case.x.shape)

    def matrices(self, spec, shape):
        if spec.kind == "dense":
            return spec.arrays["weight"], np.ones(spec.arrays["weight"].shape)
        settings = [spec.settings[k] for k in ("stride", "padding", "dilation", "groups")]
        W, C, _ = oracle.conv_matrix(spec.arrays["weight"], shape, *settings)
        return W, C

    def start(self, z, case):
        if case.relevance_out is not None:
            return case.relevance_out
        R = np.zeros_like(z)
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) if self.softmax else np.ones_like(z)
        for row, neuron in enumerate(case.output):
            R[row, neuron] = p[row, neuron]
        return R

    def one(self, rule, W, C, b, a, R):
        if rule.name in ("zero", "epsilon"):
            c = W * a
        elif rule.name == "zplus":
            c, b = oracle.pos(W * a), oracle.pos(b)
        elif rule.name == "flat":
            c, b = C + 0 * a, 0 * b
        else:
            raise NotSupported(f"no rule {rule.name}")
        z = c.sum(axis=1) + (b if self.bias else 0)
        if rule.name == "flat" and self.padding:
            z = 0 * z + 9
        epsilon = rule.parameters.get("epsilon", self.epsilon)
        z = z + epsilon * np.where(z == 0, self.at_zero, np.sign(z))
        with np.errstate(all="ignore"):
            s = np.where(z == 0, 0, R / np.where(z == 0, 1, z))
        return s @ c


@pytest.fixture(scope="session")
def toy():
    return Toy
