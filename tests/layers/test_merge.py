"""Layers with several inputs, and multiplication by a number."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ParameterError, RuleCompatibilityError, ShapeError


def test_add_divides_in_proportion():
    """2 + 3 - 1 = 4."""
    parts = L.Add().relevance(
        np.array([[8.0]]), *(np.array([[v]]) for v in (2.0, 3, -1)), rule=rc.EpsilonRule(1e-12)
    )
    np.testing.assert_allclose(np.ravel(parts), [4, 6, -2])


def test_add_by_fractions():
    inputs = [rc.exact(np.array([[v]])) for v in (1, 2)]
    parts = L.Add().relevance(rc.exact(np.array([[1.0]])), *inputs, rule=rc.EpsilonRule(0.5))
    assert [part[0, 0] for part in parts] == [Fraction(2, 7), Fraction(4, 7)]


@given(seed=st.integers(0, 2**16), count=st.integers(1, 3), lead=st.integers(0, 1))
def test_what_add_divides_it_conserves(seed, count, lead):
    rng = np.random.default_rng(seed)
    inputs = [rng.uniform(0.5, 1, size=(2, 3, 4)) for _ in range(count)]
    R = rng.normal(size=(3,) * lead + (2, 3, 4))
    parts = L.Add().relevance(R, *inputs)
    parts = parts if count > 1 else (parts,)
    np.testing.assert_allclose(sum(parts), R, rtol=1e-7)


@pytest.mark.parametrize(
    ("axis", "shapes"), [(1, [(2, 1, 3), (2, 4, 3)]), (2, [(2, 4, 1), (2, 4, 2), (2, 4, 5)])]
)
@pytest.mark.parametrize("lead", [(), (3,)])
def test_concat_cuts_apart(axis, shapes, lead, rng):
    layer, inputs = L.Concat(axis), [rng.normal(size=shape) for shape in shapes]
    z = layer.forward(*inputs)
    np.testing.assert_array_equal(z, np.concatenate(inputs, axis=axis))
    assert layer.output_shape(*(shape[1:] for shape in shapes)) == z.shape[1:]
    R = rng.normal(size=(*lead, *z.shape))
    parts = layer.relevance(R, *inputs)
    assert [part.shape for part in parts] == [(*lead, *shape) for shape in shapes]
    np.testing.assert_array_equal(np.concatenate(parts, axis=axis + len(lead)), R)


def test_multiply(rng):
    layer, x = L.Multiply(-0.5), rng.normal(size=(2, 3))
    np.testing.assert_array_equal(layer.forward(x), -0.5 * x)
    R = rng.normal(size=(2, 3))
    np.testing.assert_allclose(layer.relevance(R, x), R, rtol=1e-6)
    np.testing.assert_allclose(
        layer.relevance(R, x, rule=rc.EpsilonRule(0.25)), R * x / (x + np.where(x > 0, 0.5, -0.5)), rtol=1e-10
    )
    assert repr(layer) == "Multiply(-0.5)"
    for value in 0, np.nan, [1, 2], "x":
        with pytest.raises((ParameterError, ValueError, TypeError)):
            L.Multiply(value)


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match=r"Add.*got shape \(2,\), expected \(3,\)"):
        L.Add().forward(np.ones((1, 3)), np.ones((1, 2)))
    with pytest.raises(ShapeError, match=r"Concat.*got shape \(2, 5\)"):
        L.Concat().forward(np.ones((1, 3, 4)), np.ones((1, 2, 5)))
    with pytest.raises(ShapeError, match="no axis 3"):
        L.Concat(3).forward(np.ones((1, 3, 4)), np.ones((1, 2, 4)))
    with pytest.raises(ParameterError, match="axis"):
        L.Concat(0)


def test_inputs_are_counted():
    with pytest.raises(ParameterError, match="got 2 inputs, expected one"):
        L.ReLU().forward(np.ones((1, 2)), np.ones((1, 2)))
    with pytest.raises(ParameterError, match="got 0 inputs"):
        L.Add().forward()


@pytest.mark.parametrize("rule", [rc.ZPlusRule(), rc.PassRule(), rc.LayerNormRule(), rc.FlatRule()])
@pytest.mark.parametrize("layer", [L.Add(), L.Concat()])
def test_rules_that_do_not_fit(layer, rule):
    with pytest.raises(RuleCompatibilityError):
        rule.bind(layer)


def test_the_layer_norm_of_a_sum_is_still_one(rng):
    """Layers after a merge see a plain array."""
    norm = L.LayerNorm(np.ones(3))
    model = rc.Graph([("sum", L.Add(), ["x", "x"]), ("norm", norm, ["sum"])])
    x = rng.normal(size=(2, 3))
    np.testing.assert_allclose(model.forward(x), norm.forward(2 * x), rtol=1e-12)
