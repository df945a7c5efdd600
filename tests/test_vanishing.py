"""What is exactly zero, or the same for all inputs, is not computed again; and nothing else is left out."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from test_oracle_grid import RULES, assert_close, expected_relevance, make_convolution

import refcrp as rc
from refcrp import layers as L
from refcrp.arrays import exact
from refcrp.errors import NonFiniteError
from refcrp.modifiers import AddPositive, keep, negative, positive, square, zero

F = Fraction

# Multiplications ---------------------------------------------------------------------------------------------


class Counting(L.Dense):
    calls = 0  # of linear
    pulls = 0  # of transpose

    def linear(self, x, weight, bias):
        Counting.calls += 1
        return super().linear(x, weight, bias)

    def transpose(self, s, weight, input_shape):
        Counting.pulls += 1
        return super().transpose(s, weight, input_shape)


def count(bound, x):
    """Multiplications forward, the layer's own included, and back."""
    Counting.calls = Counting.pulls = 0
    pull = bound.linearize(x)
    calls = Counting.calls
    pull(np.ones_like(pull.output))
    pull(np.ones_like(pull.output))
    assert Counting.calls == calls
    return calls, Counting.pulls // 2


MIXED = np.array([[1.0, -2, 3, -1], [-1, 2, 1, -3], [2, 1, -1, 1]])
BIAS = np.array([1.0, -2, 0])
X = np.array([[1.0, 0, 2, 3], [0, 1, 1, 0]])  # as behind a ReLU

# (rule, weight, has a bias, input, multiplications forward and back)
COUNTS = [
    (rc.ZeroRule(), MIXED, True, X, (1, 1)),
    (rc.EpsilonRule(), MIXED, True, -X, (1, 1)),
    (rc.GammaRule(), MIXED, True, X, (2, 1)),
    (rc.ZPlusRule(), MIXED, True, X, (2, 1)),
    (rc.ZPlusRule(), MIXED, True, -X, (3, 2)),
    (rc.ZPlusRule(), MIXED, True, X - 1, (3, 2)),
    (rc.ZPlusRule(), abs(MIXED), True, X - 1, (2, 1)),
    (rc.ZPlusRule(), abs(MIXED), False, X, (2, 1)),
    (rc.AlphaBetaRule(), MIXED, True, X, (3, 2)),
    (rc.AlphaBetaRule(), MIXED, True, X - 1, (5, 4)),
    (rc.AlphaBetaRule(), abs(MIXED), True, X, (3, 2)),  # the negative bias stays: b⁻ is in the denominator
    (rc.AlphaBetaRule(), abs(MIXED), False, X, (3, 2)),  # one of beta's stays, for something of its shape
    (rc.AlphaBetaRule(), abs(MIXED), False, X - 1, (3, 2)),
    (rc.GeneralizedGammaRule(), MIXED, True, X, (3, 2)),
    (rc.GeneralizedGammaRule(), MIXED, True, X - 1, (5, 4)),
    (rc.FlatRule(), MIXED, True, X, (2, 1)),
    (rc.WSquareRule(), MIXED, True, X - 1, (2, 1)),
]


@pytest.mark.parametrize(
    ("rule", "weight", "has_bias", "x", "expected"),
    COUNTS,
    ids=[f"{type(row[0]).__name__}-{k}" for k, row in enumerate(COUNTS)],
)
def test_multiplications(rule, weight, has_bias, x, expected):
    bound = rule.bind(Counting(weight, BIAS if has_bias else None))
    assert count(bound, x) == expected
    assert (
        count(bound, x - 0.0)
        == count(bound, x.copy())
        == ((1, 1) if isinstance(rule, (rc.FlatRule, rc.WSquareRule)) else expected)
    )


@pytest.mark.parametrize("rule", [rc.FlatRule(), rc.WSquareRule()], ids=repr)
def test_denominators_without_input_are_computed_once(rule, rng):
    """... for each shape and type of one sample, whatever the number of samples."""
    bound = rule.bind(Counting(MIXED, BIAS))
    x = rng.normal(size=(5, 4))
    calls = [count(bound, a)[0] for a in (x, -x, x[:1], np.repeat(x, 3, axis=0), x[:0], x)]
    assert calls == [2, 1, 1, 1, 1, 1]
    assert count(bound, x.astype(np.float32))[0] == 2
    assert count(bound, x.astype(np.float32))[0] == count(bound, x)[0] == 1


@pytest.mark.parametrize("rule", [rc.FlatRule(), rc.WSquareRule()], ids=repr)
def test_images_of_several_sizes(rule, rng):
    """What was kept for one size is not taken for another one."""
    layer = L.Conv2d(rng.normal(size=(3, 2, 3, 3)), padding=1)
    bound = rule.bind(layer)
    for size in (4, 5), (5, 4), (4, 5), (6, 6), (4, 5):
        x, R = rng.normal(size=(2, 2, *size)), rng.normal(size=(2, 3, *size))
        np.testing.assert_array_equal(bound.linearize(x)(R), layer.relevance(R, x, rule=rule))


