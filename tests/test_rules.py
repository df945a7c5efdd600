from dataclasses import FrozenInstanceError, dataclass
from fractions import Fraction

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import NonFiniteError, ParameterError, RuleCompatibilityError, ShapeError, SoftmaxError
from refcrp.modifiers import AddPositive, positive, square, stabilize, zero
from refcrp.rule import Rule

NEEDS_WEIGHTS = [
    rc.GammaRule(),
    rc.GeneralizedGammaRule(),
    rc.ZPlusRule(),
    rc.AlphaBetaRule(),
    rc.WSquareRule(),
    rc.FlatRule(),
    rc.ZBoxRule(0, 1),
]


def test_zero_rule_by_hand():
    layer = L.Dense([[3, 4], [5, 6]], [7, 8])
    R = layer.relevance([[1 / 3, 2 / 3]], [[1, 2]], rule=rc.ZeroRule())
    np.testing.assert_allclose(R, [[17 / 90, 316 / 675]], rtol=1e-8)  # 1e-9 in the denominators


def test_zero_rule_by_hand_exactly():
    """The same without a stabilizer, on fractions: 3·1/18·1/3 + 5·1/25·2/3 = 17/90."""

    class Unstabilized(Rule):
        def stabilize(self, z):
            return z

    layer = L.Dense([[3, 4], [5, 6]], [7, 8]).astype(object)
    R = layer.relevance(np.array([[Fraction(1, 3), Fraction(2, 3)]]), [[1, 2]], rule=Unstabilized())
    assert R.tolist() == [[Fraction(17, 90), Fraction(316, 675)]]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # x = (1, -2), w = (1, -3), b = -1/2, R = 1
        (rc.ZPlusRule(), [1 / 7, 6 / 7]),
        (rc.WSquareRule(), [1 / 10, 9 / 10]),
        (rc.FlatRule(), [1 / 2, 1 / 2]),
        (rc.ZeroRule(), [1 / 6.5, 6 / 6.5]),
        (rc.EpsilonRule(0.5), [1 / 7, 6 / 7]),
        (rc.AlphaBetaRule(1, 0), [1 / 7, 6 / 7]),
    ],
)
def test_two_inputs_by_hand(rule, expected):
    layer = L.Dense([[1, -3]], [-0.5])
    np.testing.assert_allclose(layer.relevance([[1]], [[1, -2]], rule=rule), [expected], rtol=1e-8)


def test_gamma_rules_by_hand():
    """gamma 1/4, x = (1, 1), w = (3, -1), b = 1/2: z = 15/4 - 1 + 5/8 = 27/8; the two agree where a ≥ 0, z > 0."""
    layer = L.Dense([[3, -1]], [0.5])
    for rule in rc.GammaRule(0.25), rc.GeneralizedGammaRule(0.25):
        R = layer.relevance([[1]], [[1, 1]], rule=rule)
        np.testing.assert_allclose(R, [[10 / 9, -8 / 27]], rtol=1e-8)


def test_zplus_is_alpha_one_beta_zero(rng):
    layer, x, R = (
        L.Dense(rng.normal(size=(4, 6)), rng.normal(size=4)),
        rng.normal(size=(3, 6)),
        rng.normal(size=(3, 4)),
    )
    np.testing.assert_array_equal(
        layer.relevance(R, x, rule=rc.ZPlusRule()), layer.relevance(R, x, rule=rc.AlphaBetaRule(1, 0))
    )


def test_zbox_takes_arrays(rng):
    layer = L.Conv2d(rng.normal(size=(2, 3, 2, 2)), rng.normal(size=2))
    x, R = rng.uniform(0, 1, size=(2, 3, 4, 4)), rng.normal(size=(2, 2, 3, 3))
    low, high = np.array([-1, -2, -3.0])[:, None, None], np.ones((3, 4, 4))
    whole = layer.relevance(R, x, rule=rc.ZBoxRule(np.broadcast_to(low, (3, 4, 4)), 1))
    np.testing.assert_array_equal(layer.relevance(R, x, rule=rc.ZBoxRule(low, high)), whole)
    with pytest.raises(
        ShapeError, match=r"\(5, 1, 1\) does not broadcast to the input's shape \(2, 3, 4, 4\)"
    ):
        layer.relevance(R, x, rule=rc.ZBoxRule(np.zeros((5, 1, 1)), 1))


