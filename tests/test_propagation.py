"""Properties that hold for every rule, whatever the numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import RuleCompatibilityError

RULES = [
    rc.ZeroRule(),
    rc.EpsilonRule(0.1),
    rc.GammaRule(),
    rc.GeneralizedGammaRule(),
    rc.ZPlusRule(),
    rc.AlphaBetaRule(),
    rc.WSquareRule(),
    rc.FlatRule(),
    rc.ZBoxRule(-1, 1),
]


def convolution(rng, channels, outputs, kernel, stride, padding, dilation):
    weight = rng.normal(size=(outputs, channels, kernel, kernel))
    return L.Conv2d(weight, rng.normal(size=outputs), stride=stride, padding=padding, dilation=dilation)


geometries = st.tuples(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 2),
)


@pytest.mark.parametrize("rule", RULES, ids=repr)
@given(geometry=geometries, size=st.integers(5, 8), seed=st.integers(0, 2**16))
def test_linear_in_relevance_and_batch_equals_singles(rule, geometry, size, seed):
    rng = np.random.default_rng(seed)
    layer = convolution(rng, *geometry)
    x = rng.normal(size=(3, geometry[0], size, size))
    pull = rule.bind(layer).linearize(x)
    R1, R2 = rng.normal(size=(2, *pull.output.shape))
    whole = pull(2 * R1 - 3 * R2)
    scale = 1e-12 * (1 + np.abs(pull(np.abs(R1))).max() + np.abs(pull(np.abs(R2))).max())
    np.testing.assert_allclose(whole, 2 * pull(R1) - 3 * pull(R2), rtol=1e-10, atol=100 * scale)
    for k in range(3):
        single = layer.relevance(R1[k : k + 1], x[k : k + 1], rule=rule)
        np.testing.assert_allclose(pull(R1)[k : k + 1], single, rtol=1e-12, atol=scale)


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_an_axis_of_conditions_goes_through_as_one(rule, kind, rng):
    layer = (
        convolution(rng, 2, 3, 2, 1, 1, 1) if kind == "conv" else L.Dense(rng.normal(size=(3, 4)), np.ones(3))
    )
    x = rng.normal(size=(2, 2, 4, 4) if kind == "conv" else (2, 4))
    pull = rule.bind(layer).linearize(x)
    R = rng.normal(size=(5, *pull.output.shape))
    together = pull(R)
    assert together.shape == (5, *x.shape)
    for one, single in zip(together, R, strict=True):
        np.testing.assert_allclose(one, pull(single), rtol=1e-13)
    np.testing.assert_array_equal(layer.relevance(R, x, rule=rule), together)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != rc.AlphaBetaRule()], ids=repr)
def test_what_a_rule_divides_it_conserves(rule, rng):
    """Without bias, and away from zero denominators, nothing is lost.

    x > 0 and W > 0: no share is empty. (But beta's would be, so AlphaBetaRule has a test of its own.)
    """
    layer = L.Conv2d(rng.uniform(0.5, 1, size=(3, 2, 2, 2)))
    x = rng.uniform(0.2, 1, size=(2, 2, 5, 5))
    R = rng.normal(size=(2, 3, 4, 4))
    R_in = layer.relevance(R, x, rule=rule)
    tolerance = 0.05 if isinstance(rule, rc.EpsilonRule) else 1e-8
    np.testing.assert_allclose(R_in.sum(), R.sum(), atol=tolerance * np.abs(R).sum())


def test_alpha_beta_conserves_where_both_signs_are(rng):
    layer, x, R = L.Dense(rng.normal(size=(4, 30))), rng.normal(size=(2, 30)), rng.normal(size=(2, 4))
    np.testing.assert_allclose(
        layer.relevance(R, x, rule=rc.AlphaBetaRule()).sum(axis=1), R.sum(axis=1), rtol=1e-7
    )


def test_the_layers_own_pre_activation_is_not_computed_twice(rng):
    """ZeroRule and EpsilonRule need no multiplication beyond the forward pass; ZPlusRule needs two."""

    class Counting(L.Dense):
        calls = 0

        def linear(self, x, weight, bias):
            Counting.calls += 1
            return super().linear(x, weight, bias)

    layer, x = Counting(rng.normal(size=(3, 4))), rng.normal(size=(2, 4))
    for rule, expected in (rc.ZeroRule(), 1), (rc.EpsilonRule(), 1), (rc.ZPlusRule(), 3):
        Counting.calls = 0
        bound = rule.bind(layer)
        assert Counting.calls == 0
        pull = bound.linearize(x)
        assert Counting.calls == expected
        pull(np.ones((2, 3)))
        assert Counting.calls == expected


@pytest.mark.parametrize("shares", [(), (rc.Share(()),), (rc.Share((rc.Contribution(),)), rc.Share(()))])
def test_a_rule_without_contributions_is_refused(shares):
    class Empty(rc.Rule):
        def shares(self):
            return shares

    with pytest.raises(RuleCompatibilityError, match="no contributions"):
        Empty().bind(L.Dense(np.eye(2)))


def test_a_modifier_of_another_type_leaves_the_layers_own_output_in_its_type(rng):
    class Widening(rc.Rule):
        def shares(self):
            return (rc.Share((rc.Contribution(weight=lambda W: W.astype(np.float64) ** 3),)),)

    layer = L.Conv2d(rng.normal(size=(2, 2, 3, 3)).astype(np.float32))
    x = rng.normal(size=(1, 2, 5, 5)).astype(np.float32)
    output = Widening().bind(layer).linearize(x).output
    assert output.dtype == np.float32
    np.testing.assert_array_equal(output, layer.forward(x))