# In a process of its own: loops that divide by no samples end it.
EMPTY_FIRST = """
import numpy as np
import refcrp as rc
from refcrp import layers as L

rng = np.random.default_rng(0)
x = rng.normal(size=(2, 2, 4, 4))
for rule in rc.WSquareRule(), rc.FlatRule():
    for layer in L.Scale(rng.normal(size=2)), L.Conv2d(rng.normal(size=(3, 2, 3, 3))):
        R = rng.normal(size=layer.forward(x).shape)
        bound = rule.bind(layer)
        try:
            assert bound.linearize(x[:0])(R[:0]).shape == x[:0].shape
            np.testing.assert_array_equal(bound.linearize(x)(R), layer.relevance(R, x, rule=rule))
            print("same", flush=True)
        except ValueError as error:
            print(rule, layer, error, flush=True)
"""


def test_no_samples_at_first():
    """Denominators of no sample must not be kept for the samples that come later."""
    answer = subprocess.run(
        [sys.executable, "-c", EMPTY_FIRST], capture_output=True, text=True, check=False, timeout=60
    )
    assert (answer.stdout, answer.returncode) == ("same\n" * 4, 0), answer.stderr


# The same as if nothing had been left out -----------------------------------------------------------------------

INPUTS = {
    "nonnegative": lambda x: np.maximum(x, 0),
    "with -0.0": lambda x: np.maximum(x, 0) * np.where(x < 0.5, -1.0, 1.0) * (x >= 0.5),
    "nonpositive": lambda x: np.minimum(x, 0),
    "one sample nonnegative": lambda x: np.concatenate([np.abs(x[:1]), x[1:]]),
    "zero": lambda x: 0 * np.abs(x),
    "-0.0 everywhere": lambda x: -0.0 * np.abs(x),
}
WEIGHTS = {"mixed": keep, "positive": np.abs, "negative": lambda w: -np.abs(w), "zero": lambda w: 0 * w}


class Eighths:
    """Random numbers of which sums of products are exact, so that near-zero denominators are no matter."""

    def __init__(self, rng):
        self.rng = rng

    def normal(self, size):
        return np.round(8 * self.rng.normal(size=size)) / 8


def test_the_inputs_are_what_they_are_called():
    x = INPUTS["with -0.0"](np.linspace(-1, 1, 9))
    assert (x >= 0).all()
    assert np.signbit(x[x == 0]).any()
    assert x.any()
    assert np.signbit(INPUTS["-0.0 everywhere"](np.ones(3))).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["padded", "strided", "grouped", "no bias"])
def test_convolution(name, rule, rng):
    rng = Eighths(rng)
    layer, image, matrices, b = make_convolution(name, rng)
    for signs in INPUTS.values():
        x, R = signs(rng.normal(size=(2, *image))), rng.normal(size=(2, *matrices[2]))
        assert_close(layer.relevance(R, x, rule=RULES[rule][0]), expected_relevance(rule, matrices, b, x, R))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("of_weight", WEIGHTS)
def test_dense(rule, of_weight, rng):
    rng = Eighths(rng)
    for signs in INPUTS.values():
        for has_bias in True, False:
            W, b = WEIGHTS[of_weight](rng.normal(size=(4, 5))), rng.normal(size=4) * has_bias
            x, R = signs(rng.normal(size=(3, 5))), rng.normal(size=(3, 4))
            layer = L.Dense(W, b if has_bias else None)
            expected = expected_relevance(rule, (W, np.ones_like(W), (4,)), b, x, R)
            assert_close(layer.relevance(R, x, rule=RULES[rule][0]), expected)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("of_weight", WEIGHTS)
def test_exactly(rule, of_weight, rng):
    """On fractions there is no rounding behind which anything could hide."""
    of_refcrp, of_oracle, parameters, _ = RULES[rule]
    parameters = {name: F(value) for name, value in ({"eps": 1e-9} | parameters).items()}
    for signs in "nonnegative", "nonpositive", "zero":
        W, b, x, R = (exact(rng.integers(-8, 9, size=size) / 8) for size in [(3, 4), 3, (2, 4), (2, 3)])
        W, x = WEIGHTS[of_weight](W), INPUTS[signs](x)
        for bias in b, None:
            b_all, pairs = 0 * b if bias is None else b, zip(x, R, strict=True)
            rows = [of_oracle(W, np.ones((3, 4), int), b_all, a, r, **parameters) for a, r in pairs]
            assert (L.Dense(W, bias).relevance(R, x, rule=of_refcrp) == np.stack(rows)).all()


# Rules of one's own ---------------------------------------------------------------------------------------------


class Own(rc.Rule):
    """Given shares, and no stabilizer."""

    def __init__(self, *shares):
        self.given = shares

    def shares(self):
        return self.given

    def stabilize(self, z):
        return z


def by_hand(rule, layer, x, R=1):
    return layer.relevance(exact([[float(R)]]), exact([[float(a) for a in x]]), rule=rule).tolist()[0]