def test_zbox_bounds_as_values():
    assert hash(rc.ZBoxRule(0, 1)) == hash(rc.ZBoxRule(0.0, 1.0))
    assert rc.ZBoxRule(0, 1) == rc.ZBoxRule(0.0, 1.0)
    assert repr(rc.ZBoxRule(np.zeros((3, 1, 1)), 1)) == "ZBoxRule(low=array (3, 1, 1), high=1.0)"
    with pytest.raises(ShapeError, match=r"do not broadcast: shapes \(2,\) and \(3,\)"):
        rc.ZBoxRule(np.zeros(2), np.ones(3))


def test_zbox_keeps_its_bounds():
    low = np.zeros(3)
    rule = rc.ZBoxRule(low, 1)
    low[0] = 9
    assert rule == rc.ZBoxRule(np.zeros(3), 1)
    assert hash(rule) == hash(rc.ZBoxRule(np.zeros(3), 1))
    assert rule != rc.ZBoxRule(np.zeros(3), 2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: rc.EpsilonRule(0),
        lambda: rc.EpsilonRule(-1e-6),
        lambda: rc.EpsilonRule("1e-6"),
        lambda: rc.EpsilonRule(float("nan")),
        lambda: rc.GammaRule(-0.1),
        lambda: rc.GammaRule(float("inf")),
        lambda: rc.GeneralizedGammaRule(None),
        lambda: rc.EpsilonRule(10**400),
        lambda: rc.AlphaBetaRule(2, 2),
        lambda: rc.AlphaBetaRule(0.5, -0.5),
        lambda: rc.ZBoxRule(1, 0),
        lambda: rc.ZBoxRule(np.array([0, 2]), np.array([1, 1])),
    ],
)
def test_parameters_out_of_range(make):
    with pytest.raises(ParameterError):
        make()


def test_rules_are_values():
    assert rc.GammaRule(0.25) == rc.GammaRule()
    assert len({rc.ZeroRule(), rc.ZeroRule(), rc.EpsilonRule(), rc.EpsilonRule(1e-6)}) == 2
    assert repr(rc.AlphaBetaRule(2, 1)) == "AlphaBetaRule(alpha=2, beta=1)"
    with pytest.raises(FrozenInstanceError):
        rc.GammaRule().gamma = 1


# Compatibility ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", NEEDS_WEIGHTS, ids=repr)
@pytest.mark.parametrize(
    "layer", [L.AvgPool(2), L.GlobalAvgPool(), L.MaxPool(2), L.Flatten(), L.ReLU(), L.Dropout()]
)
def test_rules_that_need_weights(rule, layer):
    with pytest.raises(RuleCompatibilityError) as error:
        rule.bind(layer)
    assert repr(rule) in str(error.value)
    assert repr(layer) in str(error.value)


@pytest.mark.parametrize("rule", [rc.ZeroRule(), rc.EpsilonRule()], ids=repr)
@pytest.mark.parametrize(
    "layer",
    [
        L.AvgPool(2),
        L.GlobalAvgPool(),
        L.MaxPool(2),
        L.GlobalMaxPool(),
        L.Flatten(),
        L.ReLU(),
        L.Dropout(),
        L.GELU(),
    ],
)
def test_plain_rules_go_everywhere(rule, layer, rng):
    x = rng.uniform(0.5, 1, size=(2, 3, 4, 4))
    R = rng.normal(size=layer.forward(x).shape)
    R_in = layer.relevance(R, x, rule=rule)
    assert R_in.shape == x.shape
    np.testing.assert_allclose(R_in.sum(), R.sum(), rtol=1e-5)


def test_layer_norm_rule_only_on_layer_norm():
    with pytest.raises(RuleCompatibilityError, match="only for LayerNorm"):
        rc.LayerNormRule().bind(L.Dense(np.eye(2)))
    with pytest.raises(RuleCompatibilityError, match="takes LayerNormRule"):
        rc.ZeroRule().bind(L.LayerNorm(np.ones(3)))
    with pytest.raises(RuleCompatibilityError, match="takes only ZeroRule"):
        rc.LayerNormRule().bind(L.MaxPool(2))


def test_pass_rule_needs_equal_size(rng):
    for layer in (
        L.Dense(np.ones((3, 2))),
        L.Conv2d(np.ones((2, 2, 3, 3))),
        L.MaxPool(2),
        L.AvgPool(2),
        L.GlobalMaxPool(),
    ):
        with pytest.raises(RuleCompatibilityError, match="differ in size"):
            rc.PassRule().bind(layer)
    x = rng.normal(size=(2, 2, 4, 4))
    for layer in L.Conv2d(np.ones((2, 2, 3, 3)), padding=1), L.MaxPool(3, stride=1, padding=1), L.ReLU():
        np.testing.assert_array_equal(layer.relevance(x + 1, x, rule=rc.PassRule()), x + 1)
    R = rng.normal(size=(2, 32))
    np.testing.assert_array_equal(L.Flatten().relevance(R, x, rule=rc.PassRule()), R.reshape(x.shape))
    np.testing.assert_array_equal(
        L.Flatten().relevance(np.stack([R, 2 * R]), x, rule=rc.PassRule())[1], 2 * R.reshape(x.shape)
    )


def test_softmax_is_refused():
    for layer in L.Softmax(), L.Dense(np.eye(2), activation="softmax"):
        with pytest.raises(SoftmaxError, match="strip_softmax"):
            rc.ZeroRule().bind(layer)


# A rule of one's own ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SquaredPositiveRule(Rule):
    """Modifies everything that can be modified: input, weight, bias, denominator."""

    floor: float = 0.5

    def shares(self):
        return (rc.Share((rc.Contribution(input=positive, weight=square, bias=zero),)),)

    def stabilize(self, z):
        return stabilize(z, self.floor)


def test_own_rule_on_a_layer(rng):
    W, b, x, R = rng.normal(size=(2, 3)), rng.normal(size=2), rng.normal(size=(1, 3)), rng.normal(size=(1, 2))
    actual = L.Dense(W, b).relevance(R, x, rule=SquaredPositiveRule())
    contributions = W**2 * np.maximum(x[0], 0)
    expected = (contributions / (contributions.sum(axis=1) + 0.5)[:, None] * R[0][:, None]).sum(axis=0)
    np.testing.assert_allclose(actual[0], expected, rtol=1e-12)


def test_own_rule_in_a_model(small_model, small_input):
    lrp = rc.LRP(small_model, rc.Composite(rc.LayerMap("conv2", SquaredPositiveRule())))
    assert lrp.rules[2] == SquaredPositiveRule()
    assert lrp(small_input).relevance.shape == small_input.shape
    with pytest.raises(RuleCompatibilityError, match=r"SquaredPositiveRule\(floor=0.5\).*maxpool1"):
        rc.LRP(small_model, SquaredPositiveRule())


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("what", ["input", "weight", "bias"])
def test_modifiers_must_keep_the_shape(kind, what):
    """The compiled loops would read beyond an array of another shape."""

    class Repeating(Rule):
        def shares(self):
            return (rc.Share((rc.Contribution(**{what: lambda x: np.repeat(x, 3, axis=-1)}),)),)

    layer = L.Dense(np.ones((2, 3)), [1, 2]) if kind == "dense" else L.Conv2d(np.ones((2, 3, 2, 2)), [1, 2])
    x = np.ones((1, 3) if kind == "dense" else (1, 3, 4, 4))
    with pytest.raises(ShapeError, match=f"modified {what}: got shape"):
        layer.relevance(layer.forward(x), x, rule=Repeating())


def test_modifiers_must_give_finite_numbers():
    with pytest.raises(NonFiniteError, match="modified weight"):
        rc.LRP(rc.Sequential([L.Dense(np.ones((2, 2), np.float32))]), rc.GammaRule(1e39))
    with pytest.raises(NonFiniteError, match="relevance of the input"):
        L.Dense(np.zeros((2, 2), np.float32)).relevance(
            [[1, 1]], np.ones((1, 2), "f4"), rule=rc.EpsilonRule(1e-50)
        )


def test_a_rule_is_an_object():
    for rule in rc.ZPlusRule, "zplus":
        with pytest.raises(ParameterError, match="expected a rule such as"):
            L.Dense(np.eye(2)).relevance([[1, 1]], [[1, 2]], rule=rule)


def test_own_rule_that_only_changes_the_denominator_goes_on_pooling():
    class Gentle(Rule):
        def stabilize(self, z):
            return stabilize(z, 1.0)

    R = L.AvgPool(2).relevance(np.ones((1, 1, 1, 1)), np.ones((1, 1, 2, 2)), rule=Gentle())
    np.testing.assert_allclose(R, 1 / 8)


def test_two_ways_to_write_gamma(rng):
    """Modifiers are plain functions: a lambda does as well as one of ours."""

    class MyGamma(Rule):
        def shares(self):
            def more(p):
                return p + 0.25 * p.clip(min=0)

            return (rc.Share((rc.Contribution(weight=more, bias=more),)),)

    layer, x, R = (
        L.Dense(rng.normal(size=(4, 6)), rng.normal(size=4)),
        rng.normal(size=(3, 6)),
        rng.normal(size=(3, 4)),
    )
    np.testing.assert_allclose(
        layer.relevance(R, x, rule=MyGamma()), layer.relevance(R, x, rule=rc.GammaRule(0.25)), rtol=1e-14
    )
    assert AddPositive(0.25) == AddPositive(0.25)