def test_a_bias_on_the_negative_input_stays():
    """z = 1·x0⁺ + 2·x1⁺ + (1·x0⁻ + 2·x1⁻ + 3), also where no input is negative."""
    rule = Own(rc.Share((rc.Contribution(positive, keep, zero), rc.Contribution(negative, keep, keep))))
    layer = L.Dense([[1, 2]], [3]).astype(object)
    assert by_hand(rule, layer, [1, 2]) == [F(1, 8), F(4, 8)]
    assert by_hand(rule, layer, [2, -1]) == [F(2, 3), F(-2, 3)]
    assert by_hand(rule, layer, [0, 0]) == [0, 0]
    without = L.Dense([[1, 2]]).astype(object)
    assert by_hand(rule, without, [1, 2]) == [F(1, 5), F(4, 5)]


def test_a_negative_input_alone():
    """Nothing but x⁻: behind a ReLU the bias is all there is, and without one nothing is."""
    rule = Own(rc.Share((rc.Contribution(negative, keep, keep),)))
    layer = L.Dense([[1, 2]], [3]).astype(object)
    assert by_hand(rule, layer, [1, 2]) == [0, 0]
    assert by_hand(rule, layer, [1, -2]) == [0, 4]  # z = -4 + 3
    stabilized = type("Stabilized", (rc.Rule,), {"shares": lambda self: rule.given})()
    for bias in [3.0], None:
        R_in = L.Dense([[1.0, 2]], bias).relevance([[1.0]], [[1.0, 2]], rule=stabilized)
        np.testing.assert_array_equal(R_in, [[0, 0]])


def test_a_weight_of_zeros_with_a_bias_stays():
    """z = 2·x + 5·0 + b: no weight is negative, but b counts once more."""
    rule = Own(rc.Share((rc.Contribution(keep, keep, zero), rc.Contribution(keep, negative, keep))))
    assert by_hand(rule, L.Dense([[2, 2]], [4]).astype(object), [1, 2]) == [F(2, 10), F(4, 10)]
    assert by_hand(rule, L.Dense([[2, 2]]).astype(object), [1, 2]) == [F(2, 6), F(4, 6)]


def test_subtracted_and_scaled_contributions():
    """z = x W⁺ - x W⁻ = |x W| for x >= 0, of which 3 times the relevance is divided."""
    contributions = (
        rc.Contribution(positive, positive, zero),
        rc.Contribution(positive, negative, zero, sign=-1),
    )
    layer = L.Dense([[1, -2]], [3]).astype(object)
    assert by_hand(Own(rc.Share(contributions, scale=3)), layer, [1, 2]) == [F(3, 5), F(12, 5)]
    only_subtracted = Own(rc.Share((rc.Contribution(sign=-1),)))
    assert by_hand(only_subtracted, layer, [5, 2]) == [F(5, 4), F(-4, 4)]  # the signs cancel


def test_inputs_that_only_look_alike():
    """positive, and a function that does something else where nothing is negative."""
    half = rc.Contribution(lambda x: x / 2, positive, zero)
    rule = Own(rc.Share((rc.Contribution(positive, positive, zero), half)))
    layer = L.Dense([[1, 2], [3, 4]]).astype(object)
    R_in = layer.relevance(exact([[1.0, 1.0]]), exact([[1.0, 1.0]]), rule=rule)
    assert R_in.tolist() == [[F(1, 3) + F(3, 7), F(2, 3) + F(4, 7)]]
    different = Own(
        rc.Share((rc.Contribution(positive, positive, zero), rc.Contribution(square, keep, zero)))
    )
    assert by_hand(different, L.Dense([[1, 2]]).astype(object), [1, 2]) == [F(2, 14), F(12, 14)]  # 5 + 9


def the_same(x):
    return x


LARGE = lambda w: w * np.float32(1e37)  # noqa: E731


@pytest.mark.parametrize(
    "shares",
    [
        (rc.Share((rc.Contribution(keep, LARGE, zero),)),),
        (rc.Share((rc.Contribution(the_same, LARGE, zero),)),),
        (rc.Share((rc.Contribution(positive, LARGE, zero),)),),
        (
            rc.Share((rc.Contribution(keep, LARGE, zero),)),
            rc.Share((rc.Contribution(positive, positive, zero),)),
        ),
        (rc.Share((rc.Contribution(keep, AddPositive(1e37), zero),)), rc.Share((rc.Contribution(positive),))),
    ],
    ids=["keep", "as it is", "positive", "keep, beside positive", "gamma, beside positive"],
)
@pytest.mark.parametrize("x", [[1.0, 100.0], [-1.0, 100.0]])
def test_a_denominator_that_overflows_is_found(shares, x):
    """R / inf would be a zero, and relevance lost without a word; also where inputs differ in sign."""
    layer = L.Dense(np.array([[1, 2]], np.float32))
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError):
        Own(*shares).bind(layer).linearize(np.array([x], np.float32))
